"""Every algorithm in the loop: what is asked for again, a critic that is resumed, and what the log says."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from medrl.algorithms import DAPO, GRPO, PPO, RLOO, Algorithm
from medrl.engines import Sampling
from medrl.learners import CriticSettings, Optimization
from medrl.models import Policy
from medrl.plugins import BUILTIN, load
from medrl.rewards import Verified
from medrl.rollouts import Ordered
from medrl.tracking import RunFolder, timeless
from medrl.trainers import Trainer, TrainerSettings
from medrl.types import Problem, Verdict, ask
from medrl.verifiers.protocol import verifier

MakePolicy = Callable[..., Policy]
PROBLEMS = [
    Problem(f"p{i}", ask(text)) for i, text in enumerate(("fever", "cough", "chest pain", "knee", "gout?", "red"))
]
CRITIC = Optimization(lr=1e-3, critic=CriticSettings(lr=3e-3, alone_updates=2))


@verifier("vowels")
def vowels(problem: Problem, text: str) -> float:
    return min(1.0, sum(c in "aeiou" for c in text) / 6)


@verifier("only_some_differ", decides=True)
def only_some_differ(problem: Problem, text: str) -> Verdict:
    """p0 and p3 can be learnt; the others are always right."""
    return Verdict(min(1.0, len(text) % 5 / 4) if problem.id in ("p0", "p3") else 1.0)


@verifier("all_the_same")
def all_the_same(problem: Problem, text: str) -> float:
    return 1.0


class Rows:
    """A tracker that keeps what it was given."""

    def __init__(self) -> None:
        self.rows: list[dict[str, Any]] = []

    def log(self, step: int, metrics: Any, *, phase: str = "rl") -> None:
        self.rows.append(dict(metrics))

    def close(self) -> None:
        pass


def trainer(policy: Policy, algorithm: Algorithm, judge: Any = vowels, **knobs: Any) -> Trainer:
    settings = {"steps": 2, "problems_per_step": 2, "rollouts_per_problem": 4, "evaluate_every": 0, "save_every": 0}
    return Trainer(
        policy, PROBLEMS, Verified(verifier=judge, otherwise=0.0), algorithm,
        settings=TrainerSettings(**{**settings, **knobs.pop("settings", {})}),
        sampling=Sampling(max_tokens=8), **{"optimization": Optimization(lr=1e-3), **knobs},
    )  # fmt: skip


@pytest.mark.parametrize("name", sorted(BUILTIN["medrl.algorithms"]))
def test_every_built_in_algorithm_trains_and_does_so_again_bit_for_bit(make_policy: MakePolicy, name: str) -> None:
    algorithm = load("medrl.algorithms", name)(minibatches=2, kl_coef=0.01, entropy_coef=0.001, correction="token")
    assert algorithm.kind == name
    seen = []
    for _ in range(2):
        policy, rows = make_policy(), Rows()
        before = policy.model.get_input_embeddings().weight.detach().clone()
        trainer(policy, algorithm, trackers=[rows]).fit()
        after = policy.model.state_dict()
        assert not torch.equal(before, policy.model.get_input_embeddings().weight)
        assert rows.rows[0]["correction_mean"] == 1.0, "the embedded engine is exact"
        assert rows.rows[1]["policy_entropy"] > 1.0
        seen.append(({n: w.clone() for n, w in after.items()}, [timeless(row) for row in rows.rows]))
    assert all(torch.equal(seen[0][0][n], seen[1][0][n]) for n in seen[0][0])
    assert seen[0][1] == seen[1][1]


def test_dapo_asks_for_other_problems_where_groups_teach_nothing(make_policy: MakePolicy) -> None:
    for rounds in (1, 5):
        rows = Rows()
        loop = trainer(make_policy(), DAPO(max_rounds=rounds), only_some_differ, trackers=[rows], settings={"steps": 3})
        asked: list[list[str]] = []
        sample = loop._collect

        async def counted(ordered: Ordered, asked: Any = asked, sample: Any = sample) -> Any:
            asked.append([one.id for place, one in enumerate(ordered.problems) if place not in ordered.kept])
            return await sample(ordered)

        loop._collect = counted  # type: ignore[method-assign]
        loop.fit()
        consumed = [one for problems in asked for one in problems]
        assert len(set(consumed[:6])) == len(consumed[:6]), "an epoch asks for each problem once"
        if rounds == 1:
            assert [len(problems) for problems in asked] == [2, 2, 2]
        else:
            assert len(asked) > 3 and all(row["updates"] == 1.0 for row in rows.rows)


def test_a_step_of_dapo_without_any_group_that_teaches_is_idle(make_policy: MakePolicy) -> None:
    policy, rows = make_policy(), Rows()
    before = {n: w.clone() for n, w in policy.model.state_dict().items()}
    trainer(policy, DAPO(max_rounds=2), all_the_same, trackers=[rows]).fit()
    assert [row["updates"] for row in rows.rows] == [0.0, 0.0]
    assert all(torch.equal(before[n], w) for n, w in policy.model.state_dict().items())


@pytest.mark.slow
@pytest.mark.parametrize("trunk", ["own", "shared"])
def test_a_resumed_run_with_a_critic_and_an_adaptive_kl_is_bit_equal(
    make_policy: MakePolicy, tmp_path: Path, trunk: str
) -> None:
    algorithm = PPO(kl_coef=0.05, kl_target=0.01, kl_horizon=50, minibatches=2)
    critic = CriticSettings(lr=3e-3, alone_updates=1, trunk=trunk)  # type: ignore[arg-type]
    knobs: dict[str, Any] = {"optimization": Optimization(lr=1e-3, critic=critic)}
    with RunFolder.create(tmp_path / "straight", "x: 1") as run:
        straight = trainer(make_policy(), algorithm, run=run, settings={"steps": 4, "save_every": 2}, **knobs)
        straight.fit()
        rows = [timeless(row) for row in run.read_metrics("rl")]
    with RunFolder.create(tmp_path / "killed", "x: 1") as run:
        trainer(make_policy(), algorithm, run=run, settings={"steps": 4, "save_every": 2}, **knobs).fit(3)
    with RunFolder.create(tmp_path / "killed", "x: 1", True) as run:
        resumed = trainer(make_policy(), algorithm, run=run, settings={"steps": 4, "save_every": 2}, **knobs)
        assert resumed.resume() and resumed.step in (2, 3)
        assert resumed.algorithm_state["kl_coef"] != 0.05
        resumed.fit()
        assert [timeless(row) for row in run.read_metrics("rl")] == rows
    for one, other in ((straight.policy.model, resumed.policy.model), critics(straight, resumed)):
        assert all(torch.equal(w, other.state_dict()[n]) for n, w in one.state_dict().items())
    assert {"value_loss", "explained_variance", "kl_coef", "kl_reference"} <= rows[-1].keys()


def critics(*trainers: Trainer) -> Any:
    return tuple(one.placement.learner.critic.model for one in trainers)  # type: ignore[attr-defined]


def test_a_critic_for_an_algorithm_without_one_is_a_fault(make_policy: MakePolicy) -> None:
    for algorithm in (GRPO(), RLOO()):
        with pytest.raises(ValueError, match="has no critic"):
            trainer(make_policy(), algorithm, optimization=CRITIC)
