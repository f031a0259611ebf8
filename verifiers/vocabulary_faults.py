"""What is doubtful in a vocabulary: `python -m medrl.verifiers.vocabulary_faults [FILE …]` (medrl's own by default).

Printed are names that stand in several concepts, which no rule can then decide by; broader names that are nobody's; and
concepts that are a kind of themselves. Ambiguous abbreviations are no fault: they are that in medicine too.
"""

import sys
from collections import defaultdict
from collections.abc import Iterable, Sequence

from medrl.verifiers.concepts import Vocabulary
from medrl.verifiers.indexing import Concept
from medrl.verifiers.normalise import compact
from medrl.verifiers.vocabularies import MEDRL, concepts_of


def faults(concepts: Iterable[Concept]) -> list[str]:
    """One line for each fault, in the order of the concepts."""
    several = Vocabulary.of(concepts).concepts
    owners: dict[str, dict[str, str]] = defaultdict(dict)
    for concept in several:
        for name in concept.names:
            owners[compact(name)].setdefault(compact(concept.names[0]), name)
    preferred = {compact(concept.names[0]): concept for concept in several}
    found = [
        f"{next(iter(names.values()))!r} names several concepts: "
        + ", ".join(repr(preferred[owner].names[0]) for owner in names)
        for names in owners.values()
        if len(names) > 1
    ]
    for concept in several:
        found += [
            f"{concept.names[0]!r} is a kind of {name!r}, which is no concept"
            for name in concept.broader
            if compact(name) not in owners
        ]
        if compact(concept.names[0]) in _above(concept, preferred):
            found.append(f"{concept.names[0]!r} is a kind of itself")
    return found


def _above(concept: Concept, preferred: dict[str, Concept]) -> set[str]:
    seen: set[str] = set()
    open_ = [compact(name) for name in concept.broader]
    while open_:
        name = open_.pop()
        if name not in seen:
            seen.add(name)
            open_ += [compact(one) for one in preferred[name].broader] if name in preferred else []
    return seen


def main(sources: Sequence[str]) -> int:
    """Print the faults of these sources; the exit status is 1 where there are any."""
    found = faults(concept for source in (sources or (MEDRL,)) for concept in concepts_of(source))
    print("\n".join([*found, f"{len(found)} faults"]))
    return int(bool(found))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
