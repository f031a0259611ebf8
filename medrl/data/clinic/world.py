"""The simulated clinic's tables as typed objects: diseases, findings, tests, procedures, drugs, laboratory values.

A small closed world, written for this project, in English and Chinese; nothing in it has been reviewed by a clinician
and nothing in it is advice. `load_world()` reads `tables/*.jsonl`, checks every reference between them and reports all
broken lines at once.
"""

import hashlib
import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Any, Literal, TypeVar

from medrl.data.clinic.concepts import (
    Disease,
    Drug,
    Finding,
    Lab,
    Named,
    read_disease,
    read_drug,
    read_finding,
    read_lab,
    read_named,
)
from medrl.errors import DataError, MissingFile, did_you_mean

Language = Literal["en", "zh"]
LANGUAGES: tuple[Language, ...] = ("en", "zh")
ACUITIES = ("routine", "urgent", "emergency")


@dataclass(frozen=True, eq=False)
class World:
    """All tables, each a mapping from id to row in the order of its file."""

    departments: Mapping[str, Named]
    findings: Mapping[str, Finding]
    tests: Mapping[str, Named]
    procedures: Mapping[str, Named]
    diseases: Mapping[str, Disease]
    drugs: Mapping[str, Drug]
    labs: Mapping[str, Lab]
    fingerprint: str

    def concepts(self) -> Iterable[tuple[str, Named]]:
        """Every concept with its qualified id, such as `disease:asthma`; diseases first, departments last."""
        for kind, table in (
            ("disease", self.diseases),
            ("drug", self.drugs),
            ("lab", self.labs),
            ("test", self.tests),
            ("procedure", self.procedures),
            ("finding", self.findings),
            ("department", self.departments),
        ):
            for key, concept in table.items():
                yield f"{kind}:{key}", concept

    def vocabulary(self, language: str) -> Mapping[str, str]:
        """Surface form as written in the tables to qualified concept id, for all names and synonyms of a language.

        A form that two tables share (a disease that is also a finding) belongs to the first in `concepts` order.
        """
        return _vocabulary(self, language)

    def treatment(self, key: str) -> Named:
        """The drug or procedure with this id."""
        return self.drugs[key] if key in self.drugs else self.procedures[key]

    def test(self, key: str) -> Named:
        """The test, laboratory value or procedure with this id."""
        return self.tests.get(key) or self.labs.get(key) or self.procedures[key]


@lru_cache(maxsize=16)
def _vocabulary(world: World, language: str) -> Mapping[str, str]:
    forms: dict[str, str] = {}
    for key, concept in world.concepts():
        for form in concept.forms(language):
            forms.setdefault(form, key)
    return forms


@lru_cache(maxsize=4)
def load_world(folder: str | Path | None = None) -> World:
    """The clinic's tables, checked; `folder` names other tables of the same columns.

    Raises:
        DataError: Names file and line of every fault (the first ten).
    """
    root: Traversable | Path = Path(folder) if folder else files("medrl.data.clinic").joinpath("tables")
    faults: list[str] = []
    digest = hashlib.sha256()

    def table(name: str, parse: Callable[[Mapping[str, Any]], T]) -> dict[str, T]:
        file = root.joinpath(f"{name}.jsonl")
        if not file.is_file():
            raise MissingFile(f"the clinic has no table {file}; give a folder that holds all seven tables")
        content = file.read_bytes()
        digest.update(content)
        return _table(f"{name}.jsonl", content.decode("utf-8"), parse, faults)

    world = World(
        departments=table("departments", read_named),
        findings=table("findings", read_finding),
        tests=table("tests", read_named),
        procedures=table("procedures", read_named),
        diseases=table("diseases", read_disease),
        drugs=table("drugs", read_drug),
        labs=table("labs", read_lab),
        fingerprint=digest.hexdigest()[:16],
    )
    if not faults:
        faults = _broken_references(world)
    if faults:
        shown = "".join(f"\n  - {fault}" for fault in faults[:10])
        more = f"\n  and {len(faults) - 10} more" if len(faults) > 10 else ""
        raise DataError(f"the clinic's tables in {root} have faults; mend these lines:{shown}{more}")
    return world


T = TypeVar("T", bound=Named)


def _table(file: str, content: str, parse: Callable[[Mapping[str, Any]], T], faults: list[str]) -> dict[str, T]:
    concepts: dict[str, T] = {}
    seen: dict[tuple[str, str], int] = {}
    for number, line in enumerate(content.splitlines(), 1):
        if not line.strip():
            continue
        try:
            concept = parse(json.loads(line))
        except (ValueError, TypeError) as error:
            faults.append(f"{file} line {number}: {error}")
            continue
        if concept.id in concepts:
            faults.append(f"{file} line {number}: id {concept.id!r} occurs twice")
        for language in LANGUAGES:
            for form in concept.forms(language):
                first = seen.setdefault((language, form.casefold()), number)
                if first != number:
                    faults.append(f"{file} line {number}: {form!r} already names the row of line {first}")
        concepts[concept.id] = concept
    if not concepts:
        faults.append(f"{file}: holds no rows")
    return concepts


def _broken_references(world: World) -> list[str]:
    tests = {**world.tests, **world.labs, **world.procedures}
    treatments = {**world.drugs, **world.procedures}
    faults = []
    for number, disease in enumerate(world.diseases.values(), 1):
        where = f"diseases.jsonl row {number} ({disease.id!r})"
        for column, keys, known in (
            ("department", (disease.department,), world.departments),
            ("findings", disease.findings, world.findings),
            ("excludes", disease.excludes, world.findings),
            ("tests", disease.tests, tests),
            ("first_line", disease.first_line, treatments),
        ):
            for key in keys:
                if key not in known:
                    near = did_you_mean(key, known)
                    faults.append(
                        f"{where}: {column} names {key!r}, which no table has{near if len(near) < 60 else ''}"
                    )
            if len(set(keys)) != len(keys):
                faults.append(f"{where}: {column} names something twice")
        both = sorted(set(disease.findings) & set(disease.excludes))
        if both:
            faults.append(f"{where}: findings and excludes share {', '.join(both)}")
        if disease.acuity not in ACUITIES:
            faults.append(f"{where}: acuity is {disease.acuity!r}; it is one of {', '.join(ACUITIES)}")
    for number, lab in enumerate(world.labs.values(), 1):
        if lab.low is not None and lab.high is not None and lab.low >= lab.high:
            faults.append(f"labs.jsonl row {number} ({lab.id!r}): low {lab.low:g} is not below high {lab.high:g}")
    return faults
