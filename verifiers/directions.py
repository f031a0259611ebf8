"""References that say from which side to which: "left-to-right", 左向右, "R -> L"."""

import re

from medrl.types import Verdict
from medrl.verifiers.wording import peel

_SIDES = {"left": "left", "right": "right", "l": "left", "r": "right", "左": "left", "右": "right"}
_PART = r"(?: (?:ventricle|atrium|heart|side|chamber|lung|hemisphere))?"
_DIRECTION = re.compile(
    rf"(?:(?:a|the|it|blood|flow|shunt|shunts|flows|goes|is|runs|shunting|direction|from) ){{0,6}}(?P<from>left|right|[LR])"
    rf"(?: side)?{_PART}(?:[- ]to[- ](?:the )?| ?(?:→|->|-->|=>|⇒) ?)(?P<to>left|right|[LR])"
    rf"{_PART}(?: (?:shunt|shunting|flow|direction))?|"
    r"(?:血流|分流)?(?:方向)?(?:是|为)?(?:从|由|自)?(?P<han>[左右])(?:心室|心房|心|侧)?(?:向|至|到|往|→|->)"
    r"(?P<there>[左右])(?:心室|心房|心|侧)?(?:的?分流)?",
    re.IGNORECASE,
)


_CHAMBER = re.compile(r"ventric|atri|lung|hemisphere|心室|心房", re.IGNORECASE)


def by_direction(reference: str, text: str, question: str) -> Verdict | None:
    """The verdict where the reference and the whole of an answer each are a direction between the sides, else None."""
    wanted = _read(reference)
    if wanted is None:
        return None
    head = peel(text)
    given = _read(head)
    if given is None:
        return None
    asked = question.lower()
    if any(part.lower().lstrip("心") not in asked for part in _CHAMBER.findall(head)):
        return None  # from another chamber than the one that is spoken of
    shown = " to ".join(given)
    return Verdict.right(f"from {shown}") if given == wanted else Verdict.wrong(f"from {shown}, the other way round")


def _read(text: str) -> tuple[str, str] | None:
    match = _DIRECTION.fullmatch(text.strip(" .。")) if len(text) < 80 else None
    if match is None:
        return None
    one, other = (match["from"], match["to"]) if match["from"] else (match["han"], match["there"])
    ends = (_SIDES[one.lower()], _SIDES[other.lower()])
    return ends if ends[0] != ends[1] else None
