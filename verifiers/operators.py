"""Whether an answer computes otherwise than its reference: `CO/SVR`, of `CO*SVR`.

Terms are compared without their punctuation, so that "TNF-alpha" is "TNF alpha". An operator is no punctuation: of a
reference that computes, an answer must hold every operator and bracket. Where a reference only joins two names ("FEV1/FVC",
"SBP - DBP"), an answer must not compute with them in another way. Stars of alleles (HLA-B*27, CYP2C19*2) are no operators.
"""

import re
from functools import lru_cache

from medrl.verifiers.normalise import compact
from medrl.verifiers.notation import plain_notation
from medrl.verifiers.wording import last_sentence

_LEFT, _RIGHT = r"(?<=[A-Za-z0-9Α-ω)\]}'])", r"(?=[A-Za-z0-9Α-ω(\[{\\])"
_TIMES = re.compile(rf"{_LEFT}(?: ?[×·⋅∙∗*^] ?|\*\*){_RIGHT}")
_WITH_BRACKETS = re.compile(
    r"[(\[][^()\[\]]{0,60}(?: [-−–+] |[+/])[^()\[\]]{0,60}[)\]] ?[-−–+*/] ?[\w(\[]|"
    r"[\w)\]] ?[-−–+/] ?[(\[][^()\[\]]{0,60}(?: [-−–+] |[+/])[^()\[\]]{0,60}[)\]]"
)
# HLA-B*5701, DRB1*15:01, CYP2C19*2. Without "HLA" or a colon, a locus of one letter may be a quantity: C*10, F*96485.
_ALLELE = re.compile(
    r"(?<![A-Za-z0-9])(?:(?:HLA[- ]?(?:[A-G]w?|D[A-Z]{1,2}\d?|MIC[AB])|[A-G](?= ?\*\d\d:)|D[PQR][AB]\d?|MIC[AB]) ?\*\d{1,8}|"
    r"(?:(?:CYP|UGT|NAT|SLCO|NUDT|GST|SULT|KIR|ABC|ADH|ALDH)[A-Z]{0,2}\d\w{0,4}|TPMT|DPYD|APOE) ?\*\d{1,3})"
    r"[A-Z]?(?::\d{2,3}[A-Z]?){0,3}(?![A-Za-z0-9]|\.\d)"
)
_AROUND = re.compile(r" ?([-*/+^=()\[\]]) ?")
_JOINED = re.compile(
    rf"(?<![A-Za-z0-9])([A-Za-z0-9]{{1,40}})( ?[×·⋅∙∗*^÷/+] ?| [-−–] |[-−–]| ?= ?){_RIGHT}(?=([A-Za-z0-9]{{1,40}}))"
)
_SYMBOL = re.compile(r"[A-Z][A-Za-z0-9]{0,4}")
_ASKS_FORMULA = re.compile(r"\b(?:formula|equation|calculated?|computed?)\b|公式|方程|计算|表达式", re.IGNORECASE)
_OPERANDS = frozenset("*/+-^=()")
_STRONG = ("*", "^", "=")


def without_alleles(text: str) -> str:
    """A text without the stars of alleles."""
    return _ALLELE.sub(lambda match: match[0].replace("*", ""), text) if "*" in text else text


def computes(text: str) -> bool:
    """Whether a text has an operator that no word has: `k*A/d`, `x^2`, `(a + b)/3`. "IV/PO" and "TNF-alpha" have none."""
    bare = without_alleles(text)
    return bool(_TIMES.search(bare) or _WITH_BRACKETS.search(bare))


def computes_otherwise(text: str, names: tuple[str, ...], question: str) -> bool:
    """Whether an answer that was read as one of these names has other operators than it."""
    keys, plain, operators, words = _of(names)
    if keys:
        shown = _key(text)
        return not any(_stands(key, shown) for key in keys) and not any(word in compact(text) for word in plain)
    if text.isalnum():
        return False
    formula = bool(operators) and bool(_ASKS_FORMULA.search(last_sentence(question)))
    return any(
        _differ(sign, operators.get((left.casefold(), right.casefold()), ""), left, right, formula)
        for left, sign, right in _pairs(text)
        if compact(f"{left} {right}") in words
    )


def turns_round(text: str, name: str) -> bool:
    """Whether a text divides or subtracts two words that a name joins in the other order: `SVR/CO`, of `CO/SVR`."""
    joined = _of((name,))[2]
    return any(
        sign in ("/", " -") and (right.casefold(), left.casefold()) in joined and left.casefold() != right.casefold()
        for left, sign, right in (_pairs(text) if joined else ())
    )


@lru_cache(maxsize=4096)
def _of(names: tuple[str, ...]) -> tuple[list[str], list[str], dict[tuple[str, str], str], str]:
    """Of a reference's names: the keys of those that compute, the others compact, their operators, and all in one text."""
    keys = [_key(name) for name in names if computes(name)]
    pairs = {(left.casefold(), right.casefold()): sign for name in names for left, sign, right in _pairs(name)}
    return keys, [compact(name) for name in names if not computes(name)], pairs, " ".join(map(compact, names))


def _pairs(text: str) -> list[tuple[str, str, str]]:
    """What stands on either side of each sign that joins two words, and the sign; " -" is a minus, "-" may be a hyphen."""
    found = _JOINED.findall(without_alleles(text))
    return [
        (left, " -" if sign[0] == " " and sign.strip() in "-−–" else _plain(sign), right) for left, sign, right in found
    ]


def _plain(sign: str) -> str:
    return plain_notation(sign.strip()).strip()


def _differ(said: str, wanted: str, left: str, right: str, formula: bool) -> bool:
    """Whether two signs between the same words compute two things; "" is none. "pH = 7.35" is "pH 7.35"."""
    if said == wanted or {said, wanted} == {" -", "-"} or (said == "=" and not wanted and right[0].isdigit()):
        return False
    if said in _STRONG or wanted in _STRONG or (formula and said and wanted):
        return True
    sure = " -" in (said, wanted) or "+" in (said, wanted)
    return bool(said and wanted and sure and _SYMBOL.fullmatch(left) and _SYMBOL.fullmatch(right))


def _key(text: str) -> str:
    return _AROUND.sub(r"\1", " ".join(plain_notation(without_alleles(text)).casefold().split()))


def _stands(key: str, text: str) -> bool:
    """Whether a formula stands in a text, with no operand more on either side."""
    at = text.find(key)
    while at >= 0:
        before, after = text[max(0, at - 1) : at], text[at + len(key) : at + len(key) + 1]
        if not any(one.isalnum() or one in _OPERANDS for one in (before, after) if one):
            return True
        at = text.find(key, at + 1)
    return False
