"""One spelling for texts that differ only in how they are written.

Case, width, accents, hyphens, punctuation, articles, possessives, plurals, British and American spelling, Greek
letters, Roman numerals after a word that numbers, traditional Chinese. What changes the meaning stays: digits, decimal
points, signs, fractions and every word.
"""

import re
import unicodedata
from functools import lru_cache

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
# Characters of common medical words, traditional to simplified.
_TRADITIONAL = str.maketrans(
    "動脈靜膿腫損傷壓腸膽腎臟腦癌癥癲癇關節骨質鬆過敏發熱熱絞痛紅細斑狼瘡體狀腺機能亢進減低鈉鉀鈣鎂鐵貧血癒診斷為這個與類風濕濁"
    "療藥劑單雙側綜徵徴擴張縮難產後產婦兒麻醫員檢查異醣糖尿葉氣喘結腹瀉潰瘍黃疸鬱積闌尾頸椎間盤頭暈視網膜脫離青聽覺神經炎",
    "动脉静脓肿损伤压肠胆肾脏脑癌症癫痫关节骨质松过敏发热热绞痛红细斑狼疮体状腺机能亢进减低钠钾钙镁铁贫血愈诊断为这个与类风湿浊"
    "疗药剂单双侧综征征扩张缩难产后产妇儿麻医员检查异糖糖尿叶气喘结腹泻溃疡黄疸郁积阑尾颈椎间盘头晕视网膜脱离青听觉神经炎",
)
_NUMBERING = (
    "type|class|stage|grade|factor|group|phase|category|degree|nyha|killip|mobitz|salter harris|tanner|level|subtype|"
    "angiotensin|nerve|cn|lead|figo|bethesda|child|collagen"
)
_ROMAN = {
    "i": "1", "ii": "2", "iii": "3", "iv": "4", "v": "5", "vi": "6", "vii": "7", "viii": "8", "ix": "9", "x": "10",
    "xi": "11", "xii": "12", "xiii": "13",
}  # fmt: skip
_WORDS = {
    "one": "1", "two": "2", "three": "3", "four": "4", "five": "5", "six": "6", "seven": "7", "eight": "8", "nine": "9",
    "ten": "10", "eleven": "11", "twelve": "12", "first": "1", "second": "2", "third": "3", "fourth": "4",
}  # fmt: skip
_NUMBERED = re.compile(rf"\b({_NUMBERING}) ({'|'.join([*_ROMAN, *_WORDS])})\b")
_HAN = {"一": "1", "二": "2", "三": "3", "四": "4", "五": "5", "六": "6", "七": "7", "八": "8", "九": "9", "十": "10"}
_HAN_NUMBERED = re.compile(
    r"(?:第)?([一二三四五六七八九十])(?=[型级期度类]|因子)|(?<=[型级期度类])([一二三四五六七八九十])"
)
_LONGEST = "|".join(sorted(_ROMAN, key=len, reverse=True))
_HAN_ROMAN = re.compile(rf"(?<![a-z])({_LONGEST})(?=[型级期度类]|因子)|(?<=[型级期度类子])({_LONGEST})(?![a-z])")
_VARIANTS = {
    "梗塞": "梗死",
    "征候": "综合征",
    "综合症": "综合征",
    "不稳定性": "不稳定型",
    "稳定性心绞痛": "稳定型心绞痛",
    "急性心梗": "急性心肌梗死",
}
_TOKEN = re.compile(rf"[{CJK}]|[a-z]+|\d+(?:[.,/]\d+)*|>=|<=|[<>+%-]")


def normal(text: str) -> str:
    """The text in its one spelling: tokens with single spaces between them, each Chinese character a token."""
    return _remembered(text) if len(text) <= 1000 else _normal(text)


def tokens(text: str) -> list[str]:
    """The words of `normal`. Latin words are whole tokens, so "direct" is never found inside "indirect"."""
    return normal(text).split()


def compact(text: str) -> str:
    """`normal` without spaces where no digit could run into another: "BRCA-1" and "BRCA1" are one."""
    return re.sub(r"(?<!\d) | (?!\d)", "", normal(text))


def _normal(text: str) -> str:
    text = unicodedata.normalize("NFKC", superscripts(text)).casefold()
    for sign, plain in (*_SIGNS.items(), *((g, f" {name} ") for g, name in _GREEK.items())):
        text = text.replace(sign, plain)
    text = "".join(c for c in unicodedata.normalize("NFD", text) if not unicodedata.combining(c)).translate(
        _TRADITIONAL
    )
    for variant, usual in _VARIANTS.items():
        text = text.replace(variant, usual)
    text = re.sub(r"'s\b|s'(?=\s|$)", lambda m: "s" if m[0] == "s'" else "", text)
    text = re.sub(r"(?<=\d),(?=\d{3}\b)", "", text)
    text = re.sub(r"(?<=\d)\s?[-~至到]\s?(?=\d)", " to ", text)
    text = re.sub(r"(?<=[a-z\d])\+(?=[\s,/)]|$)", " positive ", text)
    text = re.sub(r"(?<=[a-z\d])-(?=[,/)]|\s*$)", " negative ", text)
    text = re.sub(r"(?<=\w)-|-(?!\d)", " ", text)
    text = _HAN_NUMBERED.sub(lambda m: _HAN[m[1] or m[2]], text)
    text = _HAN_ROMAN.sub(lambda m: _ROMAN[m[1] or m[2]], text)
    found = [_one_spelling(token) for token in _TOKEN.findall(text)]
    if len(found) > 1 and found[0] == "a":
        found = found[1:]
    plain = " ".join(token for token in found if token not in ("the", "an"))
    plain = _NUMBERED.sub(lambda m: f"{m[1]} {_ROMAN.get(m[2]) or _WORDS[m[2]]}", plain)
    return " ".join(plain.split())


_remembered = lru_cache(maxsize=16_384)(_normal)  # references and terms come back with every answer


_SUPER = re.compile("[⁺⁻]?[⁰¹²³⁴⁵⁶⁷⁸⁹]+")


def superscripts(text: str) -> str:
    """10⁹ as 10^9, before NFKC would make it 109."""
    return _SUPER.sub(lambda m: "^" + unicodedata.normalize("NFKC", m[0]).replace("−", "-"), text)


_SPELLINGS = (("tumour", "tumor"), ("colour", "color"), ("fibre", "fiber"), ("litre", "liter"), ("metre", "meter"),
              ("sulph", "sulf"), ("behaviour", "behavior"), ("labour", "labor"), ("isation", "ization"))  # fmt: skip


def _one_spelling(token: str) -> str:
    if "." in token and token.count(".") == 1 and token[0].isdigit():
        return token.rstrip("0").rstrip(".")
    if len(token) < 4 or not token.isascii() or not token.isalpha():
        return token
    token = token.replace("ae", "e").replace("oe", "e")
    for british, american in _SPELLINGS:
        token = token.replace(british, american)
    if token.endswith("ies") and len(token) > 5:
        return token[:-3] + "y"
    if token.endswith("s") and len(token) > 4 and not token.endswith(("ss", "us", "is")):
        return token[:-1]
    return token
