"""From which model the training of a judge starts, be it a verifier or a reward model."""

from dataclasses import dataclass
from typing import Literal

from medrl.models.classifier import ClassifierShape


@dataclass(frozen=True)
class TrainedBase:
    """One that exists (`path`), or one from scratch (`new`)."""

    path: str | None = None
    """Folder or hub id of a pretrained model."""

    new: ClassifierShape | None = None
    """Shape of a small encoder to make from scratch; its tokenizer is trained on the texts of training."""

    revision: str | None = None
    """Branch, tag or commit on the hub; pin it for a run that can be repeated."""

    dtype: Literal["float32", "bfloat16", "float16"] = "float32"
    """Type of the weights in memory."""

    device: str = "auto"
    """Where the model computes: cpu, cuda, cuda:1; `auto` takes the first GPU where there is one."""

    def __post_init__(self) -> None:
        if (self.path is None) == (self.new is None):
            raise ValueError("give either `path` (a folder or hub id) or `new` (the shape of a model from scratch)")
