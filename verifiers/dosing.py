"""How a drug is given, part by part: dose, frequency, route, duration. "500 mg PO BID for 7 days" in words, Latin, Chinese.

Every part of the reference must be met: a wrong part is wrong, a missing one is open, and so is one that neither the
reference nor the question has. An infusion or a push is more than "intravenous". Notation that causes errors (QD, U,
5.0 mg, .5 mg; Institute for Safe Medication Practices) counts as what it means, and is flagged in the verdict's parts.
"""

import re
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import ClassVar

from medrl.types import Problem, Verdict
from medrl.verifiers.bounds import strange
from medrl.verifiers.comparison import Finding, compare
from medrl.verifiers.extract import Extracted
from medrl.verifiers.frequency import Frequency
from medrl.verifiers.normalise import tokens
from medrl.verifiers.patterns import Pattern
from medrl.verifiers.quantity import Quantity
from medrl.verifiers.reading import TAKES_BACK, VocabularyVerifier
from medrl.verifiers.regimen import SITE, Regimen, regimen
from medrl.verifiers.text import Text
from medrl.verifiers.vocabularies import Sources
from medrl.verifiers.wording import last_sentence

_LONGEST = 160  # characters of a reference that may be one regimen
# Of a text in lower case: a pattern that ignores case takes three times as long.
_MAY = Pattern(
    r"every|daily|weekly|monthly|year|annual|hour|night|\b(?:once|twice|thrice|times|alternate)\b|each|per |"
    r"[每日天周隔晚次睡]|"
    r"ous\b|ously|ular|oral|mouth|rectal|lingual|topical|inhal|nasal|dural|dermal|thecal|vagin|"
    r"口服|注|[静皮舌外吸滴鞘]"
)
_MAY_IN_SHORT = re.compile(
    r"(?<![a-z])(?:(?:q|b\.?i\.?d|t\.?i\.?[dw]|t\.?d\.?s|b\.?d|o\.?d|h\.?s|b\.?i\.?w)(?![a-z]{3})|"
    r"(?:p\.?o|i\.?[mvo]|s\.?[clq])(?![a-z]))"
)
_ASKS_ROUTE = re.compile(
    r"\broutes?\b|\badminist|\bgiven\b|\binject|\bdeliver\w*\b|\btaken?\b|途径|给药|用药|注射|用法|方式|怎么[给用]|"
    r"如何[给用]",
    re.IGNORECASE,
)
_ASKS_NOTATION = re.compile(
    r"\babbreviat|\bnotation\b|\bstand(?:s)? for\b|\bwritten\b|\bmean(?:s|ing)?\b|\bsymbol\b|缩写|写作|代表|含义|表示",
    re.IGNORECASE,
)
_DENIES = re.compile(
    r"\b(?:not|never|or|either|except|unless|rather|avoid|but|than|no)\b|n't\b|不|非|或|除|避免|禁", re.IGNORECASE
)
_DOSE = r"(?:mg|mcg|μg|µg|ug|g|kg|ml|units?|u|iu|tabs?|tablets?|毫克|微克|克|毫升|单位|片)"
_DIVIDED = re.compile(r"\btotal (?:daily )?dose\b|\bdivided\b|\bsplit\b|分[一二两三四五六\d]?次|等分", re.IGNORECASE)
_TOTAL = re.compile(
    rf"(?:[共总]|合计|\b(?:total|altogether)\b)[^\d,，;；]{{0,8}}[\d.,]{{1,12}} ?{_DOSE}(?![A-Za-z])|"
    rf"\d ?{_DOSE} ?(?:(?:in|as a) )?(?:total\b|altogether\b|总量|总计)",
    re.IGNORECASE,
)
_INJECTED, _GIVEN = re.compile(r"inject|注射|静注", re.IGNORECASE), re.compile(r"administ|给药|用药", re.IGNORECASE)
_ASIDE = re.compile(r"\(([^()]{0,80})\)")
_WORD = re.compile(r"[A-Za-z]+|[\u3400-\u9fff]+")
_DIGIT = re.compile(r"\d")
_INTERVAL = re.compile(r"\bhow often\b|\binterval\b|\bfrequency\b|\bfrequently\b|间隔|多久|频率|频次", re.IGNORECASE)
_DANGEROUS = Pattern(
    rf"(?<![A-Za-z])q\.?o?\.?d(?![A-Za-z])|(?<![A-Za-z\d.])\d[\d,.]{{0,9}} ?i?u(?![A-Za-z/])|\b\d{{1,5}}\.0 "
    rf"?{_DOSE}(?![A-Za-z]|/d?L)|"
    rf"(?<![\d.])\.\d{{1,4}} ?{_DOSE}(?![A-Za-z]|/d?L)",
    re.IGNORECASE,
)


_MONTH = 2629746  # seconds


@dataclass(frozen=True)
class Dosing(VocabularyVerifier):
    """Decides how often, how long, by which route and how much, against a reference that says one or more of these."""

    name: ClassVar[str] = "dosing"

    relative_tolerance: float = 0.0
    """As in the `number` verifier."""
    vocabulary: Sources = None
    """As in the `text` verifier, which is asked where no part decides."""

    def decide(self, problem: Problem, answer: Extracted) -> Verdict:
        if not answer.committed:
            return Verdict.abstain("a long answer without a committed regimen")
        stated = problem.metadata.get("answer_type") == "dose"
        wanted = regimen(str(problem.reference)) if stated or wants_regimen(problem) else None
        verdict = (
            _verdict(problem, wanted, answer, self.relative_tolerance) if wanted else Verdict.abstain("no regimen")
        )
        if verdict.status == "abstain" and (wanted is None or wanted.rest or not regimen(answer.text).parts):
            verdict = Text(self.format, self.vocabulary).decide(problem, answer)
        return flagged(verdict, answer.text)


_EYES = re.compile(r"\bO[DS]\b.*\bO[DS]\b")  # right and left: 20/20 OD, 20/40 OS


def wants_regimen(problem: Problem) -> bool:
    """Whether the reference looks like one for `Dosing`: it says how often, or, where that is asked, by which route."""
    reference = str(problem.reference)
    lower = reference.lower()
    if len(reference) > _LONGEST or not (_MAY.search(lower) or _MAY_IN_SHORT.search(lower)):
        return False
    return not _EYES.search(reference) and _fits(reference, problem.question)


@lru_cache(maxsize=2048)
def _fits(reference: str, question: str) -> bool:
    found = regimen(reference)
    left = _WORD.findall(found.rest)
    if len(left) > 3 or _DIGIT.search(found.rest) or found.ranged or _DENIES.search(reference):
        return False
    if found.frequencies:
        return len(found.frequencies) == 1 and (not left or found.parts > 1) and len(found.routes) <= 1
    asked = _ASKS_ROUTE.search(question) is not None
    asked = asked or (len(found.doses) == 1 and found.doses[0].unit is not None and not left)  # 0.5 mg IM
    return len(found.routes) == 1 and asked and (not left or found.parts > 1) and len(found.doses) <= 1


def asks_interval(problem: Problem, reference: Quantity, text: str) -> bool:
    """Whether a reference such as "10 years" answers how often, and so does an answer such as "every 10 years"."""
    timed = reference.unit is not None and reference.unit.dims == (("time", 1),)
    return timed and _INTERVAL.search(problem.question) is not None and len(regimen(text).frequencies) == 1


def decide_interval(problem: Problem, reference: Quantity, answer: Extracted) -> Verdict:
    """An answer that says how often, against a reference that is the time between."""
    calendar = reference.unit is not None and reference.unit.scale >= _MONTH
    every = Frequency(reference.base, reference.base, calendar)
    return _verdict(problem, Regimen((), (), (every,), (), frozenset(), ""), answer, 0.0)


def dangerous(text: str) -> bool:
    """Whether an answer is in a notation that causes medication errors."""
    return bool(_DANGEROUS.search(text[:400]))


def flagged(verdict: Verdict, text: str) -> Verdict:
    """`verdict`, which says in its parts where the answer's notation is dangerous."""
    if verdict.score is None or not dangerous(text):
        return verdict
    return replace(verdict, parts={**verdict.parts, "dangerous_notation": 1.0})


def _verdict(problem: Problem, wanted: Regimen, answer: Extracted, tolerance: float) -> Verdict:
    finding = _finding(problem, wanted, answer.text, tolerance)
    if finding.outcome == "abstain":
        return Verdict.abstain(finding.reason)
    if any(TAKES_BACK.search(piece) for piece in answer.after):
        return Verdict.abstain("what follows the answer may take it back")
    if finding.outcome == "wrong":
        return Verdict.wrong(finding.reason)
    for text in answer.earlier:
        if _finding(problem, wanted, text, tolerance).outcome == "wrong":
            return Verdict.wrong(f"two answers, neither taken back: {text!r:.40} and {answer.text!r:.40}")
    for piece in answer.after:
        other = regimen(piece)
        if (other.frequencies or other.routes) and _finding(problem, wanted, piece, tolerance).outcome == "wrong":
            return Verdict.abstain("another regimen follows the answer")
    return Verdict.right(finding.reason)


def _finding(problem: Problem, wanted: Regimen, text: str, tolerance: float) -> Finding:
    if _ASKS_NOTATION.search(problem.question):
        text = _beyond_notation(problem, text)
        if not text:
            return Finding("abstain", "the question is about a notation, which the answer may only repeat")
    outside, asides = _ASIDE.sub(" ", text), _ASIDE.findall(text)
    given = regimen(outside)
    if not given.parts:
        given, asides = regimen(text), []
    if not given.parts:
        return Finding("abstain", "the answer says neither how much, how often, how long nor by which route")
    if _DENIES.search(given.rest) or _DIVIDED.search(text) or _DIVIDED.search(str(problem.reference)) or given.ranged:
        return Finding("abstain", "the answer negates, offers a choice or divides a dose")
    asked = regimen(problem.question[-600:])
    bare = (
        given.durations[0]
        if len(given.durations) == 1 and not (given.frequencies or given.doses or given.routes)
        else None
    )
    if bare and bare.unit and wanted.parts == 1 and wanted.frequencies and _INTERVAL.search(problem.question):
        every = Frequency(bare.base, bare.base, bare.unit.scale >= _MONTH)  # "3 months" to "how often?"
        given = replace(given, frequencies=(every,), durations=())
    findings = [
        _frequency(wanted, given, asked),
        _route(wanted, given, asked, problem.question),
        _amounts(problem, wanted.doses, given.doses, asked.doses, tolerance, "dose"),
        _amounts(problem, wanted.durations, given.durations, asked.durations, tolerance, "duration"),
        _when(wanted, given),
    ]
    for outcome in ("wrong", "abstain"):
        for finding in findings:
            if finding.outcome == outcome:
                return finding
    if any(_finding(problem, wanted, aside, tolerance).outcome == "wrong" for aside in asides):
        return Finding("abstain", "another regimen stands in parentheses")
    less = _less(problem, text)
    if less:
        return Finding("abstain", less)
    beside = strange(problem, given.rest) or _missing(problem, wanted, given)
    return (
        Finding("abstain", f"{beside!r:.40} stands beside it, or is missing")
        if beside
        else Finding("right", "every part agrees")
    )


def _less(problem: Problem, text: str) -> str:
    """Why an answer whose parts agree may yet say less than the reference, or something else; or ""."""
    question, reference = problem.question, str(problem.reference)
    if _TOTAL.search(text) and not _TOTAL.search(reference):
        return "a dose may be the total of several"
    if _INJECTED.search(reference) and _GIVEN.search(text) and not _INJECTED.search(text):
        return "it does not say that it is injected"
    sites = [site not in question + reference for site in SITE.findall(text)]
    sites += [site not in question + text for site in SITE.findall(reference)]
    return "the site differs" if any(sites) else ""


def _beyond_notation(problem: Problem, text: str) -> str:
    """What an answer to a question about a notation says besides what the question gives, or "".

    Where an abbreviation is asked for it is the abbreviation; where its meaning is asked, the words.
    """
    reference = str(problem.reference).strip()
    if _SHORT.fullmatch(reference):
        one, other = (_NO_LETTER.sub("", written).lower() for written in (reference, text))
        alike = one == other or regimen(reference).frequencies != regimen(text).frequencies
        return text if _SHORT.fullmatch(text.strip()) and alike else ""
    words = _SHORT_INSIDE.sub(" ", text)
    return words if regimen(words).parts else ""


_NO_LETTER = re.compile(r"[^A-Za-z\d]")
_SHORT = re.compile(r"(?:[A-Za-z]\.? ?){2,4}|[qQ] ?\d{1,2} ?[hd]")
_SHORT_INSIDE = re.compile(
    r"(?<![A-Za-z])(?:q\.?i\.?d|b\.?i\.?d|t\.?i\.?[dw]|t\.?d\.?s|b\.?i\.?w|q\.?o\.?d|q\.?h\.?s|q\.?[dnw]|b\.?d|o\.?d|"
    r"h\.?s|p\.?o|i\.?[mvo]|s\.?[cl]|"
    r"q ?\d{1,2} ?h|p\.?r\.?n|a\.?c|p\.?c|stat)\.?(?![A-Za-z])",
    re.IGNORECASE,
)


def _missing(problem: Problem, wanted: Regimen, given: Regimen) -> str:
    """A word of the reference that neither the answer nor the question has, or ""."""
    known = {*tokens(given.rest), *tokens(problem.question)}
    return next((word for word in tokens(wanted.rest) if word not in known), "")


def _frequency(wanted: Regimen, given: Regimen, asked: Regimen) -> Finding:
    ours, theirs = wanted.frequencies, given.frequencies
    if len(theirs) > 1:
        return Finding("abstain", "several frequencies")
    if not ours:
        extra = [one for one in theirs if (one,) != asked.frequencies]
        return Finding("abstain", "the answer adds how often") if extra else Finding("right", "no frequency is asked")
    if not theirs:
        return Finding("abstain", "the answer does not say how often")
    one, other = ours[0], theirs[0]
    if (one.low, one.high) == (other.low, other.high):
        return Finding("right", "as often")
    if one.calendar != other.calendar and _months(one, other):
        return Finding("abstain", "a month has 28 to 31 days")
    if one.low <= other.low <= other.high <= one.high or other.low <= one.low <= one.high <= other.high:
        return Finding("abstain", "the one frequency lies within the other")
    return Finding("wrong", f"{_shown(other)} is not {_shown(one)}")


def _months(one: Frequency, other: Frequency) -> bool:
    """Whether two frequencies, one in months and one in days, agree for some length of the month."""
    months, days = (one, other) if one.calendar else (other, one)
    count = months.low / _MONTH
    return 28 * count <= days.low / 86400 <= 31 * count


def _shown(one: Frequency) -> str:
    days = float(one.low) / 86400
    if not days:
        return "once"
    return f"every {days:.3g} days" if days >= 2 else f"every {days * 24:.3g} hours"


_DOSE_OF = re.compile(r"\b([a-z]+) (?:dos(?:e|age|ing)|regimen)\b(?! of\b)|\b(?:dos(?:e|age|ing)|regimen) of ([a-z]+)")
# Drugs that are given by mouth alone, so that saying so adds nothing.
_BY_MOUTH = frozenset(
    "amoxicillin cephalexin cefalexin cefadroxil cefaclor cefixime cefpodoxime cefdinir nitrofurantoin metformin glipizide "
    "gliclazide glimepiride glyburide glibenclamide acarbose sitagliptin saxagliptin linagliptin vildagliptin alogliptin "
    "empagliflozin dapagliflozin canagliflozin ertugliflozin pioglitazone amlodipine nifedipine felodipine lisinopril "
    "enalapril ramipril captopril perindopril benazepril fosinopril quinapril losartan valsartan irbesartan candesartan "
    "telmisartan olmesartan bisoprolol carvedilol nebivolol spironolactone eplerenone hydrochlorothiazide chlorthalidone "
    "indapamide atorvastatin rosuvastatin simvastatin pravastatin fluvastatin pitavastatin ezetimibe fenofibrate "
    "clopidogrel prasugrel ticagrelor warfarin rivaroxaban apixaban edoxaban dabigatran allopurinol febuxostat colchicine "
    "probenecid sertraline fluoxetine paroxetine escitalopram venlafaxine duloxetine mirtazapine bupropion trazodone "
    "lithium gabapentin pregabalin topiramate donepezil memantine ropinirole pramipexole levothyroxine methimazole "
    "carbimazole propylthiouracil albendazole mebendazole praziquantel ivermectin terbinafine griseofulvin valacyclovir "
    "valaciclovir famciclovir oseltamivir entecavir tenofovir lamivudine ethambutol pyrazinamide loratadine cetirizine "
    "fexofenadine montelukast finasteride dutasteride tamsulosin sildenafil tadalafil loperamide letrozole anastrozole "
    "tamoxifen imatinib gefitinib erlotinib osimertinib hydroxychloroquine leflunomide sulfasalazine mesalazine".split()
)


def _route(wanted: Regimen, given: Regimen, asked: Regimen, question: str) -> Finding:
    ours, theirs = wanted.routes, given.routes
    if len({route.base for route in theirs}) > 1:
        return Finding("abstain", "several routes")
    if not ours:
        extra = [one for one in theirs if {one.base} != {route.base for route in asked.routes}]
        if extra and {(one.base, one.special) for one in extra} == {("oral", "")} and not asked.routes:
            drugs = {one or other for one, other in _DOSE_OF.findall(last_sentence(question).lower())}
            extra = [] if len(drugs) == 1 and drugs <= _BY_MOUTH else extra
        named = {route.base for route in asked.routes}
        if extra and len(named) == 1 and not _ANOTHER_ROUTE.search(asked.rest):
            return Finding("wrong", f"{extra[0].base} where the question says {named.pop()}")
        return Finding("abstain", "the answer adds a route") if extra else Finding("right", "no route is asked")
    if not theirs:
        return Finding("abstain", "the answer does not say by which route")
    one, other = ours[0], theirs[-1]
    if one.base != other.base:
        return Finding("wrong", f"{other.base} is not {one.base}")
    if one.special == other.special:
        return Finding("right", "the same route")
    both = one.special and other.special
    return Finding(
        "wrong" if both else "abstain", f"{other.special or other.base} where {one.special or one.base} is wanted"
    )


# A question that names a route and may yet want another one.
_ANOTHER_ROUTE = re.compile(
    r"\b(?:not?|never|cannot|unable|fail\w*|after|already|switch\w*|chang\w+|instead|intoleran\w*|vomit\w*|swallow\w*|unlike|"
    r"versus|than|when|if|or|other|alternative|route|previous\w*|despite|receiv\w+|started|without|nil)\b|n't\b|"
    r"[不无未后改非或停]|失败|途径|呕吐|其他",
    re.IGNORECASE,
)


def _when(wanted: Regimen, given: Regimen) -> Finding:
    if wanted.when == given.when:
        return Finding("right", "at the same time")
    turned = {"bedtime", "morning", "evening"}, {"before meals", "after meals"}
    for kinds in turned:
        if wanted.when & kinds and given.when & kinds and not wanted.when & given.when & kinds:
            return Finding("wrong", f"{', '.join(given.when)} where {', '.join(wanted.when)} is wanted")
    return Finding("abstain", "when in the day, or only if needed, differs")


def _amounts(
    problem: Problem,
    wanted: tuple[Quantity, ...],
    given: tuple[Quantity, ...],
    asked: tuple[Quantity, ...],
    tolerance: float,
    kind: str,
) -> Finding:
    if not wanted:
        named = {(q.base, q.unit and q.unit.dims) for q in asked}
        extra = [q for q in given if (q.base, q.unit and q.unit.dims) not in named]
        return Finding("abstain", f"the answer adds a {kind}") if extra else Finding("right", f"no {kind} is asked")
    if not given:
        return Finding("abstain", f"the answer gives no {kind}")
    if len(wanted) != len(given):
        return Finding("abstain", f"another number of {kind}s than the reference")
    findings = []
    for one, other in zip(wanted, given, strict=True):
        ours, theirs = (dict(q.unit.dims) if q.unit else {} for q in (one, other))
        if ("time" in ours) != ("time" in theirs):
            return Finding("abstain", "a dose stands against a dose in so much time")
        findings.append(compare(problem, one, other, tolerance))
    for outcome in ("wrong", "abstain"):
        for finding in findings:
            if finding.outcome == outcome:
                return finding
    return Finding("right", f"the same {kind}")
