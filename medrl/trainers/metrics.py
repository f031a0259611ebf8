"""The figures of one training step."""

import time
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from medrl.algorithms import Batch
from medrl.evaluation.evaluate import abstained_share, accuracy_of, part_means
from medrl.rewards import Reward, verified_leaf
from medrl.rollouts import policy_written
from medrl.rollouts.teacher import is_taught
from medrl.types import Rollout, ScoredGroup
from medrl.verifiers.cascade_counts import difference

PHASES = ("rollout", "forward", "update", "sync")


class Laps:
    """What the phases of a step took: `laps("rollout")` ends one, and the next begins."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self._begun = self._last = time.perf_counter()

    def __call__(self, phase: str) -> None:
        now = time.perf_counter()
        self.seconds |= {phase: now - self._last, "step": now - self._begun}
        self._last = now


def step_metrics(
    scored: Sequence[ScoredGroup],
    learner: Mapping[str, float],
    seconds: Mapping[str, float],
    reward: Reward,
    max_unscored: float,
    version: int | None = None,
) -> dict[str, float]:
    """Figures by name; those under "time/" and tokens_per_second depend on the machine, all others do not.

    `entropy` is the mean of -logprob of the sampled tokens, an unbiased estimate of the policy's entropy per token.
    `unscored` is the share of rollouts without a number, and `unscored/STATUS` counts them by what failed. `accuracy`
    and the verifier's part are left out where it failed on more than `max_unscored` of what it was to judge; `abstained`
    is the share that it did not decide. `equal_groups` is the share of groups whose scores do not differ, which teach
    nothing. `cost/NODE/WHAT` is what the
    verifier of a node spent on the step (calls, tokens, ...); `time/reward/NODE` the seconds that a node took, see
    `RewardContext.seconds`; `time/share/PHASE` each phase's share of the step. `staleness` is by how many versions the
    policy that wrote a token was older than `version`, the one that is trained, as mean over tokens; `staleness/K` the share
    of tokens that were K behind, for each K up to the oldest. All but `equal_groups` and the costs are of the policy's own
    rollouts, without a teacher's.
    """
    own = policy_written(scored)
    scores = [score for group in own for score in group.scores]
    rollouts = [r for group in own for r in group.group.rollouts if isinstance(r, Rollout)]
    values = [score.value for score in scores if score.value is not None]
    parts = part_means(own)
    tokens = sum(sum(r.loss_mask) for r in rollouts)  # those that the policy wrote
    correct = verified_leaf(reward)
    metrics = {"reward": sum(values) / len(values)} if values else {}
    accuracy = accuracy_of(own, correct, max_unscored) if correct is not None else None
    if accuracy is not None:
        metrics["accuracy"] = accuracy
    elif correct is not None:
        parts.pop(correct.name, None)  # the same figure by another name
    metrics |= {f"part/{name}": value for name, value in parts.items() if name != reward.name}
    if correct is not None:
        metrics["abstained"] = abstained_share(own, correct)
    metrics["unscored"] = 1 - len(values) / len(scores)
    metrics |= {
        f"unscored/{status}": float(n) for status, n in Counter(s.status for s in scores).items() if status != "ok"
    }
    metrics |= {
        "length": tokens / len(rollouts),
        "truncated": sum(r.finish_reason == "length" for r in rollouts) / len(rollouts),
        "entropy": -sum(sum(r.logprobs) for r in rollouts) / max(tokens, 1),
        "equal_groups": sum(len({s.value for s in g.scores if s.value is not None}) <= 1 for g in scored) / len(scored),
        **learner,
    }
    metrics |= {f"cost/{name}": value for name, value in costs(scored).items()}
    metrics |= {} if version is None else staleness(rollouts, version)
    metrics |= {f"time/{phase}": value for phase, value in seconds.items()}
    metrics |= {f"time/share/{phase}": seconds[phase] / seconds["step"] for phase in PHASES if phase in seconds}
    return {**metrics, "tokens_per_second": tokens / seconds["step"]}


def staleness(rollouts: Sequence[Rollout], version: int) -> dict[str, float]:
    """How old the policies were that wrote the tokens, in versions: mean and histogram; nothing without tokens."""
    behind: Counter[int] = Counter()
    for rollout in rollouts:
        for span in rollout.versions:
            behind[version - span.version] += span.end - span.start
    tokens = behind.total()
    if not tokens:
        return {}
    mean = sum(age * count for age, count in behind.items()) / tokens
    return {"staleness": mean, **{f"staleness/{age}": behind[age] / tokens for age in range(max(behind) + 1)}}


def costs(scored: Sequence[ScoredGroup]) -> dict[str, float]:
    """What the verdicts cost in all, as NODE/WHAT: what each verifier counts in `Verdict.cost`."""
    spent: Counter[str] = Counter()
    refused = [g.teacher for g in scored if g.teacher is not None and not any(map(is_taught, g.group.rollouts))]
    scores = [score for group in scored for score in group.scores] + refused
    for name, part in (item for score in scores for item in score.parts.items()):
        if part.verdict is not None:
            spent.update({f"{name}/{what}": amount for what, amount in part.verdict.cost.items()})
    return dict(spent)


def verifier_metrics(
    before: Mapping[str, Mapping[str, Any]], after: Mapping[str, Mapping[str, Any]]
) -> dict[str, float]:
    """`verifier/NODE/STAGE/FIGURE`: what the stages of a cascade were asked and said between two `statistics()`."""
    return {
        f"verifier/{node}/{figure}": value
        for node, found in after.items()
        for figure, value in difference(before.get(node, {}), found).items()
    }


def advantages_by_group(
    scored: Sequence[ScoredGroup], groups: Sequence[ScoredGroup], batch: Batch
) -> list[list[float | None]] | None:
    """The mean advantage of each rollout's tokens, for the traces; None where it was not trained on.

    Args:
        scored: All groups of the step.
        groups: Those of them that the algorithm selected, in the order of the batch's rows.
        batch: With advantages.
    """
    if batch.advantages_BT is None:
        return None
    mask_BT = batch.loss_mask_BT
    means_B = (batch.advantages_BT * mask_BT).sum(-1) / mask_BT.sum(-1).clamp(min=1)
    means = [
        mean if trained else None for mean, trained in zip(means_B.tolist(), mask_BT.any(-1).tolist(), strict=True)
    ]
    size = batch.group_size
    by_group = {id(g): means[i * size : (i + 1) * size] for i, g in enumerate(groups)}
    return [by_group.get(id(s), [None] * len(s.scores)) for s in scored]
