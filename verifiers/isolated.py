"""A verifier in processes of its own, with a deadline and a memory limit, for rules that can hang.

A worker (`medrl.verifiers.worker`) judges one item after the other; a second one is started beside it where `workers` says
so. An item's clock starts when its worker starts the item, so time in a queue never counts. A worker that passes the
deadline is killed and replaced; one that crashes (a segmentation fault, no memory left, an exit) is replaced. The items
of the chunk that it had not started are given to another worker, so that no neighbour is lost.

Whose fault is an item that spent its worker? A response that does so on purpose must not be spared a score, and a judge
that hangs must not give one. So with `exhausted: wrong` the response is asked once more in a fresh worker, and then the
problem's own reference is judged as the answer, plain and in each layout that a rule may read:

- the response ends in time the second time: that verdict holds, because the machine was slow, or an earlier item had
  harmed the worker;
- the reference too spends a worker, or cannot be judged: the problem, the verifier or the machine is at fault, so the
  status is `timeout` (`error` for a crash), and there is no number;
- the reference ends in time, right after the response spent its worker twice: the response is at fault, status `ok`,
  score 0.

Such an item costs two deadlines and at most a third in its control, which is asked afresh for each; everything is
bounded. A problem without a reference has no control, so it is never blamed on the response.
"""

import asyncio
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from medrl.errors import RecipeError, did_you_mean
from medrl.types import Judged, Verdict
from medrl.verifiers.cascade import cascades_of
from medrl.verifiers.cascade_counts import Counting
from medrl.verifiers.protocol import Verifier, build, digest
from medrl.verifiers.worker_pool import Exhausted, Request, pool


@dataclass(frozen=True)
class Isolated(Verifier):
    """Runs another verifier in worker processes that a hang, a crash or a flood of memory cannot leave."""

    name: ClassVar[str] = "isolated"

    verifier: Verifier
    """What runs there: a name or {type: ..., knob: ...}. It is built again inside each worker, so a function needs a
    module: `module:attribute`. A verifier that waits for a network gains nothing here."""
    workers: int = 1
    """Processes. Each takes a processor core while it judges; more than there are cores gain nothing."""
    deadline: float = 5.0
    """Seconds that one item may take, counted from when a worker starts it. Many times what the slowest honest answer
    needs: 2 to 30."""
    chunk: int = 16
    """Items per message to a worker; 8 to 64. More cost less traffic; fewer share the work out more evenly."""
    memory: int | None = None
    """Address space that a worker may take, in MiB, or null for no limit; 1024 to 8192. It counts what is reserved, not
    what is used, so leave room."""
    exhausted: Exhausted = "wrong"
    """What an item is worth that spends its worker: "wrong" scores 0 where the response is shown to be at fault, and
    gives no number elsewhere; "timeout" never gives a number."""

    def __post_init__(self) -> None:
        inner = build(self.verifier)
        object.__setattr__(self, "verifier", inner)
        faults = [
            f"{name} is {value!r}; it must be a whole number from {least}"
            for name, value, least in (
                ("workers", self.workers, 1),
                ("chunk", self.chunk, 1),
                ("memory", self.memory, 64),
            )
            if not (name == "memory" and value is None)
            and (not isinstance(value, int) or isinstance(value, bool) or value < least)
        ]
        if not isinstance(self.deadline, int | float) or not 0 < self.deadline < 86_400:
            faults.append(f"deadline is {self.deadline!r}; it is seconds above 0, and below a day")
        if self.exhausted not in ("wrong", "timeout"):
            faults.append(f"exhausted is {self.exhausted!r}{did_you_mean(str(self.exhausted), ('wrong', 'timeout'))}")
        faults += _cannot_travel(inner)
        if faults:
            raise RecipeError("verifier 'isolated'", faults)

    @property
    def decides(self) -> bool:
        return self.verifier.decides

    def fingerprint(self) -> str:
        """That of the inner verifier, marked as isolated, with the knobs on which a verdict may depend."""
        return digest(
            ["isolated", self.version, self.verifier.fingerprint(), self.deadline, self.memory, self.exhausted]
        )

    def statistics(self) -> dict[str, Any]:
        """What a cascade that runs there counted; see `Cascade.statistics`. Its workers tell it with each verdict."""
        return self.verifier.statistics() if isinstance(self.verifier, Counting) else {}

    async def verify_batch(self, items: Judged) -> list[Verdict]:
        if not items:
            return []
        request = Request(items, float(self.deadline), self.exhausted, self._heard)
        workers = pool(self.verifier.to_config(), self.workers, self.memory)
        return await asyncio.wrap_future(workers.submit(request, self.chunk))

    def _heard(self, told: Sequence[Any]) -> None:
        cascades = cascades_of(self.verifier)
        for place, *count in told:
            cascades[place].counts.hear(count)


def _cannot_travel(verifier: Verifier) -> list[str]:
    """Why a verifier cannot be built again in another process; nothing where it can."""
    try:
        text = json.dumps(verifier.to_config())
    except (TypeError, ValueError) as error:
        return [f"the knobs of {verifier.name!r} cannot be written as JSON: {error}"]
    if '"__main__:' in text:
        return [f"{verifier.name!r} is defined in the program itself; move it to a module that can be imported"]
    return []
