"""How often and by which route a drug is given, in English, Latin abbreviations and Chinese, read into one form.

A frequency is the time from one dose to the next, so that q12h, BID, "twice daily" and 每日两次 are one; "bedtime" and
"morning" are kept beside it. "Biweekly" has two meanings and is read as neither.
"""

import re
from fractions import Fraction
from typing import NamedTuple

from medrl.verifiers.quantity import WORDS, han_number
from medrl.verifiers.units import UNITS

_WORD = "|".join(word for word, value in WORDS.items() if 0 < value < 25)
_N = rf"(?:\d{{1,3}}(?:\.\d)?|{_WORD})"
_U = r"(?:minutes?|mins?|hours?|hrs?|h|days?|d|weeks?|wks?|w|months?|mo|years?|yrs?|y)"
_HAN_N = r"(?:\d{1,3}|[一二两三四五六七八九十]{1,3}|半)"
_HAN_U = r"(?:分钟|个?小时|天|日|周|个?星期|个?月|年)"
_ABBREVIATED = {  # letters: (doses, in so many, unit, when)
    "qd": (1, 1, "day", ""), "od": (1, 1, "day", ""), "bid": (2, 1, "day", ""), "bd": (2, 1, "day", ""),
    "tid": (3, 1, "day", ""), "tds": (3, 1, "day", ""), "qid": (4, 1, "day", ""), "qds": (4, 1, "day", ""),
    "qod": (1, 2, "day", ""), "qhs": (1, 1, "day", "bedtime"), "qn": (1, 1, "day", "bedtime"), "hs": (1, 1, "day", "bedtime"),
    "qam": (1, 1, "day", "morning"), "qm": (1, 1, "day", "morning"), "qpm": (1, 1, "day", "evening"),
    "qw": (1, 1, "week", ""), "qwk": (1, 1, "week", ""), "biw": (2, 1, "week", ""), "tiw": (3, 1, "week", ""),
    "qh": (1, 1, "hour", ""), "qmo": (1, 1, "month", ""),
}  # fmt: skip
_ADVERBS = {
    "daily": (1, "day"), "weekly": (1, "week"), "monthly": (1, "month"), "yearly": (1, "year"), "annually": (1, "year"),
    "annual": (1, "year"), "hourly": (1, "hour"), "nightly": (1, "day"), "quarterly": (3, "month"),
    "fortnightly": (2, "week"),
}  # fmt: skip
_LETTERS = "|".join("[.]? ?".join(letters) if len(letters) > 2 else "[.]?".join(letters) for letters in _ABBREVIATED)
_COUNTS = {"once": 1, "twice": 2, "thrice": 3, "one time": 1, "a single dose": 1, "one dose": 1}
_TIMES = rf"once|twice|thrice|one time|one dose|{_N} (?:times|doses)|{_N} ?x"
_COUNTED = re.compile(r" ?(?:times|doses|x)")
_DOTS = str.maketrans("", "", ". ")
_FREQUENCY = re.compile(
    "|".join(
        (
            rf"\bq\.? ?(?P<q>\d{{1,3}}|{_WORD})(?: ?(?:-|to) ?(?P<q_to>\d{{1,3}}))? ?\.?(?P<q_unit>{_U})\b\.?",
            rf"\b(?:once )?every (?:(?P<other>other|second|alternate)|(?P<third>third)|(?P<e>{_N})(?: ?(?:-|to) "
            rf"?(?P<e_to>{_N}))?)?"
            rf"[ -]?(?P<e_unit>{_U}|night|morning|evening)\b",
            rf"\b(?P<count>{_TIMES})[ -]?(?:(?:a|per|each|every|in a|in|/)[ -]?)?(?:(?P<c>{_N})[ -])?"
            rf"(?:(?P<c_unit>(?:day|week|month|year|hour|h|d|wk)s?|night|morning|evening)|(?P<c_ly>daily|weekly|monthly|yearly|annually|nightly))\b",
            rf"\b(?P<n>{_N})[ -](?P<n_ly>hourly|weekly|monthly|daily|yearly)\b",
            r"\bon (?P<alternate>alternate|alternating) days\b",
            r"\b(?:each|per) (?P<each>day|week|month|year|night|morning|evening)\b",
            rf"(?<![a-z])(?P<ly>{'|'.join(_ADVERBS)})\b",
            rf"(?<![A-Za-z0-9])(?P<latin>{_LETTERS})\.?(?![A-Za-z0-9])",
            rf"(?:每|一|1)?(?P<h_unit>日|天|周|个?星期|月|年|晚|早|晨|小时)(?:服用|给药|注射|用药|使用|服|"
            rf"用)?(?P<h_n>{_HAN_N}) ?次",
            rf"(?P<s_n>{_HAN_N}) ?次 ?/ ?(?P<s_unit>日|天|周|月|年|d|w)",
            rf"每(?P<gap>隔)?(?P<m>{_HAN_N}) ?(?P<m_unit>{_HAN_U})(?:左右)?(?P<m_n>{_HAN_N})?(?: ?次)?(?:给药|注射|服用)?",
            r"隔(?P<skip>日|天|周)(?: ?(?:1|一) ?次)?",
            r"每(?P<a_unit>日|天|周|月|年|晚|早|晨|小时|季度|半年)(?:(?:服用|给药|注射|用药|使用)? ?(?:1|一) ?次)?",
            r"(?P<single>\b(?:as )?(?:a |one )?(?:single|one|1)[ -](?:oral )?dose\b|\bonce(?: only)?\b|\bone time\b|\bstat\b|"
            r"\bx ?1\b(?![ -]?(?:day|week|month|hour))|单次|一次性|顿服)",
            rf"(?P<o>半|{_HAN_N}) ?(?P<o_unit>个?月|年|周|天|日|小时)(?:1|一) ?次",
        )
    ),
    re.IGNORECASE,
)
_WHEN = (
    ("bedtime", re.compile(r"\b(?:at|before) (?:bed(?:time)?|night)\b|\bnightly\b|睡前|临睡|每晚|晚上", re.IGNORECASE)),
    ("morning", re.compile(r"\b(?:in the|every|each) morning\b|每[早晨]|晨起|早晨|清晨", re.IGNORECASE)),
    ("evening", re.compile(r"\b(?:in the|every|each) evening\b|傍晚", re.IGNORECASE)),
    ("before meals", re.compile(r"\bbefore (?:meals|food|eating)\b|(?<![A-Za-z])a\.?c\.?(?![A-Za-z])|[饭餐]前|"
        r"空腹", re.IGNORECASE)),
    ("after meals", re.compile(r"\b(?:after|with) (?:meals|food)\b|(?<![A-Za-z])p\.?c\.?(?![A-Za-z])|[饭餐]后|"
        r"随餐", re.IGNORECASE)),
    ("as needed", re.compile(r"\bas (?:needed|required)\b|\bwhen needed\b|(?<![A-Za-z])p\.?r\.?n\.?(?![A-Za-z])|"
        r"必要时|按需", re.IGNORECASE)),
)  # fmt: skip
# Base, what is special about it, and the words; the first that fits at a place counts.
_ROUTES = (
    ("intravenous", "infusion", r"(?:intravenous|i\.?v\.?)(?: continuous)? (?:infusions?|drip)|infused "
        r"intravenously|静脉(?:滴注|输注|点滴|泵入)|静滴"),
    ("intravenous", "push", r"(?:intravenous|i\.?v\.?) (?:push|bolus)|静脉推注|静推"),
    ("intravenous", "", r"intravenous(?:ly)?|i\.?v\.?|静脉(?:注射|给药|用药)?|静注"),
    ("intramuscular", "", r"intramuscular(?:ly)?|i\.?m\.?|肌肉?内?注射?"),
    ("subcutaneous", "", r"subcutaneous(?:ly)?|subcut\.?|sub-?q|s\.?c\.?|s\.?q\.?|皮下(?:注射)?|(?-i:i\.?h)\b"),
    ("intradermal", "", r"intradermal(?:ly)?|皮内(?:注射|接种|给药)?|(?-i:ID|i\.d\.)"),
    ("sublingual", "", r"sublingual(?:ly)?|s\.?l\.?|under the tongue|舌下(?:含服|含化|给药)?"),
    ("buccal", "", r"buccal(?:ly)?|颊部?|口腔黏膜"),
    ("oral", "", r"oral(?:ly)?|by mouth|per os|p\.?o\.?|口服|经口"),
    ("rectal", "", r"rectal(?:ly)?|per rectum|p\.?r\.?(?!\.?n)|直肠(?:给药)?|灌肠"),
    ("vaginal", "", r"(?:intra)?vaginal(?:ly)?|per vaginam|阴道(?:给药|用药)?"),
    ("inhaled", "nebulised", r"nebuli[sz]ed|nebuli[sz]ations?|(?:by|via) nebuli[sz]er|雾化(?:吸入)?"),
    ("inhaled", "", r"inhaled|inhalation(?:al)?|by inhaler|吸入"),
    ("intranasal", "", r"(?:intra)?nasal(?:ly)?|鼻[内腔](?:给药)?|经鼻|滴鼻|喷鼻"),
    ("intrathecal", "", r"intrathecal(?:ly)?|鞘内(?:注射)?"),
    ("epidural", "", r"epidural(?:ly)?|硬膜外(?:注射)?"),
    ("intraosseous", "", r"intraosseous(?:ly)?|i\.?o\.?|骨髓腔内?|骨内"),
    ("transdermal", "", r"transdermal(?:ly)?|经皮|透皮"),
    ("topical", "", r"topical(?:ly)?|(?:局部)?(?:外用|外敷|外涂|外搽|湿敷|贴敷|敷贴|涂抹|涂搽)|局部用药|wet "
        r"(?:compress(?:es)?|dressings?)"),
    ("intravitreal", "", r"intravitreal(?:ly)?|玻璃体(?:腔内?)?(?:注射)?"),
    ("intraperitoneal", "", r"intraperitoneal(?:ly)?|腹腔(?:内|注射)*"),
    ("intra-articular", "", r"intra-?articular(?:ly)?|关节(?:腔)?内?(?:注射)"),
    ("intra-arterial", "", r"intra-?arterial(?:ly)?|动脉(?:内|注射)+"),
    ("intracardiac", "", r"intracardiac|心内注射"),
    ("endotracheal", "", r"(?:endo|intra)tracheal(?:ly)?|气管内"),
    ("ophthalmic", "", r"ophthalmic|eye ?drops|滴眼|眼用"),
    ("otic", "", r"otic|ear ?drops|滴耳"),
)  # fmt: skip
_ROUTE = re.compile(
    rf"(?<![A-Za-z.])(?:{'|'.join(rf'(?P<r{i}>{words})' for i, (_, _, words) in enumerate(_ROUTES))})(?![A-Za-z])",
    re.IGNORECASE,
)


class Frequency(NamedTuple):
    """The seconds from one dose to the next, from `low` to `high`, 0 for a single dose; `calendar` where months or years
    were written.
    """

    low: Fraction
    high: Fraction
    calendar: bool
    when: str = ""


class Route(NamedTuple):
    """A route, and what is special about it: an infusion is a kind of intravenous."""

    base: str
    special: str = ""


def frequencies(text: str) -> tuple[list[Frequency], str]:
    """The frequencies of a plain text, and the text with blanks in their place."""
    found: list[Frequency] = []

    def keep(match: re.Match[str]) -> str:
        read = _read(match)
        if read is None:
            return match[0]
        found.append(read)
        return " " * len(match[0])

    return found, _FREQUENCY.sub(keep, text)


def times_of_day(text: str) -> tuple[frozenset[str], str]:
    """Bedtime, morning, meals, "as needed", and the text with blanks in their place."""
    found = set()
    for name, words in _WHEN:
        text, count = words.subn(lambda match: " " * len(match[0]), text)
        if count:
            found.add(name)
    return frozenset(found), text


def routes(text: str) -> tuple[list[Route], str]:
    """The routes of a plain text, and the text with blanks in their place."""
    found: list[Route] = []

    def keep(match: re.Match[str]) -> str:
        base, special, _ = _ROUTES[int(str(match.lastgroup)[1:])]
        found.append(Route(base, special))
        return " " * len(match[0])

    return found, _ROUTE.sub(keep, text)


def _number(text: str) -> Fraction:
    text = text.strip().lower()
    if text == "半":
        return Fraction(1, 2)
    return Fraction(text) if text[0].isdigit() else Fraction(WORDS[text] if text in WORDS else han_number(text))


_SHORT = {"h": "hour", "d": "day", "w": "week", "wk": "week", "mo": "month", "y": "year", "night": "day", "morning": "day",
          "evening": "day", "晚": "天", "早": "天", "晨": "天", "季度": "月"}  # fmt: skip


_PART_OF_DAY = {
    "night": "bedtime", "晚": "bedtime", "morning": "morning", "早": "morning", "晨": "morning", "evening": "evening",
}  # fmt: skip


def _seconds(unit: str) -> Fraction:
    unit = _SHORT.get(unit.lower(), unit.lower())
    return UNITS[unit].scale


def _every(
    period: Fraction, unit: str, doses: Fraction = Fraction(1), to: Fraction | None = None, when: str = ""
) -> Frequency:
    """A dose every so many units, or so many doses in them."""
    seconds = _seconds(unit)
    when = when or _PART_OF_DAY.get(unit.lower(), "")
    calendar = seconds >= UNITS["month"].scale
    return Frequency(period * seconds / doses, (to or period) * seconds / doses, calendar, when)


def _read(match: re.Match[str]) -> Frequency | None:
    part = match.groupdict()
    one = Fraction(1)
    if part["q"]:
        return _every(_number(part["q"]), part["q_unit"], to=_number(part["q_to"]) if part["q_to"] else None)
    if part["e_unit"]:
        period = Fraction(2) if part["other"] else Fraction(3) if part["third"] else _number(part["e"] or "1")
        return _every(period, part["e_unit"], to=_number(part["e_to"]) if part["e_to"] else None)
    if part["count"]:
        count = part["count"].lower()
        doses = Fraction(_COUNTS[count]) if count in _COUNTS else _number(_COUNTED.sub("", count))
        if part["c_ly"]:
            return _every(
                one,
                {"daily": "day", "nightly": "night"}.get(
                    part["c_ly"].lower(), _ADVERBS.get(part["c_ly"].lower(), (1, ""))[1]
                ),
                doses,
            )
        return _every(_number(part["c"] or "1"), part["c_unit"], doses) if doses else None
    if part["n"]:
        return _every(_number(part["n"]), _ADVERBS[part["n_ly"].lower()][1])
    if part["single"]:
        return Frequency(Fraction(0), Fraction(0), False)
    if part["alternate"]:
        return _every(Fraction(2), "day")
    if part["each"]:
        return _every(one, part["each"])
    if part["ly"]:
        many, unit = _ADVERBS[part["ly"].lower()]
        return _every(Fraction(many), unit, when="bedtime" if part["ly"].lower() == "nightly" else "")
    if part["latin"]:
        times, many, unit, when = _ABBREVIATED[part["latin"].translate(_DOTS).lower()]
        return _every(Fraction(many), unit, Fraction(times), when=when)
    return _read_han(part)


def _read_han(part: dict[str, str | None]) -> Frequency | None:
    one = Fraction(1)
    if part["h_unit"] and part["h_n"]:
        return _every(one, part["h_unit"], _number(part["h_n"]))
    if part["s_unit"] and part["s_n"]:
        return _every(one, part["s_unit"], _number(part["s_n"]))
    if part["gap"] and "时" not in str(part["m_unit"]):
        return None  # 每隔2天 is every second day to some and every third to others
    if part["m_unit"] and part["m"]:
        return _every(_number(part["m"]), part["m_unit"], _number(part["m_n"] or "1"))
    if part["skip"]:
        return _every(Fraction(2), part["skip"])
    if part["a_unit"]:
        period = {"季度": Fraction(3), "半年": Fraction(6)}.get(part["a_unit"], one)
        return _every(period, {"季度": "月", "半年": "月"}.get(part["a_unit"], part["a_unit"]))
    return _every(_number(part["o"] or "1"), str(part["o_unit"]))
