r"""LaTeX around numbers, units and bounds, written plainly: `1 \times 10^{5}\,\text{CFU/mL}` as "1 × 10^5 CFU/mL".

One pass over the text for each command that may stand in a quantity; formulas are read by `medrl.verifiers.notation`.
"""

import re

_FRACTION = re.compile(r"\\[dt]?frac ?\{ ?([\d.]{1,12}) ?\} ?\{ ?([\d.]{1,12}) ?\}|\\[dt]?frac ?(\d)(\d)(?!\d)")
_FONT = re.compile(
    r"\\(?:text|textbf|textit|textrm|mathrm|mathbf|mathit|mathsf|operatorname|boldsymbol|rm|bf)(?![A-Za-z])\*? "
    r"?\{([^{}]{0,80})\}"
)
_RAISED = re.compile(r"\^ ?\{ ?([^{}]{1,12}) ?\}")
_DEGREE = re.compile(r"\^? ?\{? ?\\(?:circ|degree|textdegree)(?![A-Za-z]) ?\}?")
_SPACE = re.compile(
    r"\\[,;:!> ]|\\(?:quad|qquad|left|right|displaystyle|approx|sim|simeq|bf|rm)(?![A-Za-z])|\\[()\[\]]"
)
_COMMAND = re.compile(
    r"\\(times|cdot|mu|upmu|leqslant|geqslant|leq|geq|le|ge|lt|gt|pm|div|to|rightarrow)(?![A-Za-z]) ?"
)
_SIGNS = {
    "times": "×", "cdot": "·", "mu": "μ", "upmu": "μ", "leqslant": "≤", "geqslant": "≥", "leq": "≤", "geq": "≥",
    "le": "≤", "ge": "≥", "lt": "<", "gt": ">", "pm": "±", "div": "/", "to": "-", "rightarrow": "-",
}  # fmt: skip
_GROUPS = re.compile(r"(?<=\d)\{,\}(?=\d)")  # 100{,}000
_SPACES = re.compile(r" {2,}")


def without_latex(text: str) -> str:
    """`text` with the LaTeX of quantities written plainly; any other command is left as it is."""
    if "$" in text:
        text = _SPACES.sub(" ", text.replace("$", " ")).strip()
    if "\\" in text:
        text = _GROUPS.sub(",", text.replace(r"\%", "%").replace(r"\$", ""))
        text = _FRACTION.sub(lambda m: f"{m[1] or m[3]}/{m[2] or m[4]}", text)
        text = _FONT.sub(r" \1", text)
        text = _DEGREE.sub("°", text)
        text = _COMMAND.sub(lambda m: _SIGNS[m[1]], _SPACE.sub(" ", text))
    if "{" in text:
        text = _RAISED.sub(r"^\1", text)
    return _SPACES.sub(" ", text)
