"""How alike answer and reference are to a sentence-embedding model: a signal beside a decision, never the decision.

Embeddings cannot decide. By all-MiniLM-L6-v2 "type 1" and "type 2 diabetes" are as near as paracetamol and acetaminophen
(0.70 and 0.68), "pneumonia" and "not pneumonia" lie at 0.86, "MI" and "myocardial infarction" at 0.09. So this verifier
never says that an answer is right: it abstains with the cosine in its parts, or, where `reject_below` is set, says
"wrong" of an answer that is far from every name of the reference. The model is read as sentence-transformers lays it out,
and pooled as its `1_Pooling/config.json` says.
"""

import asyncio
import json
import math
import threading
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar

from medrl.errors import DataError, MissingFile, RecipeError, need
from medrl.types import Judged, Problem, Response, Verdict
from medrl.verifiers.classifier_layout import encodable
from medrl.verifiers.classifier_model import folder_digest, local_folder, padded, read_json
from medrl.verifiers.extract import Extracted, Format, check_format
from medrl.verifiers.protocol import Verifier, digest, failure
from medrl.verifiers.reading import read

KNOWN = ("Transformer", "Pooling", "Normalize")  # modules of sentence-transformers; vectors are always normalised here
MODES = {"pooling_mode_mean_tokens": "mean", "pooling_mode_cls_token": "cls"}


@dataclass(frozen=True)
class Similarity(Verifier):
    """Abstains with the cosine of answer and reference, or rejects what is far from every name of the reference."""

    name: ClassVar[str] = "similarity"

    model: str = "sentence-transformers/all-MiniLM-L6-v2"
    """Folder or hub id of a sentence-embedding model in the layout of sentence-transformers (mean or first-token pooling)."""
    revision: str | None = None
    """Branch, tag or commit on the hub; pin it for a run that can be repeated."""
    reject_below: float | None = None
    """Cosine below which an answer is wrong, from -1 to 1; empty never rejects. Only as low as labelled answers of your
    own data allow: synonyms and abbreviations may lie at 0.1 to 0.3."""
    batch_size: int = 64
    """Texts in one forward pass. Typical 16 to 256."""
    device: str = "auto"
    """cpu, cuda, cuda:1; `auto` takes the first GPU where there is one."""
    format: Format = "auto"
    """How responses are laid out; only the committed answer is compared."""

    def __post_init__(self) -> None:
        check_format(self.format)
        faults = []
        if self.reject_below is not None and not -1.0 <= self.reject_below <= 1.0:
            faults.append(f"reject_below is {self.reject_below}; a cosine lies from -1 to 1")
        if self.batch_size < 1:
            faults.append(f"batch_size is {self.batch_size}; it must be at least 1")
        try:
            folder = local_folder(self.model)
            if folder:
                _pooling(folder)
        except (DataError, MissingFile) as error:
            faults.append(str(error))
        if faults:
            raise RecipeError("verifier 'similarity'", faults)

    @property
    def can_accept(self) -> bool:
        return False

    def data_digest(self) -> str:
        folder = local_folder(self.model)
        return folder_digest(folder) if folder else digest([self.model, self.revision])

    async def verify_batch(self, items: Judged) -> list[Verdict]:
        return await asyncio.to_thread(self._judged, items)

    def _judged(self, items: Judged) -> list[Verdict]:
        answers = [self._answer(problem, response) for problem, response in items]
        texts = [
            text
            for (problem, _), answer in zip(items, answers, strict=True)
            if isinstance(answer, Extracted)
            for text in (answer.text, *_names(problem))
        ]
        distinct = list(dict.fromkeys(texts))
        embedder = _loaded(self.model, self.revision, self.device, self.data_digest())
        vectors = dict(zip(distinct, embedder.embed(distinct, self.batch_size), strict=True))
        return [
            self._verdict(problem, answer, vectors) if isinstance(answer, Extracted) else answer
            for (problem, _), answer in zip(items, answers, strict=True)
        ]

    def _answer(self, problem: Problem, response: Response) -> Extracted | Verdict:
        """The committed answer. What the policy did wrong is left to the stages beside this one, unless it may reject."""
        try:
            answer = read(problem, response, self.format)
        except Exception as error:  # this item's alone
            return failure(error, self.name)
        if isinstance(answer, Verdict) and answer.score == 0.0 and self.reject_below is None:
            return Verdict.abstain(answer.reason)
        return answer

    def _verdict(self, problem: Problem, answer: Extracted, vectors: dict[str, list[float]]) -> Verdict:
        ours = vectors[answer.text]
        cosine = max(sum(a * b for a, b in zip(ours, vectors[name], strict=True)) for name in _names(problem))
        if not math.isfinite(cosine):
            return Verdict.failed("the embedding is not finite", answer=answer.text, span=answer.span)
        found = Verdict.abstain(f"cosine {cosine:.3f}; likeness does not decide")
        if self.reject_below is not None and cosine < self.reject_below:
            found = Verdict.wrong(f"cosine {cosine:.3f} is below {self.reject_below:g}: nothing like the reference")
        parts = {"cosine": cosine}
        return replace(found, answer=answer.text, span=answer.span, parts=parts, cost={"calls": 1.0})


def _names(problem: Problem) -> tuple[str, ...]:
    return (str(problem.reference), *problem.aliases)


def _pooling(folder: Path) -> str:
    """How token vectors become one: "mean" or "cls"; what else a folder may ask for is refused, not approximated."""
    if not (folder / "config.json").is_file():
        raise DataError(f"{folder} has no config.json, so it holds no model of transformers")
    if not list(folder.glob("*.safetensors")):
        raise DataError(f"{folder} has no .safetensors weights; weights as pickles are not read")
    file = folder / "modules.json"
    if file.is_file():
        further = [kind for kind in _modules(file) if kind not in KNOWN]
        if further:
            raise DataError(f"{file} asks for {', '.join(further)} behind the model; only pooling is known here")
    file = folder / "1_Pooling" / "config.json"
    if not file.is_file():
        return "mean"
    asked = [name for name, on in read_json(file).items() if name.startswith("pooling_mode_") and on is True]
    if len(asked) != 1 or asked[0] not in MODES:
        raise DataError(f"{file} asks for {', '.join(asked) or 'no pooling'}; mean and first-token pooling are known")
    return MODES[asked[0]]


def _modules(file: Path) -> list[str]:
    """The kinds of modules that a folder's model is made of, such as Transformer, Pooling, Dense."""
    try:
        rows = json.loads(file.read_text(encoding="utf-8"))
        return [str(row["type"]).rpartition(".")[2] for row in rows]
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise DataError(f"{file} cannot be read as a list of modules: {error!r}") from error


@dataclass(frozen=True, eq=False)
class _Embedder:
    model: Any
    tokenizer: Any
    pooling: str
    context: int
    lock: threading.Lock

    def embed(self, texts: Sequence[str], batch_size: int) -> list[list[float]]:
        """A vector of length 1 for each text, in order; texts of similar length share a batch."""
        rows = [{"input_ids": self._ids(text)} for text in texts]
        order = sorted(range(len(rows)), key=lambda i: len(rows[i]["input_ids"]))
        found: list[list[float]] = [[] for _ in rows]
        for start in range(0, len(order), batch_size):
            chosen = order[start : start + batch_size]
            with self.lock:
                vectors = self._vectors([rows[i] for i in chosen])
            for i, vector in zip(chosen, vectors, strict=True):
                found[i] = vector
        return found

    def _ids(self, text: str) -> list[int]:
        ids = self.tokenizer(encodable(text), truncation=True, max_length=self.context, split_special_tokens=True)[
            "input_ids"
        ]
        return list(ids)

    def _vectors(self, rows: Sequence[dict[str, list[int]]]) -> list[list[float]]:
        import torch

        with torch.inference_mode():
            batch = padded(rows, self.tokenizer.pad_token_id or 0, self.model.device)
            states_BTH = self.model(**batch).last_hidden_state.float()
            mask_BT1 = batch["attention_mask"].unsqueeze(-1)
            mean = (states_BTH * mask_BT1).sum(1) / mask_BT1.sum(1)
            pooled = states_BTH[:, 0] if self.pooling == "cls" else mean
            vectors: list[list[float]] = torch.nn.functional.normalize(pooled, dim=-1).cpu().tolist()
            return vectors


_embedders: dict[tuple[str, str | None, str, str], _Embedder] = {}
_loading = threading.Lock()


def _loaded(model: str, revision: str | None, device: str, content: str) -> _Embedder:
    """The model of a folder or hub id, read once in a process."""
    key = (model, revision, device, content)
    with _loading:
        if key not in _embedders:
            _embedders.clear()  # one at a time is kept
            _embedders[key] = _load(model, revision, device)
        return _embedders[key]


def _load(model: str, revision: str | None, device: str) -> _Embedder:
    torch, transformers = need("torch", "train"), need("transformers", "train")
    folder = local_folder(model)
    name, where = str(folder or model), {"revision": revision, "trust_remote_code": False}
    try:
        tokenizer = transformers.AutoTokenizer.from_pretrained(name, **where)
        found = transformers.AutoModel.from_pretrained(name, use_safetensors=True, dtype="float32", **where)
        pooling = _pooling(folder) if folder else _hub_pooling(model, revision)
    except (OSError, ValueError, ImportError) as error:
        raise MissingFile(f"no sentence-embedding model can be read from {model!r}: {error}") from error
    place = device if device != "auto" else "cuda" if torch.cuda.is_available() else "cpu"
    context = int(getattr(found.config, "max_position_embeddings", None) or 512)
    return _Embedder(found.to(place).eval(), tokenizer, pooling, context, threading.Lock())


def _hub_pooling(model: str, revision: str | None) -> str:
    """The pooling of a hub model, from the cached copy of its repository."""
    from transformers.utils.hub import cached_file

    found = cached_file(model, "1_Pooling/config.json", revision=revision)
    return _pooling(Path(str(found)).parents[1])
