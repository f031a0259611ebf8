"""What the makers of clinic problems share: one draw's settings, what a draw gives, and small tools.

A maker returns None when its draw falls on the other side of the split or does not fit; the caller then draws again.
"""

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from medrl.data.clinic import templates
from medrl.data.clinic.concepts import Named
from medrl.data.clinic.patients import Patient, side
from medrl.data.clinic.world import World
from medrl.types import Kind

LABELS = "ABCD"
OTHERS = len(LABELS) - 1


@dataclass(frozen=True)
class Draw:
    """The settings of one draw."""

    world: World
    rng: random.Random
    split: str
    language: str
    topic: str
    answer_type: str
    diseases: Sequence[str]
    shown: tuple[int, int]
    new_wording: bool

    @property
    def chinese(self) -> bool:
        return self.language == "zh"

    def wording(self, variants: Sequence[str]) -> tuple[int, str]:
        return self.rng.choice(templates.of_split(variants, self.new_wording))

    def question(self, **words: Any) -> tuple[str, str]:
        """A question of this topic with its blanks filled, and the name of its template."""
        number, text = self.wording(templates.QUESTIONS[self.language][self.topic])
        answer_with = templates.ANSWER_WITH[self.answer_type][self.language]
        return templates.capital(
            templates.article(text.format(**words))
        ) + answer_with, f"{self.language}-{self.topic}-{number}"

    def sex(self, patient: Patient) -> str:
        return templates.SEX[self.language][patient.sex, patient.age >= 13]

    def who(self, patient: Patient) -> dict[str, Any]:
        return {"age": patient.age, "sex": self.sex(patient)}

    def name(self, concept: Named) -> str:
        return concept.name.of(self.language)


@dataclass(frozen=True)
class Drawn:
    """A problem without its id; `worked` is a right chain of reasoning, `slip` a wrong chain and its answer."""

    text: str
    template: str
    reference: str
    kind: Kind
    combination: str
    aliases: tuple[str, ...] = ()
    options: Mapping[str, str] = field(default_factory=dict)
    worked: str = ""
    slip: tuple[str, str] = ("", "")
    facts: Mapping[str, Any] = field(default_factory=dict)


def lettered(draw: Draw, right: str, wrong: Sequence[str]) -> tuple[dict[str, str], str]:
    """Four options in random order, and the label of the right one."""
    texts = [right, *wrong]
    draw.rng.shuffle(texts)
    options = dict(zip(LABELS, texts, strict=True))
    return options, LABELS[texts.index(right)]


def with_options(text: str, options: Mapping[str, str]) -> str:
    return text + "".join(f"\n{label}. {option}" for label, option in options.items())


def figure(value: float, digits: int = 6) -> str:
    """A number in plain decimals with at most so many significant digits: 0.0555, 1350, 6.99."""
    text = f"{float(f'{value:.{digits}g}'):.10f}".rstrip("0").rstrip(".")
    return text or "0"


def pick(rng: random.Random, pool: Sequence[Any], count: int) -> list[Any] | None:
    return rng.sample(list(pool), count) if len(pool) >= count else None


def choice_drawn(
    draw: Draw, key: str, subject: str, right: str, wrong: Sequence[str], told: Callable[[str], str]
) -> Drawn | None:
    """A fact asked with four options; `told` says in a sentence that an option is the answer."""
    if side(key) != draw.split:
        return None
    options, label = lettered(draw, right, wrong)
    text, template = draw.question(subject=subject)
    other = next(option for option, name in options.items() if name == wrong[0])
    slip = (told(wrong[0]), other)
    facts = {"answer": right}
    text = with_options(text, options)
    return Drawn(text, template, label, "choice", key, options=options, worked=told(right), slip=slip, facts=facts)


def yes_no_drawn(
    draw: Draw, text: str, template: str, key: str, yes: bool, told: Callable[[bool], str], facts: Mapping[str, Any]
) -> Drawn:
    """A yes-or-no question; `told` says in a sentence why the answer is yes, or no."""
    options = {"yes": "是", "no": "否"} if draw.chinese else {"yes": "yes", "no": "no"}
    answer, other = ("yes", "no") if yes else ("no", "yes")
    slip = (told(not yes), other)
    return Drawn(text, template, answer, "choice", key, options=options, worked=told(yes), slip=slip, facts=facts)


def set_drawn(draw: Draw, about: str, subject: str, inside: Sequence[Named], outside: Sequence[Named]) -> Drawn | None:
    """A list from which those inside are to be named, in any order."""
    listed = [*inside, *outside]
    key = f"{about}:{'+'.join(sorted(one.id for one in listed))}"
    if side(key) != draw.split:
        return None
    draw.rng.shuffle(listed)
    right = [one for one in listed if one in inside]
    names = [draw.name(one) for one in right]
    text, template = draw.question(
        subject=subject, listed=templates.listing([draw.name(one) for one in listed], draw.language)
    )

    def told(some: Sequence[str]) -> str:
        listing = templates.listing(some, draw.language)
        return f"{listing}属于{subject}。" if draw.chinese else f"{listing} belong to {subject}."

    mistaken = [*names[1:], draw.name(outside[0])]
    facts = {
        "items": names,
        "item_aliases": {draw.name(one): list(one.aliases(draw.language)) for one in right},
        "listed": [draw.name(one) for one in listed],
    }
    slip = (told(mistaken), "; ".join(mistaken))
    return Drawn(text, template, "; ".join(names), "open", key, worked=told(names), slip=slip, facts=facts)
