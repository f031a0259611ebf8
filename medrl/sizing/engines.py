"""Engines as a simulation sees them: rows that come, write a token a step together, and go.

Between two events the rows of an engine are the same, so that the time of m steps has a closed form: with n rows and c
tokens of context, m (step + max(weights, row n) + context c) + context n m (m - 1) / 2, since each step adds n tokens.
Groups go to the least loaded engine as a whole and wait where none has room, as `medrl.cluster` deals them out.
"""

import heapq
import math
from collections import Counter, defaultdict, deque
from dataclasses import dataclass, field

from medrl.sizing.rates import EngineRates

AHEAD = 16  # requests that an engine holds beyond its slots; see the engines' settings


@dataclass(frozen=True)
class Order:
    """The rollouts of one problem.

    Attributes:
        step: Which step trains on them.
        place: Its place among the problems of the step.
        prompt: Tokens of the prompt.
        lengths: Tokens of each response.
    """

    step: int
    place: int
    prompt: int
    lengths: tuple[int, ...]

    @property
    def key(self) -> tuple[int, int]:
        return self.step, self.place


@dataclass
class _Engine:
    index: int
    rates: EngineRates
    time: float = 0.0
    clock: float = 0.0  # decoding steps so far
    rows: list[tuple[float, int, Order, int]] = field(default_factory=list)  # a heap by the clock at which they end
    waiting: deque[tuple[Order, int]] = field(default_factory=deque)
    context: float = 0.0  # tokens in the cache
    reserved: float = 0.0  # tokens that the rows will have at their ends
    by_step: Counter[int] = field(default_factory=Counter)  # rows by the step that trains on them
    written: defaultdict[tuple[int, int], float] = field(default_factory=lambda: defaultdict(float))  # by step, version
    version: int = 0
    busy: float = 0.0
    begun: set[tuple[int, int]] = field(default_factory=set)  # groups whose prompt is in the cache
    stamp: int = 0

    @property
    def load(self) -> int:
        return len(self.rows) + len(self.waiting)

    def seconds(self, steps: float) -> float:
        """Of so many decoding steps with the present rows."""
        n = len(self.rows)
        return steps * self.rates.decode(n, self.context) + self.rates.context * n * steps * (steps - 1) / 2

    def steps_in(self, seconds: float) -> float:
        """How many decoding steps so many seconds are; the inverse of `seconds`."""
        grows = self.rates.context * len(self.rows) / 2
        each = self.rates.decode(len(self.rows), self.context) - grows
        if grows * seconds < 1e-12 * each * each:
            return seconds / self.rates.decode(len(self.rows), self.context)
        return (math.sqrt(each * each + 4 * grows * seconds) - each) / (2 * grows)

    def write(self, steps: float, seconds: float) -> None:
        """Let the rows write."""
        self.clock += steps
        self.context += steps * len(self.rows)
        self.time += seconds
        self.busy += seconds
        for step, rows in self.by_step.items():
            self.written[step, self.version] += steps * rows

    def spend(self, seconds: float) -> None:
        """Be busy with something else than decoding."""
        self.time += seconds
        self.busy += seconds


class Fleet:
    """N engines with one queue of groups."""

    def __init__(self, rates: EngineRates, engines: int) -> None:
        self.rates = rates
        self.engines = [_Engine(index, rates) for index in range(engines)]
        self.queue: deque[Order] = deque()
        self.left: dict[tuple[int, int], int] = {}  # unfinished rollouts by group
        self.ended: dict[int, list[float]] = {}  # by step: when its groups were complete
        self.unfinished: Counter[int] = Counter()  # groups by step
        self._events: list[tuple[float, int, int]] = []
        self._number = 0

    def submit(self, orders: list[Order], now: float) -> None:
        """Groups for whichever engine has room first.

        Raises:
            ValueError: A rollout is larger than an engine's cache.
        """
        for order in orders:
            if order.prompt + max(order.lengths) > self.rates.cache:
                raise ValueError(
                    f"a rollout of {order.prompt + max(order.lengths):,} tokens does not fit into an engine's cache of "
                    f"{self.rates.cache:,.0f}; split the model over more GPUs, or lower the limit"
                )
            self.queue.append(order)
            self.left[order.key] = len(order.lengths)
            self.unfinished[order.step] += 1
        self._deal(now)

    def run_until(self, until: float) -> None:
        """Let all engines work up to a moment."""
        while self._events and self._events[0][0] <= until:
            self._next()
        for engine in self.engines:
            if engine.rows and engine.time < until:
                engine.write(engine.steps_in(until - engine.time), until - engine.time)
                self._expect(engine)

    def run_until_done(self, step: int) -> list[float]:
        """Work until the groups of a step are complete; when each was."""
        while self.unfinished[step]:
            self._next()
        return sorted(self.ended.pop(step))

    def publish(self, version: int, now: float, seconds: float, again: bool) -> None:
        """New weights: engines stop for `seconds`, and with `again` compute the keys and values of what they have again."""
        for engine in self.engines:
            engine.time = max(engine.time, now) + seconds
            engine.version = version
            if engine.rows:
                if again:
                    engine.spend(self.rates.prompt * engine.context)
                self._expect(engine)

    def written(self) -> dict[tuple[int, int], float]:
        """Tokens by the step that trains on them and the version that wrote them."""
        total: defaultdict[tuple[int, int], float] = defaultdict(float)
        for engine in self.engines:
            for key, tokens in engine.written.items():
                total[key] += tokens
        return total

    @property
    def busy(self) -> float:
        """Seconds that engines were at work, summed over them."""
        return sum(engine.busy for engine in self.engines)

    def _next(self) -> None:
        """The next event: the rows of one engine that end first."""
        time, index, stamp = heapq.heappop(self._events)
        engine = self.engines[index]
        if stamp != engine.stamp:
            return
        steps = engine.rows[0][0] - engine.clock
        engine.write(steps, max(0.0, time - engine.time))
        while engine.rows and engine.rows[0][0] <= engine.clock + 1e-6:
            _, _, order, length = heapq.heappop(engine.rows)
            engine.by_step[order.step] -= 1
            self._end(engine, order, length)
        self._admit(engine)
        self._deal(time)

    def _end(self, engine: _Engine, order: Order, length: int) -> None:
        engine.context -= order.prompt + length
        engine.reserved -= order.prompt + length
        self.left[order.key] -= 1
        if self.left[order.key] == 0:
            del self.left[order.key]
            engine.begun.discard(order.key)
            self.unfinished[order.step] -= 1
            self.ended.setdefault(order.step, []).append(engine.time)

    def _deal(self, now: float) -> None:
        """Hand waiting groups to the least loaded engine that has room."""
        if not self.queue:
            return
        room = self.rates.slots + AHEAD
        loads = [(engine.load, index) for index, engine in enumerate(self.engines)]
        heapq.heapify(loads)
        changed: dict[int, _Engine] = {}
        while self.queue:
            load, index = loads[0]
            if load and load + len(self.queue[0].lengths) > room:
                break
            order = self.queue.popleft()
            engine = self.engines[index]
            engine.waiting.extend((order, length) for length in order.lengths)
            heapq.heapreplace(loads, (load + len(order.lengths), index))
            changed[index] = engine
        for engine in changed.values():
            if engine.rows:  # it may be in the middle of its steps
                elapsed = max(0.0, now - engine.time)
                engine.write(engine.steps_in(elapsed), elapsed)
            engine.time = max(engine.time, now)
            self._admit(engine)

    def _admit(self, engine: _Engine) -> None:
        """Let waiting rows in where slots and cache allow; the first of a group computes its prompt."""
        free = self.rates.slots - len(engine.rows)
        if engine.waiting and (not engine.rows or free >= max(1.0, self.rates.gate * self.rates.slots)):
            while engine.waiting and len(engine.rows) < self.rates.slots:
                order, length = engine.waiting[0]
                if engine.rows and engine.reserved + order.prompt + length > self.rates.cache:
                    break
                engine.waiting.popleft()
                self._begin(engine, order, length)
        self._expect(engine)

    def _begin(self, engine: _Engine, order: Order, length: int) -> None:
        seconds = self.rates.rollout
        if order.key not in engine.begun:
            engine.begun.add(order.key)
            seconds += self.rates.prompt * order.prompt
        engine.spend(seconds)
        engine.context += order.prompt + 1  # the prompt's pass draws the first token
        engine.reserved += order.prompt + length
        engine.written[order.step, engine.version] += 1
        self._number += 1
        heapq.heappush(engine.rows, (engine.clock + length - 1, self._number, order, length))
        engine.by_step[order.step] += 1

    def _expect(self, engine: _Engine) -> None:
        """Note when the engine's next rows end."""
        engine.stamp += 1
        if engine.rows:
            steps = max(0.0, engine.rows[0][0] - engine.clock)
            heapq.heappush(self._events, (engine.time + engine.seconds(steps), engine.index, engine.stamp))
