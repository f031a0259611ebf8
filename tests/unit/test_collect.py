"""From problems to scored groups: order, overlap with sampling, and judges that fail."""

import asyncio
import math
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, field
from typing import ClassVar

import pytest
import torch

from medrl.algorithms import GRPO, Batch
from medrl.engines import InProcessEngine, Request, Sampling
from medrl.errors import RewardFailed
from medrl.learners import Optimization, TorchLearner
from medrl.models import Policy
from medrl.rewards import Format, Levels, Reward, RewardContext, Scores, Verified, levels
from medrl.rollouts import collect, make_requests, unscored_share
from medrl.trainers.metrics import step_metrics
from medrl.types import Group, Judged, Problem, Response, Rollout, Score, ScoredGroup, Verdict, ask
from medrl.verifiers.protocol import RuleVerifier, Verifier, verifier

PROBLEMS = [Problem(f"p{i}", ask(text), reference="x") for i, text in enumerate(("fever", "cough", "chest pain"))]
SAMPLING = Sampling(max_tokens=10)


@dataclass(frozen=True)
class Length(RuleVerifier):
    """Scores by the number of tokens; `faults` says which problem fails, and how."""

    name: ClassVar[str] = "length"
    faults: tuple[tuple[str, str], ...] = ()

    @property
    def decides(self) -> bool:
        return True

    def check(self, problem: Problem, response: Response) -> Verdict:
        fault = dict(self.faults).get(problem.id)
        if fault == "raise":
            raise RuntimeError("judge is down")
        if fault == "timeout":
            raise TimeoutError("too slow")
        return Verdict((response.token_count or 0) % 5 / 4)


@dataclass(frozen=True)
class Worth(Reward):
    """A reward that misbehaves on one problem."""

    fault: str
    name: str = "worth"

    async def assess(self, groups: Sequence[Group], context: RewardContext) -> Scores:
        (group,) = groups
        if group.problem.id == "p1":
            if self.fault == "raise":
                raise ZeroDivisionError("a bug in the reward")
            if self.fault == "short":
                return [[Score(1.0)]]
            if self.fault == "nan":
                return [[Score(math.nan) for _ in group.rollouts]]
        return [[Score(float(i)) for i in range(len(group))]]


class Shuffled:
    """The embedded engine, its rollouts handed out in reverse."""

    def __init__(self, policy: Policy) -> None:
        self.engine = InProcessEngine(policy)

    def exact(self, sampling: Sampling) -> bool:
        return self.engine.exact(sampling)

    async def generate(self, requests: Sequence[Request], version: int) -> AsyncIterator[Rollout]:
        for rollout in reversed([r async for r in self.engine.generate(requests, version)]):
            yield rollout


def run(policy: Policy, reward: Reward, problems: Sequence[Problem] = PROBLEMS, **knobs: object) -> list[ScoredGroup]:
    engine = knobs.pop("engine", None) or InProcessEngine(policy)
    settings = {"samples": 4, "sampling": SAMPLING, "seed": (0, "train", 1), "version": 7, **knobs}
    return asyncio.run(collect(engine, policy, problems, reward, **settings))  # type: ignore[arg-type]


def tokens(scored: ScoredGroup) -> list[tuple[int, ...]]:
    return [r.token_ids for r in scored.group.rollouts if isinstance(r, Rollout)]


def test_groups_come_in_order_though_rollouts_do_not(make_policy: Callable[..., Policy]) -> None:
    policy = make_policy()
    plain, shuffled = run(policy, Verified(Length())), run(policy, Verified(Length()), engine=Shuffled(policy))
    assert shuffled == plain
    assert [s.group.problem for s in plain] == PROBLEMS
    for scored in plain:
        rollouts = [r for r in scored.group.rollouts if isinstance(r, Rollout)]
        assert [(r.problem_id, r.index) for r in rollouts] == [(scored.group.problem.id, i) for i in range(4)]
        assert [s.value for s in scored.scores] == [(r.token_count or 0) % 5 / 4 for r in rollouts]
        assert all(r.versions[0].version == 7 for r in rollouts)


def test_rollouts_do_not_depend_on_the_other_problems(make_policy: Callable[..., Policy]) -> None:
    policy = make_policy()
    alone, together = run(policy, Verified(Length()), PROBLEMS[1:2]), run(policy, Verified(Length()))
    assert tokens(alone[0]) == tokens(together[1])  # log-probabilities may differ in the last bit
    other_step = run(policy, Verified(Length()), PROBLEMS[1:2], seed=(0, "train", 2))
    assert not set(tokens(alone[0])) & set(tokens(other_step[0]))


def test_a_problem_that_occurs_twice_gets_two_groups(make_policy: Callable[..., Policy]) -> None:
    policy = make_policy()
    first, other, second = run(policy, Verified(Length()), [PROBLEMS[0], PROBLEMS[1], PROBLEMS[0]])
    assert first.group.problem == second.group.problem == PROBLEMS[0]
    assert not set(tokens(first)) & set(tokens(second)), "the second attempt has draws of its own"
    assert [r.index for r in second.group.rollouts if isinstance(r, Rollout)] == [0, 1, 2, 3]
    once = run(policy, Verified(Length()), PROBLEMS[:2])
    assert [tokens(first), tokens(other)] == [tokens(g) for g in once]


def test_requests_have_seeds_of_their_own(make_policy: Callable[..., Policy]) -> None:
    asked = make_requests(make_policy(), PROBLEMS, 4, SAMPLING, 0, "train", 1)
    assert len({r.seed for r in asked}) == 12
    assert len({r.prompt_ids for r in asked}) == 3


@pytest.mark.parametrize("fault", ["raise", "short", "nan"])
def test_a_reward_that_fails_costs_its_own_group_alone(make_policy: Callable[..., Policy], fault: str) -> None:
    scored = run(make_policy(), Worth(fault))
    assert [[s.value for s in g.scores] for g in scored] == [[0, 1, 2, 3], [None] * 4, [0, 1, 2, 3]]
    assert {s.status for s in scored[1].scores} == {"error"}
    assert all(s.reason.startswith("worth: ") for s in scored[1].scores)


def test_a_judge_error_never_becomes_a_zero_on_the_way_to_the_batch(make_policy: Callable[..., Policy]) -> None:
    policy = make_policy()
    failing = Length(faults=(("p0", "raise"), ("p2", "timeout")))
    trees: list[Reward] = [
        Verified(failing),
        Verified(failing, otherwise=0.0),
        0.5 * Verified(failing) + 0.5 * Format("o1"),
        Levels(Verified(failing), None),
    ]
    for tree in trees:
        assert not tree.faults()
        scored = run(policy, tree)
        assert [{s.status for s in g.scores} for g in scored] == [{"error"}, {"ok"}, {"timeout"}]
        assert all(s.value is None for g in (scored[0], scored[2]) for s in g.scores)
        batch = GRPO().advantages(Batch.from_groups(scored, max_response_tokens=10), {})
        assert batch.rewards_B.isnan().tolist() == [True] * 4 + [False] * 4 + [True] * 4
        assert batch.loss_mask_BT.any(-1).tolist() == batch.scored_B.tolist()
        assert batch.advantages_BT is not None
        assert batch.advantages_BT[~batch.scored_B].abs().max() == 0.0
        metrics = TorchLearner(policy, Optimization()).update(
            batch.with_(old_logprobs_BT=batch.rollout_logprobs_BT), GRPO(), seed=0
        )
        assert all(math.isfinite(value) for value in metrics.values())


@dataclass(frozen=True)
class Slow(Verifier):
    """A judge that takes a while; writes down when it begins and ends."""

    name: ClassVar[str] = "slow"
    log: list[tuple[str, str]] = field(default_factory=list, compare=False)

    @property
    def decides(self) -> bool:
        return True

    async def verify_batch(self, items: Judged) -> list[Verdict]:
        self.log.append(("judge", items[0][0].id))
        await asyncio.sleep(0.1)
        self.log.append(("judged", items[0][0].id))
        return [Verdict.right() for _ in items]


def test_scoring_overlaps_sampling_and_itself(make_policy: Callable[..., Policy]) -> None:
    policy, judge = make_policy(), Slow()
    with torch.no_grad():
        policy.model.get_input_embeddings().weight[policy.stop_ids[0]] *= 40.0  # very different lengths
    problems = [Problem(f"p{i}", ask(f"cough {i}")) for i in range(12)]
    scored = run(
        policy, Verified(judge), problems, samples=2, sampling=Sampling(max_tokens=60),
        on_rollout=lambda: judge.log.append(("rollout", "")),
    )  # fmt: skip
    assert len(scored) == 12
    kinds = [kind for kind, _ in judge.log]
    last_rollout = len(kinds) - 1 - kinds[::-1].index("rollout")
    assert kinds[:last_rollout].count("judge") >= 6, "most groups went to the judge before sampling ended"
    assert kinds.count("rollout") == 24
    busy = [kinds[:i].count("judge") - kinds[:i].count("judged") for i in range(len(kinds) + 1)]
    assert max(busy) > 1, "judgements do not queue"


def test_nothing_is_left_running_after_an_error(make_policy: Callable[..., Policy]) -> None:
    policy, judge = make_policy(), Slow()
    policy.model.train()

    async def main() -> int:
        def fail() -> None:
            if len(judge.log) >= 2:
                raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            await collect(
                InProcessEngine(policy, max_rows=2), policy, PROBLEMS, Verified(judge), samples=2, sampling=SAMPLING,
                seed=(0,), version=0, on_rollout=fail,
            )  # fmt: skip
        assert policy.model.training, "the engine has put the model back"
        for _ in range(5):  # turns of the loop in which cancelled tasks unwind
            await asyncio.sleep(0)
        return len(asyncio.all_tasks()) - 1

    assert asyncio.run(main()) == 0


def failing(*statuses: str) -> list[ScoredGroup]:
    scores = tuple(
        Score(1.0) if s == "ok" else Score(None, s, reason=f"judge: {s} at {i % 2}")  # type: ignore[arg-type]
        for i, s in enumerate(statuses)
    )
    return [ScoredGroup(Group(PROBLEMS[0], (Response("a"),) * len(scores)), scores)]


def test_unscored_share_counts() -> None:
    assert unscored_share(failing("ok", "error", "timeout", "abstain")) == 0.75
    assert unscored_share(failing("ok", "ok"), bound=0.0) == 0.0
    assert unscored_share([]) == 0.0
    assert unscored_share(failing("ok", "error"), bound=0.5) == 0.5, "the bound itself is allowed"


def test_malformed_responses_do_not_hide_a_judge_that_is_down() -> None:
    @verifier("down", decides=True)
    def down(problem: Problem, text: str) -> Verdict:
        return Verdict.failed("judge is down")

    good = "## Thinking\n\nwhy\n\n## Final Response\n\nit"
    group = Group(PROBLEMS[0], tuple(Rollout(text) for text in (good, "x", "y", "z")))
    scored = [ScoredGroup(group, tuple(levels(down).score_sync([group])[0]))]
    assert [score.value for score in scored[0].scores] == [None, 0.0, 0.0, 0.0]
    assert unscored_share(scored) == 1.0, "it failed on the only one that it was asked about"
    with pytest.raises(RewardFailed, match="1 of 1 rollouts"):
        unscored_share(scored, bound=0.5)
    metrics = step_metrics(scored, {}, {"step": 1.0}, levels(down), max_unscored=0.5)
    assert metrics["unscored"] == 0.25 and not {"accuracy", "part/correct"} & set(metrics)


def test_too_many_failures_stop_with_counts_and_reasons() -> None:
    with pytest.raises(RewardFailed) as caught:
        unscored_share(failing("error", "ok", "error", "timeout", "error", "ok"), bound=0.5)
    text = str(caught.value)
    assert "4 of 6 rollouts have no score (3 error, 1 timeout), above the bound of 50%" in text
    assert "3 x judge: error at 0" in text
    assert "1 x judge: timeout at 1" in text
