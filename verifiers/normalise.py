"""One spelling for texts that differ only in how they are written.

Case, width, accents, hyphens, punctuation, articles, possessives, plurals, British and American spelling, Greek
letters, Roman numerals after a word that numbers, traditional Chinese. What changes the meaning stays: digits, decimal
points, signs, fractions and every word.
"""

import re
import unicodedata
from collections.abc import Sequence
from functools import lru_cache
from itertools import filterfalse

from medrl.verifiers.patterns import Pattern
from medrl.verifiers.scripts import SIMPLIFIED

CJK = "\u3400-\u4dbf\u4e00-\u9fff"
_GREEK = {
    "α": "alpha", "β": "beta", "γ": "gamma", "δ": "delta", "ε": "epsilon", "κ": "kappa", "λ": "lambda",
    "μ": "mu", "π": "pi", "σ": "sigma", "τ": "tau", "ω": "omega",
}  # fmt: skip
_SIGNS = {
    "≥": " >= ", "≤": " <= ", "＞": " > ", "＜": " < ", "↑": " increased ", "↓": " decreased ", "×": " x ",
    "℃": " degc ",
    "–": "-", "—": "-", "−": "-", "‐": "-", "‑": "-", "•": " ", "·": " ", "’": "'", "‘": "'",
    "ß": "ss",
}  # fmt: skip
_NUMBERING = frozenset(
    "type class stage grade factor group phase category degree nyha killip mobitz tanner level subtype angiotensin nerve cn "
    "lead figo bethesda child collagen".split()
)
ROMAN = {
    "i": "1", "ii": "2", "iii": "3", "iv": "4", "v": "5", "vi": "6", "vii": "7", "viii": "8", "ix": "9", "x": "10",
    "xi": "11", "xii": "12", "xiii": "13",
}  # fmt: skip
_WORDS = {
    "one": "1", "two": "2", "three": "3", "four": "4", "five": "5", "six": "6", "seven": "7", "eight": "8", "nine": "9",
    "ten": "10", "eleven": "11", "twelve": "12", "first": "1", "second": "2", "third": "3", "fourth": "4",
}  # fmt: skip
_FIGURES = ROMAN | _WORDS
_FIGURES_AND_LETTERS = frozenset(_FIGURES) | {figure + letter for figure in _FIGURES for letter in "abcde"}
_ORDINALS, _RANKS = frozenset("first second third fourth".split()), frozenset("degree stage grade class".split())
_HAN = {"一": "1", "二": "2", "三": "3", "四": "4", "五": "5", "六": "6", "七": "7", "八": "8", "九": "9", "十": "10"}
_HAN_NUMBERED = Pattern(
    r"(?:第)?([一二三四五六七八九十])(?=[型级期度类对]|因子)|(?<=[型级期度类])([一二三四五六七八九十])"
)
_LONGEST = "|".join(sorted(ROMAN, key=len, reverse=True))
_HAN_ROMAN = Pattern(rf"(?<![a-z])第?({_LONGEST})(?=[型级期度类对]|因子)|(?<=[型级期度类子])({_LONGEST})(?![a-z])")
_PLAIN = str.maketrans(SIMPLIFIED) | str.maketrans(_SIGNS | {letter: f" {name} " for letter, name in _GREEK.items()})
_VARIANTS = {
    "梗塞": "梗死",
    "粘": "黏",
    "症候群": "综合征",
    "征候群": "综合征",
    "征候": "综合征",
    "综合症": "综合征",
    "不稳定性": "不稳定型",
    "稳定性心绞痛": "稳定型心绞痛",
    "心梗": "心肌梗死",
    "脑梗": "脑梗死",
    "抬高性": "抬高型",
    "返流": "反流",
    "右室": "右心室",
    "左室": "左心室",
    "右房": "右心房",
    "左房": "左心房",
    "冠脉": "冠状动脉",
    "呼衰": "呼吸衰竭",
    "心衰": "心力衰竭",
    "肾衰": "肾衰竭",
    "肝衰": "肝衰竭",
    "肾功能衰竭": "肾衰竭",
    "肝功能衰竭": "肝衰竭",
    "功能减退": "功能低",
    "功能低下": "功能低",
    "功能减低": "功能低",
    "功能亢进": "功能高",
    "阻塞性": "梗阻性",
    "未见异常": "无异常",
    "未发现异常": "无异常",
    "部疼痛": "痛",
    "疼痛": "痛",
    "包块": "肿块",
    "寒颤": "寒战",
    "浮肿": "水肿",
    "颅神经": "脑神经",
    "机能减退": "功能低",
    "机能亢进": "功能高",
    "血液动力学": "血流动力学",
    "氏病": "病",
    "氏征": "征",
    "极高危": "很高危",
    # as they are written in Taiwan and Hong Kong
    "库欣氏症": "库欣综合征",
    "柯兴氏症": "库欣综合征",
    "氏症": "病",
    "红血球": "红细胞",
    "白血球": "白细胞",
    "淋巴球": "淋巴细胞",
    "嗜中性球": "中性粒细胞",
    "摄护腺": "前列腺",
    "副甲状腺": "甲状旁腺",
    "脑下垂体": "垂体",
    "心房纤维颤动": "心房颤动",
    "心室纤维颤动": "心室颤动",
    "粥状硬化": "粥样硬化",
    "忧郁症": "抑郁症",
    "僵直性脊椎炎": "强直性脊柱炎",
    "红斑性狼疮": "红斑狼疮",
    "全身性红斑": "系统性红斑",
    "螺旋杆菌": "螺杆菌",
    "荷尔蒙": "激素",
    "维他命": "维生素",
    "胺基酸": "氨基酸",
    "肌酸酐": "肌酐",
    "乙醯": "乙酰",
    "盘尼西林": "青霉素",
    "阿斯匹林": "阿司匹林",
    "阿斯匹灵": "阿司匹林",
}
_GOES_ON = {"梗": "(?![塞死阻])", "衰": "(?![竭弱减老])"}  # what is cut short does not
_VARIANT = re.compile("|".join(variant + _GOES_ON.get(variant[-1], "") for variant in _VARIANTS))
_TOKEN = re.compile(rf"[{CJK}]|[a-z]+|\d+(?:[.,/]\d+)*|>=|<=|[<>+%-]")


def normal(text: str) -> str:
    """The text in its one spelling: tokens with single spaces between them, each Chinese character a token."""
    return _remembered(text) if len(text) <= 1000 else spelt_anew(text)


def tokens(text: str) -> list[str]:
    """The words of `normal`. Latin words are whole tokens, so "direct" is never found inside "indirect"."""
    return normal(text).split()


def compact(text: str) -> str:
    """`normal` without spaces where no digit could run into another: "BRCA-1" and "BRCA1" are one."""
    return _compacted(text) if len(text) <= 1000 else joined(normal(text).split())


@lru_cache(maxsize=2048)
def _compacted(text: str) -> str:
    return joined(normal(text).split())


def joined(words: Sequence[str]) -> str:
    """Tokens of a text as `compact` writes them."""
    whole = "".join(words)
    if whole.isalpha():
        return whole
    parts: list[str] = []
    before = ""
    for word in words:
        if before[-1:].isdigit() and word[0].isdigit():
            parts.append(" ")
        parts.append(word)
        before = word
    return "".join(parts)


def spelt_anew(text: str) -> str:
    """As `normal`, of a text that nobody asks for again: nothing is remembered."""
    if text.isascii():
        text = text.lower()
        words = text.split()
        if "".join(words).isalpha():
            return _spelt(text, words)
    else:
        if not _HAN_ALONE.fullmatch(text):  # which has one form only
            text = _composed(text)
        text = _VARIANT.sub(lambda m: _VARIANTS[m[0]], text.translate(_PLAIN))
        text = _HAN_NUMBERED.sub(lambda m: _HAN[m[1] or m[2]], text)
        text = _HAN_ROMAN.sub(lambda m: ROMAN[m[1] or m[2]], text)
    # Each step only where its sign is there: most answers are short words, and there are thousands a second of them.
    if "'" in text:
        text = _POSSESSIVE.sub(lambda m: "s" if m[0] == "s'" else "", text)
    if _DIGIT.search(text):
        text = _ORDINAL.sub(r"\1", text)
    if "," in text:
        text = _THOUSANDS.sub("", text)
    if "-" in text or "~" in text or "至" in text or "到" in text:
        text = _TO.sub(" to ", text)
    if "+" in text:
        text = _POSITIVE.sub(" positive ", _MARKER.sub(_marked, text))
    if "-" in text:
        text = _MARKER.sub(_marked, text)
        text = _HYPHEN.sub(" ", _NEGATIVE.sub(" negative ", text))
    return _spelt(text, _TOKEN.findall(text))


def _marked(match: re.Match[str]) -> str:
    return f"{match[1]} {'positive' if match[2] == '+' else 'negative'} "


_HAN_ALONE = re.compile("[\u4e00-\u9fff]+")


def _composed(text: str) -> str:
    """A text in small letters of one width, without accents."""
    if "ß" in text:
        text = _BETA.sub("β", text)
    text = unicodedata.normalize("NFKC", superscripts(without_heaps(text))).casefold()
    text = _GREEK_HYPHEN.sub(r"\1 ", text)
    return "".join(filterfalse(unicodedata.combining, unicodedata.normalize("NFD", text)))


def _spelt(text: str, words: list[str]) -> str:
    """The words of a text, each in its one spelling."""
    found = list(map(_one_spelling, words))
    if len(found) > 1 and found[0] == "a" and _ARTICLE.match(text):
        del found[0]
    if "the" in found or "an" in found:
        found = [token for token in found if token not in ("the", "an")]
    return " ".join(found if _FIGURES_AND_LETTERS.isdisjoint(found) else _numbered(found))


_ARTICLE = re.compile(r"\W*a [a-z]")
_POSSESSIVE = re.compile(r"'s\b|s'(?=\s|$)")
_DIGIT = re.compile(r"\d")
_ORDINAL = re.compile(r"(\d)(?:st|nd|rd|th)\b")
_THOUSANDS = re.compile(r"(?<=\d),(?=\d{3}\b)")
_TO = re.compile(r"(?<=\d)\s?[-~至到]\s?(?=\d)")
_POSITIVE = re.compile(r"(?<=[a-z\d])\+(?=[\s,/)]|$)")
_NEGATIVE = re.compile(r"(?<=[a-z\d])-(?=[,/)]|\s*$)|(?<=\w)\s?\(-\)")  # and HBsAg(-)
_HYPHEN = re.compile(r"(?<=\w)-|-(?!\d)")
# Inside a text the sign of a marker alone is one: "low- to high-dose" and "ER- and PR-positive" leave a word out.
_MARKER = re.compile(
    rf"\b(cd\d+[a-z]?|her ?2|er|pr|rh|ph|hb[se]ag|hiv|hcv|hpv|ebv|ana|anca|alk|egfr|braf|kras|jak2|gram)([+-])"
    rf"(?=cd\d|[{CJK}]|\s(?!(?:and|or|to)\b))"
)


def _numbered(words: list[str]) -> list[str]:
    """`type ii` and `type two` as `type 2`, after each word that numbers."""
    for i in range(1, len(words)):
        word = words[i]
        if word in _RANKS and words[i - 1] in _ORDINALS:
            words[i - 1] = _WORDS[words[i - 1]]  # third degree
        figure = _FIGURES.get(word)
        letter = "" if figure or word[-1] not in "abcde" else word[-1]
        figure = figure or (_FIGURES.get(word[:-1]) if letter else None)
        if figure and (words[i - 1] in _NUMBERING or (words[i - 1] == "harris" and i > 1 and words[i - 2] == "salter")):
            words[i] = f"{figure} {letter}" if letter else figure  # type IIIb, as 3b is spelt
    return words


_remembered = lru_cache(maxsize=4096)(spelt_anew)  # references and terms come back with every answer


def without_heaps(text: str) -> str:
    """At most eight combining marks in a row: `unicodedata.normalize` sorts them in quadratic time."""
    if text.isascii() or len(text) < 2000:
        return text
    kept: list[str] = []
    run = 0
    for c in text:
        run = run + 1 if unicodedata.combining(c) else 0
        if run <= 8:
            kept.append(c)
    return "".join(kept)


_GREEK_HYPHEN = Pattern("([α-ω])[-‐‑–](?=[0-9])")  # interferon β-1a
_BETA = re.compile(r"\bß(?=[- ]?\d|-)")  # ß2-microglobulin, from a keyboard without β
_SUPER, _RAISED = re.compile("[⁺⁻]?[⁰¹²³⁴⁵⁶⁷⁸⁹]+"), re.compile("[⁰¹²³⁴⁵⁶⁷⁸⁹]")


def superscripts(text: str) -> str:
    """10⁹ as 10^9, before NFKC would make it 109."""
    if not _RAISED.search(text):
        return text
    return _SUPER.sub(lambda m: "^" + unicodedata.normalize("NFKC", m[0]).replace("−", "-"), text)


_SPELLINGS = (("tumour", "tumor"), ("colour", "color"), ("fibre", "fiber"), ("litre", "liter"), ("metre", "meter"),
              ("sulph", "sulf"), ("behaviour", "behavior"), ("labour", "labor"), ("isation", "ization"),
              ("leuco", "leuko"), ("grey", "gray"), ("elling", "eling"), ("elled", "eled"))  # fmt: skip
_ENDINGS = (("tre", "ter"), ("ised", "ized"), ("ising", "izing"), ("yse", "yze"), ("ysed", "yzed"))
# Plural endings before their singular, the first that fits; "" of a bare s comes last.
_PLURALS = (("iases", "iasis"), ("oses", "osis"), ("eses", "esis"), ("yses", "ysis"), ("viruses", "virus"),
            ("sses", "ss"), ("uses", "us"), ("xes", "x"), ("ches", "ch"), ("shes", "sh"), ("itides", "itis"))  # fmt: skip
_SINGULAR = frozenset(
    "this does aids lens gas pus has was its his thus plus raised diabetes rabies caries scabies".split()
)
_SPECIES = frozenset(
    "pneumoniae influenzae parainfluenzae diphtheriae agalactiae dysenteriae cholerae gonorrhoeae gonorrheae dysgalactiae "
    "cloacae equisimilae shigae typhae".split()
)
_BARE_E = re.compile(r"(?:in|en|on|ol|id)e$")  # INN and older names: thiamine, thiamin


@lru_cache(maxsize=65_536)
def _one_spelling(token: str) -> str:
    if "." in token and token.count(".") == 1 and token[0].isdigit():
        return token.rstrip("0").rstrip(".")
    if len(token) < 4 or not token.isascii() or not token.isalpha() or token in _SINGULAR:
        return "vitamin" if token == "vit" else token
    token = _singular(token)
    token = token.replace("ae", "e").replace("oe", "e")
    for british, american in _SPELLINGS:
        token = token.replace(british, american)
    for british, american in _ENDINGS:
        if token.endswith(british) and len(token) > 5:
            token = token[: -len(british)] + american
    if len(token) > 7 and token.endswith("ical") and token != "clinical":
        token = token[:-2]
    return token[:-1] if len(token) > 6 and _BARE_E.search(token) else token


def _singular(token: str) -> str:
    if token == "bacteria":
        return "bacterium"
    if len(token) > 5:
        for plural, singular in _PLURALS:
            if token.endswith(plural):
                return token[: -len(plural)] + singular
        if token.endswith("ae") and token not in _SPECIES:
            return token[:-1]
        if token.endswith("ies"):
            return token[:-3] + "y"
    if token.endswith("s") and not token.endswith(("ss", "us", "is")):
        return token[:-1]
    return token
