"""A tree that runs elsewhere, as a leaf: the service of `medrl serve` behind the interface of a reward."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import ClassVar, Literal, TypeAlias, get_args

from medrl.rewards.remote_client import VARIABLE, RewardClient
from medrl.rewards.remote_wire import client_faults
from medrl.rewards.tree import Reward, RewardContext, Scores, settle
from medrl.types import Group, Part, Score

Dangers: TypeAlias = Literal["unknown", "none", "told"]


@dataclass(frozen=True)
class Remote(Reward):
    """The scores of a reward service. Where it fails there is no number (`error`, `timeout`), never 0.

    The parts of the remote tree are there as `NAME/part`. Of a rollout it is sent what a judge may see, and no tokens.
    """

    type_name: ClassVar[str] = "remote"

    url: str
    """Where the service is, such as http://127.0.0.1:8480."""
    name: str = "remote"
    """Name of this part in metrics and traces; unique in the tree."""
    token_env: str = VARIABLE
    """Environment variable with the service's token; unset, none is sent."""
    timeout: float = 120.0
    """Seconds for one request; above the service's own `deadline`."""
    patience: float = 90.0
    """Seconds for which a request is sent again where the service cannot be reached or is busy; 5 to 120."""
    concurrency: int = 16
    """Requests under way; others wait."""
    batch: int = 64
    """Responses in one request where many groups are asked about; a group is never cut."""
    fingerprint: str = ""
    """Fingerprint that the remote tree must have. Empty: the one that it has at first contact, in each process."""
    dangers: Dangers = "unknown"
    """What the remote tree's values below 0 say, which cannot be seen from here: `none`, no danger, so that it may be summed
    with others; `told`, danger and nothing else, so that it may guard a veto; `unknown`: it may do neither."""
    _client: RewardClient = field(init=False, repr=False, compare=False, metadata={"knob": False})

    def __post_init__(self) -> None:
        faults = client_faults(self)
        if self.dangers not in get_args(Dangers):
            faults = [*faults, f"`dangers` is {self.dangers!r}; it is one of {', '.join(get_args(Dangers))}"]
        settle(self, "remote", faults)
        knobs = ("token_env", "timeout", "patience", "concurrency", "batch", "fingerprint")
        client = RewardClient(self.url, **{name: getattr(self, name) for name in knobs})
        object.__setattr__(self, "_client", client)

    async def assess(self, groups: Sequence[Group], context: RewardContext) -> Scores:
        scores = await self._client.score(groups, context.step)
        return [[self._named(score) for score in row] for row in scores]

    def is_judged(self) -> bool:
        return True  # what is there cannot be seen from here: who names the service vouches for it

    def in_part(self, parts: Mapping[str, Part]) -> bool:
        # Which of its verdicts made the value cannot be seen either, so any that is partial counts.
        ours = (part.verdict for name, part in parts.items() if name.startswith(f"{self.name}/"))
        return any(verdict is not None and verdict.partial for verdict in ours)

    def _named(self, score: Score) -> Score:
        reason = score.reason if score.value is not None or not score.reason else f"{self.name}: {score.reason}"
        return replace(score, reason=reason, parts={f"{self.name}/{name}": part for name, part in score.parts.items()})
