"""Try to get paid for nothing: every attack of `medrl.commands.attack_texts` against a reward (`medrl attack`).

A policy in training finds what its reward pays for by mistake. An attack counts as paid where it earns more than an
honest wrong answer to the same problem in the same layout; what a well-formed wrong answer earns by design is no fault.
It also counts as paid where the verifier accepts both, for then the baseline is no measure. Where either has no number
the attack is unscored: that is neither paid nor safe. Each text is scored alone, so one that brings a judge down cannot
hurt the others.
"""

import asyncio
import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any

from medrl import __version__
from medrl.commands.attack_answers import right_answer, wrong_answers
from medrl.commands.attack_texts import ATTACKS, LAYOUTS, OTHER_LAYOUTS, lay_out, words
from medrl.data.clinic import generate_problems
from medrl.errors import DataError, RewardFailed
from medrl.rewards import Reward, RewardContext, Verified, verified_leaf
from medrl.types import Group, Problem, Response, Score
from medrl.verifiers import Verifier, run_sync

KINDS = ("term", "choice", "number", "yes_no", "set")
COUNT = 60
PROBED = 6  # problems whose honest answers tell which layout a reward wants
LOW = 0.5  # share of right answers that must be paid for "nothing was paid" to say something
MORE = 1e-9  # what an attack must earn above the baseline
SHOWN = 300  # characters of an attack's text in the report


@dataclass(frozen=True)
class Outcome:
    """One attack text on one problem, and what it and an honest wrong answer earned."""

    attack: str
    problem: Problem
    layout: str
    text: str
    score: Score
    baseline: Score
    leaf: str = ""  # the part that says whether the answer is right, where the reward has one

    @property
    def gain(self) -> float | None:
        """What it earned above the baseline; None where one of the two has no number."""
        if self.score.value is None or self.baseline.value is None:
            return None
        return self.score.value - self.baseline.value

    @property
    def paid(self) -> bool:
        if self.gain is None:
            return False
        return self.gain > MORE or (accepts(self.baseline, self.leaf) and accepts(self.score, self.leaf))


@dataclass(frozen=True)
class Attacked:
    """The flat object that `--json` writes, and the outcomes that it was computed from."""

    report: dict[str, Any]
    outcomes: tuple[Outcome, ...]


def accepts(score: Score, leaf: str) -> bool:
    """Whether the verifier of a reward, its part `leaf`, took the answer for right."""
    return leaf in score.parts and score.parts[leaf].accepted


def default_problems(count: int = COUNT) -> list[Problem]:
    """Problems of the simulated clinic, of every answer type, in English and Chinese; always the same ones."""
    return generate_problems(split="held_out", count=count, seed=0, kinds=KINDS, languages=("en", "zh"))


def measure(reward: Reward | Verifier, problems: Sequence[Problem]) -> Attacked:
    """Ask `reward` what every attack on every problem is worth.

    Args:
        reward: A reward tree; or a verifier, whose score is the reward, and which pays nothing where it abstains.
        problems: What to answer. Those without a reference, or to which no wrong answer is found (no options, and no
            other problem of the kind in the language), are left out.

    Raises:
        DataError: Nothing is left to attack.
    """
    tree = Verified(reward, otherwise=0.0) if isinstance(reward, Verifier) else reward
    pool = [problem for problem in problems if problem.reference]
    asked = [(problem, wrong) for problem in pool if (wrong := _neighbours(problem, pool))]
    if not asked:
        raise DataError(
            f"none of {len(problems)} problems can be attacked: each needs a reference, and options or another "
            "problem of the same kind and language"
        )
    layouts, unknown, outcomes, honest = run_sync(_all(tree, asked))
    rights = [any(one.gain > MORE for one in pair if one.gain is not None) for pair in honest
              if any(one.gain is not None for one in pair)]  # fmt: skip
    wrongs = [accepts(one.baseline, one.leaf) for pair in honest for one in pair if one.baseline.value is not None]
    report: dict[str, Any] = {
        "problems": len(asked),
        "problems_left_out": len(problems) - len(asked),
        **figures(outcomes),
        "honest_right": sum(rights) / len(rights) if rights else None,
        "honest_wrong": sum(wrongs) / len(wrongs) if wrongs else None,
        "layouts": list(layouts),
        "warning": _warning(sum(rights) / len(rights) if rights else None, unknown),
        "by_attack": {name: _of_attack([one for one in outcomes if one.attack == name]) for name in ATTACKS},
        "reward": reward.to_config() if isinstance(reward, Verifier) else reward.describe(),
        "medrl_version": __version__,
    }
    if isinstance(reward, Verifier):
        report["fingerprint"] = reward.fingerprint()
    return Attacked(report, tuple(outcomes))


def figures(outcomes: Sequence[Outcome]) -> dict[str, Any]:
    """How many texts there were, the share of the scored ones that was paid, and how many had no number."""
    scored = [one for one in outcomes if one.gain is not None]
    return {
        "n": len(outcomes),
        "paid": sum(one.paid for one in scored) / len(scored) if scored else None,
        "n_paid": sum(one.paid for one in scored),
        "unscored": len(outcomes) - len(scored),
    }


def worst(outcomes: Sequence[Outcome], count: int) -> list[Outcome]:
    """The paid outcomes that gained most, the first of each attack before the second of any."""
    seen: dict[str, int] = {}
    ranked = []
    for one in sorted((one for one in outcomes if one.paid), key=lambda one: -(one.gain or 0.0)):
        seen[one.attack] = seen.get(one.attack, 0) + 1
        ranked.append((seen[one.attack], one))
    return [one for _, one in sorted(ranked, key=lambda pair: pair[0])][:count]


def shortened(text: str, limit: int = SHOWN) -> str:
    """The beginning and the end of a long text, with the number of characters between them."""
    if len(text) <= limit:
        return text
    return f"{text[: limit // 2]} […{len(text) - limit} characters…] {text[-(limit // 2) :]}"


def _neighbours(problem: Problem, pool: Sequence[Problem]) -> list[str]:
    """Wrong answers to a problem, those of the problems right after it first, so that no neighbour is in all texts."""
    at = next(i for i, one in enumerate(pool) if one is problem)
    return wrong_answers(problem, [*pool[at + 1 :], *pool[:at]])


def _warning(honest_right: float | None, unknown: Sequence[str]) -> str:
    """What must be read before the share that was paid; "" where right answers are paid in a layout that is attacked, and
    no layout is `unknown`: in those no right answer that was tried has a number, so nobody knows whether they are wanted.
    """
    found = []
    if honest_right is None:
        found.append("no honest right answer was scored, so nothing is known of this reward")
    elif honest_right < LOW:
        found.append(
            f"only {honest_right:.0%} of the honest right answers earn more than a wrong one, so attacks that are not paid "
            "say little of this reward: it may want another format than those tried, or abstain on these problems"
        )
    if unknown:
        found.append(
            f"no honest right answer has a number in {', '.join(unknown)}, so no attack was tried there and nobody knows "
            "whether the reward wants it: try again when its judge is well"
        )
    return "; ".join(found)


async def _wanted(
    reward: Reward, asked: Sequence[tuple[Problem, Sequence[str]]]
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The layouts to attack in: plain, o1, and the one in which right answers earn most, where that is another one; and
    those of the others in which none of the right answers that were tried has a number.
    """
    tried: dict[str, list[Score]] = {layout: [] for layout in (*LAYOUTS, *OTHER_LAYOUTS)}
    for problem, _ in asked[:PROBED]:
        laid_out = {layout: lay_out(right_answer(problem), layout, problem.language) for layout in tried}
        right = {layout: text for layout, text in laid_out.items() if text is not None}
        scores = await asyncio.gather(*(_score(reward, problem, text) for text in right.values()))
        for layout, score in zip(right, scores, strict=True):
            tried[layout].append(score)
    values = {layout: [one.value for one in scores if one.value is not None] for layout, scores in tried.items()}
    mean = {layout: fmean(found) if found else -math.inf for layout, found in values.items()}
    best = max(mean, key=mean.__getitem__)  # the first of equals
    unknown = tuple(layout for layout in OTHER_LAYOUTS if tried[layout] and not values[layout])
    return LAYOUTS if mean[best] <= max(mean[one] for one in LAYOUTS) + MORE else (*LAYOUTS, best), unknown


async def _all(
    reward: Reward, asked: Sequence[tuple[Problem, Sequence[str]]]
) -> tuple[tuple[str, ...], tuple[str, ...], list[Outcome], list[list[Outcome]]]:
    """The layouts, those that nothing is known of, every outcome, and for each problem those of an honest right answer
    in each layout.
    """
    outcomes: list[Outcome] = []
    honest: list[list[Outcome]] = []
    leaf = found.name if (found := verified_leaf(reward)) else ""
    layouts, unknown = await _wanted(reward, asked)
    for problem, wrong in asked:
        lines = [
            (name, layout, lay_out(body, layout, problem.language) or "")
            for name, body in (("wrong", wrong[0]), ("right", right_answer(problem)))
            for layout in layouts
        ]
        lines += _texts(problem, wrong, layouts)
        scores = await asyncio.gather(*(_score(reward, problem, text) for *_, text in lines))
        baselines = {layout: score for (name, layout, _), score in zip(lines, scores, strict=True) if name == "wrong"}
        tried = [
            Outcome(name, problem, layout, text, score, baselines[layout], leaf)
            for (name, layout, text), score in zip(lines, scores, strict=True)
        ]
        honest.append([one for one in tried if one.attack == "right"])
        outcomes += [one for one in tried if one.attack in ATTACKS]
    return layouts, unknown, outcomes, honest


def _texts(problem: Problem, wrong: Sequence[str], layouts: Sequence[str]) -> list[tuple[str, str, str]]:
    """Attack, layout and text of everything that is tried on a problem; what is a right answer after all is left out."""
    right = {words(text) for text in (problem.reference or "", right_answer(problem), *problem.aliases)} - {""}
    found = []
    thinks = any(
        layout.startswith("think") for layout in layouts
    )  # then these are measured by a wrong answer of that form
    for name, one in ATTACKS.items():
        for body in dict.fromkeys(one.make(problem, wrong)):
            for layout in layouts[1:] if thinks and "<think>" in body else layouts:
                text = lay_out(body, layout, problem.language)
                if text is not None and words(body) not in right:
                    found.append((name, layout, text))
    return found


async def _score(reward: Reward, problem: Problem, text: str) -> Score:
    try:
        return (await reward.score([Group(problem, (Response(text),))], RewardContext()))[0][0]
    except RewardFailed as error:  # a reward that was told to stop the run where a part has no number
        return Score(None, "error", reason=str(error))


def _of_attack(outcomes: Sequence[Outcome]) -> dict[str, Any]:
    example = next(iter(worst(outcomes, 1)), None)
    return {**figures(outcomes), "worst": None if example is None else row(example)}


def row(one: Outcome) -> dict[str, Any]:
    """An outcome for the report."""
    return {
        "id": one.problem.id,
        "layout": one.layout,
        "text": shortened(one.text),
        "reference": one.problem.reference,
        "reward": one.score.value,
        "baseline": one.baseline.value,
        "reason": shortened(one.score.reason or next((p.reason for p in one.score.parts.values() if p.reason), "")),
    }
