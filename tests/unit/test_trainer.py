"""The loop: what it writes, when it stops, and that a resumed run equals one that was never interrupted."""

import json
import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from medrl.algorithms import GRPO, Algorithm
from medrl.cluster import LocalPlacement
from medrl.data.clinic import generate_problems
from medrl.engines import Sampling
from medrl.environments import PatientSimulator
from medrl.errors import CheckpointError, ProblemError, RecipeError, RewardFailed, TemplateError
from medrl.evaluation import EvaluationSettings
from medrl.files import read_jsonl
from medrl.learners import Optimization
from medrl.models import ModelShape, Policy
from medrl.rewards import Format, Reward, Verified
from medrl.tracking import RunFolder, timeless
from medrl.trainers import Trainer, TrainerSettings
from medrl.types import Problem, Verdict, ask
from medrl.verifiers import build
from medrl.verifiers.protocol import verifier

MakePolicy = Callable[..., Policy]
PROBLEMS = [
    Problem(f"p{i}", ask(text)) for i, text in enumerate(("fever", "cough", "chest pain", "give 500 mg", "gout?"))
]
HELD_OUT = [Problem(f"h{i}", ask(text)) for i, text in enumerate(("red?", "blue?", "knee"))]
SMALL = {"steps": 3, "problems_per_step": 2, "rollouts_per_problem": 4, "evaluate_every": 0, "save_every": 0}


@verifier("few_vowels")
def few_vowels(problem: Problem, text: str) -> float:
    return 1.0 - min(1.0, sum(c in "aeiou" for c in text) / 4)


@verifier("always_right")
def always_right(problem: Problem, text: str) -> bool:
    return True


@verifier("out_of_order")
def out_of_order(problem: Problem, text: str) -> float:
    raise ConnectionError("judge is down")


@verifier("half_fails", decides=True)
def half_fails(problem: Problem, text: str) -> Verdict:
    if sum(map(ord, text)) % 2:
        return Verdict.failed("judge is down")
    return Verdict(len(text) % 4 / 3)


class Rows:
    """A tracker that keeps what it was given."""

    def __init__(self) -> None:
        self.rows: list[tuple[int, dict[str, float]]] = []
        self.evaluations: list[int] = []

    def log(self, step: int, metrics: Mapping[str, float], *, phase: str = "rl") -> None:
        if phase == "rl":
            self.rows.append((step, dict(metrics)))
        else:
            assert phase == "held_out" and "accuracy" in metrics
            self.evaluations.append(step)

    def close(self) -> None:
        pass


def trainer(
    policy: Policy,
    judge: Reward | None = None,
    *,
    problems: Sequence[Problem] = PROBLEMS,
    algorithm: Algorithm | None = None,
    run: RunFolder | None = None,
    trackers: Sequence[Any] = (),
    held_out: Sequence[Problem] = (),
    sampling: Sampling | None = None,
    **settings: Any,
) -> Trainer:
    return Trainer(
        policy,
        problems,
        judge or Verified(few_vowels),
        algorithm,
        held_out=held_out,
        settings=TrainerSettings(**{**SMALL, **settings}),
        sampling=sampling or Sampling(max_tokens=8),
        optimization=Optimization(lr=1e-2),
        evaluation=EvaluationSettings(samples=2),
        run=run,
        trackers=trackers,
        seed=5,
    )


def folder(path: Path, resume: bool = False) -> RunFolder:
    return RunFolder.create(path, "name: test\n", resume=resume)


def weights(policy: Policy) -> dict[str, Tensor]:
    return {name: value.clone() for name, value in policy.model.state_dict().items()}


def same(left: Mapping[str, Tensor], right: Mapping[str, Tensor]) -> bool:
    return all(torch.equal(value, right[name]) for name, value in left.items())


def test_a_verifier_without_a_card_is_warned_of_once(make_policy: MakePolicy, caplog: pytest.LogCaptureFixture) -> None:
    made = trainer(make_policy())
    made.fit(1)
    made.fit(2)
    (warning,) = [one.message for one in caplog.records if "no card" in one.message]
    assert "'few_vowels'" in warning and "measure it: medrl card" in warning


def test_three_steps_on_the_clinic_are_written_down(tmp_path: Path) -> None:
    problems = generate_problems(split="train", count=6, kinds=("choice",), languages=("en",))
    held_out = generate_problems(split="held_out", count=2, kinds=("choice",), languages=("en",))
    texts = [p.question for p in problems]
    shape = ModelShape(512, hidden_size=32, layers=2, heads=2, key_value_heads=1, intermediate_size=64, context=512)
    policy = Policy.new(texts, shape)
    reward = 0.9 * Verified(build("choice"), otherwise=0.0) + 0.1 * Format("o1")
    rows = Rows()
    with folder(tmp_path / "run") as run:
        trainer(policy, reward, problems=problems, held_out=held_out, run=run, trackers=[rows], evaluate_every=2).fit()
        metrics, evaluations = run.read_metrics("rl"), run.read_evaluations()
        assert run.rollout_steps() == [1, 2, 3]
        traces = run.read_rollouts(2)
        assert [len(t.group) for t in traces] == [4, 4]
        assert run.latest_checkpoint() == run.path / "checkpoints" / "step-000003"
    assert [row["step"] for row in metrics] == [1, 2, 3]
    assert [row["step"] for row in evaluations] == rows.evaluations == [0, 2, 3]
    for row in metrics:
        for name in ("reward", "accuracy", "part/format", "unscored", "length", "entropy", "equal_groups"):
            assert math.isfinite(row[name]), name
        assert 4.0 < row["length"] <= 8.0
        assert 5.0 < row["entropy"] < 6.5, "a policy from scratch is nearly uniform over about 400 tokens"
    assert [step for step, _ in rows.rows] == [1, 2, 3]
    assert [row for _, row in rows.rows] == [
        {k: v for k, v in m.items() if k not in ("step", "phase")} for m in metrics
    ]


def test_training_raises_the_reward(make_policy: MakePolicy) -> None:
    rows = Rows()
    trainer(make_policy(), trackers=[rows], steps=12, rollouts_per_problem=8, problems_per_step=4).fit()
    rewards = [row["reward"] for _, row in rows.rows]
    assert sum(rewards[-3:]) > sum(rewards[:3]) + 0.1


def test_groups_that_are_all_equal_teach_nothing(make_policy: MakePolicy, tmp_path: Path) -> None:
    policy, rows = make_policy(), Rows()
    before = weights(policy)
    with folder(tmp_path / "run") as run:
        trainer(policy, Verified(always_right), trackers=[rows], run=run).fit()
        assert len(run.read_metrics()) == 3
        assert not any("not_finite" in row for row in run.read_metrics())
    assert same(before, weights(policy))
    for _, row in rows.rows:
        assert (row["updates"], row["idle_updates"], row["equal_groups"], row["reward"]) == (0.0, 1.0, 1.0, 1.0)
        assert all(math.isfinite(value) for value in row.values())
        assert "loss" not in row, "there was no update, so there is no loss to report"


def test_failed_judges_are_counted_and_bounded(make_policy: MakePolicy) -> None:
    rows = Rows()
    trainer(make_policy(), Verified(half_fails), trackers=[rows], rollouts_per_problem=8, max_unscored=0.9).fit()
    for _, row in rows.rows:
        assert 0.0 < row["unscored"] < 1.0
        assert row["unscored/error"] == row["unscored"] * 16
        assert math.isfinite(row["loss"])
    policy = make_policy()
    before = weights(policy)
    with pytest.raises(RewardFailed, match=r"8 of 8 rollouts have no score \(8 error\)[\s\S]*judge is down"):
        trainer(policy, Verified(out_of_order)).fit()
    assert same(before, weights(policy))


@pytest.mark.slow
@pytest.mark.parametrize("algorithm", [GRPO(), GRPO(epochs=2, minibatches=2, kl_coef=0.05, mean="token")])
def test_a_resumed_run_equals_one_that_was_never_interrupted(
    make_policy: MakePolicy, tmp_path: Path, algorithm: GRPO
) -> None:
    knobs: dict[str, Any] = {
        "held_out": HELD_OUT, "algorithm": algorithm, "steps": 5, "evaluate_every": 2, "save_every": 2
    }  # fmt: skip
    straight = make_policy()
    with folder(tmp_path / "straight") as run:
        trainer(straight, run=run, **knobs).fit()
        expected = [list(map(timeless, rows)) for rows in (run.read_metrics(), run.read_evaluations())]
        traces = [run.read_rollouts(step) for step in run.rollout_steps()]
    interrupted = make_policy()
    with folder(tmp_path / "killed") as run:
        trainer(interrupted, run=run, **knobs).fit(3)  # the checkpoint of step 3 is removed: as if killed in step 4
        run.cut_back(2, drop_checkpoints=True)
    resumed = make_policy(seed=99)  # whatever the weights are, they are read back
    if algorithm.kl_coef:
        resumed = make_policy()  # but the reference is what the recipe starts from
    with folder(tmp_path / "killed", resume=True) as run:
        again = trainer(resumed, run=run, **knobs)
        assert again.resume()
        assert again.step == 2
        again.fit()
        found = [list(map(timeless, rows)) for rows in (run.read_metrics(), run.read_evaluations())]
        assert found == expected
        assert [run.read_rollouts(step) for step in run.rollout_steps()] == traces
    assert same(weights(straight), weights(resumed))


def test_a_run_killed_before_its_first_checkpoint_begins_anew(make_policy: MakePolicy, tmp_path: Path) -> None:
    with folder(tmp_path / "run") as run:
        run.log_metrics(1, {"reward": 0.5})
    with folder(tmp_path / "run", resume=True) as run:
        again = trainer(make_policy(), run=run)
        assert not again.resume()
        assert run.read_metrics() == []
        again.fit()
        assert [row["step"] for row in run.read_metrics()] == [1, 2, 3]


@pytest.mark.parametrize("every", [1, 0])
def test_resuming_a_finished_run_changes_nothing(make_policy: MakePolicy, tmp_path: Path, every: int) -> None:
    policy = make_policy()
    with folder(tmp_path / "run") as run:
        trainer(policy, run=run, held_out=HELD_OUT, evaluate_every=every).fit()
        expected = [*run.read_metrics(), *run.read_evaluations()]
    other = make_policy(seed=3)
    with folder(tmp_path / "run", resume=True) as run:
        again = trainer(other, run=run, held_out=HELD_OUT, evaluate_every=every)
        assert again.resume()
        again.fit()
        found = [*run.read_metrics(), *run.read_evaluations()]
    assert list(map(timeless, found)) == list(map(timeless, expected))
    assert same(weights(policy), weights(other))


def test_a_broken_checkpoint_is_named(make_policy: MakePolicy, tmp_path: Path) -> None:
    with folder(tmp_path / "run") as run:
        trainer(make_policy(), run=run, steps=1).fit()
        (run.path / "checkpoints" / "step-000001" / "trainer.json").unlink()
    with (
        folder(tmp_path / "run", resume=True) as run,
        pytest.raises(CheckpointError, match="step-000001 is not a whole"),
    ):
        trainer(make_policy(), run=run, steps=1).resume()


def test_another_problem_set_cannot_go_on(make_policy: MakePolicy, tmp_path: Path) -> None:
    with folder(tmp_path / "run") as run:
        trainer(make_policy(), run=run, steps=1).fit()
    with folder(tmp_path / "run", resume=True) as run, pytest.raises(CheckpointError, match="data order"):
        trainer(make_policy(), run=run, problems=PROBLEMS[:4]).resume()


def test_old_checkpoints_go_and_the_best_policy_stays(make_policy: MakePolicy, tmp_path: Path) -> None:
    policy = make_policy()
    with folder(tmp_path / "run") as run:
        made = trainer(policy, run=run, held_out=HELD_OUT, steps=6, evaluate_every=1, save_every=1, keep_checkpoints=2)
        made.fit()
        assert [p.name for p in run.checkpoints()] == ["step-000005", "step-000006"]
        accuracies = {row["step"]: row["accuracy"] for row in run.read_evaluations()}
        best = max(accuracies, key=lambda step: (accuracies[step], -step))
        assert made.best == {"step": best, "accuracy": accuracies[best]}
        kept = Policy.load(str(run.best))
        again = trainer(kept, held_out=HELD_OUT)
        again.fit(0)
        assert again.last_evaluation is not None
        assert again.last_evaluation.accuracy == accuracies[best], "what is kept is the policy that was evaluated"


def test_it_stops_at_the_accuracy_asked_for(make_policy: MakePolicy) -> None:
    made = trainer(make_policy(), held_out=HELD_OUT, steps=9, evaluate_every=1, stop_at_accuracy=0.01)
    made.fit()
    assert made.step == 0
    assert made.last_evaluation is not None
    never = trainer(make_policy(), held_out=HELD_OUT, evaluate_every=1, stop_at_accuracy=1.1)
    never.fit()
    assert never.step == 3


def test_patience_counts_evaluations_without_a_better_one(make_policy: MakePolicy) -> None:
    made = trainer(
        make_policy(), Verified(always_right), held_out=HELD_OUT, steps=20, evaluate_every=2, patience=3
    )  # accuracy is 1 before the first step and never better
    made.fit()
    assert made.step == 6


def test_an_evaluation_closes_a_run_that_never_evaluated(make_policy: MakePolicy) -> None:
    made = trainer(make_policy(), held_out=HELD_OUT, evaluate_every=0)
    made.fit()
    assert made.last_evaluation is not None
    assert made.evaluated_step == 3


def test_evaluations_do_not_change_training(make_policy: MakePolicy) -> None:
    with_them, without = make_policy(), make_policy()
    trainer(with_them, held_out=HELD_OUT, evaluate_every=1).fit()
    trainer(without).fit()
    assert same(weights(with_them), weights(without))


def test_an_epoch_that_ends_inside_a_step(make_policy: MakePolicy, tmp_path: Path) -> None:
    with folder(tmp_path / "run") as run:
        trainer(make_policy(), run=run, problems=PROBLEMS[:3], problems_per_step=2, steps=6).fit()
        assert len(run.read_metrics()) == 6
        seen = [trace.group.problem.id for step in run.rollout_steps() for trace in run.read_rollouts(step)]
    assert sorted(seen) == sorted(["p0", "p1", "p2"] * 4)


def test_prompts_that_are_too_long(make_policy: MakePolicy) -> None:
    problems = [*PROBLEMS, Problem("long", ask("fever cough " * 40))]
    with pytest.raises(ProblemError, match=r"1 of 6 problems to train on have prompts of more than 120 tokens.*'long'"):
        trainer(make_policy(), problems=problems)
    with pytest.raises(ProblemError, match="1 of 4 held-out problems"):
        trainer(make_policy(), held_out=[*HELD_OUT, problems[-1]])
    assert trainer(make_policy(), problems=problems, long_prompts="drop").problems == PROBLEMS
    with pytest.raises(ProblemError, match="too long"):
        trainer(make_policy(), problems=problems[-1:], long_prompts="drop", problems_per_step=1)


def test_prompts_that_are_too_long_for_the_engine(make_policy: MakePolicy) -> None:
    """An engine may take less than the policy was made for (`max_model_len`), with an environment the whole episode."""
    policy = make_policy(context=512)
    placement = LocalPlacement(policy, Optimization(), reference=False)
    placement.engine.longest = 40  # type: ignore[attr-defined]
    for environment, tokens, match in (
        (None, 30, r"prompts of more than 10 tokens.*40 \(the engine's"),
        (None, 40, "the context 40"),
        (PatientSimulator(max_tokens=300), 8, "environment.max_tokens is 300 and the context 40"),
    ):
        with pytest.raises(ProblemError, match=match):
            Trainer(
                policy, PROBLEMS, Verified(few_vowels), placement=placement,
                sampling=Sampling(max_tokens=tokens), environment=environment,
            )  # fmt: skip


def test_what_does_not_fit_is_said_before_any_compute(make_policy: MakePolicy) -> None:
    with pytest.raises(ProblemError, match=r"1 ids occur more than once among the problems to train on.*'p0'"):
        trainer(make_policy(), problems=[*PROBLEMS, PROBLEMS[0]])
    with pytest.raises(ProblemError, match="problems_per_step"):
        trainer(make_policy(), problems_per_step=6)
    with pytest.raises(ProblemError):
        trainer(make_policy(), problems=[])
    with pytest.raises(RecipeError, match="taken"):
        trainer(make_policy(), Verified(few_vowels, name="a") + Format("o1", name="a"))
    with pytest.raises(RecipeError, match="verified"):
        trainer(make_policy(), Format("o1"), held_out=HELD_OUT)
    broken = make_policy()
    broken.tokenizer.chat_template = None
    with pytest.raises(TemplateError, match="no chat template"):
        trainer(broken)


@pytest.mark.parametrize(
    "knobs",
    [
        {"rollouts_per_problem": 1},
        {"problems_per_step": 0},
        {"max_unscored": 1.0},
        {"keep_checkpoints": 0},
        {"patience": 0},
    ],
)
def test_settings_out_of_range_are_refused(knobs: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=next(iter(knobs))):
        TrainerSettings(**knobs)  # type: ignore[arg-type]


def test_truncated_sampling_trains_on_the_learners_logprobs(make_policy: MakePolicy) -> None:
    """With top-k the engine's log-probabilities are of another distribution; ratios must still begin at 1."""
    rows = Rows()
    trainer(make_policy(), trackers=[rows], sampling=Sampling(0.7, top_k=20, max_tokens=8)).fit()
    for _, row in rows.rows:
        assert row["kl_old"] < 1e-9
        assert row["clip_share"] == 0.0


def test_advantages_are_in_the_traces(make_policy: MakePolicy, tmp_path: Path) -> None:
    with folder(tmp_path / "run") as run:
        trainer(make_policy(), Verified(half_fails), run=run, steps=1, rollouts_per_problem=8, max_unscored=0.9).fit()
        rows = read_jsonl(run.path / "rollouts" / "step-000001.jsonl")
    assert len(rows) == 16
    text = json.dumps(rows)
    assert "advantage" in text
    for row in rows:
        if row["score"]["value"] is None:
            assert row["advantage"] is None
        else:
            assert math.isfinite(row["advantage"])


def test_a_policy_can_be_named_by_its_folder(make_policy: MakePolicy, tmp_path: Path) -> None:
    made = trainer(make_policy())
    made.save(tmp_path / "policy")
    by_name = Trainer(
        str(tmp_path / "policy"), PROBLEMS, Verified(few_vowels),
        settings=TrainerSettings(**SMALL), sampling=Sampling(max_tokens=8),
    )  # fmt: skip
    assert same(weights(by_name.policy), weights(made.policy))
    with pytest.raises(ValueError, match="without a run folder"):
        made.resume()
