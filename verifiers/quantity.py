"""Read quantities out of text: digits, fractions, powers of ten, words, Chinese numerals, each with its unit.

Nothing is evaluated: numbers become exact fractions from bounded patterns, so "9^9^9" is just its digits.
"""

import re
import unicodedata
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache

from medrl.verifiers.latex import without_latex
from medrl.verifiers.normalise import CJK, superscripts, without_heaps
from medrl.verifiers.patterns import Pattern
from medrl.verifiers.units import Unit, read_unit, unknown_word

MOST = 64  # quantities that are read; an answer with more commits to none
_POWER = (
    r"(?: ?[x×*·⋅] ?10 ?(?:\^ ?\(?(?P<power>[-+]?\d{1,2})\)?|e(?P<power2>[-+]?\d{1,2}))|[eE](?P<power3>[-+]?\d{1,2}))"
)
# A number needs no space after a Chinese word (血糖为5.0), unless the word is of its own kind (第3, 三5).
_OPENS = rf"(?:(?<![\w.])|(?<=[{CJK}])(?<![第零一二三四五六七八九十]))"
_THOUSAND = "千(?![克卡米帕焦赫伏瓦])"  # which is a unit of its own
_DIGITS = re.compile(
    rf"{_OPENS}(?P<sign>[-+])?"
    r"(?P<whole>\d{1,3}(?:,\d{3}){1,5}(?![\d,])|\d{1,3}(?: \d{3}){1,5}(?![\d ]?\d)|\d{1,25})"
    r"(?:(?P<point>[.·⋅,])(?P<decimals>\d{1,25}))?"
    rf"(?:{_POWER}| ?(?P<han>(?:[百万亿]|{_THOUSAND}){{1,2}})| ?(?P<word>thousand|million|billion)\b|(?P<half>半))?"
    r"(?:(?: ?/ ?| per | out of |(?<=\b1) in )(?P<below>\d{1,3}(?:,\d{3}){1,3}|\d{1,9})(?![\d.]| ?/|\^|,\d))?"
)
_PER = re.compile("[每/]")
_TENTH = re.compile(r"[一二三四五六七八九1-9](?![\d零一二三四五六七八九十百千万亿.点])")
_GROUPING = str.maketrans("", "", ", ")  # between thousands
_PURE_POWER = re.compile(rf"{_OPENS}10 ?\^ ?(?P<bracket>\()?(?P<power>[-+]?\d{{1,2}})(?(bracket)\)|(?!\d))")
_HAN_DIGIT = {c: i for i, c in enumerate("零一二三四五六七八九")} | {"〇": 0, "两": 2}
_HAN_UNIT = {"十": 10, "百": 100, "千": 1000, "万": 10_000, "亿": 100_000_000}
_HAN = re.compile(
    r"(?P<sign>负|零下)?(?:(?P<below>[一二三四五六七八九十百千万]{1,6})分之)?"
    rf"(?P<whole>(?:[零〇一二两三四五六七八九十百万亿]|{_THOUSAND}){{1,16}}|半)(?:点(?P<decimals>[零〇一二三四五六七八九]{{1,12}}))?"
)
# 二十零五, 三百二五, 二三十: no number, or several.
_NO_NUMERAL = re.compile("[一二两三四五六七八九]{2}[十百千万亿]|[十百千][一二两三四五六七八九]{2}|十零|零[百千万亿]")
_ONES = (
    "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen "
    "seventeen eighteen nineteen"
)
_TENS = "twenty thirty forty fifty sixty seventy eighty ninety"
WORDS = {word: i for i, word in enumerate(_ONES.split())} | {word: 10 * i for i, word in enumerate(_TENS.split(), 2)}
_BELOW = {
    "half": 2, "halves": 2, "third": 3, "thirds": 3, "quarter": 4, "quarters": 4, "fourth": 4, "fourths": 4,
    "fifth": 5, "fifths": 5,
}  # fmt: skip
_LATIN = "|".join(WORDS)
_DIGIT_WORDS = "|".join(_ONES.split()[:10])
_WORDS = re.compile(
    rf"\b(?P<some>{'|'.join(_ONES.split()[1:10])}) (?:in|out of) (?P<of>{_LATIN}|an? hundred|an? thousand)\b|"
    rf"\b(?:(?P<first>{_LATIN})|(?P<one>an?)(?= hundred\b| thousand\b| million\b| billion\b))(?:[- ](?P<second>{_LATIN}))?"
    rf"(?P<hundred> hundred)?(?:(?<=hundred)(?: and)? (?P<third>{_LATIN})(?:[- ](?P<fourth>{_LATIN}))?)?"
    rf"(?P<point> point(?: (?:{_DIGIT_WORDS})){{1,4}})?(?P<big> thousand| million| billion)?"
    rf"(?P<half> and a half)?(?:[- ](?P<below>{'|'.join(_BELOW)}))?\b"
    r"|\b(?P<part>(?:an? |one[- ])?(?:half|third|quarter|fourth|fifth))(?: of)?(?: an?(?= (?:hour|day|week|month|"
    r"year|tablet)))?\b|\b(?P<unit>an?)(?= (?:hour|day|week|fortnight|month|year)\b)",
    re.IGNORECASE,
)
# Every number in words has one of these, and few other texts do; `_WORDS` takes ten times as long to find nothing.
_HINT = Pattern(
    "|".join((*WORDS, "half", "third", "quarter", "fifth", "hundred", "thousand", "illion", " hour", " day", " week",
              " fortnight", " month", " year"))
)  # fmt: skip
_BIG = {"thousand": 10**3, "million": 10**6, "billion": 10**9}
DATE = re.compile(
    r"\d{4} ?[-/.年] ?\d{1,2} ?[-/.月] ?\d{1,2}|\d{1,2}/\d{1,2}/\d{2,4}|"
    r"[二〇零一三四五六七八九\d]{2,4}年[十一二三四五六七八九\d]{1,3}月"
)
_RANGE = re.compile(r"(?<=\d)[%℃]? ?(?:-|–|—|~|～|\bto\b|至|到|和|and) ?(?=[-+]?\d)", re.IGNORECASE)
_BOUND = Pattern(
    r"[<>≤≥±]|\b(?:less|more|greater|fewer|lower|higher|at least|at most|up to|below|above|under|over|between|"
    r"minimum|maximum) (?=(?:than )?(?:or equal to )?[-\d.]|and)"
    r"|\b(?:less|more|greater) than\b|不低于|不超过|不少于|不高于|大于|小于|超过|低于|高于|至少|至多|以上|以下|"
    r"介于|至多",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class Quantity:
    """A number as it was written.

    Attributes:
        number: Its exact value in `unit`.
        unit: Its unit, or None.
        span: Where number and unit stand in the text that was read (after `plain`).
        decimals: Digits after the point, to which it may have been rounded; None for fractions and words.
        digits: Its significant digits.
        below: The denominator where it was written a/b, else None; `above` is then a.
        stray: An unknown word that follows the number where a unit would stand.
    """

    number: Fraction
    unit: Unit | None
    span: tuple[int, int]
    decimals: int | None = None
    digits: int = 0
    above: int | None = None
    below: int | None = None
    stray: str = ""

    @property
    def base(self) -> Fraction:
        return self.unit.to_base(self.number) if self.unit else self.number


def plain(text: str) -> str:
    """Full width, superscripts and odd dashes written plainly."""
    return _remembered(text) if len(text) <= 1000 else _long(text) if len(text) <= 20_000 else _plain(text)


def _plain(text: str) -> str:
    if "\\" in text or "$" in text or "{" in text:
        text = without_latex(text)
    if not text.isascii():
        text = _VULGAR.sub(_fraction, text)
        text = unicodedata.normalize("NFKC", superscripts(without_heaps(text)).replace("℃", "°C").replace("℉", "°F"))
        text = text.translate(_SIGNS)
        if "比" in text:
            text = _HAN_RATIO.sub(lambda m: f"{han_number(m[1])}:{han_number(m[2])}", text)
        if "氏" in text:
            text = _DEGREES.sub(r"\2\1度", text)
        if "每" in text:
            if "公斤" in text or "千克" in text or "kg" in text:
                text = _PER_KG.sub(_by_weight, text)
            text = _RATE.sub(r"\2\3/\1", text)
            text = _RATE_HAN.sub(r"\g<n>\g<unit>/\g<time>", text)
        if "斤" in text and "两" in text:
            text = _LIANG.sub(r"\1.\2斤", text)
        if "次方" in text:
            text = _HAN_POWER.sub(lambda m: f"10^{han_number(m[1]) if m[1] in _HAN_DIGIT else m[1]}", text)
    if not _DIGIT.search(text):
        return text
    if "." in text:
        text = _NAKED.sub("0.", text)
    if "/(" in text:
        text = _PER_BOTH.sub(r"/\1/\2", text)
    if "*" in text or " to the " in text or "x10" in text:
        text = _POWER_WORDS.sub(r"10^\1", _STARS.sub("^", text))
    return _MINUS.sub("-", text)


_VULGAR = re.compile("(?<![\\d.,])(\\d{0,4}) ?([¼½¾⅐-⅞])")


_PER_KG = re.compile(  # 每公斤体重6～8毫升, 每公斤每小时0.1 U
    r"(?:每(?P<first>小时|分钟))?每(?:公斤|千克|kg)(?:体重)?(?:每(?P<then>小时|分钟))? ?"
    r"(?P<n>\d[\d.]{0,8}(?: ?[-~至到] ?\d[\d.]{0,8})?|[零一二两三四五六七八九十百千点]{1,8}) ?"
    r"(?P<unit>毫升|升|毫克|微克|克|单位|千卡|m[Ll]|L|mg|mcg|[uμ]g|g|IU|U|kcal|mmol)(?![A-Za-z/])"
)


def _by_weight(match: re.Match[str]) -> str:
    time = match["first"] or match["then"]
    return f"{match['n']}{match['unit']}/kg{f'/{time}' if time else ''}"


def _fraction(match: re.Match[str]) -> str:
    """A fraction of one character, with the whole number before it: 1¼ is 5/4, ½ is 1/2."""
    value = Fraction(unicodedata.normalize("NFKC", match[2]).replace("\u2044", "/")) + int(match[1] or 0)
    decimal = value * 1000
    return f"{float(value):g}" if match[1] and decimal.denominator == 1 else f"{value.numerator}/{value.denominator}"


_long = lru_cache(maxsize=256)(_plain)  # a patient's note
_remembered = lru_cache(maxsize=8192)(_plain)  # one text is read by several rules, a question with every answer
_FORMAL = dict(zip("壹贰叁肆伍柒捌玖拾佰仟", "一二三四五七八九十百千", strict=True))  # as on cheques; 陆 also is land
_SIGNS = str.maketrans({**dict.fromkeys("‐‑‒–−", "-"), "µ": "μ", "廿": "二十", "卅": "三十", **_FORMAL})
_HAN_RATIO = re.compile("(?<![点第])([一二两三四五六七八九十百千万]{1,8})比([一二两三四五六七八九十百千万]{1,8})(?!点)")
_DEGREES = re.compile(r"(摄氏|华氏)(?:度)? ?([\d.]{1,12}|[零一二三四五六七八九十百点]{1,8})度?")
_LIANG = re.compile(r"(?<![\d.])(\d{1,2})斤(\d)两")  # a 两 is a tenth of a 斤
_DIGIT = re.compile(r"\d")
_NUMERAL = re.compile(r"[\d零〇一二两三四五六七八九十百千万亿半]")
_NAKED = re.compile(r"(?<![^\s(=<>≤≥~±+-])\.(?=\d)")  # .5
_PER_BOTH = re.compile(  # mg/(kg·d)
    r"/\((kg|公斤|千克|m2|m\^2|L|m[lL]) ?[·.⋅∙•*×x]? ?(d|day|h|hr|min|dose|天|日|小时|分钟|次)\)"
)
_STARS = re.compile(r"(?<=\b10)\*\*(?=-?\d)")
_POWER_WORDS = re.compile(r"\b10 to the (?:power (?:of )?)?(-?\d{1,2})(?:st|nd|rd|th)?\b(?: power)?")
_RATE = re.compile(  # 每分钟12到20次 is 12到20次/分钟
    r"每(分钟|小时(?! ?1 ?次)|秒)(?:约|为)? ?(\d[\d.]{0,6}(?: ?[-~至到] ?\d[\d.]{0,6})?) ?"
    r"(次|毫升|升|毫克|微克|滴|单位|m[Ll]|L|mg|μg|g)(?![A-Za-z/])"
)
_RATE_HAN = re.compile(  # 每分钟一百到一百二十次; "every hour once" is how often
    r"每(?P<time>分钟|秒|小时(?![^，。]{0,14}次)) ?(?P<n>[一二两三四五六七八九十百千]{1,7}"
    r"(?:[至到~-][一二两三四五六七八九十百千]{1,7})?)"
    r"(?P<unit>次|毫升|升|毫克|微克|滴|单位)"
)
_HAN_POWER = re.compile(r"(?:10|十)的 ?(\d{1,2}|[二三四五六七八九])次方")
_MINUS = Pattern(r"(?:\b(?:minus|negative) |负|零下)(?=\d)", re.IGNORECASE)


def is_bound(text: str) -> bool:
    """Whether a plain text may name a bound; cheap, and true of more than bounds."""
    return bool(_BOUND_WORD.search(text))


_BOUND_WORD = re.compile(
    r"[<>≤≥≦≧+]|\b(?:less|more|greater|fewer|lower|higher|longer|shorter|older|younger|above|below|under|over|"
    r"least|most|up to|"
    r"exceed\w*|excess|minimum|maximum)\b|不低于|不超过|不少于|不小于|不高于|不大于|不多于|[大小高低多少长]于|等于|超过|"
    r"超出|不足|不到|"
    r"以上|以下|以内|至[少多]|最[多少高低]|或更",
    re.IGNORECASE,
)


def is_range(text: str) -> bool:
    """Whether a plain text names a range or a bound instead of a value."""
    return bool(_RANGE.search(text) or _BOUND.search(text))


def may_count(text: str) -> bool:
    """Whether a plain text may hold a quantity, a date or a ratio; cheap, and true of a few names too."""
    return bool(_NUMERAL.search(text) or _HINT.search(text.lower()))


def quantities(text: str) -> list[Quantity]:
    """The quantities of a plain text in order; words and Chinese numerals only where there are no digits."""
    return list(_quantities(text) if len(text) <= 1000 else _of_long(text) if len(text) <= 20_000 else _scanned(text))


def _scanned(text: str) -> list[Quantity]:
    found = _scan(text, _DIGITS, _from_digits) if _DIGIT.search(text) else []
    if not found and not text.isascii() and not _NO_NUMERAL.search(text):
        found = _scan(text, _HAN, _from_han)
    if not found and _HINT.search(text.lower()):
        found = _scan(text, _WORDS, _from_words)
    return found


@lru_cache(maxsize=8192)  # a question and its reference come back with every answer
def _quantities(text: str) -> tuple[Quantity, ...]:
    return tuple(_scanned(text))


@lru_cache(maxsize=256)
def _of_long(text: str) -> tuple[Quantity, ...]:
    return tuple(_scanned(text))


def _scan(text: str, pattern: re.Pattern[str], read: Callable[[str, re.Match[str]], Quantity]) -> list[Quantity]:
    found: list[Quantity] = []
    at = 0
    while len(found) < MOST and (match := pattern.search(text, at)):
        found.append(read(text, match))
        at = max(found[-1].span[1], match.end())
    return found


def _with_unit(
    text: str,
    span: tuple[int, int],
    number: Fraction,
    decimals: int | None = None,
    digits: int = 0,
    above: int | None = None,
    below: int | None = None,
) -> Quantity:
    """The quantity of a number that stands at `span` and the unit that follows it."""
    start, end = span
    if text[end : end + 1] == "个" and text[end + 1 : end + 2] in ("/", "每"):
        end += 1  # 十万个/毫升
    unit, after = read_unit(text, end)
    if text[after : after + 1] == "半" and after > end and not _PER.search(text[end:after]):  # no 六毫摩尔每升半
        number, after = number + Fraction(1, 2), after + 1
    elif unit and text[after - 1] == "度" and (tenth := _TENTH.match(text, after)):
        number, after = number + Fraction(_HAN_DIGIT.get(tenth[0]) or int(tenth[0]), 10), after + 1  # 三十八度五
    stray = "" if unit else unknown_word(text, end)
    return Quantity(number, unit, (start, after), decimals, digits, above, below, stray)


def _from_digits(text: str, match: re.Match[str]) -> Quantity:
    grouped, point, places, *powers, han, word, half, fraction = match.group(*_NUMBER_PARTS)
    whole, decimals = grouped.translate(_GROUPING), places or ""
    if point == "," and len(decimals) == 3 and whole != "0":  # 2,000 that the first branch did not take
        whole, decimals = whole + decimals, ""
    number = Fraction(int(whole + decimals), 10 ** len(decimals)) if decimals else Fraction(int(whole))
    power = int(next(filter(None, powers), 0))
    pure = _PURE_POWER.match(text, match.start("whole")) if whole == "10" else None
    end = match.end()
    if pure:
        number, power, end = Fraction(1), int(pure["power"]), pure.end()
    if power:
        number *= Fraction(10) ** power
    for unit in han or "":
        number *= _HAN_UNIT[unit]
    if word:
        number *= _BIG[word]
    if half:
        number += Fraction(1, 2)
    if match["sign"] == "-":
        number = -number
    above = below = None
    if fraction and not pure and int(fraction.replace(",", "")):
        above, below = int(number) if number.denominator == 1 else None, int(fraction.replace(",", ""))
        number /= below
    digits = len((whole + decimals).lstrip("0"))
    rounded_to = None if power or han or word or fraction else len(decimals)
    return _with_unit(text, (match.start(), end), number, rounded_to, digits, above, below)


_NUMBER_PARTS = ("whole", "point", "decimals", "power", "power2", "power3", "han", "word", "half", "below")


def _from_han(text: str, match: re.Match[str]) -> Quantity:
    whole = match["whole"]
    number = Fraction(1, 2) if whole == "半" else Fraction(han_number(whole))
    if match["decimals"]:
        number += Fraction(int("".join(str(_HAN_DIGIT[c]) for c in match["decimals"])), 10 ** len(match["decimals"]))
    above = below = None
    if match["below"]:
        above, below = int(number) if number.denominator == 1 else None, max(1, han_number(match["below"]))
        number /= below
    if match["sign"]:
        number = -number
    return _with_unit(text, match.span(), number, above=above, below=below)


def han_number(text: str) -> int:
    """An integer in Chinese numerals: 三十九, 一百零五, 两万三千, 二〇二三; 四百五 is 450."""
    if not any(c in _HAN_UNIT for c in text):
        return int("".join(str(_HAN_DIGIT[c]) for c in text))
    if len(text) > 1 and text[-1] in _HAN_DIGIT and _HAN_UNIT.get(text[-2], 0) > 10:
        return han_number(text[:-1]) + _HAN_DIGIT[text[-1]] * _HAN_UNIT[text[-2]] // 10
    total = section = digit = 0
    for c in text:
        if c in _HAN_DIGIT:
            digit = _HAN_DIGIT[c]
        elif _HAN_UNIT[c] < 10_000:
            section, digit = section + (digit or 1) * _HAN_UNIT[c], 0
        else:
            total, section, digit = ((total + section + digit) or 1) * _HAN_UNIT[c], 0, 0
    return total + section + digit


def _from_words(text: str, match: re.Match[str]) -> Quantity:
    if match["part"] or match["unit"]:
        word = match["part"].lower().replace("-", " ").rpartition(" ")[2] if match["part"] else ""
        return _with_unit(text, match.span(), Fraction(1, _BELOW.get(word, 1)), below=_BELOW.get(word))
    if match["some"]:
        below = WORDS.get(match["of"].lower()) or (100 if "hundred" in match["of"].lower() else 1000)
        some = WORDS[match["some"].lower()]
        return _with_unit(text, match.span(), Fraction(some, below or 1), above=some, below=below)
    first, second, third, fourth = (
        WORDS.get((match[k] or "").lower(), 0) for k in ("first", "second", "third", "fourth")
    )
    number = Fraction(first + second if match["first"] else 1)
    if match["hundred"]:
        number = number * 100 + third + fourth
    if match["point"]:
        digits = [str(WORDS[word]) for word in match["point"].lower().split()[1:]]
        number += Fraction(int("".join(digits)), 10 ** len(digits))
    if match["big"]:
        number *= _BIG[match["big"].strip().lower()]
    if match["half"]:
        number += Fraction(1, 2)
    if match["below"]:
        number /= _BELOW[match["below"].lower()]
    return _with_unit(text, match.span(), number)
