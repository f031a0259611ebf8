"""Feedback records: what a rater (an AI judge, a human, a rule) said of responses to a problem, with where it came from.

One record holds one judgement by one rater: a rating of each response on named dimensions, or a comparison of two
responses. The annotation page, the adjudicator, the LLM judge of RLAIF (HuatuoGPT, arXiv 2305.15075, section 3.2) and the
clinic's oracle all write this one form; `medrl.data.preferences` makes preference pairs of it.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, Literal, get_args

from medrl.data.rows import Row, RowFault, collect, read_rows
from medrl.errors import DataError
from medrl.files import append_jsonl, json_line, write_atomic
from medrl.types import FinishReason, Message, Problem, Response

SCHEMA_VERSION = 1

AuthorKind = Literal["policy", "doctor", "assistant", "reference", "unknown"]
RaterKind = Literal["ai", "human", "rule"]
Consent = Literal["given", "not_needed", "withheld", "unknown"]
Preferred = Literal["first", "second", "tie"]


@dataclass(frozen=True)
class Candidate:
    """One response that was judged, and who wrote it.

    Attributes:
        text: The last message of the response, as the rater saw it.
        author: Sort of writer: policy, doctor, assistant (another system), reference, unknown.
        name: Which one: a policy's path or name, a doctor's pseudonym.
        version: Policy version or revision, as text; "" where nobody knows.
        seed: Seed of the policy's random draws.
        decoding: How it was sampled, e.g. {"temperature": 0.7, "top_p": 0.9}.
        turns: The whole episode as messages where it had several turns; empty for a single turn.
        finish_reason: As in `Response`.
        metadata: Anything else that should be kept with it.
    """

    text: str
    author: AuthorKind = "unknown"
    name: str = ""
    version: str = ""
    seed: int | None = None
    decoding: Mapping[str, Any] = field(default_factory=dict)
    turns: tuple[Message, ...] = ()
    finish_reason: FinishReason = "stop"
    metadata: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not isinstance(self.text, str):
            raise RowFault(f"a response is {self.text!r:.80}; its `text` must be text")
        _one_of("author", self.author, AuthorKind)
        _one_of("finish_reason", self.finish_reason, FinishReason)

    @property
    def response(self) -> Response:
        """What a reward or a verifier is given of it."""
        return Response(self.text, self.turns, self.finish_reason)

    def to_json(self) -> dict[str, Any]:
        return {**asdict(self), "turns": [dict(turn) for turn in self.turns]}

    @classmethod
    def from_json(cls, row: Mapping[str, Any]) -> "Candidate":
        _known(cls, row, "response")
        return cls(**{**row, "turns": tuple(row.get("turns", ()))})


@dataclass(frozen=True)
class Rater:
    """Who judged.

    Attributes:
        kind: ai, human or rule.
        name: A model's name, a person's pseudonym, a rule's name. Two records of one rater have one name.
        prompt: Version of the judge's prompt or of the annotation guide.
        fingerprint: Hash of all that decides the judgement (prompt, weights, tables), where one is known.
    """

    kind: RaterKind
    name: str
    prompt: str = ""
    fingerprint: str = ""

    def __post_init__(self) -> None:
        _one_of("rater.kind", self.kind, RaterKind)
        if not isinstance(self.name, str) or not self.name:
            raise RowFault(f"the rater's name is {self.name!r}; every judgement needs to be somebody's")

    @classmethod
    def from_json(cls, row: Mapping[str, Any]) -> "Rater":
        _known(cls, row, "rater")
        return cls(**row)


@dataclass(frozen=True)
class Ratings:
    """Every response rated by itself: `values[i]` maps dimension to the rating of response i.

    Attributes:
        values: One mapping for each response of the record; a dimension that could not be rated is left out of all.
        low, high: Ends of the scale, for every dimension.
        confidence: How sure the rater was, 0 to 1.
    """

    values: tuple[Mapping[str, float], ...]
    low: float = 0.0
    high: float = 1.0
    confidence: float = 1.0

    def __post_init__(self) -> None:
        if not all(map(_is_number, (self.low, self.high))) or not self.low < self.high:
            raise RowFault(f"the scale of the ratings goes from {self.low!r} to {self.high!r}; low must be below high")
        _share("confidence", self.confidence)
        for place, one in enumerate(self.values):
            if not isinstance(one, Mapping) or not one:
                raise RowFault(f"ratings of response {place} are {one!r:.80}; give a mapping of dimension to number")
            if set(one) != set(self.values[0]):
                raise RowFault(f"response {place} is rated on {sorted(one)}, response 0 on {sorted(self.values[0])}")
            for dimension, value in one.items():
                if not _is_number(value) or not self.low <= value <= self.high:
                    raise RowFault(
                        f"{dimension!r} of response {place} is {value!r}; the scale goes from {self.low:g} to {self.high:g}"
                    )

    def total(self, place: int, weights: Mapping[str, float] | None = None) -> float:
        """Weighted mean over dimensions as a share of the scale, 0 to 1.

        Raises:
            RowFault: `weights` names a dimension that was not rated.
        """
        one = self.values[place]
        weights = weights or dict.fromkeys(one, 1.0)
        if missing := sorted(set(weights) - set(one)):
            raise RowFault(f"nobody rated {', '.join(missing)}; the record has {', '.join(sorted(one))}")
        mean = sum(weight * one[name] for name, weight in weights.items()) / sum(weights.values())
        return (mean - self.low) / (self.high - self.low)


@dataclass(frozen=True)
class Comparison:
    """Two responses of the record against each other.

    Attributes:
        preferred: "first" (response `first` is better), "second" or "tie".
        first, second: Places of the two in the record's responses.
        margin: By how much, as a share of the scale, 0 to 1; None where the rater only said which.
        shown: The places in the order in which the rater saw them, for reports on position bias.
        confidence: How sure the rater was, 0 to 1.
        dimension: What was compared; "overall" for everything together.
    """

    preferred: Preferred
    first: int = 0
    second: int = 1
    margin: float | None = None
    shown: tuple[int, int] | None = None
    confidence: float = 1.0
    dimension: str = "overall"

    def __post_init__(self) -> None:
        _one_of("preferred", self.preferred, Preferred)
        _share("confidence", self.confidence)
        if self.margin is not None:
            _share("margin", self.margin)
        if self.first == self.second:
            raise RowFault(f"a comparison sets response {self.first} against itself")
        if self.shown is not None and set(self.shown) != {self.first, self.second}:
            raise RowFault(f"`shown` is {list(self.shown)}; it orders the compared {self.first} and {self.second}")


@dataclass(frozen=True)
class FeedbackRecord:
    """One judgement.

    Attributes:
        id: Unique within a file.
        problem: What was asked; `Problem.reference` is what the rater was given as right, if anything.
        responses: What was judged.
        rater: Who judged.
        judgement: `Ratings` of all the responses, or a `Comparison` of two.
        consent: Whether the patient whose words these are agreed: given, not_needed (simulated or published data),
            withheld, unknown. Only the first two train anything.
        phi: What personal health information was found and is still inside, e.g. ("name", "phone"); empty for none.
        created: When, ISO 8601; "" where nobody knows.
        adjudicates: Ids of the records that this one overrules (the third rater's word on two who disagree).
        comment: The rater's own words.
        metadata: Anything else: session, cost, prompt tokens, ...
        schema_version: Of this form.
    """

    id: str
    problem: Problem
    responses: tuple[Candidate, ...]
    rater: Rater
    judgement: Ratings | Comparison
    consent: Consent = "unknown"
    phi: tuple[str, ...] = ()
    created: str = ""
    adjudicates: tuple[str, ...] = ()
    comment: str = ""
    metadata: Mapping[str, Any] = field(default_factory=dict)
    schema_version: int = SCHEMA_VERSION

    def __post_init__(self) -> None:
        if not isinstance(self.id, str) or not self.id:
            raise RowFault("a feedback record has no id; every record needs a unique, non-empty `id`")
        _one_of("consent", self.consent, Consent)
        for name, listed in (("phi", self.phi), ("adjudicates", self.adjudicates)):
            if isinstance(listed, str) or not all(isinstance(one, str) for one in listed):
                raise RowFault(f"{name} is {listed!r:.80}; it is a list of texts")
        if self.created:
            try:
                datetime.fromisoformat(self.created)
            except (TypeError, ValueError) as error:
                raise RowFault(f"created is {self.created!r}; write the time as 2026-01-31T12:00:00+00:00") from error
        n = len(self.responses)
        if isinstance(self.judgement, Ratings) and len(self.judgement.values) != n:
            raise RowFault(f"there are {n} responses and {len(self.judgement.values)} ratings; one is due for each")
        if isinstance(self.judgement, Comparison):
            for place in (self.judgement.first, self.judgement.second):
                if isinstance(place, bool) or not isinstance(place, int) or not 0 <= place < n:
                    raise RowFault(f"the comparison names response {place!r}; there are {n}, counted from 0")

    def to_json(self) -> dict[str, Any]:
        """JSON data; of the judgement, a `type` says which of the two it is."""
        judgement = asdict(self.judgement)
        judgement["type"] = "ratings" if isinstance(self.judgement, Ratings) else "comparison"
        plain = {name: getattr(self, name) for name in ("id", "consent", "created", "comment", "schema_version")}
        return {
            **plain,
            "problem": self.problem.to_json(),
            "responses": [one.to_json() for one in self.responses],
            "rater": asdict(self.rater),
            "judgement": judgement,
            "phi": list(self.phi),
            "adjudicates": list(self.adjudicates),
            "metadata": dict(self.metadata),
        }

    @classmethod
    def from_json(cls, row: Mapping[str, Any]) -> "FeedbackRecord":
        version = row.get("schema_version")
        if version != SCHEMA_VERSION:
            raise RowFault(f"schema_version is {version!r}; this medrl reads version {SCHEMA_VERSION}")
        _known(cls, row, "feedback record")
        inner = {
            "problem": Problem.from_json(_object(row, "problem")),
            "responses": tuple(Candidate.from_json(one) for one in _list(row, "responses")),
            "rater": Rater.from_json(_object(row, "rater")),
            "judgement": _judgement(_object(row, "judgement")),
        }
        listed = {name: tuple(_list(row, name)) for name in ("phi", "adjudicates") if name in row}
        return cls(**{**row, **inner, **listed})


def load_feedback(path: str | Path, *, limit: int | None = None) -> list[FeedbackRecord]:
    """Read a file of feedback records, or say which rows are broken and why.

    Raises:
        DataError: The file cannot be read, or rows of it are no records; they are named together.
    """
    name, rows = read_rows(path, limit=limit)
    return collect(name, rows, lambda row, number: FeedbackRecord.from_json(row), "feedback record")


def write_feedback(path: str | Path, records: Iterable[FeedbackRecord]) -> None:
    """Write a whole file of records; an older one stays until the new one is safe.

    Raises:
        DataError: Two records share an id.
    """
    records = list(records)
    double = _first_double([record.id for record in records])
    if double is not None:
        raise DataError(f"two feedback records have the id {double!r}; ids must be unique in {path}")
    write_atomic(path, b"".join(json_line(record.to_json()) for record in records))


def append_feedback(path: str | Path, record: FeedbackRecord) -> None:
    """Add one record as one line that is there as a whole or not at all, for pages and judges that write as they go."""
    append_jsonl(path, record.to_json())


def said(record: FeedbackRecord) -> Preferred:
    """Which of its two responses a record holds better, `first` being that of the file."""
    judgement = record.judgement
    if isinstance(judgement, Comparison):
        return judgement.preferred
    first, second = judgement.total(0), judgement.total(1)
    return "tie" if first == second else "first" if first > second else "second"


def _judgement(row: Mapping[str, Any]) -> Ratings | Comparison:
    body = {name: value for name, value in row.items() if name != "type"}
    if row.get("type") == "ratings":
        _known(Ratings, body, "ratings")
        return Ratings(**{**body, "values": tuple(_list(body, "values"))})
    if row.get("type") == "comparison":
        _known(Comparison, body, "comparison")
        return Comparison(**{**body, "shown": tuple(_list(body, "shown")) if body.get("shown") is not None else None})
    raise RowFault(f"the judgement's type is {row.get('type')!r}; it is ratings or comparison")


def _known(cls: Any, row: Mapping[str, Any], noun: str) -> None:
    unknown = sorted(set(row) - set(cls.__dataclass_fields__))
    if unknown:
        raise RowFault(f"a {noun} has the column {unknown[0]!r}; put what this form does not know into `metadata`")


def _object(row: Row, column: str) -> Mapping[str, Any]:
    value = row[column]
    if not isinstance(value, Mapping):
        raise RowFault(f"column {column!r} is {value!r:.80}; it must be an object")
    return value


def _list(row: Row, column: str) -> Sequence[Any]:
    value = row[column]
    if not isinstance(value, list | tuple):
        raise RowFault(f"column {column!r} is {value!r:.80}; it must be a list")
    return value


def _one_of(name: str, value: Any, kind: Any) -> None:
    if value not in get_args(kind):
        raise RowFault(f"{name} is {value!r}; it is one of {', '.join(get_args(kind))}")


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _share(name: str, value: Any) -> None:
    if not _is_number(value) or not 0 <= value <= 1:
        raise RowFault(f"{name} is {value!r}; it is a number from 0 to 1")


def _first_double(ids: Sequence[str]) -> str | None:
    seen: set[str] = set()
    return next((one for one in ids if one in seen or seen.add(one)), None)  # type: ignore[func-returns-value]
