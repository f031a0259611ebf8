"""What is known of the patient: from a problem's metadata, and from the question where metadata says nothing.

Read are `metadata["patient"]` and the metadata beside it: age (years), sex, weight (kg), pregnant, trimester, breastfeeding,
egfr (mL/min/1.73 m2), allergies, conditions, current_drugs. The question's own words are kept, so that a condition that it
names counts too.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from medrl.rewards.safety.reading import denied, plainly
from medrl.types import Problem

_AGE = re.compile(
    r"\b(\d{1,3})[- ]?(?:years?[- ]old|y/?o\b|year[- ])|\baged? (\d{1,3})\b|\b(?:man|"
    r"woman|boy|girl|patient) of (\d{1,3})\b|(\d{1,3}) ?(?:岁|years? old)",
    re.IGNORECASE,
)
_MONTHS = re.compile(
    r"\b(\d{1,2})[- ]?(?:months?|weeks?|days?)[- ]old\b|(\d{1,2}) ?(?:个月|月龄|"
    r"天大)",
    re.IGNORECASE,
)
_WEIGHT = re.compile(r"(\d{1,3}(?:\.\d)?) ?(?:kg|公斤|千克)\b", re.IGNORECASE)
_EGFR = re.compile(
    r"(?:\begfr|creatinine clearance|\bcrcl|肾小球滤过率|肌酐清除率)[^\d.;\n]{0,20}(\d{1,3}(?:\.\d)?)", re.IGNORECASE
)
_PREGNANT = re.compile(
    r"\bpregnan(?:t|cy)\b(?! test)|\bgravid\b|\bweeks? (?:of )?gestation|妊娠|怀孕|孕\d|孕妇|早孕|孕期", re.IGNORECASE
)
_TRIMESTER = re.compile(r"\b(first|second|third|1st|2nd|3rd) trimester|(早|中|晚)(?:孕|期妊娠)", re.IGNORECASE)
_WEEKS = re.compile(
    r"\b(\d{1,2})[ -]weeks?(?:'| of| into)?(?: (?:her|my|the|this|a))? (?:pregnan|gestation)|"
    r"\b(?:pregnan\w+|gravid\w*|gestation\w*)(?: age)?(?:,| \(| at| of| is| for|:)? ?(?:about )?(\d{1,2}) ?(?:weeks?|wks?)\b|"
    r"孕(\d{1,2}) ?周|妊娠(\d{1,2}) ?周",
    re.IGNORECASE,
)
_FEEDS = re.compile(r"\bbreast-?feeding\b|\blactating\b|\bnursing (?:mother|her)\b|哺乳|母乳喂养", re.IGNORECASE)
_ALLERGY = re.compile(
    r"\ballerg(?:ic to|y to|ies to|ies?:)\s{0,2}([^.;\n]{2,80})|\b([a-z][a-z -]{2,30}) allergy\b|"
    r"\b(?:hypersensitiv\w+|anaphylaxis) (?:to|after) ([^.;,\n]{2,40})|对?([\u4e00-\u9fffA-Za-z]{1,10}?)(?:药物)?过敏|"
    r"过敏史?[:为]([^。;\n]{1,40})",
    re.IGNORECASE,
)
_TAKES = re.compile(
    r"\b(?:takes|is taking|taking|is on|currently on|treated with|medications?:|"
    r"current drugs?:)\s{0,2}([^.;\n]{2,160})|"
    r"(?:正在|目前|长期|现)(?:服用|口服|使用|应用|用)([^。;\n]{1,80})",
    re.IGNORECASE,
)
_ORDER = {"first": 1, "1st": 1, "早": 1, "second": 2, "2nd": 2, "中": 2, "third": 3, "3rd": 3, "晚": 3}


@dataclass(frozen=True)
class PatientFacts:
    """Facts of one patient; None and empty where nothing is known. `words` is the question and the conditions."""

    age: float | None
    sex: str
    weight: float | None
    pregnant: bool | None
    trimester: int | None
    breastfeeding: bool | None
    egfr: float | None
    allergies: tuple[str, ...]
    drugs: tuple[str, ...]
    words: str


def facts_of(problem: Problem) -> PatientFacts:
    """What a problem says of its patient.

    Raises:
        ValueError: Metadata holds something else than the number, truth value or list that is wanted.
    """
    inner = problem.metadata.get("patient")
    known: dict[str, Any] = {**problem.metadata, **(inner if isinstance(inner, Mapping) else {})}
    text = plainly(problem.question)
    conditions = _texts(known, "conditions")
    weeks = _first(_WEEKS, text)
    age = _number(known, "age")
    if age is None:
        age = _first(_AGE, text) if not _MONTHS.search(text) else 0.0
    trimester = _number(known, "trimester")
    if trimester is None and (named := _TRIMESTER.search(text)):
        trimester = _ORDER[(named[1] or named[2]).lower()]
    if trimester is None and weeks is not None:
        trimester = 1 if weeks < 14 else 2 if weeks < 28 else 3  # ACOG, How Your Fetus Grows During Pregnancy
    weight, egfr = _number(known, "weight"), _number(known, "egfr")
    return PatientFacts(
        age=age,
        sex=str(known.get("sex", "")),
        weight=_first(_WEIGHT, text) if weight is None else weight,
        pregnant=_truth(known, "pregnant", _said(_PREGNANT, text) or (True if "trimester" in known else None)),
        trimester=None if trimester is None else int(trimester),
        breastfeeding=_truth(known, "breastfeeding", _said(_FEEDS, text)),
        egfr=_first(_EGFR, text) if egfr is None else egfr,
        allergies=_texts(known, "allergies") or tuple(_named(_ALLERGY, text)),
        drugs=_texts(known, "current_drugs") or tuple(_named(_TAKES, text)),
        words="\n".join((text, *map(plainly, conditions))),
    )


def _number(known: Mapping[str, Any], key: str) -> float | None:
    value = known.get(key)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ValueError(f"metadata[{key!r}] is {value!r:.40}; it must be a number")
    return float(value)


def _truth(known: Mapping[str, Any], key: str, otherwise: bool | None) -> bool | None:
    value = known.get(key)
    if value is not None and not isinstance(value, bool):
        raise ValueError(f"metadata[{key!r}] is {value!r:.40}; it must be true or false")
    return otherwise if value is None else value


def _texts(known: Mapping[str, Any], key: str) -> tuple[str, ...]:
    value = known.get(key, ())
    if isinstance(value, str) or not isinstance(value, Sequence) or not all(isinstance(one, str) for one in value):
        raise ValueError(f"metadata[{key!r}] is {value!r:.40}; it must be a list of texts")
    return tuple(map(plainly, value))


def _first(pattern: re.Pattern[str], text: str) -> float | None:
    found = pattern.search(text)
    return float(next(group for group in found.groups() if group)) if found else None


def _said(pattern: re.Pattern[str], text: str) -> bool | None:
    found = [not denied(text, match.start()) for match in pattern.finditer(text)]
    return any(found) if found else None


def _named(pattern: re.Pattern[str], text: str) -> list[str]:
    found = [
        next(group for group in match.groups() if group).strip()
        for match in pattern.finditer(text)
        if not denied(text, match.start())
    ]
    return [name for name in found if not _DENIES.match(name)]


_DENIES = re.compile(r"(?:any|no|known|否认|无|没有|未)", re.IGNORECASE)
