"""Which option a reply names first, and which last: the two lenient ways of reading a multiple-choice answer.

Both look at the visible answer alone, behind its reasoning. A *mention* is a label that stands by itself ("B", "(B)", "B."),
several labels in a row where several are asked for ("ACD"), or an option's text as whole words. Published scorers take the
first or the last mention, and one (HuatuoGPT-o1's `scorer.py`) reports the better of the two for each data set, which is
no accuracy of any reader: `scoring.py` keeps the two apart, beside the strict one of the verifiers, which wants one
committed answer. One pass over the text for labels, one for each option's text.

`uncommitted` says which of the replies that nobody decided on name no option by their own fault, and which say something
that rules cannot set against the options.
"""

import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Literal, NamedTuple

from medrl.rewards.refusal import refuses
from medrl.types import Problem, Response, Verdict
from medrl.verifiers import Typed
from medrl.verifiers.choice import MAY_TURN
from medrl.verifiers.choice_labels import NEITHER, NUMBER_AMONG_WORDS, OPEN, chosen_labels, wanted_labels
from medrl.verifiers.extract import Extracted, Format, sections
from medrl.verifiers.reading import read

Lenient = Literal["first", "last"]
# After these "A" is no article.
_VERBS = r"(?:is|was|are|and|or|not|but|because|would|could|can|may|might|seems|as|since|due|looks|fits|has|does)\b"
_RULES = ("typed", "choice", "yes_no")  # who signs for a choice, of the built-in rules
# Answers of their own that choose nothing, whatever the options are.
_UNSURE = re.compile(
    r"\b(?:unknown|unclear|unsure|uncertain|undetermined|indeterminate|undecided|unanswerable|ambiguous|no idea|n/?a|pass|"
    r"skip(?:ped)?|(?:more|further|insufficient) information|depends|hard to (?:say|tell)|who knows|impossible to|"
    r"(?:none|all|both|any|either|some|one|most|several) of (?:the|these|them)|guess)\b|"
    r"不确定|无法|不清楚|不明|未知|不详|难以|难说|说不准|不好说|看情况|视情况|信息不足|以上|都是|都有可能|均可|任选|随便|跳过|放弃",
    re.IGNORECASE,
)
_BESIDE = re.compile(
    r"\b(?:the|answer|option|choice|letter|number|is|are|it|would|be)\b|答案|选项?|项|是|为", re.IGNORECASE
)
_WORD = re.compile(r"[^\W\d_]{2,}|[\u3400-\u9fff]")
READ = 200_000  # characters of a visible answer that are read, half from either end


class Mention(NamedTuple):
    """Options that a text names, and where."""

    start: int
    labels: frozenset[str]


def first_and_last(text: str, problem: Problem) -> tuple[frozenset[str] | None, frozenset[str] | None]:
    """The options that the first and the last mention of the visible answer name; None twice where there is none."""
    options = {label.strip().upper(): option for label, option in problem.options.items()}
    wanted = wanted_labels(str(problem.reference), options) or frozenset()
    answer = bounded(sections(text).answer, READ)
    found = mentions(answer.upper() if len(answer) <= 3 else answer, options, several=len(wanted) > 1)
    return (found[0].labels, found[-1].labels) if found else (None, None)


def mentions(text: str, options: Mapping[str, str], several: bool = False) -> list[Mention]:
    """Every mention in the order of the text; a label inside an option's text is no mention of its own."""
    found: list[Mention] = []
    taken: list[tuple[int, int]] = []
    for label, option in sorted(options.items(), key=lambda pair: -len(pair[1])):
        if len(option.strip()) < 2 and option.strip().upper() != label:
            continue  # an option such as "5" or "K" is no word to look for
        for match in _words(option.strip()).finditer(text):
            if not any(start < match.end() and match.start() < end for start, end in taken[-64:]):
                found.append(Mention(match.start(), frozenset({label})))
                taken.append(match.span())
    pattern = _labels("".join(sorted(label for label in options if len(label) == 1)), several)
    inside = iter(sorted(taken))
    span = next(inside, None)
    for match in pattern.finditer(text) if pattern else ():
        while span is not None and span[1] <= match.start():
            span = next(inside, None)
        if span is None or match.end() <= span[0]:
            found.append(Mention(match.start(), frozenset(c for c in match[0] if c in options)))
    return sorted(found, key=lambda one: one.start)


def uncommitted(problem: Problem, response: Response, verdict: Verdict, format: Format = "auto") -> bool:
    """Whether a reply that was left undecided commits to no option, as the rules for choices read it.

    It does not where it names several options, strikes one out, says only what is not right, states nothing in a long text,
    or says no more than that it does not know. It may where it states something in other words than every option's: "The
    answer is acetaminophen" for the option paracetamol. Another judge than the rules may read a long text, so its doubt
    about one is no fault of the reply; where the rules decide, the judge's doubt is its own.

    Args:
        problem: A choice.
        response: The reply.
        verdict: The abstention, by whomever.
        format: How the rule reads replies.
    """
    options = {label.strip().upper(): option for label, option in problem.options.items()}
    wanted = wanted_labels(str(problem.reference), options)
    if wanted is None:
        return False  # the problem's fault
    answer = read(problem, response, format)
    if isinstance(answer, Verdict):
        return answer.score == 0.0  # there is no answer
    by_rule = verdict.stage in _RULES
    if not answer.committed:
        return by_rule
    chosen = chosen_labels(answer.text, options)
    several = isinstance(chosen, frozenset) and len(chosen) > 1 and len(wanted) == 1
    if several or chosen == OPEN or (not by_rule and _both(answer, options)):
        return True
    rule = verdict if by_rule else Typed(format).check_safely(problem, response)
    if rule.status != "abstain" or rule.stage not in _RULES or rule.reason == MAY_TURN:
        return False  # it names the option; whether the words around it leave it so is for a judge to say
    return bool(answer.earlier) or not _other_words(answer.text, options)


def _both(answer: Extracted, options: Mapping[str, str]) -> bool:
    """Whether a reply states two different options, and takes back neither."""
    chosen = chosen_labels(answer.text, options)
    return any(chosen_labels(earlier, options) not in (chosen, NEITHER) for earlier in answer.earlier)


def _other_words(text: str, options: Mapping[str, str]) -> bool:
    """Whether an answer is no option's label or text and offers no two of them, and yet says something that may be one."""
    if chosen_labels(text, options) not in (NEITHER, NUMBER_AMONG_WORDS):
        return False
    if len(frozenset[str]().union(*(one.labels for one in mentions(text, options)))) > 1:
        return False
    said = _WORD.search(_BESIDE.sub(" ", text))
    return said is not None and not _UNSURE.search(text) and not refuses(text).refused


def without_options(text: str, problem: Problem) -> str:
    """A text with the options' own words blanked: the answer "maybe" says nothing of how sure it is."""
    for option in problem.options.values():
        if option.strip():
            text = _words(option.strip()).sub(" ", text)
    return text


def bounded(text: str, most: int) -> str:
    """A text, or its two ends where it has more than `most` characters."""
    return text if len(text) <= most else f"{text[: most // 2]}\n{text[-(most // 2) :]}"


@lru_cache(maxsize=4096)
def _words(option: str) -> re.Pattern[str]:
    """An option's text as whole words, whatever its case and spaces."""
    body = r"\s{1,4}".join(re.escape(word) for word in option.split())
    left = r"(?<![A-Za-z0-9])" if re.match(r"[A-Za-z0-9]", option) else ""
    right = r"(?![A-Za-z0-9])" if re.search(r"[A-Za-z0-9]$", option) else ""
    return re.compile(left + body + right, re.IGNORECASE)


@lru_cache(maxsize=256)
def _labels(labels: str, several: bool) -> re.Pattern[str] | None:
    """A label that stands by itself and is neither an article ("A patient") nor the pronoun ("I think")."""
    if not labels:
        return None
    one = f"[{re.escape(labels)}]"
    run = rf"{one}(?:[ ,、，和及&]{{0,2}}{one})*" if several else one
    article = rf"(?!A (?!{_VERBS})[a-z]{{2}})(?!I ['’a-z]|I['’])"
    return re.compile(rf"(?<![A-Za-z0-9'’-]){article}{run}(?![A-Za-z0-9'’]|-[A-Za-z])")
