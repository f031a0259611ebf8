"""A chat model with a part to play in a construction, and the bill of one row.

A role asks until a reply can be read: each further try has a seed of its own and some temperature. Replies are read whole
and strictly (`medrl.chat.strict`); what stands somewhere in a reply is never searched for.
"""

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, fields, replace
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar

from medrl.chat import CachedChat
from medrl.chat.base import ChatClient, ChatReply, ChatRequest, Message
from medrl.chat.config import ChatConfig, build_chat
from medrl.chat.readable import first_readable
from medrl.errors import RecipeError
from medrl.knobs import out_of_range
from medrl.seeds import seed_of
from medrl.verifiers.protocol import digest

Found = TypeVar("Found")
WARMER = 0.3  # temperature that each further try or draw adds to a role that is greedy


@dataclass
class Bill:
    """What one row, or all rows, took."""

    calls: int = 0
    """Replies that were asked for, those of a cache included."""
    cached: int = 0
    """How many of them a cache gave, so that nobody was paid."""
    prompt_tokens: int = 0
    """Tokens read by the models, as their servers count; those of cached replies too."""
    completion_tokens: int = 0
    """Tokens written."""
    cost: float = 0.0
    """What the calls that no cache answered cost, at the roles' prices."""
    verifier_calls: int = 0
    """Replies that the verifier's own judges gave, where it has any."""
    verifier_tokens: int = 0
    """Tokens that these took."""

    def add(self, other: "Bill") -> None:
        for one in fields(self):
            setattr(self, one.name, getattr(self, one.name) + getattr(other, one.name))

    def to_json(self) -> dict[str, Any]:
        return {**asdict(self), "cost": round(self.cost, 9)}

    @classmethod
    def from_json(cls, row: Mapping[str, Any]) -> "Bill":
        return cls(**{one.name: row.get(one.name, 0) for one in fields(cls)})


@dataclass(frozen=True)
class Role:
    """A chat model, and how it is asked."""

    client: ChatConfig
    """A `ChatClient`, or {type: openai, model: NAME}. The server is $OPENAI_BASE_URL, or `base_url`; a key stands in the
    environment, never here."""
    temperature: float = 0.0
    """0 is greedy, and a little warmer in each further try. Search for reasoning wants draws that differ: 0.7 to 1."""
    max_tokens: int = 2048
    """Longest reply in tokens; a reply that is cut off there cannot be read. 512 to 8192."""
    tries: int = 3
    """How often a reply that cannot be read is asked for again, each time with another seed. Typical 1 to 3."""
    prompt_price: float = 0.0
    """Price of a million tokens read, in any currency; for the cost that is shown."""
    completion_price: float = 0.0
    """Price of a million tokens written."""

    def __post_init__(self) -> None:
        faults = out_of_range(
            self, above_0=("max_tokens", "tries"), from_0=("temperature", "prompt_price", "completion_price")
        )
        if faults:
            raise RecipeError("a role of a chat model", faults)
        object.__setattr__(self, "client", build_chat(self.client))

    @cached_property
    def chat(self) -> ChatClient:
        """The client itself."""
        return build_chat(self.client)

    def cached(self, path: Path) -> "Role":
        """The same role whose replies are kept in a file, unless they are already."""
        return self if isinstance(self.chat, CachedChat) else replace(self, client=CachedChat(self.chat, path))

    def identity(self) -> dict[str, Any]:
        """What its replies depend on beside the prompt, for provenance."""
        return {
            "model": self.chat.model,
            "fingerprint": self.chat.fingerprint(),
            "temperature": self.temperature,
            "max_tokens": self.max_tokens,
        }

    async def ask(
        self,
        messages: tuple[Message, ...],
        schema: Mapping[str, Any],
        read: Callable[[str], Found],
        *,
        seed: int,
        bill: Bill,
        rounds: int = 1,
        draw: int = 0,
    ) -> Found:
        """The first reply that `read` takes.

        Args:
            messages: The chat.
            schema: JSON schema of the reply, which servers that can will enforce.
            read: What the reply says; raises ChatBadReply where it is not what was asked for.
            seed: Decides the draws, together with messages and the number of the try.
            bill: Where calls and tokens are written down.
            rounds: 1, and 1 more for each earlier start that failed on the row. Each has `tries` with seeds of its own, after
                the very first try once more; what a cache kept of the earlier ones costs nothing.
            draw: Which of several replies to the same messages; a greedy role has some temperature from the second on.

        Raises:
            ChatBadReply: No reply could be read.
            ChatError: There was none.
        """
        key = digest([one.content for one in messages])

        def request(number: int) -> ChatRequest:
            temperature = self.temperature or min(1.0, WARMER * (number + draw))
            drawn = seed_of("construct", seed, key, draw, number)
            return ChatRequest(messages, self.max_tokens, temperature, drawn, schema)

        before = self.tries * (rounds - 1)
        return await first_readable(
            self.chat, request, read, tries=self.tries, before=before, heard=lambda reply: self._charge(reply, bill)
        )

    def _charge(self, reply: ChatReply, bill: Bill) -> None:
        bill.calls += 1
        bill.cached += reply.cached
        bill.prompt_tokens += reply.prompt_tokens
        bill.completion_tokens += reply.completion_tokens
        if not reply.cached:
            price = reply.prompt_tokens * self.prompt_price + reply.completion_tokens * self.completion_price
            bill.cost += price / 1e6


def cached_clients(config: Any, path: Path) -> Any:
    """A verifier's config whose chat clients (each mapping under `client`) keep their replies in a file."""
    if isinstance(config, Mapping):
        if config.get("type") == "cached":
            return config
        found = {key: cached_clients(value, path) for key, value in config.items()}
        client = found.get("client")
        if isinstance(client, Mapping) and client.get("type") not in (None, "cached"):
            found["client"] = {"type": "cached", "client": client, "path": str(path)}
        return found
    return [cached_clients(one, path) for one in config] if isinstance(config, list | tuple) else config
