"""Every figure that a step is watched by, in metrics.jsonl and on the screen, wherever engine and learner run."""

import io
import re
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from medrl.algorithms import GRPO
from medrl.engines import Sampling
from medrl.models import Policy, PolicySpec
from medrl.rewards import Verified
from medrl.tracking import RunConsole, RunFolder
from medrl.trainers import Trainer, TrainerSettings
from medrl.types import Problem, Verdict, ask
from medrl.verifiers.protocol import verifier

STEPS = 3
PROMISED = {
    "phases": [f"time/share/{phase}" for phase in ("rollout", "forward", "update", "sync")],
    "queues": ["time/queue", "time/queue/peak", "time/engine/0/load", "time/engine/0/load/peak"],
    "groups without scores yet": ["time/queue/scoring", "time/queue/scoring/peak"],
    "staleness": ["staleness", "staleness/0"],
    "speeds": ["time/engine/0/tokens_per_second", "time/learner/tokens_per_second", "time/learner/mfu"],
    "weight sync": ["time/sync"],
    "rewards": ["time/reward_latency", "time/reward_latency/longest", "time/reward/correct"],
    "cost": ["cost/correct/calls", "cost/correct/tokens"],
}
# Told of what was sampled and scored during a step: one ahead, nothing may be left to sample beside the last.
SAMPLED = ("time/engine/0/tokens_per_second", "time/reward_latency", "time/reward_latency/longest")
LABELS = "roll fwd upd sync queue scoring eng t/s lrn t/s MFU sync s score s calls tokens stale %"


@verifier("dear_vowels", decides=True)
def dear(problem: Problem, text: str) -> Verdict:
    return Verdict(1.0 - min(1.0, sum(c in "aeiou" for c in text) / 4), cost={"calls": 1.0, "tokens": 7.0})


def on_ray(policy: Policy, folder: Path) -> Any:
    """One vLLM engine that writes four responses at a time, and one rank."""
    from medrl.cluster.fleet import FleetSettings
    from medrl.cluster.learners import LearnerGroup
    from medrl.cluster.ray_placement import RayPlacement
    from medrl.cluster.settings import ClusterSettings
    from medrl.engines.vllm_settings import EngineSettings
    from medrl.learners import Optimization

    policy.save(folder)
    settings = ClusterSettings(
        engines=FleetSettings(engines=1, ahead=0),
        engine=EngineSettings(max_num_seqs=4, kv_cache_gib=0.0625),
        learners=LearnerGroup(ranks=1),
    )
    return RayPlacement(policy, PolicySpec(path=str(folder)), Optimization(lr=1e-3), settings, reference=False)


@pytest.mark.parametrize("where", ["local", pytest.param("ray", marks=[pytest.mark.engine, pytest.mark.slow])])
def test_every_step_says_all_that_it_is_watched_by(
    make_policy: Callable[..., Policy], tmp_path: Path, where: str, request: pytest.FixtureRequest
) -> None:
    out, k = io.StringIO(), 1 if where == "ray" else 0
    policy = make_policy(hidden_size=64, heads=2, key_value_heads=1, context=256)
    problems = [Problem(f"p{i}", ask(f"fever cough {i}")) for i in range(6)]

    def trained(placement: Any, run: RunFolder) -> None:
        Trainer(
            policy, problems, Verified(dear), GRPO(correction="token"), sampling=Sampling(max_tokens=12), run=run,
            settings=TrainerSettings(
                steps=STEPS, problems_per_step=3, rollouts_per_problem=4, show_machines=None if placement else True
            ),
            console=RunConsole(file=out, width=100), placement=placement, max_staleness=k, max_rows=4,
        ).fit()  # fmt: skip

    with RunFolder.create(tmp_path / "run", "name: t\n") as run:
        if where == "ray":
            request.getfixturevalue("ray")
            with closing(on_ray(policy, tmp_path / "start")) as placement:
                trained(placement, run)
        else:
            trained(None, run)
        rows = run.read_metrics("rl")
    print(out.getvalue())
    assert len(rows) == STEPS
    busy = {name: rows[: STEPS - k] if name in SAMPLED else rows for names in PROMISED.values() for name in names}
    missing = {what: [n for n in names if any(n not in row for row in busy[n])] for what, names in PROMISED.items()}
    assert not any(missing.values()), missing
    for row in rows:
        assert sum(row[name] for name in PROMISED["phases"]) == pytest.approx(1.0, abs=1e-6)
        assert sum(value for name, value in row.items() if name.startswith("staleness/")) == pytest.approx(1.0)
        assert (row["cost/correct/calls"], row["cost/correct/tokens"]) == (12.0, 84.0)
        if "time/reward_latency" in row:
            assert 0 < row["time/reward_latency"] <= row["time/reward_latency/longest"] < row["time/step"] + 60
        for queue in ("time/queue", "time/queue/scoring", "time/engine/0/load"):
            assert 0 <= row[queue] <= row[f"{queue}/peak"]
    # At the first step 12 are ordered, of which 4 find a place at once, and 12 more while those are under way.
    assert 8 <= rows[0]["time/queue/peak"] <= 8 + 12 * k and rows[0]["time/queue"] > 0
    assert rows[0]["time/engine/0/load/peak"] == 4 and rows[0]["time/engine/0/load"] > 0
    assert all(row["staleness"] <= k for row in rows) and any(row["staleness"] > 0 for row in rows) == bool(k)

    lines = [line for line in out.getvalue().splitlines() if not line.startswith("warning: ")]  # there is no card
    assert max(map(len, lines)) <= 100, max(lines, key=len)
    headers = [line.split() for line in lines if line.split()[:1] == ["roll"]]
    assert headers and all(header == LABELS.split() for header in headers) and "no room for" not in out.getvalue()
    second = [line.split() for line in lines if re.match(r" +\d+% ", line)]
    assert len(second) == STEPS and all("-" not in cells for cells in second[: STEPS - k]), lines
