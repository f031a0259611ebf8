"""A choice among options: by letter, by option text, or both, which then must agree."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import ClassVar

from medrl.types import Problem, Verdict, ask
from medrl.verifiers.alike_options import tell_apart
from medrl.verifiers.choice_labels import (
    AFFIRMED,
    BECAUSE,
    BETWEEN,
    CLOSED,
    LEAD,
    NEITHER,
    OPEN,
    bare_labels,
    chosen_labels,
    leading_letters,
    named_options,
    read_labels,
    shown,
    tidy,
    wanted_labels,
)
from medrl.verifiers.exclusions import chooses_none
from medrl.verifiers.extract import Extracted
from medrl.verifiers.normalise import normal
from medrl.verifiers.operators import computes, computes_otherwise, turns_round
from medrl.verifiers.option_words import NOTHING, confirms, gives_reason, is_of_it, is_silent, undone
from medrl.verifiers.predicates import corrections
from medrl.verifiers.reading import VocabularyVerifier
from medrl.verifiers.statements import affirmed, asks_wrong, contraindicated, told
from medrl.verifiers.text import Text
from medrl.verifiers.text_reading import asked_of
from medrl.verifiers.vocabularies import Sources
from medrl.verifiers.wording import REVERSED, before_differential

MAY_TURN = "words beside the option may turn it"

# Behind an answer these alone take it back.
_STRUCK = re.compile(
    r"\W*(?:(?:but |that |this |it |which )?(?:is |was |'s )?"
    r"(?:not?|nope|not (?:really|true|right|correct|this|so)|wrong|false|"
    r"incorrect|untrue|excluded|ruled out|eliminated|rejected|denied|refuted|unlikely|a (?:trap|distractor))|"
    r"不对|错误?|不是|否|排除|已排除|不正确|干扰项)\W*",
    re.IGNORECASE,
)
_CALLED_RIGHT = re.compile(
    r"\(?[A-Z]\)?(?:选?项)?(?:(?:的说法)?[是为]?(?:对|正确|成立)的?(?:选项|答案|说法|治疗|处理|措施|做法)?|"
    r" (?:is|as) (?:correct|right|true))[.。]?",
    re.IGNORECASE,
)
_DENIED = re.compile(
    r"(?:NOT|IT IS NOT|IT'S NOT|THE ANSWER IS NOT|DEFINITELY NOT|不选择?|不是|不应选|答案不是|并非|非)\s*"
    r"(?:OPTION )?\(?(?P<labels>[A-Z])\)?(?:选?项)?[.。]?|"
    r"(?:只有)?(?P<before>[A-Z])(?:选?项)?(?:(?:可以?|应|被|可被)?(?:予以)?排除|(?:是)?(?:不是|不对|不正确|错误?)的?)[.。]?"
)
# A label that stands again after "not": "A/B/D but not D".
_DENIED_AGAIN = re.compile(
    r"(?:\b(?:not|except|without)|不选|不是|不含|不包括|并非)\s?(?:option )?\(?(?P<label>[A-Z])(?![A-Za-z0-9'-])",
    re.IGNORECASE,
)
_DOUBTED = re.compile(r"[?？×]\W{0,9}$")
_HAS = re.compile(r"(?:the |this |a )?patient(?: with \w+)? has (?=\w)", re.IGNORECASE)
_SMALL_LABEL = re.compile(r"(?<![A-Za-z])\(?(?P<label>[a-z])[.):、]\s*")
_SO = re.compile(r"(?<!not )\b(?:so|hence|thus|therefore)\b,?|故|所以|因此", re.IGNORECASE)


@dataclass(frozen=True)
class Choice(VocabularyVerifier):
    """Decides a multiple-choice answer; the reference is a label ("B", "ACD") or an option's text."""

    name: ClassVar[str] = "choice"

    vocabulary: Sources = None
    """Names that are known to mean one concept, as in the `text` verifier: an answer in other words than its option's."""

    def decide(self, problem: Problem, answer: Extracted) -> Verdict:
        given = {label.strip().upper(): text for label, text in problem.options.items()}
        if not given:
            return Verdict.failed(f"problem {problem.id!r} has no options, which a choice needs", "invalid")
        options, rewritten = tell_apart(given)
        if rewritten:
            answer = answer._replace(
                text=rewritten(answer.text),
                earlier=tuple(map(rewritten, answer.earlier)),
                after=tuple(map(rewritten, answer.after)),
            )
        reference = str(problem.reference)
        wanted = wanted_labels(rewritten(reference) if rewritten else reference, options)
        if wanted is None:
            return Verdict.failed(
                f"the reference {problem.reference!r:.60} is neither a label nor an option", "invalid"
            )
        if not answer.committed:
            return Verdict.abstain("a long answer without a statement that commits to an option")
        if asks_wrong(problem.question) and _CALLED_RIGHT.fullmatch(tidy(answer.text)):
            return Verdict.abstain("what is called right may be no answer to what is wrong")
        if len(wanted) == 1 and not answer.earlier and chooses_none(tidy(answer.text), options):
            return Verdict.wrong("it chooses none, or leaves it open")
        said = told(tidy(answer.text), options, problem.question)
        if said and said.denied and len(wanted) == 1 and said.denied >= wanted:
            return Verdict.wrong(f"it denies {shown(wanted)}, the reference")
        chosen = said.chosen if said and said.chosen else chosen_labels(answer.text, options)
        if chosen == wanted and len(chosen) > 1 and BETWEEN.search(answer.text):
            return Verdict.abstain("an open choice")
        if chosen == OPEN and len(wanted) == 1:
            return Verdict.wrong("an open choice between options")
        if chosen == NEITHER and not answer.earlier and (one := _by_words(answer.text, options)):
            chosen = one
        if chosen == NEITHER and not answer.earlier:
            return self._in_other_words(problem, answer, options, wanted)
        denied = _DENIED.fullmatch(tidy(answer.text).upper())
        struck = (denied["labels"] or denied["before"]) if denied else ""
        if struck in wanted and not REVERSED.search(problem.question):
            return Verdict.wrong(f"it denies {struck}, the reference")
        if isinstance(chosen, str):
            return Verdict.wrong(chosen) if chosen.startswith("the letter") else Verdict.abstain(chosen)
        for earlier in answer.earlier:
            before = read_labels(tidy(earlier), options)
            if isinstance(before, frozenset) and before != chosen:
                return Verdict.wrong(f"two answers, neither taken back: {shown(before)} and {shown(chosen)}")
        if chosen == wanted and any(bare_labels(piece, options) - chosen for piece in answer.after):
            return Verdict.abstain("another option follows the answer")
        if chosen == wanted and any(_STRUCK.fullmatch(piece) for piece in answer.after):
            return Verdict.abstain("what follows the answer takes it back")
        corrected = [bare_labels(said, options) for one in (answer.text, *answer.after) for said in corrections(one)]
        if any(one - chosen and wanted in (chosen, one) for one in corrected):
            return Verdict.abstain("it may correct itself to another option")
        text = tidy(answer.text)
        if chosen == wanted and (affirmed(text, options, problem.question) & chosen):
            return Verdict.abstain("it says of the reference what the question denies")
        if chosen == wanted and (contraindicated(text, options, problem.question) & chosen):
            return Verdict.abstain("it calls the reference contraindicated")
        if chosen == wanted and not (said and said.chosen) and not self._stands(problem, answer, options, chosen):
            return Verdict.abstain(MAY_TURN)
        stated = (
            answer.how == "stated"
        )  # "The answer is B. Gout is in the big toe." ends its statement behind the letter
        if chosen == wanted and not stated and _opens_with_another(text, options, chosen):
            return Verdict.abstain("another option's text stands directly behind the letter")
        if chosen == wanted and any(
            _is_written_otherwise(answer.text, given[label], problem.question)
            if options[label] == given[label]
            else named_options(answer.text, {label: given[label]})
            for label in (given if rewritten else chosen)
            if label in chosen or options[label] != given[label]
        ):
            return Verdict.abstain("its signs are not those of the option")
        if chosen == wanted:
            return Verdict.right(f"{shown(chosen)}, as the reference")
        if len(chosen) > 1 and len(wanted) == 1:
            return Verdict.wrong(f"several options ({shown(chosen)}) where one is asked")
        return Verdict.wrong(f"{shown(chosen)} where {shown(wanted)} is right")

    def _stands(self, problem: Problem, answer: Extracted, options: Mapping[str, str], chosen: frozenset[str]) -> bool:
        """Whether an answer says of the options that it names nothing that could turn them."""
        text, asked = tidy(answer.text), asked_of(problem.question)
        own = [options[label] for label in sorted(chosen)]
        plain = before_differential(text)
        if _DOUBTED.search(text) and not any(map(_DOUBTED.search, own)):
            return False
        if AFFIRMED.fullmatch(text) or bare_labels(text, options) == chosen or _by_words(text, options) == chosen:
            return True
        if any(one["label"] in chosen for one in _DENIED_AGAIN.finditer(text)):
            return False
        stem = problem.question[: problem.question.find(min(options.values(), key=problem.question.find))]

        def names(words: str) -> bool:
            one = replace(problem, messages=ask(stem or "?"), reference=own[0], options={})
            said = _without_lack(answer._replace(text=words), problem.question)
            return (
                len(own) == 1
                and not undone(words, own, asked)
                and Text("plain", self.vocabulary).decide(one, said).score == 1.0
            )

        opened = LEAD.sub("", plain, count=1)
        letters, rest = leading_letters(opened, options)
        head = BECAUSE.split(opened)[0]
        if not letters and head != opened:  # "B because"
            letters, rest = leading_letters(head, options)
            rest += opened[len(head) :]
        if letters:
            closed = CLOSED.search(opened[: len(opened) - len(rest)].rstrip())
            return letters != chosen or confirms(f",{rest}" if closed else rest, letters, own, asked, names)
        opened = _HAS.sub("", opened)
        opened = _SMALL_LABEL.sub(lambda m: "" if m["label"].upper() in chosen else m[0], opened)
        concluded = _SO.split(opened)[-1]
        return (
            not named_options(text, options) & chosen
            or (not is_of_it(opened, own) and (is_silent(opened, own, NOTHING) or names(opened)))
            or bare_labels(concluded, options) == chosen
            or gives_reason(opened, own)
        )

    def _in_other_words(
        self, problem: Problem, answer: Extracted, options: Mapping[str, str], wanted: frozenset[str]
    ) -> Verdict:
        """An answer that names no option's letter or text, by what the vocabulary knows of one option alone."""
        if self.vocabulary is None or len(wanted) != 1:
            return Verdict.abstain(NEITHER)
        rule = Text("plain", self.vocabulary)
        answer = _without_lack(answer, problem.question)
        stem = problem.question[: problem.question.find(min(options.values(), key=problem.question.find))]
        named = [
            label
            for label, option in options.items()
            if rule.decide(replace(problem, messages=ask(stem or "?"), reference=option, options={}), answer).score
            == 1.0
        ]
        if len(named) != 1:
            return Verdict.abstain(NEITHER)
        reason = f"another name of option {named[0]}"
        return (
            Verdict.right(reason) if named[0] in wanted else Verdict.wrong(f"{reason}, where {shown(wanted)} is right")
        )


def _is_written_otherwise(text: str, option: str, question: str) -> bool:
    """Whether an answer has the words of an option with other operators between them, or the other way round."""
    said = text.rstrip(" .。")
    if option[:1] != "(" and (inside := _IN_PARENTHESES.search(said)):
        said = inside["said"]  # "B (CO/SVR)"
    if turns_round(said, option):
        return True
    if not computes(option):
        return computes_otherwise(said, (option,), question)
    sides = [said] if "=" in option else said.split("=")
    named = named_options(f"{said}\n{said.replace('+', ' ')}", {"": option})
    return bool(named) and all(computes_otherwise(side, (option,), question) for side in sides)


def _opens_with_another(text: str, options: Mapping[str, str], chosen: frozenset[str]) -> bool:
    """Whether an answer goes on from its letter with another option's text: "D. Vitamin B6 is lacking", where B6 is A."""
    letters, rest = leading_letters(LEAD.sub("", text, count=1), options)
    said = f"{normal(rest)} "
    opening = {label for label, option in options.items() if normal(option) and said.startswith(f"{normal(option)} ")}
    return letters == chosen and bool(opening) and chosen.isdisjoint(opening)


_IN_PARENTHESES = re.compile(r"^\W{0,9}[A-Z]\)? ?\((?P<said>.*)\)$", re.DOTALL)
_NEUTRAL = frozenset(normal("type group rh blood virus cell is it the of in with unit positive").split()) - {"positive"}
_ORDERED = frozenset("to from than before after by of not no non without".split())


def _by_words(text: str, options: Mapping[str, str]) -> frozenset[str]:
    """The one option whose words an answer has in another order, with neutral ones alone: "type A influenza virus"."""
    if len(text) > 80:
        return frozenset()
    said = normal(text).split()
    words = set(said)
    bags = {label: set(normal(option).split()) for label, option in options.items()}
    found = [label for label, bag in bags.items() if len(bag) > 1 and bag <= words and words - bag <= _NEUTRAL]
    alike = len(found) == 1 and list(bags.values()).count(bags[found[0]]) == 1
    return (
        frozenset(found) if alike and len(words) == len(said) and bags[found[0]].isdisjoint(_ORDERED) else frozenset()
    )


_LACK = re.compile(r"\b(?:a )?(?:deficiency|deficient|lack)(?: of| in)?\b|缺乏症?|不足", re.IGNORECASE)


def _without_lack(answer: Extracted, question: str) -> Extracted:
    """An answer without its word of lack ("thiamine deficiency"), where the question says that word."""
    text = _LACK.sub(" ", answer.text).strip() if _LACK.search(question) else answer.text
    return answer._replace(text=text) if text else answer
