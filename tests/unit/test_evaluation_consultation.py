"""Consultations evaluated: figures by hand, intervals, failures that are left out; recipes with an environment."""

import asyncio
from collections.abc import Callable
from pathlib import Path

import pytest

from medrl.data.clinic.consulting import generate_patients
from medrl.engines import InProcessEngine, Sampling
from medrl.environments import PatientSimulator
from medrl.environments.scripted import play
from medrl.errors import ProblemError, RecipeError
from medrl.evaluation.consultation import consult, consultation_row, interval, summarise
from medrl.models import Policy
from medrl.recipes.evaluate import evaluate_policy
from medrl.recipes.load import load_recipe, read_recipe
from medrl.recipes.run import run_recipe
from medrl.rewards import build
from medrl.tracking import RunConsole
from medrl.types import Group, Part, Problem, Response, Score, ScoredGroup, ask

REWARD = build({"type": "consultation", "correct": {"type": "verified", "verifier": {"type": "text", "vocabulary": "clinic"},
                "otherwise": 0.0}})  # fmt: skip
CORRECT = next(node for node in REWARD.walk() if node.verifies)


def group(name: str, *pairs: tuple[float | None, float]) -> ScoredGroup:
    """One patient: for each consultation its score and whether the diagnosis was right."""
    rollouts = tuple(Response("", measured={"gain": right / 2, "turns": 4, "red_flags": None}) for _, right in pairs)
    scores = tuple(
        Score(None, "error", reason="down") if value is None else Score(value, parts={CORRECT.name: Part(right)})
        for value, right in pairs
    )
    return ScoredGroup(Group(Problem(name, ask("?"), language="zh" if name == "c" else "en"), rollouts), scores)


def test_figures_are_means_over_patients_and_failures_are_left_out() -> None:
    scored = [
        group("a", (0.2, 1.0), (0.4, 0.0)),
        group("b", (1.0, 1.0), (None, 0.0)),
        group("c", (0.0, 0.0), (0.0, 0.0)),
    ]
    found = summarise(scored, CORRECT, max_unscored=0.2)
    assert found.unscored == pytest.approx(1 / 6) and found.patients == 3
    assert found.figures["score"].mean == pytest.approx((0.3 + 1.0 + 0.0) / 3)
    assert found.figures["diagnosis"].mean == pytest.approx((0.5 + 1 + 0) / 3)
    assert found.figures["gain"].mean == pytest.approx((0.25 + 0.5 + 0) / 3) and "red_flags" not in found.figures
    assert found.by_language["zh"]["score"].mean == 0.0
    assert found.by_language["en"] == {}  # 1 of 4 failed
    found = summarise(scored, CORRECT, max_unscored=0.25)
    assert found.by_language["en"]["score"].mean == pytest.approx(0.65)
    assert summarise(scored, CORRECT, max_unscored=0.1).figures == {}
    row = consultation_row(scored, CORRECT, 0.2)
    assert row["consultation/diagnosis_low"] <= row["consultation/diagnosis"] <= row["consultation/diagnosis_high"]
    plain = [ScoredGroup(Group(Problem("p", ask("?")), (Response("x"),)), (Score(1.0),))]
    assert consultation_row(plain, CORRECT, 0.2) == {}


def test_a_language_of_which_too_much_failed_has_no_figures() -> None:
    scored = [group(f"a{i}", (1.0, 1.0)) for i in range(20)] + [group("c", (1.0, 1.0), (None, 0.0))]
    found = summarise(scored, CORRECT)
    assert found.unscored < 0.1 and found.figures["score"].mean == 1.0
    assert found.by_language["zh"] == {} and found.by_language["en"]["score"].mean == 1.0
    lost = summarise([*scored[:20], group("c", (None, 0.0))], CORRECT)
    assert lost.by_language["zh"] == {} and lost.patients == 20


def test_intervals_narrow_with_patients_and_hold_the_truth() -> None:
    few, many = interval([0.0, 1.0] * 8), interval([0.0, 1.0] * 128)
    assert many.high - many.low < (few.high - few.low) / 3 and few.low < 0.5 < few.high
    assert (
        pytest.approx(many.high - many.low, rel=0.15) == 2 * 1.96 * 0.5 / 16
    )  # of 256 tosses, as the normal law has it
    assert interval([0.3]) == interval([0.3]) and interval([0.3]).low == interval([0.3]).high == 0.3


def test_scripted_doctors_can_be_summarised() -> None:
    environment = PatientSimulator()
    groups = [Group(p, (play(environment, p, "good").response,)) for p in generate_patients(split="held_out", count=12)]
    scores = REWARD.score_sync(groups)
    found = summarise([ScoredGroup(g, tuple(s)) for g, s in zip(groups, scores, strict=True)], CORRECT)
    assert found.figures["diagnosis"].mean > 0.7 and found.figures["concluded"].mean == 1.0


def test_a_policy_consults(make_policy: Callable[..., Policy]) -> None:
    policy = make_policy(context=640)
    patients = generate_patients(split="held_out", count=3, languages=("en",))
    found = asyncio.run(
        consult(
            InProcessEngine(policy), policy, PatientSimulator(max_turns=2, max_tokens=120), patients, REWARD,
            sampling=Sampling(max_tokens=40), samples=2,
        )
    )  # fmt: skip
    assert found.patients == 3 and found.unscored == 0 and found.figures["score"].mean == pytest.approx(-0.1)
    with pytest.raises(ProblemError, match="1 of 1 problems do not fit"):
        asyncio.run(
            consult(
                InProcessEngine(policy),
                policy,
                PatientSimulator(),
                [Problem("q", ask("?"))],
                REWARD,
                sampling=Sampling(),
            )
        )


TINY = [
    "policy.new={vocab_size: 400, hidden_size: 32, layers: 1, heads: 2, key_value_heads: 1, intermediate_size: 64}",
    "policy.new.context=768",
    "demonstrations.count=4",
    "sft.epochs=1",
    "sft.max_length=768",
    "problems.count=20",
    "held_out.count=4",
    "environment={type: patient, max_turns: 2, max_tokens: 150}",
    "sampling.max_tokens=24",
    "trainer.steps=2",
    "trainer.problems_per_step=2",
    "trainer.rollouts_per_problem=2",
    "trainer.evaluate_every=2",
    "evaluation.samples=1",
]


@pytest.mark.slow
def test_a_recipe_with_an_environment_trains_over_several_turns(repository: Path, tmp_path: Path) -> None:
    recipe = load_recipe(repository / "examples" / "patient" / "tiny.yaml", [*TINY, f"folder={tmp_path / 'run'}"])
    outcome = run_recipe(recipe, RunConsole(quiet=True))
    assert outcome.steps == 2 and outcome.after is not None and "consultation/gain_low" in outcome.after
    rows = [line for line in (tmp_path / "run" / "rollouts").rglob("*") if line.is_file()]
    assert rows
    policy = Policy.load(str(tmp_path / "run" / "sft"))
    row, sampled = evaluate_policy(recipe, policy, RunConsole(quiet=True))
    assert all(r.measured for g in sampled for r in g.group.rollouts) and row["consultation/turns"] <= 2
    assert outcome.before is not None and row["reward"] == pytest.approx(outcome.before["reward"])


def test_a_recipe_says_what_is_wrong_with_its_environment(repository: Path) -> None:
    with pytest.raises(RecipeError, match="did you mean 'patient'"):
        load_recipe(repository / "examples" / "patient" / "tiny.yaml", ["environment=pateint"])
    with pytest.raises(RecipeError, match=r"environment\.questions: 'x' is not a whole number"):
        read_recipe({"name": "x", "reward": "format", "problems": {}, "policy": {"path": "p"},
                     "environment": {"type": "patient", "questions": "x"}})  # fmt: skip
