"""Whether what a plain text says somewhere is denied there: "there is no need for X", 不需要X."""

import re

_DENIED = re.compile(
    r"(?:\b(?:no|not|never|nothing|without|neither|nor|cannot|unlikely|hardly|avoid\w*|"
    r"rather than|instead of|unnecessary)\b|n't\b)"
    r"(?! (?:delay|wait|hesitate|postpone|only|just|ignore|later))(?:(?!\bbut\b|\binstead\b(?! of))[^.;:,\n]){0,40}$|"
    r"(?:不需要?|无[需须]|不必|不用|没有?必要|没必要|并非|不是|而非|而不是|不属于|"
    r"不算|不至于|尚不|还不|不要|不应|不[会能]是|排除|没有|否认|非)"
    r"(?!拖延|耽误|犹豫|等待|等到|忽视|仅)(?:(?!而是|但|[应该]为)[^。;,:\n]){0,8}$",
    re.IGNORECASE,
)
_DENIED_BEHIND = re.compile(
    r"(?: \w{1,12}){0,3} (?:(?:is|are|was) (?:not|un)|isn't|aren't|not)\b ?(?:really |at all |\w{0,4}?)?"
    r"(?:needed|necessary|required|called for|warranted|indicated|appropriate|justified)\b|"
    r"(?: \w{1,12}){0,3} (?:is|are) unnecessary\b|[^。;,:\n]{0,4}(?:不需要|没(?:有)?必要|无需|不必要|不合适)",
    re.IGNORECASE,
)
_REACH = 60  # characters before a mention in which a denial is looked for


def denied(text: str, start: int, end: int | None = None) -> bool:
    """Whether what stands at `start` is denied by what stands before it in its clause, or, up to `end`, behind it."""
    if end is not None and _DENIED_BEHIND.match(text[end : end + _REACH]):
        return True
    return bool(_DENIED.search(text[max(0, start - _REACH) : start]))
