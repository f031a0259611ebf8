"""`RayRewards`: a reward scored by Ray actors, beside sampling and training, on cores or nodes of their own.

A group goes to the actor with the fewest groups. An actor that dies or does not answer in time is replaced, and its group
scored again by the next; after `attempts` the group has no score (status "error" or "timeout"), which is counted and bounded
as any failed judge is (`trainer.max_unscored`). It is never a 0. A death may be the response's own doing, which the verifiers
that run hostile text settle in processes of their own (`isolated`); here it only costs the group its scores.
"""

import asyncio
import logging
from collections.abc import Mapping, Sequence
from typing import Any

from medrl.cluster.environment import reward_environment
from medrl.cluster.fleet import RewardFleet
from medrl.cluster.stacks import Card, card_of_this_process, stack_on_its_node
from medrl.errors import ClusterUnavailable, RewardFailed, need
from medrl.rewards import Reward, RewardContext
from medrl.rewards.tree import Scores
from medrl.types import Group, Part, Score

ray: Any = need("ray", "ray")
log = logging.getLogger("medrl.cluster")


class RewardActor:
    """A reward in a process of its own."""

    def __init__(self, name: str, reward: Reward) -> None:
        self.reward, self.answers = reward, 0
        self._card = card_of_this_process(name)

    async def ready(self) -> Card:
        """Where it lives."""
        return self._card

    async def score(
        self, group: Group, step: int, state: dict[str, Any]
    ) -> tuple[list[Score], dict[str, float], int, dict[str, Any]]:
        """Scores of a group, the seconds of each node, and how many answers this is with all that was counted so far."""
        context = RewardContext(step, state)
        (scores,) = await self.reward.score([group], context)
        self.answers += 1
        return scores, context.seconds, self.answers, self.reward.statistics()


class RayRewards:
    """Scores as `Reward.score` does. Ray must have been initialised."""

    def __init__(self, reward: Reward, fleet: RewardFleet) -> None:
        """Start the actors.

        Args:
            reward: The tree; it is pickled, so its classes must be importable where the actors run.
            fleet: Knobs.

        Raises:
            ClusterUnavailable: An actor does not start.
        """
        if fleet.actors < 1:
            raise ValueError("rewards: actors is 0; score with the reward itself")
        self.reward, self.fleet = reward, fleet
        self.replaced = 0
        self._counted: dict[Any, tuple[int, dict[str, Any]]] = {}  # by actor, dead ones too: its latest answer
        self._cards: dict[Any, Card] = {}  # by actor
        self._actors = [self._start(place) for place in range(fleet.actors)]
        self._loads = [0] * fleet.actors
        self._turns: tuple[asyncio.AbstractEventLoop, list[asyncio.Semaphore]] | None = None
        try:
            ray.get([actor.ready.remote() for actor in self._actors], timeout=fleet.start_timeout)
        except ray.exceptions.RayError as error:
            self.close()
            raise ClusterUnavailable(
                f"an actor for rewards does not start: {_words(error)}. Modules of your own must be importable on its node, "
                f"and the cluster needs {fleet.actors} times {fleet.cpus:g} CPUs and {fleet.gpus:g} GPUs for them"
            ) from error

    async def score(self, groups: Sequence[Group], context: RewardContext | None = None) -> Scores:
        """What every rollout of every group is worth, in order; see `Reward.score`."""
        context = context if context is not None else RewardContext()
        return list(await asyncio.gather(*(self._score(group, context) for group in groups)))

    def statistics(self) -> Mapping[str, Any]:
        """What the verifiers of the tree counted, in all actors together; of a dead one, up to its last answer."""
        return summed([found for _, found in self._counted.values()]) or self.reward.statistics()

    @property
    def pids(self) -> list[int]:
        """Processes of the actors."""
        return [card.pid for card in ray.get([actor.ready.remote() for actor in self._actors])]

    def close(self) -> None:
        """End the actors."""
        for actor in self._actors:
            ray.kill(actor)

    async def _score(self, group: Group, context: RewardContext) -> list[Score]:
        status, reason = "error", ""
        for _ in range(self.fleet.attempts):
            place = self._loads.index(min(self._loads))
            self._loads[place] += 1
            try:
                async with self._turn(place):  # one group at a time: what kills an actor or holds it up costs no other
                    actor = self._actors[place]
                    try:
                        scores, seconds, answer, counted = await self._ask(actor, group, context)
                    except TimeoutError as error:
                        status, reason = "timeout", str(error)
                        self._replace(place, actor, f"{reason}{await self._last_seen(actor)}")
                        continue
                    except ray.exceptions.RayTaskError as error:
                        raise error.cause if isinstance(error.cause, RewardFailed) else error from None
                    except (
                        ray.exceptions.RayError
                    ) as error:  # died, was out of memory, lost its node, could not be placed
                        status, reason = "error", f"the actor died: {_words(error)}"
                        self._replace(place, actor, reason)
                        continue
                for phase, spent in seconds.items():
                    context.seconds[phase] = context.seconds.get(phase, 0.0) + spent
                if answer > self._counted.get(actor, (0, {}))[0]:
                    self._counted[actor] = answer, counted
                found: list[Score] = scores
                return found
            finally:
                self._loads[place] -= 1
        return [self._failed(status, f"{reason}, {self.fleet.attempts} times")] * len(group)

    async def _ask(self, actor: Any, group: Group, context: RewardContext) -> Any:
        """The actor's answer; a TimeoutError says what it was too late with."""
        try:
            async with asyncio.timeout(self.fleet.start_timeout):
                self._cards[actor] = await actor.ready.remote()
        except TimeoutError as error:
            raise TimeoutError(f"the actor was not there within {self.fleet.start_timeout:g} s") from error
        try:
            async with asyncio.timeout(self.fleet.timeout):
                return await actor.score.remote(group, context.step, context.state)
        except TimeoutError as error:
            raise TimeoutError(f"no scores within {self.fleet.timeout:g} s") from error

    async def _last_seen(self, actor: Any) -> str:
        """Where an actor that hangs is, for the log."""
        if (card := self._cards.get(actor)) is None:
            return ""
        stack = await stack_on_its_node(card)
        return f" (process {card.pid} on node {card.node[:8]}); its last stack:\n{stack}"

    def _turn(self, place: int) -> asyncio.Semaphore:
        """Who may ask an actor; anew for each event loop, for a semaphore belongs to one."""
        loop = asyncio.get_running_loop()
        if self._turns is None or self._turns[0] is not loop:
            self._turns = loop, [asyncio.Semaphore(1) for _ in self._actors]
        return self._turns[1][place]

    def _failed(self, status: Any, reason: str) -> Score:
        part = Part(None, status, reason=reason)
        return Score(None, status, {node.name: part for node in self.reward.walk()}, reason)

    def _start(self, place: int) -> Any:
        options = {
            "num_cpus": self.fleet.cpus, "num_gpus": self.fleet.gpus, "max_restarts": 0, "max_concurrency": 1000,
            "runtime_env": {"env_vars": reward_environment(self.fleet.cpus)},
        }  # fmt: skip
        return ray.remote(**options)(RewardActor).remote(f"reward-{place}", self.reward)

    def _replace(self, place: int, actor: Any, why: str) -> None:
        if self._actors[place] is not actor:  # known already, by another of its groups
            return
        self.replaced += 1
        log.warning("reward-%d: %s\nIt is replaced, and its groups are scored again.", place, why)
        ray.kill(actor)
        self._cards.pop(actor, None)
        self._actors[place] = self._start(place)


def summed(counts: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Counts of several processes as those of one: numbers add up, mappings by key; of anything else the last stays."""
    total: dict[str, Any] = {}
    for one in counts:
        for name, value in one.items():
            if isinstance(value, dict):
                total[name] = summed([total.get(name, {}), value])
            elif isinstance(value, int | float) and not isinstance(value, bool):
                total[name] = total.get(name, 0) + value
            else:
                total[name] = value
    return total


def _words(error: BaseException) -> str:
    return " ".join(str(error).split())[:500]
