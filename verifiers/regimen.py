"""Read a regimen out of a text: doses, durations, frequencies, routes, the time of day, and the words that are left."""

import re
from dataclasses import dataclass
from functools import lru_cache

from medrl.verifiers.frequency import Frequency, Route, frequencies, routes, times_of_day
from medrl.verifiers.quantity import WORDS, Quantity, han_number, is_range, plain, quantities

_GLUE = re.compile(
    r"\b(?:give|given|take|taken|repeat\w*|inject\w*|injections?|route|dose[sd]?|doses?|dosing|administ\w+|use[d]?|for|of|by|via|as|at|to|"
    r"a|an|the|in|on|is|it|are|be|should|can|may|would|and|with|total|deep|slow|slowly|course|duration|schedule|regimen|"
    r"interval|frequency|enough|sufficient|every|usually|typically|approximately|about|around|instead|treatment|therapy|"
    r"tablets?|capsules?|x|days?|drug|medication|solution|only|please|also|mode|through)\b|"
    r"[给予经由服用应为是的途径方式注射肌深部剂量疗程连续共持续一次次每一般通常可约大患者成人即治疗方案采缓慢片粒持]+|[.,:;()/×·*+，。；：（）-]",
    re.IGNORECASE,
)
_ARM = "(?:[左右双]侧?)?(?:上臂|前臂|大腿|臀部|腹部|腹壁)(?:前|后)?(?:外侧|内侧|中部)?"
SITE = re.compile(f"{_ARM}(?:三角肌(?:下缘|附着处)?)?|三角肌(?:下缘|附着处)?")
_BECAUSE = re.compile(r",? (?:because|since|given that|as (?:the|it))\b|,?因为|,?由于", re.IGNORECASE)
_DIGIT = re.compile(r"\d")
_DASHED = re.compile(r"(?<=\d)-(?=(?:day|week|month)s? (?:course|supply|treatment|regimen|therapy)\b)", re.IGNORECASE)
_SPELT = re.compile(
    rf"\b(?:half(?: of)? an?|{'|'.join(WORDS)}|an?)(?= (?:day|week|fortnight|month|year|hour)s?\b)", re.IGNORECASE
)  # beside a dose in digits
_SPELT_HAN = re.compile(r"[一二两三四五六七八九十]{1,3}(?=个?(?:天|日|周|星期|月|小时))")


@dataclass(frozen=True)
class Regimen:
    """What a text says of how a drug is given, each part in order, and the words that are left."""

    doses: tuple[Quantity, ...]
    durations: tuple[Quantity, ...]
    frequencies: tuple[Frequency, ...]
    routes: tuple[Route, ...]
    when: frozenset[str]
    rest: str
    ranged: bool = False

    @property
    def parts(self) -> int:
        return sum(map(bool, (self.doses, self.durations, self.frequencies, self.routes)))


@lru_cache(maxsize=4096)
def regimen(text: str) -> Regimen:
    """The parts of a text, with blanks where each was read."""
    text = _BECAUSE.split(plain(text[:600]).replace("**", ""))[0]
    text = _DASHED.sub(" ", text)
    often, text = frequencies(text)
    when, text = times_of_day(SITE.sub(" ", text))
    ways, text = routes(text)
    if _DIGIT.search(text):
        text = _SPELT.sub(lambda m: "0.5" if m[0][:4].lower() == "half" else str(WORDS.get(m[0].lower(), 1)), text)
        text = _SPELT_HAN.sub(lambda m: str(han_number(m[0])), text)
    found = quantities(text)
    ranged = is_range(text)
    for q in reversed(found):
        text = text[: q.span[0]] + " " * (q.span[1] - q.span[0]) + text[q.span[1] :]
    long = tuple(q for q in found if q.unit and q.unit.dims == (("time", 1),))
    doses = tuple(q for q in found if q not in long)
    when = when.union(one.when for one in often if one.when)
    return Regimen(
        doses, long, tuple(dict.fromkeys(often)), tuple(dict.fromkeys(ways)), when, _GLUE.sub(" ", text).strip(), ranged
    )
