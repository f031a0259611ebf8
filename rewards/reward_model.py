"""A reward model's members: loaded, asked in batches, put on one scale.

A folder that `medrl train-reward` wrote is a Hugging Face folder of its first member with `reward_model.json` beside it,
and one folder more for each other member. Every member's rewards are brought to mean 0 and standard deviation 1 on a
reference set, so that members can be averaged and their disagreement is in the same unit. Any other sequence classifier
with one output is a model of one member without a reference set.
"""

import logging
import math
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, cast

from medrl.errors import DataError, MedrlError, MissingFile, TemplateError, need
from medrl.rewards.reward_model_layout import Row
from medrl.verifiers.classifier_model import context_of, folder_digest, local_folder, padded, read_json
from medrl.verifiers.extract import FORMATS, Format

SETTINGS = "reward_model.json"
Dtype = Literal["auto", "float32", "bfloat16", "float16"]
CONTENTS = (SETTINGS, "*config.json", "*.safetensors", "tokenizer*", "*/*config.json", "*/*.safetensors", "*.jinja")
log = logging.getLogger(__name__)
KEPT = 2  # reward models in memory; the one asked for longest ago goes first


@dataclass(frozen=True)
class Scale:
    """Mean and standard deviation of one member's raw rewards on the reference set."""

    mean: float = 0.0
    std: float = 1.0

    def of(self, raw: float) -> float:
        return (raw - self.mean) / self.std


@dataclass(frozen=True)
class Source:
    """Where a reward model comes from and how it is held; equal sources share one model in a process."""

    model: str
    revision: str | None = None
    device: str = "auto"
    dtype: Dtype = "auto"
    digest: str = ""


@dataclass
class RewardModel:
    """One or several sequence classifiers with one output, and the tokenizer that they share.

    Attributes:
        members: The models.
        tokenizer: Theirs, with a chat template.
        scales: One for each member, or None where there is no reference set.
        context: The most tokens that it reads.
        settings: The content of reward_model.json; empty for other models.
    """

    members: list[Any]
    tokenizer: Any
    scales: tuple[Scale, ...] | None
    context: int
    settings: Mapping[str, Any] = field(default_factory=dict)
    lock: threading.Lock = field(default_factory=threading.Lock)

    @property
    def format(self) -> Format:
        """How the replies that it was trained on were read; those of older folders were read whole."""
        found = self.settings.get("format", "plain")
        if found not in FORMATS:
            raise DataError(f"{SETTINGS} has the format {found!r}; it is one of {', '.join(FORMATS)}")
        return cast(Format, found)

    def raw(self, rows: Sequence[Row], batch_size: int = 32) -> list[list[float]]:
        """The output of every member for every row, members first; NaN where a model failed or gave no finite number."""
        return [self._asked(member, rows, batch_size) for member in self.members]

    def _asked(self, member: Any, rows: Sequence[Row], batch_size: int) -> list[float]:
        import torch

        found = [math.nan] * len(rows)
        order = sorted(range(len(rows)), key=lambda i: len(rows[i]["input_ids"]))
        pad = member.config.get_text_config().pad_token_id
        for start in range(0, len(order), batch_size):
            chosen = order[start : start + batch_size]
            try:
                with self.lock, torch.inference_mode():
                    logits_B = member(**padded([rows[i] for i in chosen], pad, member.device)).logits.float()[:, 0]
                    values = [float(value) for value in logits_B.cpu()]
            except RuntimeError:  # out of memory, mostly: each alone, so that one long row costs no other its reward
                if len(chosen) == 1:
                    log.warning(
                        "a reward model failed on a row of %d tokens", len(rows[chosen[0]]["input_ids"]), exc_info=True
                    )
                values = [self._asked(member, [rows[i]], 1)[0] for i in chosen] if len(chosen) > 1 else [math.nan]
            for i, value in zip(chosen, values, strict=True):
                found[i] = value if math.isfinite(value) else math.nan
        return found


@dataclass(frozen=True)
class Worth:
    """Mean and standard deviation (population) over members of one response's reward."""

    mean: float
    std: float


def combined(raw: Sequence[Sequence[float]], scales: Sequence[Scale] | None) -> list[Worth]:
    """One `Worth` for each row, from the members' raw rewards, each on its own scale."""
    scales = scales or [Scale()] * len(raw)
    scaled = [[scale.of(value) for value in row] for row, scale in zip(raw, scales, strict=True)]
    worths = []
    for values in zip(*scaled, strict=True):
        mean = sum(values) / len(values)
        worths.append(Worth(mean, math.sqrt(sum((value - mean) ** 2 for value in values) / len(values))))
    return worths


_loaded: dict[Source, RewardModel] = {}
_failed: dict[Source, MedrlError] = {}
_loading = threading.Lock()


def source_of(model: str, revision: str | None = None, device: str = "auto", dtype: Dtype = "auto") -> Source:
    """The source that these knobs name, with the digest of a folder, so that new weights are loaded anew."""
    folder = local_folder(model)
    return Source(model, revision, device, dtype, folder_digest(folder, CONTENTS) if folder else "")


def loaded(source: Source) -> RewardModel:
    """The reward model of a source, read once in a process, whichever thread asks first."""
    with _loading:
        if source in _failed:  # asked of every group, so it must not be tried again for each
            raise _failed[source]
        if source not in _loaded:
            while len(_loaded) >= KEPT:
                _loaded.pop(next(iter(_loaded)))
            try:
                _loaded[source] = load(source)
            except MedrlError as error:
                _failed[source] = error
                raise
        _loaded[source] = _loaded.pop(source)
        return _loaded[source]


def load(source: Source) -> RewardModel:
    """Read the members and their tokenizer; code that comes with a checkpoint is never run.

    Raises:
        MissingFile: A member cannot be read.
        DataError: A member has no trained head of one output.
        TemplateError: The tokenizer has no chat template.
    """
    torch, transformers = need("torch", "train"), need("transformers", "train")
    folder = local_folder(source.model)
    settings = read_json(folder / SETTINGS) if folder and (folder / SETTINGS).is_file() else {}
    scales = _scales(settings, source.model)
    places = (
        [str(folder), *(str(folder / f"member_{i}") for i in range(1, len(scales or (0,))))]
        if folder
        else [source.model]
    )
    device = source.device if source.device != "auto" else "cuda" if torch.cuda.is_available() else "cpu"
    held = source.dtype if source.dtype != "auto" or device != "cpu" else "float32"
    where: dict[str, Any] = {"revision": source.revision, "trust_remote_code": False}
    try:
        tokenizer = transformers.AutoTokenizer.from_pretrained(places[0], **where)
    except (OSError, ValueError, ImportError) as error:
        raise MissingFile(f"no tokenizer can be read from {source.model!r}: {error}") from error
    if not tokenizer.chat_template:
        raise TemplateError(
            f"the tokenizer of {source.model!r} has no chat template, so nobody knows how it was trained"
        )
    members = [_member(transformers, place, held, where).to(device).eval() for place in places]
    for member in members:
        text = member.config.get_text_config()
        if text.pad_token_id is None:  # the token that is filled in is masked, and never the one that is pooled
            text.pad_token_id = tokenizer.pad_token_id if tokenizer.pad_token_id is not None else tokenizer.eos_token_id
    context = min(int(settings.get("max_length") or 10**9), context_of(members[0], tokenizer))
    return RewardModel(members, tokenizer, scales, context, settings)


def _member(transformers: Any, place: str, dtype: str, where: Mapping[str, Any]) -> Any:
    try:
        model, info = transformers.AutoModelForSequenceClassification.from_pretrained(
            place, dtype=dtype, use_safetensors=True, output_loading_info=True, **where
        )
    except (OSError, ValueError, ImportError) as error:
        raise MissingFile(f"no reward model can be read from {place!r}: {error}") from error
    if info["missing_keys"]:
        missing = ", ".join(sorted(info["missing_keys"])[:3])
        raise DataError(f"{place!r} has no trained reward head ({missing} would be random); train one on it")
    if model.config.num_labels != 1:
        raise DataError(f"{place!r} has {model.config.num_labels} outputs; a reward model has one")
    return model


def _scales(settings: Mapping[str, Any], model: str) -> tuple[Scale, ...] | None:
    if not settings:
        return None
    try:
        scales = tuple(Scale(float(one["mean"]), float(one["std"])) for one in settings["members"])
    except (KeyError, TypeError, ValueError) as error:
        raise DataError(f"{model}/{SETTINGS} names no members with `mean` and `std`: {error!r}") from error
    if not scales or not all(math.isfinite(one.mean) and math.isfinite(one.std) and one.std > 0 for one in scales):
        raise DataError(f"{model}/{SETTINGS}: every member needs a finite `mean` and a `std` above 0")
    return scales
