"""Amounts of which it is said of what they are: 500 ng/mL FEU, 60 mg elemental iron, 28 mg/dL of urea nitrogen.

The figure alone does not decide there. FEU and DDU, urea and its nitrogen, an element and its salt are never the same,
however equal their numbers; an answer that leaves the word out counts where the question says it.
"""

import re
from functools import lru_cache

from medrl.types import Problem
from medrl.verifiers.patterns import needed
from medrl.verifiers.quantity import plain
from medrl.verifiers.wording import last_sentence

# Each family excludes its members; a member is what the words of its pattern say.
_ELEMENTS = {
    "iron": r"iron|ferrum|铁", "calcium": r"calcium|钙", "magnesium": r"magnesium|镁", "zinc": r"zinc|锌",
    "potassium": r"potassium|钾", "lithium": r"lithium|锂", "phosphorus": r"phosphorus|磷", "sodium": r"sodium|钠",
    "copper": r"copper|铜", "iodine": r"iodine|碘",
}  # fmt: skip
_SYMBOLS = {
    "Fe": "iron", "Ca": "calcium", "Mg": "magnesium", "Zn": "zinc", "K": "potassium", "Li": "lithium", "P": "phosphorus",
    "Na": "sodium", "Cu": "copper", "I": "iodine",
}  # fmt: skip
_NAMED = "|".join(_ELEMENTS.values())
_SYMBOL = "|".join(_SYMBOLS)
_ANION = (
    r"sul(?:f|ph)ate|carbonate|citrate|gluconate|fumarate|chloride|oxide|acetate|lactate|phosphate|bicarbonate|aspartate|"
    r"succinate|maltol|hydroxide|iodide"
)
_HAN_SALT = (
    r"(?:硫酸|碳酸氢?|枸橼酸|柠檬酸|葡萄糖酸|富马酸|琥珀酸|乳酸|醋酸|磷酸|门冬氨酸)[亚]?(?:铁|钙|镁|锌|钾|锂|钠|铜)|"
    r"氯化(?:亚?铁|钙|镁|锌|钾|钠)|氧化[镁锌钙]|氢氧化[镁铝钙]|碘化钾"
)
_LABEL = re.compile(
    rf"(?P<feu>(?<![A-Za-z])FEUs?\b|fibrinogen[- ]equivalent units?|纤维蛋白原等[量当价]单位)|"
    rf"(?P<ddu>(?<![A-Za-z])(?:DDUs?|D-DU)\b|\bd-dimer units?\b|D-?二聚体单位)|"
    r"(?P<bun>\bBUN\b|(?:blood )?urea nitrogen|血?尿素氮)|(?P<urea>\burea\b|尿素)|"
    rf"(?P<salt>(?:\b(?:ferrous|ferric|iron|calcium|magnesium|zinc|potassium|lithium|sodium|cupric|copper) (?:{_ANION})\b)|"
    rf"{_HAN_SALT})|"
    rf"(?P<element>\belemental (?:(?:{_NAMED})\b|(?:{_SYMBOL})\b)|元素性?(?:的)?(?:{_NAMED}|(?:{_SYMBOL})(?![A-Za-z]))|"
    rf"(?:{_NAMED})元素)|"
    rf"(?P<bare>\b(?:{_NAMED})\b|[铁钙镁锌钾锂磷铜](?!剂|片))",
    re.IGNORECASE,
)
_words = needed(_LABEL.pattern, re.IGNORECASE)
assert _words is not None
_MAY = re.compile(
    "|".join(map(re.escape, sorted(_words))), re.IGNORECASE
)  # of most texts it tells fast that none is there
_OTHERS = {
    "feu": {"ddu"}, "ddu": {"feu"}, "bun": {"urea"}, "urea": {"bun"}, "element": {"salt"}, "salt": {"element", "bare"},
}  # fmt: skip
_OF = re.compile(r"\bof (?=\s*(?:$|[.,;]))|\b(?:as|of) $|(?:的|为|是)$|^[:为是]")
_ALONE_IN_PARENTHESES = re.compile(r"\(([A-Za-z\u3400-\u9fff -]{1,40})\)")
_SPACES = re.compile(r" {2,}")
# A question whose whole wish is the one or the other: "Report the BUN."
_ASKS_NITROGEN = re.compile(
    r"(?:^|[.?!。] ?)(?:report|state|give|what is|what was|calculate|read(?: off)?) (?:the |his |her )?(?:serum |plasma )?"
    r"(?:blood urea nitrogen|BUN|urea nitrogen)(?: \(BUN\))?(?: level| concentration| value)?[.?]?$|"
    r"(?:报告|写出|给出)(?:血清?)?(?:尿素氮|BUN)(?:值|结果|浓度)?[。？]?$",
    re.IGNORECASE,
)
_ASKS_ELEMENT = re.compile(r"\belemental\b|元素", re.IGNORECASE)


@lru_cache(maxsize=4096)
def labelled(text: str) -> tuple[str, str]:
    """A plain text without its word for what it is an amount of, and that word's member, or two times ""."""
    text = plain(text)
    if not _MAY.search(text):
        return "", ""
    text = _ALONE_IN_PARENTHESES.sub(r" \1 ", text)
    found = list(_LABEL.finditer(text)) if len(text) <= 200 else []
    kinds = {(match.lastgroup or "", _what(match)) for match in found}
    if len(kinds) != 1:
        return "", ""
    for match in reversed(found):
        text = f"{text[: match.start()]} {text[match.end() :]}"
    kind, what = kinds.pop()
    text = _SPACES.sub(" ", text).replace("()", "").strip(" .。,，()")
    return _OF.sub("", text).replace(" /", "/").strip(), f"{kind}:{what}"


def _what(match: re.Match[str]) -> str:
    """Which element, or which salt, a label speaks of."""
    kind, word = match.lastgroup, match[0]
    if kind == "salt":
        return word.lower()
    if kind not in ("element", "bare"):
        return ""
    low = word.lower()
    named = next((name for name, words in _ELEMENTS.items() if re.search(words, low)), "")
    if named:
        return named
    return next(
        (name for symbol, name in _SYMBOLS.items() if word.endswith((f" {symbol}", f"素{symbol}", f"的{symbol}"))), low
    )


def wanted_label(problem: Problem) -> str:
    """What the reference is an amount of, where it or the end of the question says so in one of these words, or ""."""
    return _wanted(str(problem.reference), problem.question)


@lru_cache(maxsize=2048)
def _wanted(reference: str, question: str) -> str:
    label = labelled(reference)[1]
    if label and not label.startswith("bare:"):
        return label
    nitrogen = _ASKS_NITROGEN.search(question) if not label else None
    if nitrogen and not mixed(question):
        return "bun:"
    if not _ASKS_ELEMENT.search(question):
        return ""
    asked = {_what(match) for match in _LABEL.finditer(plain(last_sentence(question))) if match.lastgroup == "element"}
    element = f"element:{asked.pop()}" if len(asked) == 1 else ""
    return element if element and (not label or label == element.replace("element", "bare")) else ""


def against(problem: Problem, wanted: str, given: str) -> str:
    """Whether an answer's label is the wanted one: "same", "other" or "open"; the question tells where it has none."""
    ours, _, what = wanted.partition(":")
    if not given:
        asked = {match.lastgroup for match in _LABEL.finditer(plain(problem.question))}
        if ours in ("element", "salt"):
            return "same" if ours == "element" and "element" in asked else "open"
        return "same" if ours in asked and not (asked & _OTHERS[ours]) else "open"
    theirs, _, other = given.partition(":")
    if ours == theirs:
        return "same" if what == other else "other"
    if {ours, theirs} == {"element", "bare"}:
        asks = _ASKS_ELEMENT.search(problem.question)
        return ("same" if asks else "open") if what == other else "other"
    return "other" if theirs in _OTHERS[ours] else "open"


def mixed(text: str) -> bool:
    """Whether an answer speaks of several of these."""
    return len({(match.lastgroup, _what(match)) for match in _LABEL.finditer(plain(text))}) > 1
