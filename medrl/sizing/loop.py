"""The training loop of `medrl.trainers.rl` as events: sample, score, learn, publish, with rollouts ahead by k versions.

Step s is ordered as soon as the policy has version s - 1 - k (`medrl.rollouts.ahead`), so at most k steps are under way
beside the present one, and no token is more than k versions old. Stragglers, queues, pauses for weights and the wait
of one side for the other come out of the events; nothing is put in for them.
"""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from medrl.sizing.engines import Fleet, Order
from medrl.sizing.rates import Rates
from medrl.sizing.workload import Workload


@dataclass(frozen=True)
class Simulated:
    """What the loop did after its warm-up.

    Attributes:
        seconds: Of each step.
        sampling: Seconds per step in which the learner waited for rollouts and their scores, as mean.
        learning: Seconds per step of forward passes and update, as mean.
        syncing: Seconds per step in which weights travelled, as mean.
        engines_idle: Share of the engines' time in which they did nothing.
        learner_idle: Share of the learner's time in which it did nothing.
        tokens_per_second: Tokens of responses.
        staleness: Share of the tokens that were so many versions behind.
    """

    seconds: tuple[float, ...]
    sampling: float
    learning: float
    syncing: float
    engines_idle: float
    learner_idle: float
    tokens_per_second: float
    staleness: dict[int, float]

    @property
    def step(self) -> float:
        """Seconds of a step, as mean."""
        return sum(self.seconds) / len(self.seconds)

    @property
    def mean_staleness(self) -> float:
        """Versions behind, as mean over tokens."""
        return sum(behind * share for behind, share in self.staleness.items())


def simulate(
    rates: Rates,
    workload: Workload,
    *,
    engines: int = 1,
    staleness: int = 0,
    together: bool = False,
    recompute: bool = True,
    steps: int = 8,
    warmup: int = 2,
    seed: int = 0,
    lengths: Sequence[Sequence[Sequence[int]]] | None = None,
) -> Simulated:
    """Run the loop.

    Args:
        rates: Of one engine and of the whole learner.
        workload: What a step asks for.
        engines: How many there are.
        staleness: k.
        together: Engines and learner have the same GPUs, in turn; only with k = 0.
        recompute: Whether engines compute keys and values of unfinished rollouts again under new weights.
        steps: Steps that count.
        warmup: Steps before them that do not: the first ones begin with empty engines. At least k + 1 make sense.
        seed: Decides the lengths.
        lengths: Lengths per step, group and rollout instead of drawn ones, for `warmup + steps` steps, after which the
            run ends.

    Raises:
        ValueError: The numbers make no sense, or a rollout is larger than an engine's cache.
    """
    _check(engines, staleness, together, steps, warmup, lengths)
    last = warmup + steps
    # Sampling goes on beyond the last step that counts, so that the end of a run is not in the figures.
    drawn = [workload.draw(s, seed) for s in range(last + staleness)] if lengths is None else lengths
    fleet, now, ordered = Fleet(rates.engine, engines), 0.0, 0
    marks = [0.0]
    spent: defaultdict[str, float] = defaultdict(float)
    busy_before = 0.0
    for step in range(1, last + 1):
        if step == warmup + 1:
            busy_before, spent = fleet.busy, defaultdict(float)
        begun = now
        while ordered < min(step + staleness, len(drawn)):  # as `Ahead.next`
            ordered += 1
            groups = enumerate(drawn[ordered - 1])
            fleet.submit([Order(ordered, place, workload.prompt, tuple(group)) for place, group in groups], now)
        now = max(now, _scored(fleet.run_until_done(step), workload, len(drawn[step - 1][0]))) + rates.engine.call
        spent["sampling"] += now - begun
        learning = (
            rates.learner.seconds(workload.rows(drawn[step - 1])) + (workload.minibatches - 1) * rates.learner.update
        )
        now += learning + (rates.switch if together else 0.0)
        fleet.run_until(now)
        fleet.publish(step, now, rates.sync, recompute)
        now += rates.sync
        spent["learning"] += learning
        spent["syncing"] += rates.sync
        marks.append(now)
    seconds = [after - before for before, after in pairwise(marks)][warmup:]
    whole = sum(seconds)
    return Simulated(
        seconds=tuple(seconds),
        sampling=spent["sampling"] / steps,
        learning=spent["learning"] / steps,
        syncing=spent["syncing"] / steps,
        engines_idle=max(0.0, 1 - (fleet.busy - busy_before) / (whole * engines)),
        learner_idle=max(0.0, 1 - spent["learning"] / whole),
        tokens_per_second=sum(sum(map(sum, one)) for one in drawn[warmup:last]) / whole,
        staleness=_staleness(fleet, warmup, last),
    )


def _check(
    engines: int, staleness: int, together: bool, steps: int, warmup: int, lengths: Sequence[object] | None
) -> None:
    faults = []
    if engines < 1 or steps < 1:
        faults.append(f"engines is {engines} and steps is {steps}; both must be at least 1")
    if staleness < 0 or warmup < 0:
        faults.append(f"staleness is {staleness} and warmup is {warmup}; neither may be below 0")
    if together and staleness:
        faults.append(f"staleness is {staleness}, but GPUs that sample and learn in turn are always on-policy; take 0")
    if lengths is not None and len(lengths) != warmup + steps:
        faults.append(f"lengths has {len(lengths)} steps, and {warmup + steps} are simulated")
    if faults:
        raise ValueError("simulation: " + "; ".join(faults))


def _scored(complete: Sequence[float], workload: Workload, samples: int) -> float:
    """When the last group has its scores; `complete` says when each had its rollouts."""
    free = 0.0
    if workload.scores_per_second is None:
        return complete[-1] + workload.scoring
    for moment in complete:
        free = max(free, moment) + samples / workload.scores_per_second
    return free + workload.scoring


def _staleness(fleet: Fleet, warmup: int, last: int) -> dict[int, float]:
    """Share of tokens by how many versions older their policy was than the one that trained on them."""
    behind: dict[int, float] = defaultdict(float)
    for (step, version), tokens in fleet.written().items():
        if warmup < step <= last and tokens > 0:
            behind[step - 1 - version] += tokens
    total = sum(behind.values())
    return {age: behind[age] / total for age in sorted(behind)}
