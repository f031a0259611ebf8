"""What an evaluation says of a policy, by numbers computed by hand."""

import asyncio
import math
from collections.abc import Callable, Sequence

import pytest

from medrl.engines import InProcessEngine, Sampling
from medrl.evaluation.evaluate import Evaluation, EvaluationSettings, evaluate, language_kept, part_means
from medrl.models import Policy
from medrl.rewards import Format, Levels, Reward, Verified, WeightedSum
from medrl.types import Group, Part, Problem, Response, Score, ScoredGroup, Verdict, ask
from medrl.verifiers.protocol import verifier

PROBLEMS = [Problem(f"h{i}", ask(text)) for i, text in enumerate(("red?", "blue?", "knee", "fever"))]


@verifier("by_length", decides=True)
def by_length(problem: Problem, text: str) -> Verdict:
    """Depends on the text; the judge of h2 always fails."""
    if problem.id == "h2":
        return Verdict.failed("judge is down", "timeout")
    return Verdict(float(sum(map(ord, text)) % 2))


def run(policy: Policy, reward: Reward, problems: Sequence[Problem] = PROBLEMS, **knobs: object) -> Evaluation:
    settings = EvaluationSettings(**{"samples": 3, **knobs})  # type: ignore[arg-type]
    work = evaluate(
        InProcessEngine(policy), policy, problems, reward, settings=settings,
        sampling=Sampling(0.3, top_k=3, max_tokens=9), seed=(1,), version=4,
    )  # fmt: skip
    return asyncio.run(work)


def test_figures_by_hand(make_policy: Callable[..., Policy]) -> None:
    result = run(make_policy(), 0.5 * Verified(by_length) + 0.5 * Format("o1"), max_unscored=0.3)
    values = {
        g.group.problem.id: [float(sum(map(ord, r.text)) % 2) for r in g.group.rollouts]
        for g in result.sampled
        if g.group.problem.id != "h2"
    }
    flat = [v for row in values.values() for v in row]
    assert result.accuracy == pytest.approx(sum(flat) / 9), "a failed judge is left out, not counted as wrong"
    assert 0.0 < sum(flat) < 9.0
    means = [sum(row) / 3 for row in values.values()]
    centre = sum(means) / 3
    variance = sum((m - centre) ** 2 for m in means) / 2
    assert result.accuracy_stderr == pytest.approx(math.sqrt(variance / 3))
    assert result.unscored == 0.25
    assert result.reward == pytest.approx(result.accuracy / 2)
    assert result.format == 0.0
    assert (result.problems, result.samples, result.name) == (4, 3, "held_out")
    assert result.length == pytest.approx(
        sum(r.token_count or 0 for g in result.sampled for r in g.group.rollouts) / 12
    )


def test_it_samples_at_its_own_temperature_without_limits(make_policy: Callable[..., Policy]) -> None:
    policy = make_policy()
    one = run(policy, Verified(by_length))
    assert one.sampled == run(policy, Verified(by_length)).sampled, "the seeds are fixed"
    for group in run(policy, Verified(by_length), temperature=1e-4).sampled:
        assert len({r.token_ids for r in group.group.rollouts}) == 1  # type: ignore[attr-defined]
    hot = {r.token_ids for g in one.sampled for r in g.group.rollouts}  # type: ignore[attr-defined]
    assert len(hot) == 12
    assert len({t for ids in hot for t in ids}) > 50, "the top-k of training does not apply"


def test_greedy_answers_are_the_likeliest(make_policy: Callable[..., Policy]) -> None:
    policy = make_policy()
    asked: list[str] = []

    @verifier("listening")
    def listening(problem: Problem, text: str) -> bool:
        asked.append(text)
        return len(text) % 2 == 0

    result = run(policy, Verified(listening), PROBLEMS[:2], samples=1)
    assert len(asked) == 4
    assert result.greedy_accuracy == sum(len(text) % 2 == 0 for text in asked[2:]) / 2
    assert run(policy, Verified(listening), PROBLEMS[:2], greedy=False).greedy_accuracy is None


def test_limits_and_empty_sets(make_policy: Callable[..., Policy]) -> None:
    policy = make_policy()
    assert run(policy, Verified(by_length), limit=1, greedy=False).problems == 1
    nothing = run(policy, Verified(by_length), PROBLEMS[2:3])
    assert (nothing.accuracy, nothing.accuracy_stderr, nothing.greedy_accuracy) == (None, None, None)
    assert (nothing.reward, nothing.unscored) == (None, 1.0)
    with pytest.raises(ValueError, match="no held-out problems"):
        run(policy, Verified(by_length), [])
    with pytest.raises(ValueError, match="no `verified` part"):
        run(policy, Format("o1"))


def test_the_row_holds_figures_and_its_time(make_policy: Callable[..., Policy]) -> None:
    row = run(make_policy(), Verified(by_length)).row()
    assert row["time/evaluation"] > 0.0
    assert {"accuracy", "accuracy_stderr", "greedy_accuracy", "unscored", "length", "problems"} <= set(row)
    assert not {"sampled", "name", "seconds"} & set(row)


def answers(language: str, *texts: str) -> ScoredGroup:
    group = Group(Problem("p", ask("?"), language=language), tuple(map(Response, texts)))
    return ScoredGroup(group, (Score(1.0),) * len(texts))


def test_language_kept() -> None:
    assert language_kept([answers("zh", "患者发热", "the patient", "42")]) == pytest.approx(2 / 3)
    assert language_kept([answers("en", "gout", "痛风", "38.5", "")]) == 0.75
    assert language_kept([answers("zh", "考虑 AML 或 CML，血小板减少")]) == 1.0, "abbreviations are allowed"


def test_part_means_leave_out_what_has_no_number() -> None:
    def score(correct: float | None, extra: bool) -> Score:
        parts = {"correct": Part(correct, "ok" if correct is not None else "error")}
        return Score(1.0, parts={**parts, "extra": Part(0.5)} if extra else parts)

    group = Group(Problem("p", ask("?")), (Response("a"),) * 3)
    scored = ScoredGroup(group, (score(1.0, True), score(None, False), score(0.0, False)))
    assert part_means([scored]) == {"correct": 0.5, "extra": 0.5}


@verifier("mostly_down", decides=True)
def mostly_down(problem: Problem, text: str) -> Verdict:
    """Right for h0 alone; all other answers find the judge down."""
    return Verdict.right() if problem.id == "h0" else Verdict.failed("judge is down")


@verifier("shy")
def shy(problem: Problem, text: str) -> bool | None:
    return None if problem.id == "h1" else True


def test_too_many_failures_leave_no_accuracy(make_policy: Callable[..., Policy]) -> None:
    policy = make_policy()
    bounded = run(policy, Verified(mostly_down), max_unscored=0.5)
    assert (bounded.accuracy, bounded.accuracy_stderr, bounded.greedy_accuracy) == (None, None, None)
    assert bounded.unscored == 0.75
    allowed = run(policy, Verified(mostly_down), max_unscored=0.75)
    assert (allowed.accuracy, allowed.greedy_accuracy) == (1.0, 1.0)


def test_malformed_answers_do_not_stand_in_for_a_judge_that_is_down(make_policy: Callable[..., Policy]) -> None:
    result = run(make_policy(), Levels(Verified(mostly_down), Format("o1")), max_unscored=0.5)
    assert result.format == 0.0 and result.accuracy == 0.0, "nobody had to ask the judge"
    watched = WeightedSum((Format("o1"), Verified(mostly_down)), (1.0, 0.0))
    result = run(make_policy(), watched, max_unscored=0.5)
    assert all(score.value == 0.0 for g in result.sampled for score in g.scores), "the tree has a number for each"
    assert (result.accuracy, result.reward, result.unscored) == (None, None, 0.75), "the verifier has not"


def test_abstentions_are_counted_whatever_they_are_worth(make_policy: Callable[..., Policy]) -> None:
    result = run(make_policy(), Verified(shy, otherwise=0.0))
    assert (result.accuracy, result.abstained, result.unscored) == (0.75, 0.25, 0.0)
    assert "abstained" in result.row()


@pytest.mark.parametrize("knobs", [{"samples": 0}, {"max_unscored": 1.0}, {"max_unscored": -0.1}])
def test_settings_that_measure_nothing_are_refused(knobs: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="evaluation: "):
        EvaluationSettings(**knobs)  # type: ignore[arg-type]
