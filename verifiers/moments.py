"""Read calendar dates and ages in weeks and days out of text, in English and Chinese: patterns that are bounded only.

Numeric dates are read month first, as MedCalc-Bench (arXiv:2406.12036) writes them, unless they are asked for with the
day first; whatever else they may mean is kept beside that.
"""

import re
from datetime import date
from functools import lru_cache
from typing import Literal, NamedTuple, TypeAlias

from medrl.verifiers.quantity import WORDS, han_number, plain

_MARKUP = re.compile(r"\\(?:text|textbf|mathrm|mathbf|boxed)\b|\\[,;:! ]|[\\{}*$`\"“”‘’]|'(?!\d\d(?!\d))")
_SIGN = re.compile(r" ?([-+/^~]) ?")
_HAN = re.compile(r"[〇零一二两三四五六七八九十百]{1,8}(?= ?(?:年|月|日|号|孕?周|个?星期|天))")
_LATIN = re.compile(rf"\b({'|'.join(WORDS)})(?:[- ]({'|'.join(WORDS)}))?(?=[- ](?:weeks?|days?)\b)", re.IGNORECASE)

_MONTHS = "jan feb mar apr may jun jul aug sep oct nov dec".split()
_MONTH = (
    r"(?<![a-z])(?P<m>jan(?:uary)?|feb(?:ruary)?|mar(?:ch)?|apr(?:il)?|may|june?|july?|aug(?:ust)?|sept?(?:ember)?|oct(?:ober)?|"
    r"nov(?:ember)?|dec(?:ember)?)(?![a-z])\.?"
)
_ALONE = r"(?<!\d)(?<!\d[-.,/+~^:])"  # a number that does not go on to the left
_END = r"(?!\d|[-./+:]\d)"
_ORDINAL = r"(?:st|nd|rd|th)?"
_SPELT = (
    re.compile(
        rf"{_ALONE}(?:(?P<y>\d{{4}}|\d{{2}}) ?年 ?)?(?P<m>\d{{1,2}}) ?月(?:份)? ?(?P<d>\d{{1,2}}) ?(?(y)[日号]?{_END}|[日号])"
    ),
    re.compile(rf"{_ALONE}(?P<y>\d{{4}})[ ,-]{{1,2}}{_MONTH}[ -]?(?P<d>\d{{1,2}}){_ORDINAL}{_END}", re.IGNORECASE),
    re.compile(
        rf"{_ALONE}(?P<d>\d{{1,2}}){_ORDINAL}[ -]?(?:of |day of )?{_MONTH}"
        rf"(?:(?:, ?| |-|)(?P<y>\d{{4}}|'\d\d|(?<=-)\d\d))?{_END}",
        re.IGNORECASE,
    ),
    re.compile(
        rf"{_MONTH}[ -]?(?:the )?(?P<d>\d{{1,2}}){_ORDINAL}(?:(?:, ?| |-|, of | of )(?P<y>\d{{4}}|'\d\d))?{_END}",
        re.IGNORECASE,
    ),
)
_NUMERIC = re.compile(rf"{_ALONE}(\d{{1,4}})([-/.])(\d{{1,2}})\2(\d{{1,4}}){_END}")
_DAY_FIRST = re.compile(r"\bd{1,2}[-/.]m{1,2}[-/.]y|\bday[-/ ]month[-/ ]year|日/月/年", re.IGNORECASE)

_WEEK = r" ?-?(?:(?:weeks?|wks?|w)(?![a-z])\.?|个?星期|孕?周(?!岁))"
_DAY = r" ?-?(?:(?:days?|d)(?![a-z])\.?|天)"
_AND = r" ?(?:,? ?(?:and|plus|&)|[,;+/、]|[零又加和及])? ?"
_WEEKS, _DAYS = rf"{_ALONE}(?P<w>\d{{1,3}})", r"(?P<d>\d{1,2})"
_BOTH = tuple(
    re.compile(pattern, re.IGNORECASE)
    for pattern in (
        rf"{_WEEKS}{_WEEK}{_AND}{_DAYS}(?:{_DAY}|日|/7)",
        rf"{_WEEKS}{_WEEK}\+{_DAYS}{_END}",
        rf"{_WEEKS}(?:\^?\+|[ -]){_DAYS}/7{_WEEK}",
        rf"{_WEEKS}\^?\+{_DAYS}{_WEEK}",
    )
)
_BARE = re.compile(rf"{_WEEKS}\^?\+{_DAYS}(?![\w./+])")
_ONLY_WEEKS = re.compile(rf"{_ALONE}(?P<w>\d{{1,3}}(?:\.\d{{1,3}})?){_WEEK}", re.IGNORECASE)
_ONLY_DAYS = re.compile(rf"{_ALONE}(?P<d>\d{{1,4}}){_DAY}", re.IGNORECASE)
# Each of the patterns above wants one of these.
_MAY = re.compile(
    rf"月|\d ?-?(?:[wd天周孕星]|个星)|\+\d|\d[-/.]\d{{1,2}}[-/.]\d|(?<![a-z])(?:{'|'.join(_MONTHS)})", re.IGNORECASE
)
_GESTATION = re.compile(r"gestation|weeks (?:pregnant|along)|孕[周龄]|胎龄|[妊孕]娠?.{0,8}周", re.IGNORECASE)

_BECAUSE = re.compile(r",? (?:because|since|given that)\b|,?因为|,?由于", re.IGNORECASE)

Form: TypeAlias = Literal["date", "day and month", "weeks and days", "weeks", "days"]


class Moment(NamedTuple):
    """A date or an age as it was written.

    Attributes:
        start: Where it stands.
        form: What was written of it.
        says: The day, or the age in days; None where there is no such day, or the notation leaves it open.
        may: Other days that it may mean.
        share: The weeks, where they were written with a decimal point: 14.3.
    """

    start: int
    form: Form
    says: date | int | None
    may: tuple[date, ...] = ()
    share: float | None = None

    @property
    def is_day(self) -> bool:
        return self.form in ("date", "day and month")


def moments(text: str, question: str, near: int | None = None) -> tuple[list[Moment], str]:
    """The dates and ages of a text in order, and the text, written plainly, with NULs in their place.

    Args:
        text: What to read.
        question: May ask for the day first, or for weeks of gestation, which lets "14+2" be an age.
        near: Lends its century to a year of two digits, and itself to a day without a year; without it these are none.
    """
    text = _written_plainly(text)
    if not _MAY.search(text):
        return [], text
    day_first = _asks_day_first(question)
    weeks_asked = asks_age(question) or bool(_GESTATION.search(text))
    found: list[Moment] = []

    def keep(match: re.Match[str], form: Form, says: date | int | None, may: tuple[date, ...] = ()) -> str:
        found.append(Moment(match.start(), form, says, may))
        return "\0" * len(match[0])

    def spelt(match: re.Match[str]) -> str:
        month, year = match["m"][:3].lower(), match["y"]
        number = int(month) if month.isdigit() else _MONTHS.index(month) + 1
        full = _year(year, near) if year else near
        if full is None:
            return match[0]
        return keep(match, "date" if year else "day and month", _day(full, number, int(match["d"])))

    def numeric(match: re.Match[str]) -> str:
        a, dot, b, c = match[1], match[2] == ".", match[3], match[4]
        orders = [(a, b, c)] if len(a) == 4 and len(c) <= 2 else []
        if len(a) <= 2 and (len(c) == 4 or (len(c) == 2 and not dot)):
            orders = [(c, b, a), (c, a, b)] if day_first else [(c, a, b), (c, b, a)]
            orders += [(a, b, c)] if len(a) == len(c) == 2 else []
        read = [_day(full, int(m), int(d)) for y, m, d in orders if (full := _year(y, near))]
        days = list(dict.fromkeys(day for day in read if day))
        if not read:
            return match[0]
        if dot and len(a) <= 2 and len(days) > 1:  # 09.01.2007: both orders are in use
            return keep(match, "date", None, tuple(days))
        return keep(match, "date", days[0] if days else None, tuple(days[1:]))

    def age(match: re.Match[str]) -> str:
        parts = match.groupdict()
        weeks, days = parts.get("w"), int(parts.get("d") or 0)
        form: Form = "weeks and days" if weeks and parts.get("d") else "weeks" if weeks else "days"
        clear = (match.re is not _BARE or weeks_asked) and (weeks or "0").isdigit() and (not weeks or days < 7)
        if weeks and "." in weeks and not days:
            found.append(Moment(match.start(), form, None, share=float(weeks)))
            return "\0" * len(match[0])
        return keep(match, form, 7 * int(weeks or 0) + days if clear else None)

    for pattern in _SPELT:
        text = pattern.sub(spelt, text)
    text = _NUMERIC.sub(numeric, text)
    for pattern in (*_BOTH, _BARE, _ONLY_WEEKS, _ONLY_DAYS):
        text = pattern.sub(age, text)
    return sorted(found), text


@lru_cache(maxsize=1024)  # a question may hold a whole note, and comes back with every answer
def asks_age(question: str) -> bool:
    """Whether a question is about weeks of gestation."""
    return bool(_GESTATION.search(question))


@lru_cache(maxsize=1024)
def _asks_day_first(question: str) -> bool:
    return bool(_DAY_FIRST.search(question))


def _written_plainly(text: str) -> str:
    """Without mark-up and reasons, what follows the last "=", numerals as digits."""
    text = _BECAUSE.split(plain(text).rpartition("=")[2])[0]
    text = _SIGN.sub(r"\1", " ".join(_MARKUP.sub(" ", text).replace("\0", " ").split()))
    text = _HAN.sub(lambda m: str(han_number(m[0])), text.replace("元月", "1月"))
    return _LATIN.sub(lambda m: str(sum(WORDS[word.lower()] for word in m.groups() if word)), text)


def _year(text: str, near: int | None) -> int | None:
    year = int(text.strip("'"))
    if len(text.strip("'")) == 4:
        return year
    return near - near % 100 + year if near else None


def _day(year: int, month: int, day: int) -> date | None:
    """The day, or None where the calendar has no such day."""
    try:
        return date(year, month, day)
    except ValueError:
        return None
