"""What can be wrong with one problem, told from its own words: the checks of `medrl audit-problems`.

HuatuoGPT-o1 (arXiv 2412.18925) has a model drop questions that ask for the wrong option, have several answers or cannot
stand without their options. These rules look for the same and for a few more, and show the words that made them speak;
they read no medicine, so a flaw is a reason to look and not a verdict.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from medrl.construct.problem_wording import asking, lost_figure, lost_options, negation, one_of_many
from medrl.types import Problem
from medrl.verifiers.normalise import normal

WORDS = 160  # characters of the words that are shown
# Every kind of flaw, in the order in which tables show them.
KINDS: Mapping[str, str] = {
    "broken_row": "the row cannot become a problem",
    "no_reference": "there is no reference",
    "reference_no_option": "the reference is none of the options",
    "reference_names_options": "an open question whose reference speaks of options (all of the above)",
    "several_keys": "the reference is several labels of options where one is asked for (ae, A and C)",
    "several_sentences": "the reference of an open question has several sentences",
    "general_reference": "the reference is so general that much else would be right",
    "equal_options": "two options say the same",
    "negated": "it asks for what is not so, which has many right answers without options",
    "lost_figure": "it speaks of a figure or table that is not there",
    "lost_options": "an open question speaks of options that are not there",
    "not_unique": "it asks for one of many",
    "leaked": "the answer stands in the question",
    "undecided": "the rules do not accept the reference as an answer",
    "duplicate": "an earlier problem has the same question and reference",
    "near_duplicate": "an earlier problem has nearly the same question and the same reference",
    "contradiction": "another problem has the same question and another reference",
    "overlap": "it shares 64 characters with an evaluation problem, which may be a phrase of examiners",
    "contained": "half or more of it stands in evaluation problems",
}


@dataclass(frozen=True)
class Flaw:
    """One flaw of one problem."""

    kind: str
    words: str
    other: str = ""
    """The other problem that it takes, by id, for duplicates, contradictions and overlap."""


def flaws(problem: Problem) -> Iterator[Flaw]:
    """Every flaw that a problem shows by itself."""
    text = stem(problem)
    asked = asking(text)
    yield from _reference_flaws(problem)
    yield from _option_flaws(problem)
    yield from _found("negated", negation(asked))
    if not has_image(problem):
        yield from _found("lost_figure", lost_figure(text))
    if problem.kind in ("open", "visual") and not problem.options:
        yield from _keys(problem)
        yield from _found("lost_options", lost_options(text, asked))
        yield from _found("not_unique", one_of_many(asked))
    if leak := leaked(problem, asked):
        yield Flaw("leaked", shown(leak))


def stem(problem: Problem) -> str:
    """The question without the options that a schema writes below it."""
    listed = "".join(f"\n{label}. {option}" for label, option in problem.options.items())
    text = problem.question
    return (text.replace(listed, "", 1) if listed else text).strip()


def has_image(problem: Problem) -> bool:
    """Whether a message holds anything but text."""
    contents = [message["content"] for message in problem.messages]
    return any(not isinstance(one, str) and any(part.get("type") != "text" for part in one) for one in contents)


def shown(text: str) -> str:
    """Words on one line, cut to what a table can hold."""
    line = " ".join(text.split())
    return line if len(line) <= WORDS else line[: WORDS - 1] + "…"


def _found(kind: str, words: str) -> Iterator[Flaw]:
    if words:
        yield Flaw(kind, shown(words))


# The reference ----------------------------------------------------------------------------------------------------------

_SENTENCE_END = re.compile(r"(?<=[a-z\d)%]{3})[.!?]\s+(?=[A-Z][a-z]*\s)|[。！？](?=\s*\S)")
_ABBREVIATED = re.compile(r"\b(?:spp|subsp|var|approx|resp|vs|incl|etc|fig|dr)[.]\s", re.IGNORECASE)
_GENERAL = frozenset(
    "disease disorder condition syndrome drug medication medicine treatment therapy intervention management symptom sign "
    "test examination investigation procedure complication it-depends depends various several multiple many "
    "other others unknown nothing something variable patient person organ tissue cell substance factor cause it this that "
    "疾病 药物 治疗 症状 检查 其他 以上 多种 不一定 视情况而定 不清楚 病人 患者".split()
)


# Questions that ask for several options say so.
_SEVERAL_ASKED = re.compile(
    r"\bwhich\s+(?:two|three|four|ones|are)\b|"
    r"\bwhich\s+(?:of\s+(?:the\s+following|these)\s+)?[\w-]*\s?(?:are|were|statements|options)\b|"
    r"\b(?:select|choose|mark|tick|pick|check)\s+(?:all|two|three|every|each)\b|\ball that apply\b|"
    r"多选|多项选择|哪些|哪几|包括",
    re.IGNORECASE,
)


def _reference_flaws(problem: Problem) -> Iterator[Flaw]:
    reference = (problem.reference or "").strip()
    if not reference:
        if problem.kind not in ("dialogue", "rubric"):
            yield Flaw("no_reference", problem.reference or "")
        return
    if problem.options and reference not in problem.options:
        many = _SEVERAL_ASKED.search(stem(problem))
        letters = re.sub(r"[\s,;，、]+", "", reference)
        if len(letters) > 1 and all(letter in problem.options for letter in letters):
            yield from [] if many else [Flaw("several_keys", reference)]
        elif reference.casefold() not in {text.casefold().strip() for text in problem.options.values()}:
            yield Flaw("reference_no_option", shown(f"{reference} of {', '.join(problem.options)}"))
    if problem.options or problem.kind == "numeric":
        return
    if normal(reference).replace(" ", "-") in _GENERAL or reference.strip("。.") in _GENERAL:
        yield Flaw("general_reference", reference)
    if _SENTENCE_END.search(_ABBREVIATED.sub("", reference)):
        yield Flaw("several_sentences", shown(reference))


_ALL = re.compile(
    r"^\W*(?:all|none|both|any|neither|two|either)\b[\w\s]{0,12}\b(?:above|these|them|options?|choices?|answers?)\W*$|"
    r"^\W*(?:以上|上述)(?:都|均|全|皆)?(?:是|对|正确|不是|不对|都不是|均不是)\W*$|"
    r"^\W*(?:all|none|both)\W*$",
    re.IGNORECASE,
)
_KEYS = re.compile(
    r"^\W*(?:(?:both|options?|choices?|answers?)\s+)?(?:\(?[a-eA-E]\)?)(?:\s*(?:,|&|/|\+|;|、|和|and|or)\s*\(?[a-eA-E]\)?)+\W*$"
)
_RUN = re.compile(r"^[a-e]{2,5}$")
# Things that are named by single letters, so that "A and C" may be an answer.
_LETTERED = re.compile(
    r"vitamin|hepatitis|type|group|class|influenza|antigen|factor|ha?emophilia|apolipo|hemoglobin|haemoglobin|chain|"
    r"fib(?:er|re)s?|stage|score|grade|coxsackie|immunoglobulin|protein|toxin|zone|wave|subunit|isoform|region|point|"
    r"维生素|肝炎|型|族|组|期|级",
    re.IGNORECASE,
)


def _keys(problem: Problem) -> Iterator[Flaw]:
    """What only options could give a meaning, as the reference of a problem that has none."""
    reference, text = (problem.reference or "").strip(), stem(problem)
    pair = re.search(r"\b(?:both|either|neither|all|none)\b|\bor\b|都|还是", asking(text), re.IGNORECASE)
    if _ALL.match(reference) and not pair:
        yield Flaw("reference_names_options", shown(reference))
    run = _RUN.match(reference) and list(reference) == sorted(set(reference))
    if run or (_KEYS.match(reference) and not _LETTERED.search(text)):
        yield Flaw("several_keys", shown(reference))


def _option_flaws(problem: Problem) -> Iterator[Flaw]:
    """Options with one text; short ones that differ in case alone are genotypes or units, and differ."""
    seen: dict[str, str] = {}
    for label, text in problem.options.items():
        key = normal(text)
        if not key or len(text.strip()) <= 4 or re.search(r"[<>≤≥+\-−↑↓]", text):
            key = " ".join(text.split())
        first = seen.setdefault(key, label)
        if first != label and key:
            yield Flaw("equal_options", shown(f"{first}. {problem.options[first]} / {label}. {text}"))


# The answer in the question ---------------------------------------------------------------------------------------------

_CHOICE_BETWEEN = re.compile(r"\bor\b|\beither\b|\bversus\b|\bvs\b|还是|或", re.IGNORECASE)
_PLAIN_WORDS = frozenset(
    "yes no maybe true false positive negative increased decreased increase decrease normal left right upper lower both "
    "左侧 右侧 双侧 阳性 阴性 升高 降低 增加 减少 正常".split()
)


def leaked(problem: Problem, asked: str) -> str:
    """The name of the answer that stands word for word in the asking sentence; "" where none does.

    Only the sentence that asks is looked at: a case may well name its answer among its findings and drugs. Yes and no,
    numbers and single letters are not looked for, nor what is offered beside another answer (with "or").
    """
    if problem.kind == "numeric" or problem.metadata.get("answer_type") in ("number", "yes_no", "date"):
        return ""
    if _CHOICE_BETWEEN.search(asked):
        return ""
    reference = problem.options.get(problem.reference or "", problem.reference or "")
    inside = f" {normal(asked)} "
    for name in (reference, *problem.aliases):
        words = normal(name)
        letters = re.sub(r"[\W\d_]", "", words)
        least = 2 if re.search(r"[\u4e00-\u9fff]", words) else 4
        if len(letters) >= least and words.replace(" ", "") not in _PLAIN_WORDS and f" {words} " in inside:
            return f"{name} in: {asked}"
    return ""
