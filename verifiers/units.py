"""Units of measurement: a small table of dimensions that convert, and a reader of compounds such as mg/kg/day.

Units agree only when every dimension agrees, so mg/kg is never mg and a dose per day is never a dose. What is counted
(tablets, doses, units of activity) is a dimension of its own; percent is the plain number 0.01.
"""

import re
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache

from medrl.verifiers.scripts import is_latin

Dims = tuple[tuple[str, int], ...]  # (dimension, exponent), sorted, no zeros


@dataclass(frozen=True)
class Unit:
    """A number in this unit is `scale` times itself, plus `offset`, in base units."""

    symbol: str
    scale: Fraction
    dims: Dims
    offset: Fraction = Fraction(0)

    def to_base(self, number: Fraction) -> Fraction:
        return number * self.scale + self.offset if self.offset else number * self.scale

    def from_base(self, number: Fraction) -> Fraction:
        return (number - self.offset if self.offset else number) / self.scale

    def same_as(self, other: "Unit") -> bool:
        return self is other or (self.dims == other.dims and self.scale == other.scale and self.offset == other.offset)


# (dimension, in base units, spellings). Lower case, except where case tells units apart (`_CASED`).
_TABLE = (
    ("mass", "1000", "kg|kilogram|kilograms|kgs|kilo|kilos|千克|公斤"),
    ("mass", "1", "g|gm|gram|grams|克"),
    ("mass", "0.001", "mg|milligram|milligrams|毫克"),
    ("mass", "0.000001", "ug|mcg|μg|microgram|micrograms|微克"),
    ("mass", "1e-9", "ng|nanogram|nanograms|纳克"),
    ("mass", "1e-12", "pg|picogram|picograms|皮克"),
    ("mass", "453.59237", "lb|lbs|pound|pounds"),
    ("mass", "500", "斤|市斤"),
    ("mass", "6350.29318", "stone|stones"),
    ("mass", "28.349523125", "oz|ounce|ounces"),
    ("volume", "1", "l|liter|liters|litre|litres|升"),
    ("volume", "0.1", "dl|deciliter|deciliters|decilitre|decilitres|分升"),
    (
        "volume",
        "0.001",
        "ml|cc|milliliter|milliliters|millilitre|millilitres|cm^3|cm3|cubic centimeter|cubic centimeters|毫升",
    ),
    (
        "volume",
        "0.000001",
        "ul|mcl|μl|microliter|microliters|microlitre|microlitres|mm^3|mm3|cubic millimeter|cubic millimeters|cubic "
        "millimetre|cubic mm|cmm|立方毫米|微升",
    ),
    ("volume", "0.005", "tsp|teaspoon|teaspoons|teaspoonful|茶匙"),
    ("volume", "0.015", "tbsp|tablespoon|tablespoons|tablespoonful|汤匙"),
    ("volume", "1e-15", "fl|femtoliter|femtoliters|飞升"),
    ("length", "1", "m|meter|meters|metre|metres|米"),
    ("length", "0.01", "cm|centimeter|centimeters|centimetre|centimetres|厘米"),
    ("length", "0.001", "mm|millimeter|millimeters|millimetre|millimetres|毫米"),
    ("length", "0.000001", "um|μm|micron|microns|micrometer|micrometers|微米"),
    ("length", "1e-9", "nm|nanometer|nanometers|纳米"),
    ("length", "0.0254", "inch|inches"),
    ("length", "0.3048", "ft|foot|feet"),
    ("time", "1", "s|sec|secs|second|seconds|秒"),
    ("time", "0.001", "ms|msec|millisecond|milliseconds|毫秒"),
    ("time", "60", "min|mins|minute|minutes|分钟|分"),
    ("time", "3600", "h|hr|hrs|hour|hours|小时|个小时|钟头|个钟头"),
    ("time", "86400", "d|day|days|daily|天|日"),
    ("time", "604800", "wk|wks|week|weeks|周|星期|个星期|礼拜|个礼拜"),
    ("time", "1209600", "fortnight|fortnights"),
    ("time", "2629746", "mo|month|months|个月|月"),
    ("time", "31556952", "y|yr|yrs|year|years|年|岁"),
    (
        "pressure",
        "1",
        "mmhg|mm hg|torr|mm of mercury|mm mercury|millimetres of mercury|millimeters of mercury|millimetre of mercury|"
        "millimeter of mercury|毫米汞柱",
    ),
    ("pressure", "7.50061683", "kpa|kilopascal|kilopascals|千帕"),
    (
        "pressure",
        "0.73555912",
        "cmh2o|cm h2o|cm of water|cm water|centimetres of water|centimeters of water|centimetre of "
        "water|centimeter of water|cm of h2o|厘米水柱|厘米水",
    ),
    ("pressure", "0.073555912", "mmh2o|mm h2o|毫米水柱"),
    ("pressure", "0.750061683", "mbar|hpa"),
    ("amount", "1", "mol|mole|moles|摩尔"),
    ("amount", "0.001", "mmol|millimol|millimole|millimoles|毫摩尔"),
    ("amount", "0.000001", "umol|μmol|mcmol|micromol|micromole|micromoles|微摩尔"),
    ("amount", "1e-9", "nmol|nanomol|nanomole|nanomoles|纳摩尔"),
    ("amount", "1e-12", "pmol|picomol|picomole|picomoles|皮摩尔"),
    ("amount", "1e-15", "fmol|femtomole|femtomoles|飞摩尔"),
    ("charge", "1", "eq"),
    ("charge", "0.001", "meq|milliequivalent|milliequivalents|毫当量"),
    ("osmoles", "0.001", "mosm|mosmol|milliosmole|milliosmoles|毫渗"),
    ("energy", "1", "kcal|kilocalorie|kilocalories|千卡|大卡"),
    ("energy", "0.239005736", "kj|kilojoule|kilojoules|千焦"),
    ("activity", "1", "iu|u|unit|units|单位|国际单位"),
    ("activity", "0.001", "miu|mu|milliunit|milliunits"),
    ("activity", "0.000001", "uiu|μiu|microunit|microunits"),
    ("activity", "60000000", "kat|katal|katals"),  # 1 U is the enzyme that turns over 1 μmol a minute
    ("activity", "60", "ukat|μkat|microkatal|microkatals"),
    ("activity", "0.06", "nkat|nanokatal|nanokatals"),
    ("radiation", "1", "gy|gray|戈瑞"),
    ("radiation", "0.01", "cgy"),
    ("radiation", "0.001", "mgy"),
    ("equivalent dose", "1", "sv|sievert|sieverts|西弗"),
    ("equivalent dose", "0.001", "msv|millisievert|millisieverts|毫西弗"),
    ("equivalent dose", "0.01", "rem|rems"),
    ("decays", "1", "bq|becquerel|becquerels|贝可"),
    ("decays", "1000", "kbq"),
    ("decays", "1000000", "mbq|megabecquerel|megabecquerels|兆贝可"),
    ("decays", "1000000000", "gbq"),
    ("decays", "37000000", "mci|millicurie|millicuries|毫居里"),
    ("decays", "37000", "uci|μci|microcurie|microcuries|微居里"),
    ("frequency", "1", "hz|hertz|赫兹"),
    ("frequency", "1000", "khz|千赫"),
    ("frequency", "1000000", "mhz|兆赫"),
    ("refraction", "1", "diopter|diopters|dioptre|dioptres|屈光度"),
    ("loudness", "1", "db|decibel|decibels|分贝"),
    ("surface", "1", "1.73 m^2|1.73m^2|1.73 m2|1.73m2|1.73 ㎡|1.73㎡"),
    (
        "area",
        "1",
        "m^2|m2|㎡|平方米|square meters|square meter|square metres|square metre|sq m|sq. m|sqm|meters squared|metres squared|"
        "meter squared|metre squared|m squared",
    ),
    (
        "area",
        "0.0001",
        "cm^2|cm2|平方厘米|square centimeters|square centimeter|square centimetres|square centimetre|sq cm|sq. cm|"
        "centimeters squared|centimetres squared|cm squared",
    ),
    ("area", "0.000001", "mm^2|mm2|平方毫米|square millimeters|square millimetres|square mm|sq mm|mm squared"),
    ("", "0.01", "%|percent|per cent|pct"),
    ("", "0.001", "‰|per mille"),
    # What is counted may go unsaid: 20 x 10^9/L of cells. Two counts of different things are not one (`counted`).
    ("", "1", "cells|cell|个细胞|leukocytes|leucocytes|white cells|neutrophils|wbc|wbcs|rbc|rbcs|platelets"),
    ("", "1", "cfu|colony-forming units|colony forming units|colonies|bacteria|organisms|菌落|菌落形成单位|个菌落"),
    ("", "1", "copies|copy|拷贝|个拷贝|拷贝数"),
    # Which counter is said does not matter: 腰椎 are 5块 or 5节.
    ("", "1", "颗|块|根|节|条|叶|段|层|例|名|项|种|支|对|双|瓣|组"),
    ("beats", "1", "beats|beat"),
    ("breaths", "1", "breaths|breath|respirations|次呼吸"),
    ("times", "1", "次"),
    ("capsules", "1", "capsule|capsules|cap|caps|胶囊|粒胶囊"),
    ("puffs", "1", "puff|puffs|喷|揿"),
    ("vials", "1", "vial|vials|ampoule|ampoules|ampule|ampules|amp|amps|瓶|安瓿"),
    ("tablets", "1", "tablet|tablets|tab|tabs|pill|pills|片|粒|枚"),
    ("doses", "1", "dose|doses|剂"),
    ("drops", "1", "drop|drops|gtt|滴"),
)
_CASED = {
    "M": ("1", (("amount", 1), ("volume", -1))),
    "mM": ("0.001", (("amount", 1), ("volume", -1))),
    "uM": ("0.000001", (("amount", 1), ("volume", -1))),
    "μM": ("0.000001", (("amount", 1), ("volume", -1))),
    "nM": ("1e-9", (("amount", 1), ("volume", -1))),
    "bpm": ("1/60", (("time", -1), ("times", 1))),  # of beats or of breaths
    "MU": ("1000000", (("activity", 1),)),
    "mg%": ("0.01", (("mass", 1), ("volume", -1))),  # in 100 mL
    "mg percent": ("0.01", (("mass", 1), ("volume", -1))),
    "fps": ("1", (("length", 1), ("time", -1))),
}
_DEGREES = (
    (
        "1",
        "0",
        "°c|° c|degrees c|degree c|deg c|deg. c|degc|celsius|degrees celsius|degree celsius|degrees centigrade|degree "
        "centigrade|centigrade|摄氏度|度",
    ),
    (
        "5/9",
        "-160/9",
        "°f|° f|degrees f|degree f|deg f|deg. f|degrees fahrenheit|degree fahrenheit|degf|fahrenheit|degrees "
        "fahrenheit|华氏度",
    ),
)


def _units() -> dict[str, Unit]:
    units: dict[str, Unit] = {}
    for dimension, scale, names in _TABLE:
        dims: Dims = ((dimension, 1),) if dimension else ()
        units.update({name: Unit(name, Fraction(scale), dims) for name in names.split("|")})
    for scale, offset, names in _DEGREES:
        units.update({n: Unit(n, Fraction(scale), (("temperature", 1),), Fraction(offset)) for n in names.split("|")})
    units.update({name: Unit(name, Fraction(scale), dims) for name, (scale, dims) in _CASED.items()})
    for count, many in (("k", 10**9), ("thou", 10**9), ("m", 10**12), ("mil", 10**12)):  # 12.4 K/μL of cells
        for volume in ("ul", "μl", "mcl", "mm^3", "mm3", "cmm", "cumm"):
            units[f"{count}/{volume}"] = Unit(f"{count}/{volume}", Fraction(many), (("volume", -1),))
    return units


UNITS = _units()
_NAMES = frozenset(map(str.lower, UNITS))
_LENGTHS = {  # by its first character those that a name may have, the longest first
    first: sorted({len(name) for name in _NAMES if name[0] == first}, reverse=True) for first in {n[0] for n in _NAMES}
}
_PER = re.compile(r" ?(?:/|\bper\b|每) ?|[·*⋅](?=[A-Za-z])", re.IGNORECASE)
_MANY = re.compile(r"([1-9]\d{0,3}) ?(?=[A-Za-z毫升小天日])")
_WORD = re.compile(r" ?([A-Za-zμ°%‰]+)")


def read_unit(text: str, at: int) -> tuple[Unit | None, int]:
    """The unit that starts at `at` (after at most one space) and where it ends; (None, at) when there is none.

    `text` has been through NFKC. A compound reads as far as its parts are known: "/L" alone is a unit too.
    """
    parts: list[tuple[str, int]] = []
    times = 1
    start = at + (text[at : at + 1] == " ")
    position, sign, end = start, 1, at
    while end - start < 40:
        per = _PER.match(text, end)
        if per and (end > at or "/" in per[0] or "per" in per[0].lower() or "每" in per[0]):
            position, sign = per.end(), -1 if per[0].strip() not in ("·", "*", "⋅") else 1
            many = _MANY.match(text, position) if sign < 0 else None
            if many and _end_of_name(text, many.end()) > many.end():
                position, times = many.end(), times * int(many[1])  # mg per 100 mL, mL/24 h
        elif end > at:
            break
        after = _end_of_name(text, position)
        if after == position:
            break
        parts.append((text[position:after], sign))
        end = after
    return (_compound(text[at:end].strip(), tuple(parts), times), end) if parts else (None, at)


@lru_cache(maxsize=4096)
def _compound(symbol: str, parts: tuple[tuple[str, int], ...], times: int) -> Unit:
    """The unit of these names, each to the power 1 or -1, per so many. Of two in other case as written: mM, not mm."""
    scale, offset, dims = Fraction(1, times), Fraction(0), dict[str, int]()
    for name, sign in parts:
        unit = UNITS.get(name) or UNITS[name.lower()]
        scale = scale * unit.scale if sign > 0 else scale / unit.scale
        offset = unit.offset
        for dimension, power in unit.dims:
            if sign < 0 and dimension == "mass":
                dimension = "body mass"  # mg/kg must not cancel down to a plain number
            dims[dimension] = dims.get(dimension, 0) + sign * power
    return Unit(symbol, scale, tuple(sorted((d, p) for d, p in dims.items() if p)), offset)


def _end_of_name(text: str, at: int) -> int:
    """Where the longest name of a unit that stands at `at` ends: "mm Hg" before "mm". `at` where there is none."""
    for length in _LENGTHS.get(text[at : at + 1].lower(), ()):
        name = text[at : at + length]
        end = at + len(name)
        if name.lower() in _NAMES and not (is_latin(name[-1]) and _goes_on(text[end : end + 1])):
            return end
    return at


def _goes_on(character: str) -> bool:
    """Whether a Latin unit does not end here: it ends where its word does; a Chinese one needs no boundary."""
    return character == "^" or is_latin(character)


_UNSAID = frozenset(("beats", "breaths", "times"))  # in "20 per minute" nobody says what is counted
_CELLS = re.compile(r"cell|cyte|wbc|rbc|phil|platelet", re.IGNORECASE)
_COLONIES = re.compile(r"cfu|colon|bacteria|organism|菌", re.IGNORECASE)
_COPIES = re.compile(r"cop(?:y|ies)|拷贝", re.IGNORECASE)


def without_counts(dims: Dims) -> Dims:
    """`dims` without what may go unsaid."""
    return tuple((dimension, power) for dimension, power in dims if dimension not in _UNSAID)


def counted(unit: Unit) -> frozenset[str]:
    """What a unit counts, as far as it says so."""
    return _counted(unit.symbol, unit.dims)


@lru_cache(maxsize=1024)
def _counted(symbol: str, dims: Dims) -> frozenset[str]:
    kinds = {"cells": _CELLS, "colonies": _COLONIES, "copies": _COPIES}
    said = {kind for kind, words in kinds.items() if not symbol.isdigit() and words.search(symbol)}
    return frozenset(said | {dimension for dimension, _ in dims if dimension in ("beats", "breaths")})


@lru_cache(maxsize=4096)
def units_in(text: str) -> tuple[Unit, ...]:
    """Every unit that a question names, wherever it stands as a word of its own (single letters only after "in")."""
    found: list[Unit] = []
    at = 0
    while at < len(text) and len(found) < 64:
        starts = at == 0 or not text[at - 1].isalpha() or not text[at - 1].isascii() or not text[at].isascii()
        unit, end = read_unit(text, at) if starts and not text[at].isspace() and text[at] not in "/·*⋅" else (None, at)
        if unit and (end - at > 1 or text[max(0, at - 3) : at] in ("in ", "(in") or not text[at].isalnum()):
            found.append(unit)
        at = max(end, at + 1)
    return tuple(found)


def unknown_word(text: str, at: int) -> str:
    """The Latin word that follows a number where no unit was read, or ""."""
    match = _WORD.match(text, at)
    return match[1] if match else ""
