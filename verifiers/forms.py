"""Release forms of a drug: 硝苯地平控释片, "diltiazem extended-release". Another form is another answer."""

import re
from collections.abc import Callable
from functools import lru_cache

from medrl.types import Verdict
from medrl.verifiers.patterns import Pattern

_FORMS = {
    "immediate": r"(?:immediate|instant|rapid)[- ]release|short[- ]acting|(?-i:IR)\b|"
    r"普通(?:片|制剂|剂型|胶囊)|速释(?:片|剂|胶囊|制剂)?",
    "extended": r"(?:extended|sustained|prolonged|slow|modified)[- ]release|(?-i:ER|XR|SR|XL|MR)\b(?![+-])|"
    r"缓释(?:片|胶囊|剂|制剂)?",
    "controlled": r"controlled[- ]release|gastrointestinal therapeutic system|(?-i:CR|GITS|OROS)\b|控释(?:片|胶囊|剂|制剂)?",
    "injected": r"注射液|注射剂|粉针剂?|针剂",
    "liquid": r"口服液|口服溶液|糖浆|混悬液",
    "enteric": r"enteric[- ]coated|delayed[- ]release|(?-i:EC|DR)\b|肠溶(?:片|胶囊|剂|制剂)?",
}
_FORM = Pattern(
    "|".join(rf"(?P<{form}>(?<![A-Za-z])(?:{words}))" for form, words in _FORMS.items()),
    re.IGNORECASE,
)
_BESIDE = re.compile(
    r"\b(?:tablets?|capsules?|formulation|form|preparation|the|an?)\b|剂型|[()（），,的]", re.IGNORECASE
)


def by_form(reference: str, head: str, same: Callable[[str, str], bool]) -> Verdict | None:
    """The verdict where reference and answer are one drug, each in a release form, or None.

    Args:
        reference: The reference.
        head: The answer.
        same: Whether two texts name one drug.
    """
    ours = _read(reference)
    theirs = _read(head) if ours else None
    if ours is None or theirs is None or not same(ours[0], theirs[0]):
        return None
    if ours[1] == theirs[1]:
        return Verdict.right(f"{ours[0]!r:.40} in the same release form")
    english = reference.isascii() or head.isascii()
    if english and {ours[1], theirs[1]} == {"extended", "controlled"}:
        return None  # English uses the one word for both
    return Verdict.wrong(f"{theirs[1]} release where {ours[1]} release is right")


@lru_cache(maxsize=4096)
def _read(text: str) -> tuple[str, str] | None:
    """A drug and the one release form that stands beside it."""
    if len(text) > 80:
        return None
    found = list(_FORM.finditer(text))
    if len(found) != 1 or not found[0].lastgroup:
        return None
    drug = " ".join(_BESIDE.sub(" ", text[: found[0].start()] + " " + text[found[0].end() :]).split())
    return (drug, found[0].lastgroup) if len(drug) > 2 else None
