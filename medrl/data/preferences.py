"""Preference pairs: of two responses to one problem, which is better, by how much, and who said so.

`pairs_from` turns feedback records into pairs and counts what it leaves out and why. A pair's weight is how much its
raters agree; its margin (Llama 2, arXiv 2307.09288, equation 2) is the mean difference of the ratings.
"""

import hashlib
import json
import logging
import unicodedata
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import combinations
from pathlib import Path
from typing import Any, Literal, TypeAlias

from medrl.data.annotation import task_files
from medrl.data.feedback import Candidate, Comparison, FeedbackRecord, load_feedback, said
from medrl.data.rows import Row, RowFault, collect, language_of, pick_schema, read_rows
from medrl.errors import DataError
from medrl.files import json_line, write_atomic
from medrl.types import Message, Problem, ask

TRAINABLE = ("given", "not_needed")
log = logging.getLogger(__name__)


@dataclass(frozen=True)
class PreferencePair:
    """Two responses to one problem, the better one first.

    Attributes:
        id: Unique within a file.
        problem: What was asked.
        chosen, rejected: The better and the worse response.
        margin: By how much the better one is better, as a share of the scale, 0 to 1; 0 where nobody said.
        weight: How much the pair counts, above 0 up to 1: the raters' confidence and agreement.
        sources: Ids of the feedback records that it came from.
        provenance: Anything else that should be known of it (raters, whether its label is noise, oracle's scores).
    """

    id: str
    problem: Problem
    chosen: Candidate
    rejected: Candidate
    margin: float = 0.0
    weight: float = 1.0
    sources: tuple[str, ...] = ()
    provenance: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not self.id:
            raise RowFault("a preference pair has no id; every pair needs a unique, non-empty `id`")
        for name, value, above_0 in (("margin", self.margin, False), ("weight", self.weight, True)):
            number = isinstance(value, int | float) and not isinstance(value, bool)
            if not number or not 0 <= value <= 1 or (above_0 and value == 0):
                raise RowFault(f"{name} is {value!r}; it is a number {'above' if above_0 else 'from'} 0 up to 1")

    @property
    def topic(self) -> str:
        """What its figures are grouped by: the problem's department, disease or topic."""
        about = self.problem.metadata
        return str(next((about[key] for key in ("department", "topic", "disease") if about.get(key)), "none"))

    def to_json(self) -> dict[str, Any]:
        return {
            "id": self.id,
            "problem": self.problem.to_json(),
            "chosen": self.chosen.to_json(),
            "rejected": self.rejected.to_json(),
            "margin": self.margin,
            "weight": self.weight,
            "sources": list(self.sources),
            "provenance": dict(self.provenance),
        }

    @classmethod
    def from_json(cls, row: Mapping[str, Any]) -> "PreferencePair":
        if unknown := sorted(set(row) - set(cls.__dataclass_fields__)):
            raise RowFault(f"a pair has the column {unknown[0]!r}; put what this form does not know into `provenance`")
        inner = {
            "problem": Problem.from_json(row["problem"]),
            "chosen": Candidate.from_json(row["chosen"]),
            "rejected": Candidate.from_json(row["rejected"]),
            "sources": tuple(row.get("sources", ())),
        }
        return cls(**{**row, **inner})


@dataclass(frozen=True)
class Pairs:
    """Pairs, and why other judgements gave none.

    Attributes:
        pairs: In the order in which their first judgement was read.
        left_out: Reason to count. `consent`, `phi`, `overruled`, `settles_nothing` count records; the others count pairs
            of responses.
        judged: Pairs of responses that somebody judged.
    """

    pairs: tuple[PreferencePair, ...]
    left_out: Mapping[str, int] = field(default_factory=dict)
    judged: int = 0

    def __len__(self) -> int:
        return len(self.pairs)


@dataclass(frozen=True)
class _Vote:
    """One judgement on an unordered pair, turned so that +1 is for the candidate whose text sorts first."""

    record: str
    rater: str
    sign: int
    margin: float
    confidence: float


@dataclass
class _Case:
    """Everything said of two responses to one problem."""

    problem: Problem
    sides: tuple[Candidate, Candidate]
    votes: list[_Vote] = field(default_factory=list)


_Key: TypeAlias = tuple[str, str, str]


def pairs_from(
    records: Iterable[FeedbackRecord],
    *,
    weights: Mapping[str, float] | None = None,
    dimension: str = "overall",
    tie_margin: float = 0.0,
    ties: Literal["drop", "both"] = "drop",
    contradictions: Literal["drop", "majority"] = "drop",
    allow_phi: bool = False,
) -> Pairs:
    """The preference pairs that `records` support.

    Judgements of the same two texts (letter case and spaces aside) of the same prompt are taken together, however
    many records, ids and orders they came in. A rater who prefers one text in one order and the other in another prefers
    neither. Weight = |sum over raters of confidence * vote| / number of raters.

    Args:
        records: Of one or several files; AI judges and people alike.
        weights: Weight of each dimension in a response's total, for ratings; None: all rated ones alike.
        dimension: Only comparisons on this dimension count.
        tie_margin: Ratings that differ by this share of the scale or less are a tie.
        ties: "drop" leaves tied pairs out. "both" gives each in both directions with half the weight, which pulls the
            two rewards together (a cross-entropy with label one half).
        contradictions: When raters prefer different texts: "drop" the pair, or follow the "majority" of confidence.
        allow_phi: Use records in which personal health information was found. Otherwise one rater's flag leaves out every
            record, anybody's, that holds the flagged problem or one of its responses.
    """
    records = list(records)
    left_out: Counter[str] = Counter()
    cases: dict[_Key, _Case] = {}
    for record in _usable(records, allow_phi, left_out):
        for first, second, sign, margin in _preferences(record, weights, dimension, tie_margin):
            _add(cases, record, first, second, sign, margin, left_out)
    pairs: list[PreferencePair] = []
    for key, case in cases.items():
        pairs += _decided(key, case, ties, contradictions, left_out)
    return Pairs(tuple(pairs), dict(sorted(left_out.items())), len(cases))


def _usable(records: Sequence[FeedbackRecord], allow_phi: bool, left_out: Counter[str]) -> list[FeedbackRecord]:
    """Records that may train; what an adjudicator overruled is gone, unless the adjudication itself may not be used.

    An adjudication of raters who have come to agree since then settles nothing: it is gone, and their own word stands.
    """
    private = set() if allow_phi else {text for record in records if record.phi for text in _texts(record)}
    allowed = []
    for record in records:
        if record.consent not in TRAINABLE:
            left_out["consent"] += 1
        elif private and not private.isdisjoint(_texts(record)):
            left_out["phi"] += 1
        else:
            allowed.append(record)
    known = {record.id: record for record in records}
    if gone := sum(_settles_nothing(record, known) for record in allowed):
        left_out["settles_nothing"] = gone
        allowed = [record for record in allowed if not _settles_nothing(record, known)]
    overruled = {one for record in allowed for one in record.adjudicates}
    if gone := sum(record.id in overruled for record in allowed):
        left_out["overruled"] = gone
    return [record for record in allowed if record.id not in overruled]


def _texts(record: FeedbackRecord) -> list[str]:
    """The prompt and the responses of a record, in the form in which texts are held to be the same."""
    return [_prompt(record.problem), *map(_reading, record.responses)]


def _settles_nothing(record: FeedbackRecord, known: Mapping[str, FeedbackRecord]) -> bool:
    """Whether all records that this one adjudicates are known, and now say the same of their two responses."""
    settled = [known.get(one) for one in record.adjudicates]
    if len(settled) < 2 or any(one is None or len(one.responses) != 2 for one in settled):
        return False
    return len({said(one) for one in settled if one is not None}) == 1


def _preferences(
    record: FeedbackRecord, weights: Mapping[str, float] | None, dimension: str, tie_margin: float
) -> list[tuple[int, int, int, float]]:
    """(first, second, +1 | 0 | -1 for the first, margin) of every two responses that the record compares."""
    judged = record.judgement
    if isinstance(judged, Comparison):
        sign = {"first": 1, "tie": 0, "second": -1}[judged.preferred]
        return [(judged.first, judged.second, sign, judged.margin or 0.0)] if judged.dimension == dimension else []
    try:
        totals = [judged.total(place, weights) for place in range(len(record.responses))]
    except RowFault as error:
        raise DataError(f"feedback record {record.id!r}: {error}; name rated dimensions in `weights`") from error
    found = []
    for first, second in combinations(range(len(totals)), 2):
        difference = totals[first] - totals[second]
        tied = abs(difference) <= tie_margin + 1e-12
        found.append((first, second, 0 if tied else 1 if difference > 0 else -1, 0.0 if tied else abs(difference)))
    return found


def _add(
    cases: dict[_Key, _Case], record: FeedbackRecord, first: int, second: int, sign: int, margin: float,
    left_out: Counter[str],
) -> None:  # fmt: skip
    one, other = record.responses[first], record.responses[second]
    left, right = _reading(one), _reading(other)
    if left == right:
        left_out["same_text"] += 1
        return
    if left > right:
        one, other, left, right, sign = other, one, right, left, -sign
    key = (_prompt(record.problem), left, right)
    case = cases.setdefault(key, _Case(record.problem, (one, other)))
    rater = f"{record.rater.kind}:{record.rater.name}"
    case.votes.append(_Vote(record.id, rater, sign, margin, record.judgement.confidence))


def _decided(
    key: _Key, case: _Case, ties: str, contradictions: str, left_out: Counter[str]
) -> list[PreferencePair]:  # fmt: skip
    by_rater: dict[str, list[_Vote]] = {}
    for vote in case.votes:
        by_rater.setdefault(vote.rater, []).append(vote)
    opinions, torn = {}, 0  # rater to sign * confidence, in [-1, 1]
    for rater, votes in by_rater.items():
        both = {1, -1} <= {vote.sign for vote in votes}
        torn += both
        opinions[rater] = 0.0 if both else sum(vote.sign * vote.confidence for vote in votes) / len(votes)
    if torn:
        left_out["votes_of_torn_raters"] += torn
    balance = sum(opinions.values())
    against = min(sum(o > 0 for o in opinions.values()), sum(o < 0 for o in opinions.values()))
    if against and (contradictions == "drop" or abs(balance) < 1e-9):
        left_out["raters_disagree"] += 1
        return []
    if abs(balance) < 1e-9:
        if ties == "drop":
            left_out["tie"] += 1
            return []
        return [_pair(key, case, sign, 0.0, 0.5) for sign in (1, -1)]
    sign = 1 if balance > 0 else -1
    margins = [vote.sign * sign * vote.margin for vote in case.votes]
    return [_pair(key, case, sign, max(0.0, sum(margins) / len(margins)), abs(balance) / len(opinions))]


def _pair(key: _Key, case: _Case, sign: int, margin: float, weight: float) -> PreferencePair:
    chosen, rejected = case.sides if sign > 0 else case.sides[::-1]
    name = hashlib.blake2b(json.dumps([*key, sign]).encode(), digest_size=8).hexdigest()
    raters = sorted({vote.rater for vote in case.votes})
    sources = tuple(dict.fromkeys(vote.record for vote in case.votes))
    provenance = {"raters": raters, "votes": [vote.sign * sign for vote in case.votes]}
    return PreferencePair(name, case.problem, chosen, rejected, margin, weight, sources, provenance)


def plain_text(text: str) -> str:
    """A text as it is compared for sameness: compatibility forms, letter case and runs of spaces aside."""
    return " ".join(unicodedata.normalize("NFKC", text).casefold().split())


def _reading(one: Candidate) -> str:
    turns = [f"{turn['role']}: {_content(turn)}" for turn in one.turns]
    return plain_text("\n".join([*turns, one.text]))


def _prompt(problem: Problem) -> str:
    return plain_text("\n".join(f"{message['role']}: {_content(message)}" for message in problem.messages))


def _content(message: Message) -> str:
    content = message["content"]
    return content if isinstance(content, str) else json.dumps(content, ensure_ascii=False, default=repr)


# Files


def load_pairs(path: str | Path, *, limit: int | None = None) -> list[PreferencePair]:
    """Read preference pairs: our own rows, or `prompt`, `chosen`, `rejected` (texts or messages) as TRL takes them.

    Raises:
        DataError: The file cannot be read, or rows of it are no pairs; they are named together.
    """
    name, rows = read_rows(path, limit=limit)
    chosen = pick_schema(name, rows, "auto", {key: columns for key, (columns, _) in SCHEMAS.items()})
    return collect(name, rows, SCHEMAS[chosen][1], "preference pair")


def load_preferences(source: str | Path | Sequence[str | Path], **settings: Any) -> Pairs:
    """Pairs from files of pairs, files of feedback records, and folders of `medrl annotate`; several are taken together.

    The records of all sources go through one `pairs_from` with these settings, whoever judged: so a rater's word in one
    file meets another's, and an adjudicator's, in the next. A folder stands for the files of all its raters and
    adjudicators.

    Raises:
        DataError: A source cannot be read or is named twice, or two files hold records of one id.
    """
    listed: list[PreferencePair] = []
    records: dict[str, FeedbackRecord] = {}
    for file in _files(source):
        _, rows = read_rows(file, limit=1)
        if "judgement" not in rows[0]:
            listed += load_pairs(file)
            continue
        here = {record.id: record for record in load_feedback(file)}
        if double := sorted(here.keys() & records.keys()):
            raise DataError(f"{file}: the record {double[0]!r} stands also in a file before it; name each file once")
        records |= here
    found = pairs_from(records.values(), **settings)
    return Pairs((*listed, *found.pairs), found.left_out, len(listed) + found.judged)


def _files(source: str | Path | Sequence[str | Path]) -> list[str | Path]:
    """The files that a source names; a folder is that of an annotation task."""
    given = [source] if isinstance(source, str | Path) else source
    files: list[str | Path] = []
    for one in given:
        files += task_files(Path(one).expanduser()) if Path(one).expanduser().is_dir() else [one]
    if double := [str(file) for file, count in Counter(map(str, files)).items() if count > 1]:
        raise DataError(f"{double[0]} is named twice; name each source once")
    named = {Path(file).expanduser() for file in files}
    for folder in sorted({file.parent for file in named if (file.parent / "task.json").is_file()}):
        if lacking := sorted(str(file) for file in set(task_files(folder)) - named):
            log.warning("of the task %s not read: %s; name the folder for all of it", folder, ", ".join(lacking))
    return files


def write_pairs(path: str | Path, pairs: Iterable[PreferencePair]) -> None:
    """Write a whole file of pairs; an older one stays until the new one is safe."""
    write_atomic(path, b"".join(json_line(pair.to_json()) for pair in pairs))


def _own(row: Row, number: int) -> PreferencePair:
    return PreferencePair.from_json(row)


def _published(row: Row, number: int) -> PreferencePair:
    """`prompt` as text or messages; `chosen` and `rejected` as text, or as messages that end with the assistant's."""
    prompt = row["prompt"]
    messages = ask(prompt) if isinstance(prompt, str) else tuple(prompt)
    key = str(row.get("id") or f"row-{number}")
    problem = Problem(key, messages, language=language_of(_content(messages[-1])))
    chosen, rejected = (Candidate(_answer(row, column)) for column in ("chosen", "rejected"))
    return PreferencePair(key, problem, chosen, rejected, row.get("margin", 0.0), row.get("weight", 1.0))


def _answer(row: Row, column: str) -> str:
    value = row[column]
    if isinstance(value, str):
        return value
    if isinstance(value, list) and len(value) == 1 and isinstance(value[0].get("content"), str):
        return str(value[0]["content"])
    raise RowFault(f"column {column!r} is {value!r:.80}; it must be a text, or a list of one assistant message")


SCHEMAS: dict[str, tuple[tuple[str, ...], Any]] = {
    "pair": (("id", "problem", "chosen", "rejected"), _own),
    "prompt_pair": (("prompt", "chosen", "rejected"), _published),
}
