"""A set of items in any order, all of them or, for partial credit, as F1."""

import re
from bisect import bisect_left
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import ClassVar, TypeAlias

from medrl.errors import RecipeError
from medrl.types import Problem, Verdict, ask
from medrl.verifiers.concepts import Vocabulary
from medrl.verifiers.extract import Extracted
from medrl.verifiers.normalise import compact, tokens
from medrl.verifiers.opposites import opposed
from medrl.verifiers.patterns import Pattern
from medrl.verifiers.predicates import takes_back
from medrl.verifiers.reading import TAKES_BACK, VocabularyVerifier
from medrl.verifiers.scripts import has_han
from medrl.verifiers.text import Text
from medrl.verifiers.vocabularies import Sources, vocabulary
from medrl.verifiers.wording import OR, last_sentence, peel

MOST = 64  # items of an answer that are looked at
Decide: TypeAlias = Callable[[str, str], Verdict]  # of a given item and a wanted one
_PARTS = re.compile(
    r"\s*(?:[;；、\n→]|->|=>|>(?=\s)|\s\+\s|\s(?=\d{1,2}[.)、](?!\d))|(?:,|，)(?!\d)(?: ?and\b)?|"
    r"\band\b|\bplus\b|以及|和|及|与)\s*",
    re.IGNORECASE,
)
# What parts a reference's items outside parentheses; commas and "and" do only where several items are asked for.
_OUTSIDE = r"(?![^()（）]*[)）])"
_MARKS = Pattern(rf"[;；、\n→]{_OUTSIDE}")
_COMMAS = Pattern(rf"(?:[;；、\n→,，]|(?<=\w) and ){_OUTSIDE}")
_BULLET = re.compile(
    r"^(?:[-*•]|\(?\d{1,2}[.)、])\s*|"
    r"^(?:(?:and )?(?:then|finally|next|first(?:ly)?|second(?:ly)?|lastly|last)\b|最后|然后|再|先|接着|其次)"
    r"[:,，]?\s*",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class SetOf(VocabularyVerifier):
    """Decides an unordered set; the reference parts its items with ";" or "、", or `metadata["items"]` lists them."""

    name: ClassVar[str] = "set"

    partial: bool = False
    """Give F1 of precision and recall instead of all or nothing; where the question asks for an order, of the longest part
    that is in it. Items that no rule can decide then count as wrong. Less than all is never taken for a right answer:
    `parts["whole"]` is 0."""
    vocabulary: Sources = None
    """Names that are known to mean one concept, as in the `text` verifier."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if not isinstance(self.partial, bool):
            raise RecipeError("verifier 'set'", [f"partial is {self.partial!r}; it must be true or false"])

    def decide(self, problem: Problem, answer: Extracted) -> Verdict:
        wanted = reference_items(problem)
        if not wanted:
            return Verdict.failed(f"problem {problem.id!r} has an empty set as its reference", "invalid")
        if not answer.committed:
            return Verdict.abstain("a long answer without a committed list")
        text = answer.text
        if letters := _LETTERS.match(text):
            if letters[1].replace("-", "") not in problem.question.replace("-", ""):
                return Verdict.abstain("the answer's letters may stand for another order")
            text = text[letters.end() :]
        initials = _INITIALS.fullmatch(text.strip(" .。"))
        if initials and sum(map(str.isalpha, text)) == len(wanted) > 1:
            return Verdict.abstain("the answer's letters may stand for the items")
        given = split_items(text)
        if len(given) < len(wanted) and all(map(_COUNT.fullmatch, wanted)):
            counts = [item for item in map(peel, _BETWEEN_COUNTS.split(text)) if compact(item)]  # 0-1-6个月
            if len(counts) == len(wanted) and not _rises_alike(text, counts, wanted):
                return Verdict.abstain("figures in another order, or ranges of them")
            given = counts
        rule = Text("plain", self.vocabulary)
        known = vocabulary(self.vocabulary)

        shared = len(_shared_beginning(wanted, problem.question))
        ending = _shared_ending(tuple(wanted), problem.question)

        def verdict(item: str, name: str) -> Verdict:
            if _same_item(item, name, ending, problem.question):
                return Verdict.right("the same item")
            whole = _decided(item, name, problem.question, rule, known)
            if not shared or whole.score == 1.0:
                return whole
            short = _decided(item, name[shared:], problem.question, rule, known)
            return short if short.score == 1.0 else whole

        if any(item.endswith("-") for item in given):
            return Verdict.abstain("an item's last word is said later: pro-, meta- and anaphase")
        matched, refuted, open_ = _match(wanted, given, verdict)
        precision, recall = matched / max(1, len(given)), matched / len(wanted)
        parts = {"precision": precision, "recall": recall, **({"whole": 1.0} if self.partial else {})}
        shown = f"{matched} of {len(wanted)} items, {len(given) - matched} beside them"
        in_order = asks_order(problem.question)
        ordered = in_order or bool(_MAY_ASK_ORDER.search(problem.question))
        whole = matched == len(wanted) == len(given)
        places = _places(wanted, given, verdict) if ordered and (whole or self.partial) else []
        if whole and ordered:
            if not in_order and places != sorted(places or ()):
                return Verdict.abstain("the order of the items may be meant", parts=parts)
            if places is None:
                return Verdict.abstain("the order of the items cannot be told", parts=parts)
            if places != sorted(places) and not self.partial:
                return Verdict.wrong(f"{shown}, in another order", parts=parts)
        if whole or self.partial:
            if any(set(map(compact, split_items(one))) != set(map(compact, given)) for one in answer.earlier):
                return Verdict.abstain("an earlier statement, not taken back, lists something else", parts=parts)
            if any(takes_back(one) or TAKES_BACK.search(one) for one in answer.after):
                return Verdict.abstain("what follows the answer may take it back", parts=parts)
        if whole and places == sorted(places or ()):
            return Verdict.right(shown, parts=parts)
        if self.partial:
            return _in_part(shown, wanted, given, matched, places, in_order, answer.text)
        # Without a vocabulary an item in other words is open; a turned-round or a missing one is not.
        if refuted or len(given) < len(wanted) or not open_:
            return Verdict.wrong(shown, parts=parts)
        return Verdict.abstain(f"{shown}; {open_} in words that no rule decides", parts=parts)


def _in_part(
    shown: str, wanted: list[str], given: list[str], matched: int, places: list[int] | None, in_order: bool, text: str
) -> Verdict:
    """F1 of a list that is not the reference's; nothing is paid for what may be denied, nor for what is out of order."""
    if matched and (_DENIAL.search(text) and not _DENIAL.search(" ".join(wanted))):
        return Verdict.abstain("something is denied, and maybe all of it")
    if matched and places is None:
        return Verdict.abstain("the order of the items cannot be told")
    if matched and places:
        held = _longest_rising(places)
        if held < matched and not in_order:
            return Verdict.abstain("the order of the items may be meant")
        shown += f", {held} of them in order" if held < matched else ""
        matched = min(matched, held)
    precision, recall = matched / max(1, len(given)), matched / len(wanted)
    f1 = 2 * precision * recall / (precision + recall) if matched else 0.0
    return Verdict(f1, reason=shown, parts={"precision": precision, "recall": recall, "whole": 0.0})


_DENIAL = re.compile(
    r"\b(?:not?|nor|never|neither|none|without|wrong|false|incorrect|untrue|exclud\w+|except|anything but|instead of|"
    r"ruled? out|ruling out|unlikely)\b|n['’]t\b|[不非没未否勿错误]|无(?!力)|除外|排除|相反",
    re.IGNORECASE,
)


def _longest_rising(places: list[int]) -> int:
    """How many of these numbers, at most, rise in the order in which they stand."""
    ends: list[int] = []
    for place in places:
        at = bisect_left(ends, place)
        ends[at : at + 1] = [place]
    return len(ends)


_COUNT = re.compile(r"第?\d{1,4}[^\d]{0,6}")
_BETWEEN_COUNTS = re.compile(r"(?<=\d)\s*[、,，;；/-]\s*(?=\d)")
_INITIALS = re.compile(r"[A-Z](?:[-–—. →]{0,2}[A-Z]){1,6}")  # C-A-B
_LETTERS = re.compile(r"\s*([A-Z](?:-[A-Z]){1,5})[:：]\s*")  # C-A-B：


def _rises_alike(text: str, counts: list[str], wanted: list[str]) -> bool:
    """Whether the figures of a text follow each other as the wanted ones do, one mark between them all."""
    figures = [[int(figure) for figure in re.findall(r"\d+", " ".join(items))] for items in (counts, wanted)]
    ranks = [sorted(range(len(row)), key=row.__getitem__) for row in figures]
    return ranks[0] == ranks[1] and len({mark.strip() for mark in _BETWEEN_COUNTS.findall(text)}) == 1


def _shared_beginning(items: list[str], question: str) -> str:
    """With what every item begins that the question has too, so that an answer need not say it: 糖尿病(肾病)."""
    first, last = min(items), max(items)
    shared = first[: next((i for i, c in enumerate(first) if last[i : i + 1] != c), len(first))]
    shared = shared if has_han(shared) else shared[: shared.rfind(" ") + 1]
    least = 2 if has_han(shared) else 4
    held = len(items) > 1 and len(shared.strip()) >= least and shared.strip().lower() in question.lower()
    return shared if held and all(len(compact(item[len(shared) :])) > 1 for item in items) else ""


@lru_cache(maxsize=1024)
def _shared_ending(items: tuple[str, ...], question: str) -> str:
    """With what every item ends that the question has too: 第一(产程)、第二(产程); "" where there is none."""
    first, last = items[0], min(map(len, items))
    same = next((n for n in range(last) if len({item[len(item) - 1 - n] for item in items}) > 1), last)
    ending = first[len(first) - same :]
    ending = ending if has_han(ending) else ending[ending.find(" ") :] if " " in ending else ""
    bare = [compact(item[: len(item) - len(ending)]) for item in items]
    sort = ending == "诊" or (ending in ("期", "相") and asks_order(question))  # 视(诊)、听(诊)
    held = len(items) > 1 and len(ending.strip()) >= (2 if has_han(ending) else 4) and all(bare)
    if sort and all(bare) and len(set(bare)) == len(bare):
        return ending
    return ending if held and len(set(bare)) == len(bare) and ending.strip().lower() in question.lower() else ""


_ASIDE = re.compile(r"(?P<outside>[^()（）]{1,60}?)\s*[(（](?P<inside>[^()（）]{1,60})[)）]")
_STEP = re.compile(r"[ -](?:phases?|stages?|periods?|steps?)$|(?<=[\u3400-\u9fff])[性期相]$", re.IGNORECASE)


@lru_cache(maxsize=4096)
def _same_item(item: str, name: str, ending: str, question: str) -> bool:
    """Whether a given item is a wanted one but for words that all items share, or for a gloss of it in parentheses.

    Of "Mitosis (M)" the letter is the item, and of "S (DNA synthesis)" what stands outside.
    """
    if _same_act(item, name, question):
        return True
    if len(name) < 3 and _ORGANS.get(item, item) == _ORGANS.get(name, name):
        return True
    aside = _ASIDE.fullmatch(item)
    if aside and _INITIALS.fullmatch(aside["inside"].strip()) and compact(aside["outside"]) == compact(name):
        return True
    if compact(_SAME_SIDE.sub("", item)) == compact(name):
        return True
    if aside and compact(aside["inside"] + aside["outside"]) == compact(name):
        return True
    if aside and len(name) < 5:
        outside, inside = compact(aside["outside"]), compact(aside["inside"])
        if (compact(name) in (outside, inside) and outside[:1] == inside[:1]) or compact(name) == outside:
            return not _TURNS.search(aside["inside"])
    short = compact(name.removesuffix(ending)) if ending else ""
    step = _STEP.search(item)
    bare = (
        item[: step.start()]
        if step and (has_han(item) or step[0].strip(" -").lower().rstrip("s") in question.lower())
        else ""
    )
    if ending and compact(_STEP.sub("", name.removesuffix(ending))) in (compact(item), compact(bare or item)):
        return True
    if ending and bare and compact(item.removesuffix(ending).removesuffix("性")) == short:
        return True
    return (bool(short) and compact(item) == short) or (
        bool(bare) and not has_han(bare) and compact(bare) == compact(name)
    )


_ORGANS = {
    **{organ: organ[0] for organ in ("心脏", "肝脏", "脾脏", "肾脏", "肺脏", "胰脏")},
    "大脑": "脑",
    "眼睛": "眼",
}
_SAME_SIDE = re.compile("^[同患]侧(?=..)")


_ACTS = re.compile(r"\b(?:steps?|phases?|stages?|process|order|sequence|components?|actions?)\b", re.IGNORECASE)
_ENDS = ("ation", "ment", "tion", "ion", "ing", "is", "e", "s", "")


def _same_act(item: str, name: str, question: str) -> bool:
    """Whether the two are one act, as a verb and as a noun, where a question asks for steps: assess, assessment."""
    one, other = item.lower(), name.lower()
    if not (one.isascii() and one.isalpha() and other.isalpha() and one[:4] == other[:4]):
        return False
    return not (_stems(one).isdisjoint(_stems(other)) or one[-3:] == "ide" or other[-3:] == "ide") and bool(
        _ACTS.search(question)
    )


def _stems(word: str) -> frozenset[str]:
    bare = [word[: len(word) - len(end)] for end in _ENDS if word.endswith(end)]
    return frozenset(stem[:-1] if stem[-1:] == stem[-2:-1] != "s" else stem for stem in bare if len(stem) > 3)


_TURNS = re.compile(r"\b(?:not|no|or|never|without)\b|[不非或无未]", re.IGNORECASE)


def asks_order(question: str) -> bool:
    """Whether a question asks for its items in their order."""
    return bool(_IN_ORDER.search(last_sentence(question)))


_IN_ORDER = re.compile(
    r"\bin (?:\w+ ){0,2}(?:order|sequence)\b(?! to\b)|\bfirst to last\b|\bsequentially\b|"
    r"(?<!on )\b(?:the|what|which|correct|right|proper|usual) (?:order|sequence) (?:of|for|in)\b|"
    r"\bstarting (?:with|from)\b(?! the letter)|"
    r"\bfrom (?:the )?(?:superficial|out(?:side|er|ermost)?|in(?:side|ner|nermost)?|proximal|distal|top|bottom|"
    r"lowest|highest|most|least|smallest|largest|greatest|earliest|lateral|medial|cranial|caudal|front|back|"
    r"anterior|posterior) (?:to|in|out)\b|"
    r"(?:^|[.?!:,] |\bplease )(?:order|arrange|rank|sequence|sort) (?:the|these|them)\b|\bchronological|"
    r"顺序|依次|先后|次序|排序|排列",
    re.IGNORECASE,
)
# With these the items may be meant in their order.
_MAY_ASK_ORDER = re.compile(
    r"\b(?:go|goes|going|moving|passing|travel\w*|flow(?:s|ing)?|pass(?:es)?|descends|ascends|distally|proximally|respectively|"
    r"afferent (?:and|or) efferent|efferent (?:and|or) afferent|successive(?:ly)?)\b|分别|流经",
    re.IGNORECASE,
)
# How the sentence that asks asks for several things, whose reference then lists them. What a vignette tells before it
# ("three days of all symptoms") says nothing of that.
_SEVERAL = re.compile(
    r"\b(?:name|list|give|state|enumerate|identify|describe|outline|what are|which are)\b[^.?]{0,120}?\b(?:two|three|four|"
    r"five|six|seven|all|components|triad|tetrad|pentad|stages|steps|phases|parts|features|signs|symptoms|causes|elements|"
    r"criteria)\b|\bwhat (?:is|makes up|constitutes) [^.?]{0,80}?\b(?:triad|tetrad|pentad)\b|"
    r"\bwhich (?:two|three|four|five|six|seven)\b|"
    r"[两二三四五六七2-7](?:个|种|项|大|联|期|步)|三联征|哪些|各期|步骤|顺序|依次",
    re.IGNORECASE,
)


def reference_items(problem: Problem) -> list[str]:
    """The items of the reference; commas part them only where the question asks for several."""
    listed = problem.metadata.get("items")
    if isinstance(listed, list | tuple):
        return [str(item) for item in listed if compact(str(item))]
    reference = str(problem.reference)
    several = _COMMAS.search(reference) and not OR.search(reference) and _asks_several(problem.question)
    items = [item.strip() for item in (_COMMAS if several else _MARKS).split(reference)]
    return [item.removeprefix("and ") for item in items if compact(item)]


@lru_cache(maxsize=1024)
def _asks_several(question: str) -> bool:
    return asks_order(question) or bool(_SEVERAL.search(last_sentence(question)))


# What only says that a list follows: "The triad:", 四主征：.
_ANNOUNCED = re.compile(
    r"^\s*[^:：;；,，、\n\d]{0,24}(?:triad|tetrad|pentad|components?|elements?|features?|signs|symptoms|criteria|steps|phases|stages|"
    r"order|sequence|answer|are|include[sd]?|征|联症?|要素|体征|症状|表现|包括|如下|顺序|步骤|答案|分为|"
    r"有)(?: is| are)?[:：]\s*(?=\S)",
    re.IGNORECASE,
)


def split_items(text: str) -> list[str]:
    """The items of an answer, each once, bullets and numbers left out."""
    items = (peel(_BULLET.sub("", part.strip())) for part in _PARTS.split(_ANNOUNCED.sub("", text, count=1)))
    return list({compact(item): item for item in items if compact(item)}.values())


# Each item is asked about twice where the order counts, and the items of one right answer stand in the others too.
@lru_cache(maxsize=4096)
def _decided(item: str, name: str, question: str, rule: Text, known: Vocabulary | None) -> Verdict:
    """Whether a given item is the wanted one of this name. `known` is what `rule` reads: files may change."""
    verdict = rule.decide(Problem("item", ask(question), name), Extracted(item, (0, len(item)), "short"))
    if verdict.status != "abstain" or known is None:
        return verdict
    ours, theirs = known.ids(name), known.ids(item)  # whichever of them a name of several things means
    apart = len(ours) > 1 and theirs and all(known.apart(one, other) for one in theirs for other in ours)
    return Verdict.wrong(f"known as something else than {name!r:.60}") if apart else verdict


def _places(wanted: list[str], given: list[str], verdict: Decide) -> list[int] | None:
    """Which wanted item each given one is, in the order given, and those that are none left out; None where one could be
    several.
    """
    places: list[int] = []
    for item in given[:MOST]:
        right = [i for i, name in enumerate(wanted) if verdict(item, name).score == 1.0]
        if len(right) > 1:
            return None
        places += right
    return places


def _refutes(verdict: Verdict) -> bool:
    """Whether an item is something else; one that says less than a wanted item is left open beside the others."""
    return verdict.score == 0.0 and not verdict.reason.startswith("less specific")


def _match(wanted: list[str], given: list[str], verdict: Decide) -> tuple[int, int, int]:
    """How many given items are in the set, how many are something else or an item turned round, how many stay open."""
    left = list(wanted)
    others: list[str] = []
    refuted = open_ = 0
    for item in given[:MOST]:
        right = next((i for i, name in enumerate(left) if verdict(item, name).score == 1.0), None)
        if right is not None:
            left.pop(right)
        else:
            others.append(item)
    for item in others:  # they can only be what no other item is
        if (
            not left
            or all(_refutes(verdict(item, name)) for name in left)
            or any(opposed(tokens(item), tokens(name)) for name in left)
        ):
            refuted += 1
        else:
            open_ += 1
    return len(wanted) - len(left), refuted, open_
