"""Short worked answers to clinic problems, in the o1 format, to teach a small model the form before RL.

The chain of a patient problem reasons from the tables. A simple one names findings that two diseases share, then one that
decides; a complex one tries an idea, verifies it, and tries another (`searches.py`); and a demonstration may have none, only
the response: the kinds of HuatuoGPT-o1's ablation (arXiv 2412.18925, table 2). A share may conclude wrong on purpose, in
chain and answer alike, so that RL starts from a policy that is often mistaken.
"""

from collections.abc import Sequence
from typing import TypeVar

from medrl.data.clinic.concepts import Disease
from medrl.data.clinic.patients import fraction, possible
from medrl.data.clinic.searches import complex_chain
from medrl.data.clinic.templates import listing
from medrl.data.clinic.vignettes import answers, rivals
from medrl.data.clinic.world import World, load_world
from medrl.data.demonstrations import Demonstration, o1_text
from medrl.errors import DataError
from medrl.types import Problem

NEAREST = 3  # rivals that a chain may weigh
CHAINS = ("simple", "complex", "none")
Item = TypeVar("Item")


def generate_demonstrations(
    problems: Sequence[Problem],
    *,
    wrong_share: float = 0.0,
    chain: str = "simple",
    seed: int = 0,
    world: World | None = None,
) -> list[Demonstration]:
    """One demonstration for each problem of `generate_problems`.

    Args:
        problems: From `generate_problems`, with their metadata.
        wrong_share: Share that concludes a wrong but plausible answer, 0 to 1. Which ones is a hash of seed and problem
            id; the wrong ones of a smaller share are among those of a larger one.
        chain: One of `CHAINS`: what comes before the response. "none" has no thinking part at all, so no o1 format. Problems
            that are not about a patient's findings have the same chain as simple and as complex.
        seed: Another seed chooses other ones.
        world: The tables that the problems were made from, where not the bundled ones.
    """
    if not 0.0 <= wrong_share <= 1.0:
        raise DataError(f"wrong_share is {wrong_share}; it is a share from 0 to 1")
    if chain not in CHAINS:
        raise DataError(f"chain is {chain!r}; it is one of {', '.join(CHAINS)}")
    world = world or load_world()
    demonstrations = []
    for problem in problems:
        wrong = fraction(f"clinic-wrong/{seed}/{problem.id}") < wrong_share
        reasoning, answer = _worked(world, problem, wrong, chain)
        if chain == "none":
            reasoning = ""
        text = o1_text(reasoning, answer) if reasoning else answer
        messages = (*problem.messages, {"role": "assistant", "content": text})
        demonstrations.append(
            Demonstration(f"{problem.id}-demo", messages, reasoning, answer, not wrong, problem.id, problem.language)
        )
    return demonstrations


def _worked(world: World, problem: Problem, wrong: bool, kind: str) -> tuple[str, str]:
    known = problem.metadata
    if "worked" in known:
        chain: str
        label: str
        chain, label = known["slip"] if wrong else (known["worked"], str(problem.reference))
        if known["answer_type"] == "choice":
            chain += _option(problem.language, label)
        return chain, problem.options[label] if known["answer_type"] == "yes_no" else label
    if known.get("disease") not in world.diseases or not known.get("findings"):
        raise DataError(f"problem {problem.id!r} was not made from these clinic tables; give the world that made it")
    return _reasoned(world, problem, wrong, kind)


def _reasoned(world: World, problem: Problem, wrong: bool, kind: str) -> tuple[str, str]:
    """Chain and answer of a patient problem."""
    language, topic, shown = problem.language, problem.metadata["topic"], problem.metadata["findings"]
    truth = world.diseases[problem.metadata["disease"]]
    answer, rival = problem.metadata["answer"], _rival(world, problem, truth, shown)
    if wrong:
        rival, answer = _mistake(world, problem, truth, shown)
    reason = complex_chain if kind == "complex" else _chain
    chain = reason(world, language, shown, truth, rival, wrong, problem.id)
    believed = rival if wrong and rival else truth
    if topic != "diagnosis":
        chain += _consequence(language, topic, believed.name.of(language), answer)
    if not problem.options:
        return chain, answer
    label = next(label for label, text in problem.options.items() if text == answer)
    return chain + _option(language, label), label


def _near(world: World, problem: Problem, truth: Disease, shown: Sequence[str]) -> list[str]:
    """Rivals that this patient could have."""
    age, sex = problem.metadata["patient"]["age"], problem.metadata["patient"]["sex"]
    return [key for key in rivals(world, truth.id, shown) if possible(world.diseases[key], age, sex)]


def _rival(world: World, problem: Problem, truth: Disease, shown: Sequence[str]) -> Disease | None:
    near = _near(world, problem, truth, shown)[:NEAREST]
    return world.diseases[_choose(f"clinic-rival/{problem.id}", near)] if near else None


def _mistake(world: World, problem: Problem, truth: Disease, shown: Sequence[str]) -> tuple[Disease, str]:
    """A disease that shares findings and leads to another answer (to one of the options, where there are some)."""
    language, topic = problem.language, problem.metadata["topic"]
    right = {form for one in answers(world, truth, topic) for form in one.forms(language)}
    near = _near(world, problem, truth, shown)
    found: list[tuple[str, str]] = []
    for key in (*near, *(key for key in world.diseases if key not in near and key != truth.id)):
        if len(found) == NEAREST or (found and key not in near):
            break
        for one in answers(world, world.diseases[key], topic):
            name = one.name.of(language)
            if name not in right and (not problem.options or name in problem.options.values()):
                found.append((key, name))
                break
    if not found:
        raise DataError(f"the clinic's tables hold no wrong answer for problem {problem.id!r}; set wrong_share to 0")
    key, answer = _choose(f"clinic-mistake/{problem.id}", found)
    return world.diseases[key], answer


def _choose(key: str, items: Sequence[Item]) -> Item:
    return items[int(fraction(key) * len(items))]


def _chain(
    world: World, language: str, shown: Sequence[str], truth: Disease, rival: Disease | None, wrong: bool, key: str
) -> str:
    """Findings that both have suggest the two; the most characteristic that the rival lacks decides.

    A wrong chain lets the most characteristic finding of the rival decide, and passes over what it lacks.
    """
    believed = rival if wrong and rival else truth
    shown = sorted(shown, key=lambda finding: believed.findings.index(finding) if finding in believed.findings else 99)
    shared = [finding for finding in shown if rival and finding in rival.findings]
    if wrong:
        deciding = shared[:1] or shown[:1]
        seen = shared[1:3] or [finding for finding in shown if finding not in deciding][:2] or deciding
    else:
        own = [finding for finding in shown if finding not in shared]
        seen = shared[-2:] or own[-2:]
        deciding = [finding for finding in own if finding not in seen][: 1 if len(seen) > 1 else 2] or own[:1]
    candidates = [truth, rival] if rival else [truth]
    if fraction(f"clinic-order/{key}") < 0.5:
        candidates.reverse()
    names = [disease.name.of(language) for disease in candidates]
    first, last = ([world.findings[finding].name.of(language) for finding in some] for some in (seen, deciding))
    best = believed.name.of(language)
    if language == "zh":
        return f"{'、'.join(first)}提示{'或'.join(names)}。{'、'.join(last)}最符合{best}。"
    suggest, fit = ("suggest" if len(first) > 1 else "suggests"), ("fit" if len(last) > 1 else "fits")
    return f"{listing(first, 'en')} {suggest} {' or '.join(names)}. {listing(last, 'en')} {fit} {best} best."


def _consequence(language: str, topic: str, disease: str, answer: str) -> str:
    links = {
        "en": {"department": "is seen in", "treatment": "is treated with", "test": "is tested by"},
        "zh": {"department": "就诊于", "treatment": "一线治疗为", "test": "需做检查为"},
    }
    return (
        f"{disease}{links['zh'][topic]}{answer}。" if language == "zh" else f" {disease} {links['en'][topic]} {answer}."
    )


def _option(language: str, label: str) -> str:
    return f"选{label}。" if language == "zh" else f" that is option {label}."
