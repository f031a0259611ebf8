"""A learner's checkpoint: one format for every learner, whatever its number of ranks.

    config.json  model.safetensors  tokenizer.json ...    the policy, a whole Hugging Face folder (adapters added)
    adapter/adapter_model.safetensors, adapter_config.json    the adapters alone, in PEFT's layout; with LoRA only
    optimizer.safetensors    NAME/step, NAME/exp_avg, NAME/exp_avg_sq of each weight that trains, and NAME/master
                             where the weight itself is kept in fewer bits (several numbered files where it is large)
    learner.json             how many updates were done
    critic.safetensors       weights of a critic, in float32
    critic_optimizer.safetensors, critic.json    its moments and counter, as above

Everything is stored whole under the weights' names, so any learner reads what any other wrote. Nothing is pickled.
"""

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor
from transformers import PreTrainedModel

from medrl.learners.trainable import ADAPTER, has_adapter
from medrl.models import Policy

FILE_BYTES = 4 * 2**30
ADAPTER_FOLDER, ADAPTER_FILE = "adapter", "adapter_model.safetensors"
Row = tuple[str, Tensor]
Write = Callable[[Iterator[Row], Callable[[Iterator[Row]], None]], None]  # has tensors written as they come

MOMENTS = ("exp_avg", "exp_avg_sq")
COUNTERS = ("learner.json", "critic.json")


class OptimizerState(Mapping[str, Tensor]):
    """The optimizer's tensors in a checkpoint, read one at a time."""

    def __init__(self, folder: Path, *, critic: bool = False) -> None:
        """Open what `write_state` wrote of the policy, or of its critic.

        Raises:
            OSError: A file is missing.
            ValueError: The counters are no JSON.
            safetensors.SafetensorError: A file is cut or is something else.
        """
        counters = json.loads((folder / COUNTERS[critic]).read_text())
        self.updates = int(counters["updates"])
        names = _names(int(counters.get("optimizer_files", 1)), critic)
        self._where = {key: file for name in names for file in [_opened(folder / name)] for key in file.keys()}  # noqa: SIM118

    def __getitem__(self, name: str) -> Tensor:
        mapped: Tensor = self._where[name].get_tensor(name)
        return mapped.clone()  # an optimizer keeps what it is given, and a run deletes the file some day

    def __iter__(self) -> Iterator[str]:
        return iter(self._where)

    def __len__(self) -> int:
        return len(self._where)

    @property
    def masters(self) -> list[str]:
        """The weights that are here in more bits than the policy's own."""
        return [name.removesuffix("/master") for name in self._where if name.endswith("/master")]

    def check(self, weights: Mapping[str, tuple[int, ...]]) -> None:
        """See that the state belongs to weights of these names and shapes.

        Raises:
            ValueError: A moment has another shape, or belongs to a weight that is not trained.
        """
        for name, shape in weights.items():
            for key in (*MOMENTS, "master"):
                if f"{name}/{key}" in self._where:
                    saved = tuple(self._where[f"{name}/{key}"].get_slice(f"{name}/{key}").get_shape())
                    if saved != shape:
                        raise ValueError(f"the moments of {name} have another shape than the weight")
            missing = [key for key in ("step", *MOMENTS) if f"{name}/{key}" not in self._where]
            if 0 < len(missing) < 3:
                raise ValueError(f"{name} has no {missing[0]}")
        strays = sorted(name for name in self if name.rpartition("/")[0] not in weights)
        if strays:
            raise ValueError(f"it has moments of {strays[0].rpartition('/')[0]}, which is not trained here")


def write_state(
    folder: Path,
    updates: int,
    rows: Iterable[Row],
    file_bytes: int = FILE_BYTES,
    *,
    critic: bool = False,
) -> None:
    """Write the counters, and tensors as they come: no more than one file's worth is held at once."""
    held: dict[str, Tensor] = {}
    files = list[Path]()

    def flush() -> None:
        nonlocal held
        files.append(folder / f"part-{len(files) + 1:05d}.safetensors")
        save_file(held, files[-1])
        held = {}

    for name, tensor in rows:
        if held and sum(t.nbytes for t in held.values()) + tensor.nbytes > file_bytes:
            flush()
        held[name] = tensor.detach().to("cpu", copy=True).contiguous()
    flush()
    names = _names(len(files), critic)
    for file, name in zip(files, names, strict=True):
        file.rename(folder / name)
    (folder / COUNTERS[critic]).write_text(json.dumps({"updates": updates, "optimizer_files": len(files)}))


def _names(files: int, critic: bool) -> list[str]:
    stem = "critic_optimizer" if critic else "optimizer"
    return [f"{stem}.safetensors"] if files == 1 else [f"{stem}-{n + 1:05d}.safetensors" for n in range(files)]


def _opened(file: Path) -> Any:
    if not file.is_file():
        raise FileNotFoundError(f"{file} does not exist")
    return safe_open(file, framework="pt")


def save_model(policy: Policy, folder: Path, weights: Iterable[Row]) -> None:
    """A Hugging Face folder of a policy whose weights come one at a time, as `whole_weights` gives them."""
    policy.model.save_pretrained(folder, state_dict={name: weight.to("cpu", copy=True) for name, weight in weights})
    (policy.processor or policy.tokenizer).save_pretrained(folder)


def save_weights(file: Path, weights: Iterable[Row]) -> None:
    """One file of weights that come one at a time."""
    save_file({name: weight.detach().to("cpu", copy=True).contiguous() for name, weight in weights}, file)


def save_adapter(model: PreTrainedModel, folder: Path, weights: Iterable[Row]) -> None:
    """A PEFT folder beside the whole policy: for going on exactly, and for whoever serves adapters."""
    place = folder / ADAPTER_FOLDER
    place.mkdir()
    save_weights(place / ADAPTER_FILE, weights)
    configs: Any = model.peft_config
    configs[ADAPTER].save_pretrained(place)


def saved_weights(model: PreTrainedModel, folder: Path) -> dict[str, Tensor]:
    """Weights of a checkpoint's policy by their Hugging Face names, with those of its adapters by PEFT's.

    Raises:
        OSError, ValueError, RuntimeError, safetensors.SafetensorError: The folder is no whole checkpoint of such a model.
    """
    loader: Any = type(model)
    saved, notes = loader.from_pretrained(
        folder, config=model.config, dtype=model.dtype, use_safetensors=True, output_loading_info=True
    )
    # transformers fills missing weights with random ones and only warns
    strays = sorted(str(name) for kind in ("missing_keys", "unexpected_keys") for name in notes[kind])
    if strays:
        raise ValueError(f"{len(strays)} weights are missing or too many, the first being {strays[0]}")
    weights: dict[str, Tensor] = saved.state_dict()
    if has_adapter(model):
        weights |= load_file(folder / ADAPTER_FOLDER / ADAPTER_FILE)
    elif (folder / ADAPTER_FOLDER).exists():
        raise ValueError("it was trained with an adapter and this learner has none; set optimization.lora")
    return weights
