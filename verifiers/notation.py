"""One notation for formulas: LaTeX's spacing and fonts, Unicode's signs and the charges of ions are written plainly."""

import re
import unicodedata
from collections.abc import Collection

_SIGNS = str.maketrans(
    {
        **dict.fromkeys("·⋅∙•×✕∗＊⨯", "*"),
        **dict.fromkeys("÷∕⁄／", "/"),
        **dict.fromkeys("−–—﹣－‐‑", "-"),
        **dict.fromkeys("≈≃≅＝", "="),
        **dict(zip("₀₁₂₃₄₅₆₇₈₉", "0123456789", strict=True)),
        **dict.fromkeys("\u200b\u2061\u2062\ufeff", ""),
        "＋": "+",
        "µ": "μ",
        "（": "(",
        "）": ")",
    }
)
_RAISED = dict(zip("⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻ⁿ", "0123456789+-n", strict=True))
_RAISED_RUN = re.compile(f"[{''.join(_RAISED)}]+")
_PARTS = {"½": "1/2", "⅓": "1/3", "⅔": "2/3", "¼": "1/4", "¾": "3/4", "⅕": "1/5", "⅛": "1/8"}
_DROPPED = re.compile(
    r"\\(?:left|right|displaystyle|textstyle|limits|big|Big|bigl|bigr|quad|qquad)(?![A-Za-z])|\\[,;:! ()\[\]]|\$"
)
_FONT = re.compile(r"\\(?:text|textrm|textit|mathrm|mathit|mathbf|mathsf|operatorname|rm|it)\*? ?\{([^{}]{0,60})\}")
_COMMANDS = {"cdot": "*", "times": "*", "ast": "*", "div": "/", "approx": "=", "simeq": "="}
_COMMAND = re.compile(rf"\\({'|'.join(_COMMANDS)})(?![A-Za-z])")
_ODD = re.compile(r"[^A-Za-z0-9_]")
_IN_BRACES = re.compile(r"\{ +([A-Za-z0-9_]+) +\}")  # a font inside a subscript
_X = re.compile(r"(?<![A-Za-z])[xX](?![A-Za-z])")
_CALLS = re.compile(r"\\(ln|log|lg|exp|sqrt)(?![A-Za-z])")
_GREEK = (
    "alpha beta gamma delta epsilon zeta eta theta iota kappa lambda mu nu xi omicron pi rho sigma tau upsilon phi chi "
    "psi omega"
).split()
_GREEK = [*_GREEK, *map(str.capitalize, _GREEK)]
_LETTERS = dict(zip("αβγδεζηθικλμνξοπρστυφχψωΑΒΓΔΕΖΗΘΙΚΛΜΝΞΟΠΡΣΤΥΦΧΨΩ", _GREEK, strict=True))
_GREEK_COMMAND = re.compile(rf"\\({'|'.join(sorted(_GREEK, key=len, reverse=True))})(?![A-Za-z])")
_HALF_LIFE = re.compile(r"(?<![A-Za-z])([tT])(?: ?_ ?\{ ?1 ?/ ?2 ?\}| ?_? ?\(? ?1/2\)?| ?½)(?![\w.])")
# A charge after the name of an ion is no part of a formula: HCO3^-, [Na+], Ca^{2+}.
_ENDS = r"(?=\s{0,4}(?:[-+*/=)\]}]|$))"
_RAISED_CHARGE = re.compile(rf"\^ ?(?:\{{ ?\d?[-+] ?\}}|\d?[-+]{_ENDS})")
_ION_CHARGE = re.compile(
    r"(?<![A-Za-z])(Na|K|Cl|HCO_?\{?3\}?|Ca|Mg|PO_?\{?4\}?|SO_?\{?4\}?|H|OH|NH_?\{?4\}?)\d?[-+]" + _ENDS
)
# "k x A" where x stands for times: between blanks, with an operand on either side, and no variable elsewhere.
_TIMES = re.compile(r"(?<=[\w)\]}]) [xX] (?=[\w(\[\\])")


def plain_notation(text: str, known: Collection[str] = ()) -> str:
    """`text` with one sign for each operation, Greek letters by name, and without marks that only set it in type.

    An x between blanks is a sign too, unless a variable is `known` by that name or another x stands alone.
    """
    text = _DROPPED.sub(" ", text.replace("**", "^").replace(r"\%", "%"))
    text = _FONT.sub(lambda match: f" {_ODD.sub('', match[1])} ", text)
    text = _IN_BRACES.sub(r"{\1}", text)
    text = _COMMAND.sub(lambda match: f" {_COMMANDS[match[1]]} ", text)
    text = _CALLS.sub(r" \1", text)
    text = _GREEK_COMMAND.sub(r" \1", text)
    text = "".join(f" {_LETTERS[c]} " if c in _LETTERS else c for c in text.translate(_SIGNS))
    text = _HALF_LIFE.sub(r" \1half ", text)
    text = "".join(f"({_PARTS[c]})" if c in _PARTS else c for c in text)
    text = _RAISED_RUN.sub(_raised, text)
    text = _ION_CHARGE.sub(r"\1", _RAISED_CHARGE.sub("", unicodedata.normalize("NFKC", text)))
    times = _TIMES.sub(" * ", text)
    return text if (known and {"x", "X"} & {*known}) or _X.search(times) else times


def _raised(match: re.Match[str]) -> str:
    inside = "".join(_RAISED[c] for c in match[0])
    return "" if inside[-1] in "+-" else f"^({inside})"
