"""A trained classifier as a verifier: p(True) of a response against its reference, as HuatuoGPT-o1 rewards answers.

The paper (arXiv 2412.18925) gives no details; its published code does, and the preset `huatuo_o1` keeps to it: the
verifier sees the final response and the reference, never the question, and pays where softmax p(True) is above 0.4.
What differs: an answer that is missing is score 0 without asking (there: "I do not know the answer." is asked about), a
text that is too long is never cut (there: from the right, so that a long answer pushes the reference out), and an
answer that writes the layout's own marks is score 0.
"""

import asyncio
import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Literal

from medrl.errors import DataError, MedrlError, RecipeError, did_you_mean
from medrl.types import Judged, Problem, Response, Verdict
from medrl.verifiers.classifier_layout import Layout, layout_of, shown_reference, token_ids
from medrl.verifiers.classifier_model import (
    SETTINGS,
    Dtype,
    LoadedClassifier,
    Source,
    check_layout,
    folder_digest,
    folder_faults,
    labels_of,
    loaded,
    local_folder,
    read_json,
    true_index,
)
from medrl.verifiers.extract import Format, check_format, sections
from medrl.verifiers.protocol import Verifier, digest, failure
from medrl.verifiers.reading import read

PRESETS: Mapping[str, Mapping[str, Any]] = {
    "huatuo_o1": {
        "model": "FreedomIntelligence/medical_o1_verifier_3B",
        "layout": "huatuo_o1",
        "threshold": 0.4,
        "max_length": 4000,
        "true_label": 1,
    }
}
DEFAULTS: Mapping[str, Any] = {
    "layout": "huatuo_o1",
    "show_question": False,
    "threshold": 0.5,
    "temperature": 1.0,
    "max_length": None,
    "true_label": None,
}
CHARACTERS = 32  # per token; a text longer than this times max_length is too long whatever its tokens are


@dataclass(frozen=True)
class Settings:
    """The knobs once preset, folder and defaults have filled in what was left empty."""

    model: str
    layout: Layout
    threshold: float
    temperature: float
    max_length: int | None
    true_label: int | str | None


@dataclass(frozen=True)
class Classifier(Verifier):
    """Decides by p(True) of an `AutoModelForSequenceClassification` with two labels.

    An empty knob takes the value of the preset, else that of `verifier.json` in the model's folder, else the default.
    """

    name: ClassVar[str] = "classifier"

    model: str | None = None
    """Folder or hub id of the classifier, e.g. FreedomIntelligence/medical_o1_verifier_3B or what `medrl train-verifier`
    wrote. Weights must be safetensors."""
    preset: Literal["huatuo_o1"] | None = None
    """Settings of a published verifier: `huatuo_o1` (its model, layout, threshold 0.4, 4,000 tokens)."""
    revision: str | None = None
    """Branch, tag or commit on the hub; pin it, or the verdicts may change under one fingerprint."""
    threshold: float | None = None
    """p(True) above which an answer is right, from 0 to 1; 0.4 in HuatuoGPT-o1, otherwise 0.5."""
    layout: str | None = None
    """`huatuo_o1`, `pair` (two texts, for encoders trained so), or a template with {response} and {reference}, and
    {question} or a closing {eos} where wanted."""
    show_question: bool | None = None
    """Whether the question stands above the answer; the published verifiers never see it. Default false."""
    true_label: int | str | None = None
    """Index or name of the label that means right; empty tells it by the name (True, correct, ...), and takes 1 for
    labels without names."""
    score: Literal["threshold", "probability"] = "threshold"
    """`threshold`: 1 above it, else 0. `probability`: p(True) itself, with the decision as the part `accepted`."""
    unsure_between: tuple[float, float] | None = None
    """From which to which p(True) it abstains, so that the next stage of a cascade decides (a judge, say); empty: it always
    decides. Typical 0.2 to 0.8 with a calibrated classifier."""
    batch_size: int = 32
    """Answers in one forward pass; bounds memory. Typical 8 to 128."""
    max_length: int | None = None
    """Most tokens of layout, reference and answer together; empty for the model's context. Nothing is ever cut: an answer
    that does not fit is wrong, a reference that does not fit is a broken problem."""
    device: str = "auto"
    """cpu, cuda, cuda:1; `auto` takes the first GPU where there is one."""
    dtype: Dtype = "auto"
    """Type of the weights in memory; `auto` is float32 on the CPU and the checkpoint's own elsewhere."""
    format: Format = "auto"
    """How responses are laid out: "o1", "think", "plain", "auto". Only what follows the reasoning is shown."""

    def __post_init__(self) -> None:
        check_format(self.format)
        if isinstance(self.unsure_between, list):  # as YAML has it
            object.__setattr__(self, "unsure_between", tuple(self.unsure_between))
        faults = self._own_faults()
        if faults:
            raise RecipeError("verifier 'classifier'", faults)

    @property
    def decides(self) -> bool:
        return self.unsure_between is None

    def data_digest(self) -> str:
        """Of the weights: the contents of a folder's files, or hub id and revision."""
        settings = self.settings()
        folder = local_folder(settings.model)
        return folder_digest(folder) if folder else digest([settings.model, self.revision])

    def settings(self) -> Settings:
        """What the knobs come to, and for a folder what its verifier.json says."""
        preset = PRESETS[self.preset] if self.preset else {}
        model = self.model or preset["model"]
        folder = local_folder(model)
        kept = read_json(folder / SETTINGS) if folder and (folder / SETTINGS).is_file() else {}
        found: dict[str, Any] = {}
        for knob, default in DEFAULTS.items():
            given = getattr(self, knob, None)
            found[knob] = given if given is not None else preset.get(knob, kept.get(knob, default))
        layout = layout_of(found.pop("layout"), found.pop("show_question"))
        return Settings(model=model, layout=layout, **found)

    async def verify_batch(self, items: Judged) -> list[Verdict]:
        # In a thread, so that a GPU at work does not hold up the engine's event loop.
        return await asyncio.to_thread(self._judged, items)

    def _judged(self, items: Judged) -> list[Verdict]:
        settings = self.settings()
        classifier = loaded(self._source(settings))
        check_layout(classifier, settings.layout, settings.model)
        true = true_index(classifier.labels, settings.true_label)
        verdicts: list[Verdict | None] = []
        rows: list[dict[str, list[int]]] = []
        for problem, response in items:
            try:
                row = self._row(problem, response, settings, classifier)
            except Exception as error:  # this item's alone
                row = failure(error, self.name)
            verdicts.append(row if isinstance(row, Verdict) else None)
            rows += [] if isinstance(row, Verdict) else [row]
        asked = iter(zip(rows, classifier.margins(rows, true, self.batch_size), strict=True))
        return [
            verdict or self._verdict(response, *next(asked), settings)
            for (problem, response), verdict in zip(items, verdicts, strict=True)
        ]

    def _row(
        self, problem: Problem, response: Response, settings: Settings, classifier: LoadedClassifier
    ) -> dict[str, list[int]] | Verdict:
        """What the model is given, or the verdict where there is nothing to ask it."""
        answer = read(problem, response, self.format)
        if isinstance(answer, Verdict):
            return answer
        shown, span = _shown(response, self.format)
        if settings.layout.forged(shown):
            return _found(Verdict.wrong("the answer holds the marks of the verifier's own layout"), shown, span)
        most = min(settings.max_length or classifier.context, classifier.context)
        reference = shown_reference(problem)
        if len(shown) <= CHARACTERS * most:
            row = token_ids(classifier.tokenizer, settings.layout, shown, reference, problem.question)
            if len(row["input_ids"]) <= most:
                return row
        least = len(token_ids(classifier.tokenizer, settings.layout, "", reference, problem.question)["input_ids"])
        if least >= most:
            reason = f"the reference alone takes {least} of the classifier's {most} tokens; raise max_length"
            return Verdict.failed(reason, "invalid")
        return _found(Verdict.wrong(f"the answer does not fit into the classifier's {most} tokens"), shown, span)

    def _verdict(
        self, response: Response, row: Mapping[str, list[int]], margin: float | Exception, settings: Settings
    ) -> Verdict:
        cost = {"calls": 1.0, "tokens": float(len(row["input_ids"]))}
        if isinstance(margin, Exception):
            return replace(failure(margin, self.name), cost=cost)
        if not math.isfinite(margin):
            return Verdict.failed("the classifier's logits are not finite numbers", cost=cost)
        p = sigmoid(margin / settings.temperature)
        accepted = p > settings.threshold
        if self.unsure_between and self.unsure_between[0] <= p <= self.unsure_between[1]:
            reason = f"p(True) is {p:.3f}, in which the classifier is unsure"
            unsure = Verdict.abstain(reason, cost=cost, parts={"p_true": p})
            return _found(unsure, *_shown(response, self.format))
        reason = f"p(True) is {p:.3f}, {'above' if accepted else 'not above'} {settings.threshold:g}"
        value = p if self.score == "probability" else float(accepted)
        verdict = Verdict(value, reason=reason, cost=cost, parts={"p_true": p, "accepted": float(accepted)})
        return _found(verdict, *_shown(response, self.format))

    def _source(self, settings: Settings) -> Source:
        return Source(settings.model, self.revision, self.device, self.dtype, self.data_digest())

    def _own_faults(self) -> list[str]:
        """Everything wrong with the knobs and the folder that can be seen without loading the model."""
        if self.preset is not None and self.preset not in PRESETS:
            return [f"it has no preset {self.preset!r}{did_you_mean(str(self.preset), PRESETS)}"]
        if self.model is None and self.preset is None:
            return ["it needs the knob 'model' (a folder or hub id), or a preset"]
        faults = []
        if self.score not in ("threshold", "probability"):
            faults.append(f"score is {self.score!r}; it is threshold or probability")
        if self.dtype not in ("auto", "float32", "bfloat16", "float16"):
            faults.append(f"dtype is {self.dtype!r}; it is auto, float32, bfloat16 or float16")
        if self.unsure_between is not None and not _is_range(self.unsure_between):
            faults.append(f"unsure_between is {self.unsure_between!r}; give two numbers from 0 to 1, the lower first")
        if self.batch_size < 1:
            faults.append(f"batch_size is {self.batch_size}; it must be at least 1")
        try:
            settings = self.settings()
        except RecipeError as error:
            return [*faults, *error.faults]
        except MedrlError as error:
            return [*faults, str(error)]
        if not 0.0 <= settings.threshold <= 1.0:
            faults.append(f"threshold is {settings.threshold}; p(True) lies from 0 to 1")
        if not (math.isfinite(settings.temperature) and settings.temperature > 0):
            faults.append(f"temperature is {settings.temperature}; it must be above 0")
        if settings.max_length is not None and settings.max_length < 8:
            faults.append(f"max_length is {settings.max_length}; layout, reference and answer need more tokens")
        folder = local_folder(settings.model)
        if folder:
            in_folder = folder_faults(folder)
            faults += in_folder
            if not in_folder:
                try:
                    true_index(labels_of(read_json(folder / "config.json")), settings.true_label)
                except DataError as error:
                    faults.append(str(error))
        return faults


def _is_range(value: object) -> bool:
    if not isinstance(value, tuple) or len(value) != 2:
        return False
    return all(isinstance(one, int | float) for one in value) and 0.0 <= value[0] < value[1] <= 1.0


def sigmoid(x: float) -> float:
    """1 / (1 + exp(-x)) without overflow."""
    return 1 / (1 + math.exp(-x)) if x >= 0 else math.exp(x) / (1 + math.exp(x))


def _shown(response: Response, format: Format) -> tuple[str, tuple[int, int]]:
    """What follows the reasoning, and where it stands."""
    found = sections(response.text, format)
    return found.answer, found.span


def _found(verdict: Verdict, answer: str, span: tuple[int, int]) -> Verdict:
    return replace(verdict, answer=answer, span=span)
