"""What a chat model is, whoever serves it: one request in, one reply out, or a `ChatError` that says what failed.

A judge, a rubric or a data builder asks a `ChatClient` and never knows whether a server, a model in this process or a
cache answers. A client that fails raises; it never makes up a reply, so a failure can never be read as a verdict.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

from medrl.errors import MedrlError, PluginError

Role: TypeAlias = Literal["system", "user", "assistant"]


class ChatError(MedrlError, RuntimeError):
    """A chat model gave no usable reply. `kind` says what failed, for counting."""

    kind = "error"


class ChatUnavailable(ChatError, ConnectionError):
    """The server cannot be reached, is overloaded (429) or broken (5xx), and retries did not help."""

    kind = "unavailable"


class ChatTimedOut(ChatError, TimeoutError):
    """No reply within the deadline, counted from when the request was sent, never from when it was queued."""

    kind = "timeout"


class ChatRefused(ChatError, PermissionError):
    """The server refused for a reason that no retry mends (400, 401, 403, 404, 422, 501, an empty account); or no key."""

    kind = "refused"


class ChatBadReply(ChatError, ValueError):
    """There was a reply, but it is empty, cut off at its token limit, filtered, or not what was asked for.

    Attributes:
        why: "length" (cut off), "empty", "refusal", "content_filter", or another word; "" where nobody says.
        text: What there is of it. A judge's broken reply is no verdict; of a model under evaluation it is the answer.
    """

    kind = "bad_reply"
    why: str = ""
    text: str = ""

    def of(self, why: str, text: str = "") -> "ChatBadReply":
        """This error with what the reply was."""
        self.why, self.text = why, text
        return self


class BudgetSpent(ChatError):
    """The budget in calls or tokens is used up; nothing was sent."""

    kind = "budget"


class CircuitOpen(ChatError, ConnectionError):
    """So many requests in a row failed that none is sent for a while."""

    kind = "circuit_open"


@dataclass(frozen=True)
class Message:
    """One turn of a chat."""

    role: Role
    content: str


@dataclass(frozen=True)
class ChatRequest:
    """All that a reply depends on, besides the model.

    Attributes:
        messages: The chat so far, oldest first.
        max_tokens: Longest reply, in tokens.
        temperature: 0 is greedy.
        seed: Of the server's sampling, where it samples; part of the cache key, so k votes take k seeds.
        json_schema: The JSON schema that the reply must keep (the server's structured output), or None for free text.
    """

    messages: tuple[Message, ...]
    max_tokens: int = 512
    temperature: float = 0.0
    seed: int | None = None
    json_schema: Mapping[str, Any] | None = None


@dataclass(frozen=True)
class ChatReply:
    """What the model answered.

    Attributes:
        text: The reply, never empty.
        model: Who answered, as the server names it.
        prompt_tokens: Tokens of the request.
        completion_tokens: Tokens of the reply.
        attempts: How often it was sent, retries included; 0 when it came from a cache.
        cached: Whether a cache answered.
    """

    text: str
    model: str
    prompt_tokens: int = 0
    completion_tokens: int = 0
    attempts: int = 1
    cached: bool = False


class ChatClient(ABC):
    """Asks one model. Safe to call from many tasks at once; the client itself bounds how many are under way.

    Calls may come from different event loops in turn (`run_sync` makes one for each call), so no client ties itself to
    the loop that it first saw.
    """

    @property
    @abstractmethod
    def model(self) -> str:
        """The model's name, for reports."""

    @abstractmethod
    def fingerprint(self) -> str:
        """16 hex digits over what replies depend on besides the request: model and revision, never address or key."""

    @abstractmethod
    async def complete(self, request: ChatRequest) -> ChatReply:
        """The reply to one request.

        Raises:
            ChatError: There is none; the subclass says why.
        """

    async def kept(self, request: ChatRequest) -> ChatReply | None:
        """The reply to `request` that an earlier call left here, without asking anybody. Caches have it; others keep none."""
        return None

    async def forget(self, request: ChatRequest, text: str) -> None:
        """Keep the reply `text` to `request` no longer: whoever asked could not read it. Caches do; others keep none."""
        return None

    async def close(self) -> None:
        """Let go of connections; the client may be used again after."""
        return None

    def to_config(self) -> dict[str, Any]:
        """`{"type": ..., knob: value}`, without secrets.

        Raises:
            PluginError: The client cannot be written to a recipe.
        """
        raise PluginError(f"{type(self).__name__} cannot be written to a recipe; give it a to_config to change that")
