"""A sequence classifier with two labels, checked before it is loaded and asked in batches that cannot hurt each other.

The checks read JSON only. Weights come from safetensors alone: a pickle could run code. Padding stands on the right and
is masked, and the pooled token is the last that is no padding, so a text has the same score in any batch.
"""

import hashlib
import json
import math
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal, TypeAlias

from medrl.errors import DataError, MedrlError, MissingFile, did_you_mean, need
from medrl.verifiers.classifier_layout import Layout, tokenizer_faults

Dtype: TypeAlias = Literal["auto", "float32", "bfloat16", "float16"]
SETTINGS = "verifier.json"  # what `medrl train-verifier` leaves beside the weights
TRUE_NAMES = ("true", "right", "correct", "yes", "entailment")
_WEIGHTS_AS_PICKLES = ("*.bin", "*.pt", "*.pth", "*.pkl")


def local_folder(model: str) -> Path | None:
    """The folder that `model` names, or None for a hub id.

    Raises:
        MissingFile: It can only be a folder, and there is none.
    """
    folder = Path(model).expanduser()
    if folder.is_dir():
        return folder
    if folder.is_absolute() or model.startswith((".", "~")) or model.count("/") > 1 or folder.exists():
        beside = [child.name for child in folder.parent.iterdir()][:50] if folder.parent.is_dir() else []
        raise MissingFile(f"there is no folder {model}{did_you_mean(folder.name, beside) if beside else ''}")
    return None


def folder_faults(folder: Path, outputs: int = 2) -> list[str]:
    """Why a folder holds no classifier with so many outputs that can be used, from its file names and its config.json."""
    if not (folder / "config.json").is_file():
        return [f"{folder} has no config.json, so it holds no model of transformers"]
    config = read_json(folder / "config.json")
    faults = []
    built = [str(name) for name in config.get("architectures") or []]
    if not any(name.endswith("ForSequenceClassification") for name in built):
        faults.append(
            f"{folder} has no classifier head (it holds {', '.join(built) or 'an unnamed model'}); train one on it"
        )
    labels = labels_of(config)
    if len(labels) != outputs:
        wanted = "a verifier has two" if outputs == 2 else "a reward model has one"
        faults.append(f"{folder} tells {len(labels)} labels apart ({', '.join(labels)}); {wanted}")
    if not list(folder.glob("*.safetensors")):
        pickles = sorted(file.name for pattern in _WEIGHTS_AS_PICKLES for file in folder.glob(pattern))
        why = f"its weights ({pickles[0]}) are a pickle, which can run code; save it as safetensors" if pickles else ""
        faults.append(f"{folder} has no .safetensors weights" + (f": {why}" if why else ""))
    if not (folder / "tokenizer.json").is_file() and not list(folder.glob("*vocab*")):
        faults.append(f"{folder} has no tokenizer (tokenizer.json)")
    return faults


def read_json(file: Path) -> dict[str, Any]:
    """A JSON object of a model folder."""
    try:
        found = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise DataError(f"{file} cannot be read as JSON: {error}") from error
    if not isinstance(found, dict):
        raise DataError(f"{file} holds no JSON object")
    return found


def labels_of(config: Mapping[str, Any]) -> list[str]:
    """The names of the labels by index; transformers leaves them out of a file where they are two without names."""
    names = config.get("id2label")
    if isinstance(names, Mapping):
        return [str(name) for _, name in sorted(names.items(), key=lambda one: int(one[0]))]
    return [f"LABEL_{i}" for i in range(int(config.get("num_labels") or 2))]


def true_index(labels: Sequence[str], wanted: int | str | None) -> int:
    """Which of two labels means that the answer is right.

    Raises:
        DataError: The names do not say it, and `wanted` is none of them.
    """
    if isinstance(wanted, int) and not isinstance(wanted, bool) and wanted in (0, 1):
        return wanted
    names = [label.casefold() for label in labels]
    if wanted is not None:
        if str(wanted).casefold() not in names:
            raise DataError(f"true_label is {wanted!r}; the model's labels are {', '.join(labels)}, indices 0 and 1")
        return names.index(str(wanted).casefold())
    right = [i for i, name in enumerate(names) if name in TRUE_NAMES]
    if len(right) == 1:
        return right[0]
    if names == ["label_0", "label_1"]:  # unnamed: as in the published verifiers, 1 is True
        return 1
    raise DataError(
        f"the model's labels are {', '.join(labels)}; say with true_label which means that an answer is right"
    )


# What scores may depend on in a model's folder: weights, config, tokenizer, settings, the pooling of embeddings.
CONTENTS = (
    *(SETTINGS, "config.json", "*.safetensors", "modules.json", "1_Pooling/config.json"),
    *("tokenizer*", "special_tokens_map.json", "added_tokens.json", "vocab*", "merges.txt", "*.model"),
)


def folder_digest(folder: Path, patterns: Sequence[str] = CONTENTS) -> str:
    """Over the contents of a model folder's files; a file is read again only when it was changed."""
    total = hashlib.sha256()
    for file in sorted({file for pattern in patterns for file in folder.glob(pattern) if file.is_file()}):
        about = file.stat()
        total.update(
            f"{file.relative_to(folder)} {_file_digest(str(file.resolve()), about.st_mtime_ns, about.st_size)}\n".encode()
        )
    return total.hexdigest()[:16]


@lru_cache(maxsize=256)
def _file_digest(path: str, changed: int, size: int) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@dataclass(frozen=True)
class Source:
    """Where a classifier comes from and how it is held; equal sources share one model in a process."""

    model: str
    revision: str | None
    device: str
    dtype: Dtype
    digest: str  # of the folder, so that new weights under the same name are loaded anew


@dataclass
class LoadedClassifier:
    """A model with its tokenizer, in this process."""

    model: Any
    tokenizer: Any
    labels: list[str]
    context: int  # the most tokens that it can read
    lock: threading.Lock = field(default_factory=threading.Lock)

    def margins(
        self, rows: Sequence[Mapping[str, Sequence[int]]], true: int, batch_size: int
    ) -> list[float | Exception]:
        """Logit of True less that of False of each row, in order; what went wrong where it has none.

        softmax over two logits is the sigmoid of this. Rows of similar length share a batch. NaN where a logit is not
        finite.
        """
        found: list[float | Exception] = [math.nan] * len(rows)
        order = sorted(range(len(rows)), key=lambda i: len(rows[i]["input_ids"]))
        for start in range(0, len(order), batch_size):
            chosen = order[start : start + batch_size]
            try:
                with self.lock:
                    values: Sequence[float | Exception] = self._batch([rows[i] for i in chosen], true)
            except Exception as error:  # out of memory, mostly: each alone, so that one row costs no other its score
                values = [self.margins([rows[i]], true, 1)[0] for i in chosen] if len(chosen) > 1 else [error]
            for i, value in zip(chosen, values, strict=True):
                found[i] = value
        return found

    def _batch(self, rows: Sequence[Mapping[str, Sequence[int]]], true: int) -> list[float]:
        import torch

        with torch.inference_mode():
            pad = self.model.config.get_text_config().pad_token_id
            logits = self.model(**padded(rows, pad, self.model.device)).logits.float()  # (B, 2)
            margin_B = logits[:, true] - logits[:, 1 - true]
            usable = torch.isfinite(logits).all(dim=-1)
            return [float(one) for one in torch.where(usable, margin_B, torch.nan).cpu()]


def padded(rows: Sequence[Mapping[str, Sequence[int]]], pad: int, device: Any) -> dict[str, Any]:
    """Rows as (B, T) tensors, filled up on the right, with the mask that hides what was filled in."""
    import torch

    longest = max(len(row["input_ids"]) for row in rows)
    batch = {
        name: torch.tensor(
            [[*row[name], *[pad if name == "input_ids" else 0] * (longest - len(row[name]))] for row in rows]
        )
        for name in rows[0]
    }
    lengths = torch.tensor([len(row["input_ids"]) for row in rows])
    batch["attention_mask"] = (torch.arange(longest) < lengths[:, None]).long()
    return {name: values.to(device) for name, values in batch.items()}


_loaded: dict[Source, LoadedClassifier] = {}
_failed: dict[Source, MedrlError] = {}
_loading = threading.Lock()
KEPT = 2  # classifiers in memory; the one asked for longest ago goes first


def loaded(source: Source) -> LoadedClassifier:
    """The classifier of a source, read once in a process, whichever thread asks first."""
    with _loading:
        if source in _failed:  # asked of every answer, so it must not be tried again for each
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


def load(source: Source) -> LoadedClassifier:
    """Read model and tokenizer; code that comes with a checkpoint is never run.

    Raises:
        MissingFile: It cannot be read.
        DataError: It has no trained classifier head, or not two labels.
    """
    torch, transformers = need("torch", "train"), need("transformers", "train")
    where: dict[str, Any] = {"revision": source.revision, "trust_remote_code": False}
    name = str(Path(source.model).expanduser()) if local_folder(source.model) else source.model
    device = source.device if source.device != "auto" else "cuda" if torch.cuda.is_available() else "cpu"
    held = source.dtype if source.dtype != "auto" or device != "cpu" else "float32"
    try:
        tokenizer = transformers.AutoTokenizer.from_pretrained(name, **where)
        model, info = transformers.AutoModelForSequenceClassification.from_pretrained(
            name, dtype=held, use_safetensors=True, output_loading_info=True, **where
        )
    except (OSError, ValueError, ImportError) as error:
        raise MissingFile(f"no classifier can be read from {source.model!r}: {error}") from error
    if info["missing_keys"]:
        missing = ", ".join(sorted(info["missing_keys"])[:3])
        raise DataError(f"{source.model!r} has no trained classifier head ({missing} would be random); train one on it")
    labels = [str(model.config.id2label[i]) for i in sorted(model.config.id2label)]
    if len(labels) != 2:
        raise DataError(f"{source.model!r} tells {len(labels)} labels apart ({', '.join(labels)}); a verifier has two")
    text = model.config.get_text_config()
    if text.pad_token_id is None:  # the token that is filled in is masked, and never the one that is pooled
        text.pad_token_id = tokenizer.pad_token_id if tokenizer.pad_token_id is not None else tokenizer.eos_token_id
    return LoadedClassifier(model.to(device).eval(), tokenizer, labels, context_of(model, tokenizer))


def context_of(model: Any, tokenizer: Any) -> int:
    """The most tokens that a model reads at once."""
    text = model.config.get_text_config()
    return int(getattr(text, "max_position_embeddings", None) or tokenizer.model_max_length)


def check_layout(classifier: LoadedClassifier, layout: Layout, source: str) -> None:
    """Raise where the classifier's tokenizer cannot write the layout."""
    faults = tokenizer_faults(classifier.tokenizer, layout)
    if faults:
        raise DataError(f"{source}: {'; '.join(faults)}")
