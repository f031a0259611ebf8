"""A patient's case as a simulator plays it: what the patient says at first, what when asked, what only a test shows.

The same structure comes from the simulated clinic (`medrl.data.clinic.consulting`) and from the published schemas of
AgentClinic (arXiv 2405.07960) and DxBench (arXiv 2407.13301). It travels in `Problem.metadata["patient"]` as JSON.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from medrl.errors import ProblemError
from medrl.types import Message, Problem

Source = Literal["patient", "examination", "test"]
ROLE = {
    "en": (
        "You are the doctor. Ask the patient one to three questions at a time, order tests if you need them, and end with "
        "one line: Diagnosis: ..."
    ),
    "zh": "你是医生。每次向患者提一到三个问题，需要时开检查，最后用一行给出：诊断：……",
}


@dataclass(frozen=True)
class Fact:
    """One thing that is so, or is not so, with a patient.

    Attributes:
        key: `finding:ID` where the clinic's tables know it, else any name that is unique in the case.
        said: How it is named in the case's language.
        names: Further names by which a question may ask for it, in any language.
        present: Whether the patient has it.
        source: Who can know it: the patient, an examination, a test.
        weight: How far it separates the diagnosis from its rivals, from 0 to 1.
        red_flag: Whether it is a danger sign of the diagnosis that is to be asked for.
        prose: Whether `said` is told as it stands, for no yes or no can be put before it.
    """

    key: str
    said: str
    names: tuple[str, ...] = ()
    present: bool = True
    source: Source = "patient"
    weight: float = 0.0
    red_flag: bool = False
    prose: bool = False


@dataclass(frozen=True)
class PatientCase:
    """What stands behind a consultation.

    Attributes:
        age, sex: Of the patient; None and "" where nobody knows.
        opening: Keys of the facts that the first message tells.
        facts: All that can be found out.
        topics: Topic of a history (onset, allergy, drugs, ...) to the patient's answer.
        tests: Name of a test, as its key or in words, to what it shows: keys of facts, or the report as text.
        complete: Whether the patient lacks what no fact tells of; where not, as in a published script, nobody can say.
    """

    age: float | None
    sex: str
    opening: tuple[str, ...]
    facts: tuple[Fact, ...]
    topics: Mapping[str, str] = field(default_factory=dict)
    tests: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    complete: bool = True

    def to_json(self) -> dict[str, Any]:
        plain = asdict(self)
        plain["facts"] = [_without_defaults(one) for one in plain["facts"]]
        return {**plain, "opening": list(self.opening), "tests": {k: list(v) for k, v in self.tests.items()}}

    @classmethod
    def from_json(cls, row: Mapping[str, Any]) -> "PatientCase":
        facts = tuple(Fact(**{**one, "names": tuple(one.get("names", ()))}) for one in row["facts"])
        tests = {key: tuple(shown) for key, shown in row.get("tests", {}).items()}
        topics, complete = dict(row.get("topics", {})), bool(row.get("complete", True))
        return cls(row["age"], row["sex"], tuple(row["opening"]), facts, topics, tests, complete)


_DEFAULTS = {"names": (), "present": True, "source": "patient", "weight": 0.0, "red_flag": False, "prose": False}


def _without_defaults(fact: Mapping[str, Any]) -> dict[str, Any]:
    """A fact as short as it can be written: cases are stored with every rollout."""
    kept = {key: value for key, value in fact.items() if value != _DEFAULTS.get(key, object())}
    return {**kept, **({"names": list(fact["names"])} if fact["names"] else {})}


def case_of(problem: Problem) -> PatientCase:
    """The case of a problem.

    Raises:
        ProblemError: It has none, or a broken one.
    """
    row = problem.metadata.get("patient")
    if not isinstance(row, Mapping) or "facts" not in row:
        raise ProblemError(
            f"problem {problem.id!r} has no patient behind it (metadata.patient); take problems of source `patients`, or "
            "files in the schemas `agentclinic` or `dxbench`"
        )
    try:
        return PatientCase.from_json(row)
    except (KeyError, TypeError, AttributeError) as error:
        raise ProblemError(f"problem {problem.id!r} has a broken patient: {type(error).__name__}: {error}") from error


def consultation(
    key: str, said: str, case: PatientCase, diagnosis: str, language: str, aliases: tuple[str, ...] = (), **metadata: Any
) -> Problem:  # fmt: skip
    """The problem of a case: the doctor's task, and the patient's first words."""
    messages: tuple[Message, ...] = (
        {"role": "system", "content": ROLE[language]},
        {"role": "user", "content": said},
    )
    return Problem(
        key, messages, diagnosis, "dialogue", aliases=aliases, language=language,
        metadata={**metadata, "patient": case.to_json()},
    )  # fmt: skip
