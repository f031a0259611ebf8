"""A calendar date or a gestational age against the reference, in English and Chinese: exact, whatever the notation.

A numeric date that agrees only when day and month change places is left to the next stage. An age is its days, so that
14 weeks, 2 days is 100 days; an age that leaves out the days is wrong where they are not 0.
"""

import re
from dataclasses import dataclass
from datetime import date
from functools import lru_cache
from typing import ClassVar

from medrl.types import Problem, Verdict
from medrl.verifiers.asked import wanted_unit
from medrl.verifiers.extract import Extracted
from medrl.verifiers.moments import Moment, asks_age, moments
from medrl.verifiers.quantity import plain
from medrl.verifiers.reading import TAKES_BACK, AnswerVerifier
from medrl.verifiers.units import UNITS

_NUMBER = re.compile(r"\d{1,2}")
_ROUNDED = 0.1  # weeks by which an age in tenths of a week may be rounded, or cut off
_LONGEST = 100  # characters of a reference that may be one date
_DIGIT = re.compile(r"\d")
_LATIN_WORD = re.compile(r"[a-z]+")
_WORD = re.compile(r"[a-z]+|[\u3400-\u9fff]+|[^\s\w.:\]-]")
_MARKED = re.compile("\0+")
_SENTENCE_END = re.compile(r"[。;\n!?]|\.(?= )")
_CLAUSE_END = re.compile(r"[,。;()\n!?]|\.(?= |$)")
_WEEKDAY = re.compile(r"(?:星期|礼拜|周)[一二三四五六日天]")
_MARKS = str.maketrans(dict.fromkeys(",()'", " "))
_MINUS = re.compile("-\0")
_YEAR = re.compile(r"(?<![\d.])(?:1[89]|2[01])\d\d(?!\d|\.\d)")
_OTHER_DAY = re.compile(r"\b(?:lmp|menstrual|period|cycle)\b|月经", re.IGNORECASE)
_DUE = re.compile(r"\b(?:due|ed[dc]|delivery|age|ga)\b|预产期|孕周|[孕胎]龄", re.IGNORECASE)
_OPENS = re.compile(
    "预产期|满|孕周|[孕胎]龄|目前|当前|现在?|已|[妊怀]?孕|大?约|大概|可能|应该?|[为是在的即故]|患者|孕妇|答案|因此|所以|[公阳]历|"
    "根据末次月经|推算|计算|预计|估计"
)
# What makes a text say something other than the date that stands in it.
_CHANGES = re.compile(
    r"\b(?:not|never|neither|nor|cannot|either|or|if|unless|before|after|prior|later|earlier|between|through|than|plus|"
    r"minus|at (?:least|most)|over|under|past|half|almost|nearly|just|within|except|lunar|julian|versus|vs|"
    r"concep\w+|postnatal|corrected|ruled|excluded|rejected|no|none|wrong|incorrect|false|unlikely)\b|n[' ]t\b|[<>≤≥±+~?]|"
    r"\b(?:by|until|till|from|up to) (?:the )?\0|\0 ?(?:-|to\b|or\b) ?\0|不|并非|农历|阴历|或|如果|假如|"
    r"至少|至多|最[早晚迟多少长短]|早于|晚于|非|除|错|误|否|剩|差|[自近距离还]\0|出生\0|"
    r"\0[ ,;(]*(?:(?:is|was|her|the|this|这|[是为]) ?)*(?:lmp|last|first|末次)|"
    r"超过|(?<![目当])前|后|内|半|[至到加减]\0|\0 ?[至到起]",
    re.IGNORECASE,
)
_FOLLOWS = frozenset(
    "a ad age and approximately as at based by calculated cycle date dating delivery due edc edd edc estimated expected for "
    "ga gestation gestational in is length lmp menstrual naegele of on patient per period pregnancy pregnant roughly rule s "
    "so the this using was which mon tue wed thu fri sat sun monday tuesday wednesday thursday friday saturday sunday "
    "about around answer correct current currently final finally hence here her his probably likely most "
    "she therefore thus today will would be been has have we i get give gives an baby fetus "
    "左右 整 孕 妊娠 是 为 了 分娩 出生 生产".split()
)


@dataclass(frozen=True)
class Dates(AnswerVerifier):
    """Decides a calendar date or a gestational age against a reference that is one."""

    name: ClassVar[str] = "date"

    def decide(self, problem: Problem, answer: Extracted) -> Verdict:
        if not answer.committed:
            return Verdict.abstain("a long answer without a committed date")
        wanted = reference_moment(problem)
        if wanted is None:
            return Verdict.abstain(f"the reference {problem.reference!r:.60} is neither one date nor one age in weeks")
        score, reason = _finding(problem, wanted, answer.text)
        if score is None:
            return Verdict.abstain(reason)
        if not score and any(TAKES_BACK.search(piece) for piece in answer.after):
            return Verdict.abstain("what follows the answer may take it back")
        if not score:
            return Verdict.wrong(reason)
        for earlier in answer.earlier:
            if _finding(problem, wanted, earlier)[0] is False:
                return Verdict.wrong(f"two answers, neither taken back: {earlier!r:.40} and {answer.text!r:.40}")
        for piece in answer.after:
            found, rest = _read(problem, piece, wanted)
            bare = not rest.strip("\0 ().,") or TAKES_BACK.search(rest)
            if found and bare and _finding(problem, wanted, piece)[0] is not True:
                return Verdict.abstain("another date or age follows the answer")
        return Verdict.right(reason)


def reference_moment(problem: Problem) -> Moment | None:
    """The reference as one date or one age that is all of it, or None."""
    text = str(problem.reference)
    return _whole_moment(text, problem.question) if len(text) <= _LONGEST and _MAY.search(text) else None


_BESIDE_AGE = re.compile(r"\bgestation\b|妊娠|孕|[\0 ()'.,。]", re.IGNORECASE)
_MAY = re.compile(r"\d|[年月日号周天]|week|day", re.IGNORECASE)  # a date or an age has one of these


@lru_cache(maxsize=1024)
def _whole_moment(text: str, question: str) -> Moment | None:
    found, rest = moments(text, question)
    whole = not _BESIDE_AGE.sub("", rest)
    return found[0] if len(found) == 1 and whole and found[0].says is not None else None


def wants_date(problem: Problem) -> bool:
    """Whether the reference looks like one for `Dates`. "6 weeks" alone does only where a gestational age is asked."""
    wanted = reference_moment(problem)
    return bool(wanted and (wanted.form in ("date", "weeks and days") or asks_age(problem.question)))


def _read(problem: Problem, text: str, wanted: Moment) -> tuple[list[Moment], str]:
    return moments(text, problem.question, wanted.says.year if isinstance(wanted.says, date) else None)


def _finding(problem: Problem, wanted: Moment, text: str) -> tuple[bool | None, str]:
    """Whether the answer `text` says what the reference does, or None where that is open, and why."""
    if wanted.form == "weeks" and _NUMBER.fullmatch(text) and _in_weeks(problem.question):
        text = f"{text} weeks"
    found, rest = _read(problem, text, wanted)
    same = [moment for moment in found if moment.is_day == wanted.is_day]
    if not same:
        return None, "there is no " + ("date" if wanted.is_day else "age in weeks and days") + " in the answer"
    change = _CHANGES.search(rest) or (None if wanted.is_day else _MINUS.search(rest))
    if change or _DIGIT.search(rest):
        return None, f"{change[0].replace(chr(0), '…')!r} may change it" if change else "other numbers stand beside it"
    findings = [_compare(problem, wanted, moment) for moment in same]
    scores = {score for score, _ in findings}
    if len(scores) > 1 or (scores == {False} and not wanted.is_day and len({m.says for m in same}) > 1):
        return None, "several dates or ages, of which only some may be right"
    if scores == {True}:
        if len(same) < len(found):
            return None, "a date and an age stand beside each other"
        beside = _beside(problem, rest)
        if beside:
            return None, f"{beside!r:.40} stands beside it"
    return findings[-1]


@lru_cache(maxsize=256)
def _in_weeks(question: str) -> bool:
    """Whether a question asks for weeks, so that a bare number is so many."""
    unit = wanted_unit(plain(question))[0]
    return unit is not None and unit.same_as(UNITS["week"])


def _compare(problem: Problem, wanted: Moment, given: Moment) -> tuple[bool | None, str]:
    read = [given.says] if given.says is not None else given.may
    shown = (" or ".join(map(str, read)) or "no day of the calendar") + " days" * (not given.is_day)
    if given.says == wanted.says:
        years = {int(year) for year in _YEAR.findall(problem.question)}
        if given.form == "day and month" and isinstance(wanted.says, date) and years != {wanted.says.year}:
            return None, "the answer has no year and the question does not fix it"
        return True, f"{shown}, as the reference"
    if wanted.says in given.may:
        return None, "it is the reference only if day and month change places"
    if isinstance(wanted.says, int) and given.share is not None and abs(given.share - wanted.says / 7) > _ROUNDED:
        return False, f"{given.share:g} weeks, where {wanted.says} days are right"
    if isinstance(wanted.says, int) and given.says is None:
        return None, "a fraction of a week, or days beyond a week, or no unit"
    if isinstance(wanted.says, int) and isinstance(given.says, int) and given.says // 7 == wanted.says // 7:
        if wanted.form == "weeks":
            return None, "it adds days, which the reference does not give"
        if given.form == "weeks":
            return False, "it leaves out the days"
    return False, f"{shown}, where {wanted.says}{' days' * (not wanted.is_day)} is right"


def _beside(problem: Problem, rest: str) -> str:
    """A word beside a date or age, marked in `rest`, that neither we nor the question know, or ""."""
    asked, known = _words(problem.question)
    before, *behind = _MARKED.split(rest)
    before = _SENTENCE_END.split(before[-200:])[-1]
    other = _OTHER_DAY.search(before)
    if other and not _DUE.search(before):
        return other[0]
    for near in (_OPENS.sub("", before.translate(_MARKS)), *behind):
        clause = _CLAUSE_END.split(near[:200], maxsplit=1)[0]
        clause = _WEEKDAY.sub("", clause)
        for word in _WORD.findall(clause.casefold()):
            if word not in known and (word.isascii() or not word.isalpha() or word not in asked):
                return str(word)
    return ""


@lru_cache(maxsize=256)
def _words(question: str) -> tuple[str, frozenset[str]]:
    """A question written plainly, and the words that may stand after its answer."""
    asked = plain(question).casefold()
    return asked, _FOLLOWS.union(_LATIN_WORD.findall(asked))
