"""A vocabulary: names that mean the same concept, so that a rule may know a synonym or name a different concept."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path

from medrl.errors import DataError, MissingFile
from medrl.verifiers.normalise import compact
from medrl.verifiers.protocol import digest


@dataclass(frozen=True)
class Vocabulary:
    """Concepts by normalised name. A name of two concepts (MS, PE) is ambiguous and answers nothing."""

    concepts: Mapping[str, frozenset[int]] = field(repr=False)
    fingerprint: str

    @classmethod
    def of(cls, rows: Iterable[Iterable[str]]) -> "Vocabulary":
        """From rows of names, each row one concept."""
        concepts: dict[str, frozenset[int]] = {}
        for number, names in enumerate(rows):
            for name in {compact(name) for name in names} - {""}:
                concepts[name] = concepts.get(name, frozenset()) | {number}
        return cls(concepts, digest({name: sorted(ids) for name, ids in concepts.items()}))

    def find(self, name: str) -> int | None:
        """The one concept that a text names, or None."""
        ids = self.concepts.get(compact(name), frozenset())
        return next(iter(ids)) if len(ids) == 1 else None


@lru_cache(maxsize=8)
def vocabulary(source: str) -> Vocabulary:
    """`"clinic"` (the simulated clinic's names), or a file, one concept a line: a JSON list or tab-separated names."""
    if source == "clinic":
        from medrl.data.clinic.world import load_world

        return Vocabulary.of((*named.forms("en"), *named.forms("zh")) for _, named in load_world().concepts())
    path = Path(source)
    if not path.is_file():
        raise MissingFile(f"the vocabulary {source!r} does not exist; name a file with one concept a line, or clinic")
    rows: list[list[str]] = []
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        if not line.strip():
            continue
        try:
            row = json.loads(line) if line.lstrip().startswith("[") else line.split("\t")
        except json.JSONDecodeError as error:
            raise DataError(f"{path}, line {number} is no JSON list: {error}") from error
        if not all(isinstance(name, str) for name in row):
            raise DataError(f"{path}, line {number}: every name of a concept must be a text")
        rows.append(row)
    return Vocabulary.of(rows)
