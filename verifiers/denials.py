"""Yes or no where a question asks whether something is forbidden, and where an answer judges a statement.

"It would be untrue to say that it is not contraindicated" says that it is; 不是不禁用 says that it is forbidden.
"""

import re
from collections.abc import Callable
from typing import Literal, TypeAlias

from medrl.verifiers.normalise import normal
from medrl.verifiers.wording import last_sentence

Side: TypeAlias = Literal["yes", "no", "maybe"]

# What judges the statement behind it.
_JUDGED = re.compile(
    r"(?:(?:it|that) (?:is|would be|isn't|is not)|I (?:would not|wouldn't|cannot|can't) (?:say|claim|agree)|"
    r"(?:one|you|we) (?:cannot|can't|should not|could not) (?:say|claim)|nobody (?:would|could|can) (?:say|claim))"
    r"(?P<word> (?:(?:quite|simply|plainly) )?(?:true|correct|right|untrue|false|wrong|incorrect|a mistake|a myth))?"
    r"(?: to (?:say|claim|state|argue|assume|believe|think|suggest))? that (?P<rest>[^,.;:\n]{4,120})[. ]*",
    re.IGNORECASE,
)
_FALSE = re.compile(r"\b(?:untrue|false|wrong|incorrect|mistake|myth)\b", re.IGNORECASE)
_NOT = re.compile(r"\b(?:not|cannot|nobody)\b|n't\b", re.IGNORECASE)


def judged(text: str, question: str, read: Callable[[str, str], Side | None]) -> Side | None:
    """The side of a whole answer that calls a statement true or untrue, of which `read` tells the side; else None."""
    match = _JUDGED.fullmatch(text.strip()) if len(text) < 200 else None
    if match is None:
        return None
    before = text[: match.start("rest")]
    if not match["word"] and not _NOT.search(before):
        return None
    found = read(match["rest"], question)
    turned = bool(_NOT.search(before)) != bool(_FALSE.search(before))
    if found not in ("yes", "no"):
        return None
    return ("no" if found == "yes" else "yes") if turned else found


_ASKS_FORBIDDEN = re.compile(
    r"^(?:is|are) (?P<what>[^,;:?]{2,80}?) (?:contraindicated|forbidden|prohibited|unsafe|to be avoided)\b(?P<when>[^?]*)\?"
)
_SAYS_FORBIDDEN = re.compile(
    r"(?:(?P<what>[^,;:]{1,60}?) (?:is|are|was|were)(?P<no> not|n't)? |(?P<never>not ))?"
    r"(?:(?P<bad>contraindicated|unsafe|forbidden|prohibited|dangerous|harmful)|(?P<good>safe|allowed|permitted))"
    r"(?: (?:here|at all|(?:in|for|with|at|during) (?P<when>[^,;:]{2,60})))?",
)
_AVOIDED = re.compile(
    r"(?P<what>[^,;:]{1,60}?) (?:should|must|has to|have to|needs to) (?:always )?be avoided(?: (?:in|for|with|at|during) "
    r"(?P<when>[^,;:]{2,60})|(?: here)?)"
)
_CASE = frozenset(
    normal("it this that these they them he she the a an such setting case patient situation context of with").split()
)
_HAN_ASKS = re.compile("是否(?:应该?|需要?|属于?|为|绝对)*(?:禁用|禁忌|禁止|避免)")
_HAN_SAYS = re.compile(
    "(?P<twice>(?:不是|并非|不能说|不可能)(?:不|不是|不属于)(?:禁用|禁忌|禁止|避免)的?)|"
    "(?P<good>(?:(?:并不|不|并非|不是|不属于|非|无需|不必|不用)(?:禁用|禁忌[证症]?|禁止|避免)|可以?(?:安全)?(?:继续)?(?:使用|应用|服用|用))的?)|"
    "(?P<bad>(?:绝对|应当?|应该|需要?|须|必须|属于?|属|是|为)*(?:禁用|禁忌[证症]?|禁止(?:使用|应用)?|避免(?:使用|应用)?|"
    "不(?:可以?|能|宜|得|应该?|要|建议|推荐)(?:继续)?(?:使用|应用|服用|用))的?)"
)  # fmt: skip


def forbidden(text: str, question: str) -> Side | None:
    """Yes where an answer says as a whole that what a question asks about is forbidden, no where it says that it is not."""
    last = last_sentence(question).strip()
    text = text.strip(" .。")
    if len(text) > 120:
        return None
    if not text.isascii():
        said = _HAN_SAYS.fullmatch(text) if _HAN_ASKS.search(last) else None
        return ("no" if said["good"] else "yes") if said else None
    asked = _ASKS_FORBIDDEN.match(last.lower())
    if asked is None or re.search(r"\b(?:not|no|never|without)\b|n't\b", asked[0]):
        return None
    things = _CASE.union(normal(asked["what"]).split())
    known = things.union(normal(asked["when"]).split())
    said = _SAYS_FORBIDDEN.fullmatch(text.lower())
    if said:
        bad = bool(said["bad"]) != bool(said["no"] or said["never"])
    else:
        said, bad = _AVOIDED.fullmatch(text.lower()), True
    if said is None or not things.issuperset(normal(said["what"] or "").split()):
        return None
    if not known.issuperset(normal(said["when"] or "").split()):
        return None
    return "yes" if bad else "no"
