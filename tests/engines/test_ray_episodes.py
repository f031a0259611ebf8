"""Consultations of several turns over Ray: a real vLLM engine, a DeepSpeed rank, and a run that trains on whole episodes.

Between the trainer and its engine and learner stand two that only look: every request and turn is kept, and before the
learner is told that the log-probabilities of the engine are exact, it is asked for its own.
"""

from collections.abc import AsyncIterator, Callable, Mapping, Sequence, Set
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import torch

from medrl.algorithms import GRPO, Batch
from medrl.engines import Engine, Request, Sampling
from medrl.environments import Environment, Episode
from medrl.learners import Learner, Optimization
from medrl.models import Policy, PolicySpec
from medrl.rewards import reward
from medrl.rollouts import Episodes, make_requests
from medrl.seeds import seed_of
from medrl.trainers import Trainer, TrainerSettings
from medrl.types import Problem, Response, Rollout, ask
from medrl.verifiers.protocol import run_sync

pytestmark = [pytest.mark.engine, pytest.mark.slow]

TOLERANCE = 1e-4  # nats; engine and learner compute in float32
TURN = Sampling(max_tokens=64)
PROBLEMS = [Problem(f"p{i}", ask(text)) for i, text in enumerate(("fever", "cough", "chest pain"))]
BROKEN = "p2"


class Asking(Episode):
    """Answers with what hangs on its seed, and breaks at the second turn of one problem."""

    def __init__(self, problem: Problem, seed: int) -> None:
        self.problem, self.draw, self.heard = problem, seed, 0

    async def answer(self, reply: str) -> str | None:
        self.heard += 1
        if self.problem.id == BROKEN and self.heard == 2:
            raise ConnectionError("the line is dead")
        return f"go on {self.draw % 7} since {self.heard} days"

    def measured(self) -> Mapping[str, Any]:
        return {"heard": self.heard}


@dataclass(frozen=True, kw_only=True)
class Endless(Environment):
    """Never has enough."""

    def reset(self, problem: Problem, seed: int) -> Episode:
        return Asking(problem, seed)


@dataclass
class Heard:
    """The engine, and what it was asked and said."""

    engine: Engine
    turns: list[tuple[Request, Rollout, int]] = field(default_factory=list)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.engine, name)

    async def generate(self, requests: Sequence[Request], version: int) -> AsyncIterator[Rollout]:
        asked = {(one.problem_id, one.index): one for one in requests}
        async for rollout in self.engine.generate(requests, version):
            self.turns.append((asked[rollout.problem_id, rollout.index], rollout, version))
            yield rollout


@dataclass
class Looked:
    """The learner, and how far its log-probabilities are from those that the batch came with."""

    learner: Learner
    gaps: list[float] = field(default_factory=list)
    batches: list[Batch] = field(default_factory=list)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.learner, name)

    def forward(self, batch: Batch, want: Set[str], *, exact_rollouts: bool = False) -> Batch:
        assert exact_rollouts, "the learner is to take the engine's log-probabilities for its own"
        own = self.learner.forward(batch, {"old_logprobs"}, exact_rollouts=False).old_logprobs_BT
        assert own is not None and batch.rollout_logprobs_BT is not None
        self.gaps.append(float((own - batch.rollout_logprobs_BT)[batch.loss_mask_BT].abs().max()))
        self.batches.append(batch)
        return self.learner.forward(batch, want, exact_rollouts=exact_rollouts)


@reward("words")
def words(problem: Problem, response: Response) -> float:
    """Differs within a group."""
    return float(sum(len(str(turn["content"])) for turn in response.turns) % 11)


@dataclass
class Played:
    """One episode as the engine saw it: the requests of its turns and what was written."""

    requests: list[Request]
    turns: list[Rollout]

    @property
    def tokens(self) -> list[int]:
        """Prompt, turns and what stands between them."""
        return [*self.requests[-1].prompt_ids, *self.turns[-1].token_ids]

    def own(self) -> list[tuple[int, float]]:
        """Place and log-probability of each token that the policy wrote."""
        return [
            (len(request.prompt_ids) + place, logprob)
            for request, turn in zip(self.requests, self.turns, strict=True)
            for place, logprob in enumerate(turn.logprobs)
        ]


def played(heard: Heard, version: int) -> list[Played]:
    """The episodes of a version, in the order of problems and indices."""
    found: dict[tuple[str, int], Played] = {}
    for request, rollout, asked in heard.turns:
        if asked == version:
            one = found.setdefault((request.problem_id, request.index), Played([], []))
            one.requests.append(request)
            one.turns.append(rollout)
    return [found[key] for key in sorted(found)]


def test_a_run_over_ray_trains_on_every_turn_of_its_episodes(
    ray: Any, make_policy: Callable[..., Policy], tmp_path: Path
) -> None:
    from medrl.cluster.ray_placement import RayPlacement

    new = make_policy(seed=1, hidden_size=64, heads=2, key_value_heads=1, context=512)
    new.model.generation_config.eos_token_id = [new.stop_ids[0], *range(60, 68)]  # untrained, it would rarely end
    new.save(tmp_path / "policy")
    policy = Policy.load(str(tmp_path / "policy"))
    source, optimization = PolicySpec(path=str(tmp_path / "policy")), Optimization(lr=3e-3)
    placement = RayPlacement(policy, source, optimization, reference=False)
    try:
        heard, looked = Heard(placement.engine), Looked(placement.learner)
        placement.engine, placement.learner = heard, looked  # type: ignore[assignment]
        trainer = Trainer(
            policy, PROBLEMS, words, GRPO(kl_coef=0.0), placement=placement, sampling=TURN,
            environment=Endless(max_turns=3, max_tokens=320),
            settings=TrainerSettings(steps=2, problems_per_step=3, rollouts_per_problem=8, max_unscored=0.9),
        )  # fmt: skip
        trainer.fit()
        assert trainer.step == 2 and len(looked.batches) == 2
        for version, batch in enumerate(looked.batches):
            check_batch(batch, played(heard, version), version)
        assert max(looked.gaps) < TOLERANCE, looked.gaps
        again = [drawn(trainer, heard) for _ in range(2)]
        same = [one.token_ids == other.token_ids for one, other in zip(*again, strict=True)]
        assert sum(same) >= 0.8 * len(same), "equal seeds draw equal episodes, but where rounding decides"
    finally:
        placement.close()


def check_batch(batch: Batch, episodes: Sequence[Played], version: int) -> None:
    """What the learner trains on is what the engine wrote, turn by turn, and nothing else."""
    assert len(batch) == len(episodes) == 24
    rows = {tuple(batch.tokens_BT[b, : int(batch.lengths_B[b])].tolist()): b for b in range(len(batch))}
    later = 0
    for one in episodes:
        row = rows[tuple(one.tokens)]
        for earlier, wrote, following in zip(one.requests, one.turns, one.requests[1:], strict=False):
            assert following.prompt_ids[: len(earlier.prompt_ids) + len(wrote.token_ids)] == (
                *earlier.prompt_ids, *wrote.token_ids
            )  # fmt: skip
        first = one.requests[0]
        assert [each.seed for each in one.requests[1:]] == [
            seed_of(first.seed, "turn", turn) for turn in range(1, len(one.requests))
        ]
        for wrote in one.turns:
            assert {span.version for span in wrote.versions} == {version}
        broken = first.problem_id == BROKEN and len(one.turns) == 2 and one.turns[1].finish_reason == "stop"
        mask = batch.loss_mask_BT[row]
        assert bool(batch.scored_B[row]) != broken
        assert mask.nonzero().flatten().tolist() == ([] if broken else [place for place, _ in one.own()])
        kept = batch.rollout_logprobs_BT
        assert kept is not None and [kept[row, place].item() for place, _ in one.own()] == pytest.approx(
            [logprob for _, logprob in one.own()], abs=1e-6
        )
        outside = torch.ones_like(mask)
        outside[[place for place, _ in one.own()]] = False
        assert not kept[row][outside].any()
        later += 0 if broken else sum(len(turn.token_ids) for turn in one.turns[1:])
    assert later > 100, "too few tokens of later turns to say anything; take another seed"
    assert not batch.scored_B.all(), "no episode broke; take another seed"


def drawn(trainer: Trainer, engine: Heard) -> list[Rollout]:
    """The episodes of a few requests, by the present weights."""
    assert trainer.environment is not None
    episodes = Episodes(engine, trainer.policy, trainer.environment, PROBLEMS)
    requests = make_requests(trainer.policy, PROBLEMS, 4, TURN, 0, "again")

    async def run() -> list[Rollout]:
        return [one async for one in episodes.generate(requests, trainer.step)]

    return sorted(run_sync(run()), key=lambda one: (one.problem_id, one.index))
