"""References that are a stage, grade, class, degree or category: "Stage IV", NYHA class III, 浅Ⅱ度, G3b, III期.

The figure may be Roman, Arabic, a word or Chinese. It is exact, and so is the letter behind it: where 3b is asked, 3 says
too little. What else a sentence names is left to the vocabulary.
"""

import re
import unicodedata
from functools import lru_cache
from typing import NamedTuple

from medrl.types import Verdict
from medrl.verifiers.normalise import normal
from medrl.verifiers.patterns import Pattern
from medrl.verifiers.wording import DENIES

_ROMAN = ("i", "ii", "iii", "iv", "v", "vi", "vii", "viii", "ix", "x")
_FIGURES = {word: str(n) for n, word in enumerate(_ROMAN, 1)}
_FIGURES |= {word: str(n) for n, word in enumerate("zero one two three four five six seven eight nine ten".split())}
_FIGURES |= {word: str(n) for n, word in enumerate("first second third fourth fifth".split(), 1)}
_FIGURES |= {word: str(n) for n, word in enumerate("零一二三四五六七八九十")}
_FIGURES |= {"1st": "1", "2nd": "2", "3rd": "3", "4th": "4", "甲": "a", "乙": "b", "丙": "c"}
_WORD = "one|two|three|four|five|six|zero"
_N = rf"(?:viii|vii|vi|iv|ix|iii|ii|i|v|x|10|[0-9]|{_WORD})"
_KINDS = {
    "stage": "stage", "grade": "grade", "class": "class", "degree": "degree", "category": "category", "phase": "stage",
    "level": "level", "期": "stage", "级": "grade class", "度": "degree grade", "°": "degree grade", "类": "class category",
    "分期": "stage", "分级": "grade class",
}  # fmt: skip
_SYSTEMS = (
    r"NYHA|CCS|CKD|KDIGO|ASA|CIN|VIN|AIN|VAIN|BI-?RADS|PI-?RADS|TI-?RADS|LI-?RADS|FIGO|WHO|Killip|Fontaine|Rutherford|"
    r"Child(?:[- ]Pugh)?|Dukes'?|"
    r"Tanner|Hunt(?:[- ]and)?[- ]Hess|Fisher|GOLD|ECOG|Mallampati|Clark|Ann Arbor|Garden|Gustilo|Salter[- ]Harris|Braak|"
    r"Hurley|m?MRC|Wagner|"
    r"West Haven|Rai|Binet|AKIN|Bosniak|Spetzler[- ]Martin|Forrest|Los Angeles|Marsh|METAVIR|Hinchey|ISS|R-ISS|Keith[- "
    r"]Wagener|KWB"
)
_FOUND = re.compile(
    rf"(?P<kind>stage|grade|class|degree|category|phase|level)[ -]*(?P<n>{_N}|(?-i:[A-E])(?![a-z]))(?:[ "
    rf"-]?(?P<s>[a-e][1-3]?)(?![a-z0-9]))?(?![a-z0-9])|"
    rf"\b(?P<ordinal>first|second|third|fourth|1st|2nd|3rd|4th)[- ](?P<kind2>degree|grade|stage|class)\b|"
    rf"(?P<depth>[浅深])?第?(?P<hn>{_N}|[一二三四五六七八九十甲乙丙])[- ]?(?P<hs>[a-e][1-3]?)?(?P<kind3>期|级|度|类|"
    rf"°)(?P<hs2>[a-e](?![a-z]))?|"
    rf"\b(?P<system>{_SYSTEMS})[- ]*(?:(?P<kind4>stage|grade|class|category|level)[ -]*)?(?P<sn>{_N}|"
    rf"(?-i:[A-E])(?![a-z]))(?:(?P<ss>[a-e][1-3]?)(?![a-z0-9]))?(?![a-z0-9])|"
    r"(?<![A-Za-z0-9])(?P<code>(?-i:[GATNMFSP]))(?P<cn>[0-5])(?P<cs>[a-d])?(?![A-Za-z0-9])",
    re.IGNORECASE,
)
_BARE = re.compile(rf"(?P<n>{_N}|[一二三四五六七八九十])[ -]?(?P<s>[a-e][1-3]?)?", re.IGNORECASE)
_NONE = re.compile(
    r"(?:it is |it's )?(?:unstageable|ungradable|ungradeable|unclassifiable)(?: .{0,40})?|(?:不可|无法)(?:分期|分级|分类)",
    re.IGNORECASE,
)
_MAY = re.compile(rf"[0-9期级度类°]|\b(?:{_N}|[A-E]|stage|grade|class|degree|category|phase|level)\b", re.IGNORECASE)
_BECAUSE = re.compile(r"\b(?:because|since|as|given|meaning)\b|因|由于", re.IGNORECASE)
_CHANGED = re.compile(
    r"\b(?:up|down)(?:staged|graded)\b|\b(?:formerly|previously|now|excluded|wrong\w*|metasta\w+|incurable)\b|原为|曾|现|错|误|转移",
    re.IGNORECASE,
)
_TURNS = re.compile(
    r"\b(?:not|no|or|from|to|than|least|most|above|below|beyond|between|before|after|early|late|borderline|almost|if|"
    r"previous\w*|was|"
    r"between|and)\b|n't\b|[<>~+-]\s*\Z|[不非或至到以超未除原曾]",
    re.IGNORECASE,
)
_GENERAL = frozenset(
    normal(
        "it is its it's s a an the this that of on by in has have patient patient's he she they corresponds to as be "
        "would should "
        "answer disease symptoms functional status classification system score scale category stage grade class staging "
        "grading most likely probably"
    ).split()
)
_GENERAL_HAN = re.compile(r"患者|属于?|为|应该?|分期|分级|是|该|考虑|诊断|答案|的|约|深度")
_GAPS = re.compile(r"[\s*_\"'“”.,，。:：()（）-]+")


class Stage(NamedTuple):
    """A stage as it was written: kinds of scale that it may be of, figure, letter behind it, 浅 or 深, letter of a code."""

    kinds: frozenset[str]
    figure: str
    letter: str
    depth: str
    code: str


def by_stage(question: str, reference: str, text: str) -> Verdict | None:
    """What an answer says against a reference that is a stage and nothing else; None of any other, and where it is open."""
    if tnm := _TNM.fullmatch(reference.strip(" .。")):
        return _by_tnm(tnm, text)
    wanted = _reference(reference, question)
    if wanted is None:
        return None
    text = _plainly(text)
    if len(text) > 200:
        return None
    if _NONE.fullmatch(text):
        return Verdict.wrong("no stage where one is the reference")
    given, before, after = _only(text)
    offered = [_only(part.strip(" ,，"))[0] for part in _OR.split(text)] if given is None and len(text) < 60 else []
    if len(offered) > 1 and None not in offered and len(set(offered)) > 1:
        return Verdict.wrong("an open choice of stages")
    if given is None or of_another_scale(text, question, reference):
        return None
    if _TURNS.search(before[-40:]) or DENIES.search(before) or _OR.search(after):
        return None
    if DENIES.search(after) or "?" in text:
        return None
    if wanted.kinds and given.kinds and not wanted.kinds & given.kinds and not _PRESSURE.search(question):
        return None
    if wanted.code and given.code and wanted.code != given.code:
        return Verdict.wrong(f"{given.code}{given.figure} is not {reference!r:.40}")
    if not wanted.code and given.code:
        return None
    if wanted.code and not given.code and not given.kinds & {"stage", "grade", "category"}:
        return None
    if given.figure != wanted.figure:
        return Verdict.wrong(f"{given.figure}{given.letter}, where {reference!r:.40} is right")
    for ours, theirs in ((wanted.letter, given.letter), (wanted.depth, given.depth)):
        if ours and not theirs:
            return Verdict.wrong(f"it says less than {reference!r:.40}")
        if theirs and not ours:
            return None
        if ours != theirs:
            return Verdict.wrong(f"{theirs} where {reference!r:.40} is right")
    return (
        None
        if _strange(f"{before} {_BECAUSE.split(after)[0]}", question) or _CHANGED.search(after)
        else Verdict.right(f"it is {reference!r:.40}")
    )


def denies_what_is_staged(reference: str, text: str) -> bool:
    """Whether an answer to a bare stage, class or type denies anything but another one: "NYHA IV not heart failure"."""
    return bool(_BARE_STAGE.fullmatch(reference) and _DENIES_MORE.search(text))


_BARE_STAGE = re.compile(
    rf"(?:(?:[A-Z][\w'-]{{1,20}}[ -]){{0,2}}(?:(?:stage|grade|class|type|category|group|level) )?|{_SYSTEMS}[ -]*)"
    rf"(?:{_N}|[A-F])[a-e]?[1-3]?",
    re.IGNORECASE,
)
_DENIES_MORE = re.compile(
    rf"\b(?:not|no|without)\b(?!(?: an?| the)?(?: [A-Z][\w'-]{{1,20}}){{0,2}}"
    rf"(?: (?:stage|grade|class|type|category|group|level))? (?:{_N}|[A-F])[a-e]?[1-3]?\b)",
    re.IGNORECASE,
)
# Tumour, nodes, metastases; "c" and "p" say how they were found.
_TNM = re.compile(
    r"(?<![A-Za-z0-9])(?P<how>[cpy]{0,2})T(?P<t>is|[0-4x][a-d]?)[ ,;，、-]{0,3}N(?P<n>[0-3x][a-c]?)[ ,;，、-]{0,3}"
    r"M(?P<m>[01x][a-c]?)(?![A-Za-z0-9])",
    re.IGNORECASE,
)


def _by_tnm(wanted: re.Match[str], text: str) -> Verdict | None:
    """The verdict of an answer with one TNM stage against a reference that is one."""
    text = _plainly(text)
    found = list(_TNM.finditer(text))
    if len(found) != 1 or len(text) > 120:
        return None
    given, rest = found[0], text[: found[0].start()] + " " + text[found[0].end() :]
    if _TURNS.search(rest) or _OR.search(rest) or DENIES.search(rest) or "?" in rest:
        return None
    ours, theirs = ([match[part].lower() for part in "tnm"] for match in (wanted, given))
    if ours != theirs:
        finer = all(one.startswith(other) or other.startswith(one) for one, other in zip(ours, theirs, strict=True))
        less = finer and all(one.startswith(other) for one, other in zip(ours, theirs, strict=True))
        return None if finer and not less else Verdict.wrong(f"{given[0]} is not {wanted[0]}")
    how = wanted["how"].lower(), given["how"].lower()
    same = how[0] == how[1] or (not all(how) and "y" not in "".join(how))  # after treatment it is another stage
    return Verdict.right(f"it is {wanted[0]}") if same and not _strange(rest, "") else None


_OR = re.compile(r"\bor\b|或", re.IGNORECASE)
# Of these stage, category and grade are one scale.
_PRESSURE = re.compile(r"\b(?:pressure|decubitus) (?:injur|ulcer|sore)|\bbedsore|压力性?损伤|压疮|褥疮", re.IGNORECASE)
_PRESSURE_WORDS = frozenset(normal("pressure injury injuries ulcer sore bedsore decubitus").split())
KIDNEY = Pattern(r"\b(?:e?GFR|CKD|KDIGO)\b|慢性肾", re.IGNORECASE)
_SCALE = re.compile(rf"(?<![A-Za-z])(?:{_SYSTEMS})(?![A-HJ-UWYZa-hj-uwyz])", re.IGNORECASE)
_SORT = re.compile(
    r"stage|phase|分?期|grade|分?级|degree|[度°]|class|category|group|分?类|(?:sub)?type|[亚分]?型", re.IGNORECASE
)
_SAME_SORT = {"phase": "stage", "期": "stage", "级": "grade class", "度": "degree grade", "°": "degree grade",
              "degree": "degree grade", "类": "class category", "group": "group category", "型": "type"}  # fmt: skip


# What counts in Chinese: 级 and 度 are of two scales, though "grade" may be either.
_COUNTER = re.compile(r"[\dIVXⅠ-Ⅻ一二三四五六七八九十][a-e]?\s?([期级度类型°])", re.IGNORECASE)


def of_another_scale(text: str, question: str, reference: str) -> bool:
    """Whether an answer names a scale (NYHA, CCS) that the problem does not, or none of its sorts of one (grade)."""
    problem = f"{question} {reference}"
    ours, theirs = ({c.replace("°", "度") for c in _COUNTER.findall(one)} for one in (reference, text))
    if ours and theirs and ours.isdisjoint(theirs) and not _PRESSURE.search(problem):
        return True
    scales = {found.casefold() for found in _SCALE.findall(text) if found != "who"}
    if any(scale not in problem.casefold() for scale in scales):
        return True
    given, wanted = _sorts(text), _sorts(problem)
    if "category" in wanted and KIDNEY.search(problem):
        wanted.add("stage")  # G3b is CKD stage 3b
    if wanted and _PRESSURE.search(problem):
        wanted |= {"stage", "category", "grade"}
    return bool(given and wanted) and given.isdisjoint(wanted)


def _sorts(text: str) -> set[str]:
    found = (word.casefold().lstrip("分亚").removeprefix("sub") for word in _SORT.findall(text))
    return {sort for word in found for sort in _SAME_SORT.get(word, word).split()}


@lru_cache(maxsize=2048)
def _reference(reference: str, question: str) -> Stage | None:
    if len(reference) > 60 or not _MAY.search(reference):  # told fast, of most
        return None
    found, before, after = _only(_plainly(reference))
    return found if found and not _strange(f"{before} {after}", question) else None


def _plainly(text: str) -> str:
    return unicodedata.normalize("NFKC", text).replace("**", "").strip(" .。")


def _only(text: str) -> tuple[Stage | None, str, str]:
    """The one stage that a text names, and what stands before and after it; None where there are several."""
    found = list(_FOUND.finditer(text))
    stages = {_read(match) for match in found}
    if len(stages) == 1:
        return stages.pop(), text[: found[0].start()], text[found[-1].end() :]
    bare = _BARE.fullmatch(text) if not found else None
    if bare:
        return Stage(frozenset(), _figure(bare["n"]), (bare["s"] or "").lower(), "", ""), "", ""
    return None, "", ""


def _read(match: re.Match[str]) -> Stage:
    part = match.groupdict()
    figure = part["n"] or part["ordinal"] or part["hn"] or part["sn"] or part["cn"] or ""
    letter = part["s"] or part["hs"] or part["hs2"] or part["ss"] or part["cs"] or ""
    kind = (part["kind"] or part["kind2"] or part["kind3"] or part["kind4"] or "").lower()
    kinds = frozenset(_KINDS.get(kind, "").split())
    return Stage(kinds, _figure(figure), letter.lower(), part["depth"] or "", part["code"] or "")


def _figure(word: str) -> str:
    return _FIGURES.get(word.lower(), word.lower())


def _strange(rest: str, question: str) -> bool:
    """Whether words beside a stage are neither of the question nor such as stand beside any stage."""
    rest = _GENERAL_HAN.sub(" ", re.sub(_SYSTEMS, " ", rest))
    known = set(normal(question).split())
    known |= _PRESSURE_WORDS if _PRESSURE.search(question) else set()
    for word in _GAPS.sub(" ", rest).split():
        if word.isascii():
            if word.lower() in _FIGURES or word.isdigit():
                return True
            if any(one not in known and one not in _GENERAL for one in normal(word).split()):
                return True
        elif any(c not in question for c in word):
            return True
    return False
