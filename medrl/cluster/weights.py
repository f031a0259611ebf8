"""From the learner's weights to all engines, and the proof that they arrived.

The learner yields buckets; each goes into Ray's object store once, and engines get references: on one node all of them
read the same memory, and no tensor passes through the trainer. After every sync each engine is asked for the
log-probabilities of a fixed prompt, which must be the learner's own. Engines that drift from their learner are the
commonest silent fault of such systems (a tied head that was not repacked, a cache that outlived its weights, a sync that
was skipped); here it ends the run.
"""

import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal, Protocol, runtime_checkable

from medrl.cluster.engines import RayEngines
from medrl.cluster.fleet import ProbeSettings, Proof
from medrl.engines.vllm_settings import EngineSettings, ServedModel
from medrl.errors import WeightDrift, need
from medrl.learners import LoRA
from medrl.models.buckets import AnyBucket
from medrl.seeds import seed_of

Kind = Literal["full", "adapter"]
ROUNDING = 1e-6  # gaps of this size say nothing, in float32


class WeightSource(Protocol):
    """The learner's side of a sync."""

    def weights(self, kind: Kind = "full") -> Iterator[AnyBucket]:
        """The present weights by their Hugging Face names, a tied one once. A bucket is read before the next is made."""
        ...

    def probe_logprobs(self, token_ids: Sequence[int]) -> list[float]:
        """Log-probability of each of `token_ids` but the first, given those before it, at temperature 1."""
        ...


@runtime_checkable
class RemoteWeightSource(WeightSource, Protocol):
    """A learner in actors, which puts its weights into the object store itself."""

    def weight_refs(self, kind: Kind = "full") -> tuple[list[Any], int]:
        """References to the buckets of the present weights, in order, and their bytes in all."""
        ...


class Probe:
    """One fixed prompt, and what engines and learner said of it last.

    An engine that answers as before, to the bit, though the learner has moved has drifted, however small the step was. In
    float32 the learner has moved where a log-probability changed by more than rounding. With 16 bits, where rounding is
    as large as a step, it has where most of them changed: engine and learner then hold the very same numbers, and no
    change of them alters most answers of the one and none of the other. That is not so where the engine rounds what the
    learner has (another type, adapters that were added up): there the tolerance is all there is.

    Attributes:
        exact: Whether both sides compute in float32.
        tolerance: Largest difference of a log-probability, in nats.
        token_ids: The prompt.
    """

    def __init__(
        self,
        served: ServedModel,
        engine: EngineSettings,
        settings: ProbeSettings | None = None,
        *,
        summed: bool = False,
    ) -> None:
        """Draw the prompt.

        Args:
            served: What the engines serve.
            engine: Their knobs.
            settings: Knobs of the comparison.
            summed: Whether the engines' weights are sums that the learner computes without: those of adapters.
        """
        settings = settings or ProbeSettings()
        self.exact = served.dtype == "float32" and engine.dtype in ("policy", "float32")
        self._same_numbers = engine.dtype in ("policy", "float32", served.dtype) and not summed
        self.tolerance = settings.tolerance if settings.tolerance is not None else (1e-4 if self.exact else 0.5)
        room = min(served.context, engine.max_model_len or served.context) - 1
        self.token_ids = _prompt(served, min(settings.tokens, room))
        self.learner: list[float] | None = None  # what it said last
        self._before: dict[str, tuple[list[float], list[float]]] = {}

    def forget(self) -> None:
        """Compare with nothing that was said before: another learner says it from now on."""
        self._before.clear()

    def check(
        self,
        version: int,
        learner: list[float],
        engines: Mapping[str, list[float]],
        again: Callable[[], list[float]] | None = None,
    ) -> float:
        """Compare every engine with the learner; the largest gap.

        Args:
            version: What was published.
            learner: Its log-probabilities of the prompt.
            engines: Those of each engine, by name.
            again: Asks the learner once more, before an engine of 16 bits is accused of standing still: a learner that
                does not answer twice alike need not have moved.

        Raises:
            WeightDrift: An engine computes something else.
        """
        largest = 0.0
        self.learner, before = learner, self._before
        self._before = {name: (answer, learner) for name, answer in engines.items()}
        for name, answer in engines.items():
            gap = _gap(answer, learner)
            largest = max(largest, gap)
            old_answer, old = before.get(name, (None, learner))
            if old_answer == answer:
                self._before[name] = answer, old  # small steps add up, until it answers otherwise
            still = old_answer == answer and self._moved(old, learner)
            still = still and (self.exact or again is None or again() == learner)
            if not gap <= self.tolerance or still:  # NaN is drift, too
                as_before = f"; it answers as before the sync, while the learner moved by {_gap(old, learner):.2g}"
                raise WeightDrift(
                    f"{name} does not compute what the learner does at version {version}: the log-probabilities of the "
                    f"probe differ by up to {gap:.2g} nats, and {self.tolerance:g} is allowed"
                    f"{as_before if still else ''}. The run was stopped, for rollouts of another policy than the learner's "
                    "would mislead it. Look for weights that were not sent (tied heads, buffers, adapters) or another model "
                    "on either side"
                )
        return largest

    def _moved(self, old: Sequence[float], new: Sequence[float]) -> bool:
        if self.exact:
            return _gap(old, new) > 10 * ROUNDING
        changed = sum(one != other for one, other in zip(old, new, strict=True))
        return self._same_numbers and 2 * changed > len(new)


@dataclass(frozen=True)
class SyncFigures:
    """One sync, for tables.

    Attributes:
        version: What was published.
        mib: Size of the weights.
        seconds: From the learner's first bucket to the checked probe.
        gap: Largest difference of a log-probability between an engine and the learner.
    """

    version: int
    mib: float
    seconds: float
    gap: float


class RaySync:
    """`WeightSync` between a learner and engines in Ray actors."""

    def __init__(
        self,
        learner: WeightSource,
        engines: RayEngines,
        probe: ProbeSettings | None = None,
        *,
        lora: LoRA | None = None,
        summed: bool = False,
    ) -> None:
        """Bind both sides.

        Args:
            learner: What has the weights: in this process, or a shell around a learner in actors.
            engines: What samples.
            probe: How the sync is checked.
            lora: The learner's adapters, where they alone are sent; engines add them to the weights of their folder, which
                must be those that the learner began with.
            summed: Whether the learner has adapters that are added to the weights on their way; with `lora` they always are.
        """
        self.learner, self.engines = learner, engines
        self.probe = Probe(engines.served, engines.settings, probe, summed=summed or lora is not None)
        self.scale = None if lora is None else lora.alpha / lora.rank
        self.last: SyncFigures | None = None

    @property
    def version(self) -> int:
        """The version that was published last."""
        return self.engines.version

    def publish(self, version: int, kind: Kind = "full") -> None:
        """See `WeightSync.publish`; with `lora` always of adapters alone.

        Raises:
            WeightDrift: An engine does not compute what the learner does.
            LearnerLost: The weights died on their way, with the rank or the machine that had them.
        """
        begun = time.perf_counter()
        expected = self.learner.probe_logprobs(self.probe.token_ids)
        proof = Proof(self.probe.token_ids, tuple(expected), self.probe.tolerance)
        size = self._carry(version, kind, proof)
        answers = self.engines.probe(self.probe.token_ids)
        again = partial(self.learner.probe_logprobs, self.probe.token_ids)
        gap = self.probe.check(version, expected, answers, again)
        self.last = SyncFigures(version, size / 2**20, time.perf_counter() - begun, gap)

    def _carry(self, version: int, kind: Kind, proof: Proof) -> int:
        """The weights to all engines; their bytes."""
        refs, size = references(self.learner, kind if self.scale is None else "adapter")
        self.engines.update(refs, version, proof, self.scale)
        return size


def references(learner: WeightSource | RemoteWeightSource, kind: Kind) -> tuple[list[Any], int]:
    """The learner's weights in the object store: references to the buckets, and their bytes in all."""
    if isinstance(learner, RemoteWeightSource):
        return learner.weight_refs(kind)
    refs, size = [], 0
    for bucket in learner.weights(kind):
        size += bucket.nbytes
        refs.append(put(bucket))
    return refs, size


def put(bucket: AnyBucket) -> Any:
    """The bucket in Ray's object store: one copy of its bytes, and a reference to it."""
    return need("ray", "ray").put(bucket)


def _prompt(served: ServedModel, length: int) -> tuple[int, ...]:
    """Token ids drawn evenly from those that a response may hold, the same in every run."""
    never = {*served.barred_ids, *served.stop_ids}
    allowed = [token for token in range(served.vocabulary) if token not in never]
    return tuple(allowed[seed_of("weight probe", place) % len(allowed)] for place in range(length))


def _gap(one: Sequence[float], other: Sequence[float]) -> float:
    """The largest difference; NaN where either side has one."""
    gaps = [abs(a - b) for a, b in zip(one, other, strict=True)]
    return math.nan if any(map(math.isnan, gaps)) else max(gaps)
