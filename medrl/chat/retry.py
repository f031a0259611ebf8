"""When a chat request is sent again, and how long it waits before.

Exponential backoff with full jitter (Brooker 2015, "Exponential Backoff And Jitter"): the k-th retry waits a uniform
share of `base * 2^(k-1)`. The share is a hash of the request and k, so that it depends on no other draw. Where the
server says how long to wait (Retry-After), it waits that long, bounded, and a little more, lest all come at once.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

from medrl.chat.base import ChatError, ChatRefused, ChatUnavailable
from medrl.seeds import seed_of

AGAIN = frozenset({408, 409, 429})
"""Statuses below 500 that a retry may mend; so may all from 500, but for those of LACKS."""
LACKS = frozenset({501, 505})
"""The server has not what was asked for (RFC 9110, 15.6), and will not have it in a minute."""
UNPAID = frozenset({"insufficient_quota", "billing_not_active", "billing_hard_limit_reached"})
"""What OpenAI says, mostly under 429, of an account that may send nothing until somebody pays."""
DOWN = frozenset({401, 403, 404})
"""Refusals that every request would meet, and not this one alone."""


@dataclass(frozen=True)
class Fault:
    """Why one HTTP request gave no reply that can be used."""

    name: str
    """For counting: an HTTP status, or a word."""
    error: type[ChatError]
    """What is raised when no retry mends it."""
    message: str
    again: bool = False
    """Whether the same request may be sent again."""
    down: bool = False
    """Whether it says that the server is of no use to any request, which the circuit breaker counts."""
    after: float | None = None
    """Seconds that the server asked to wait."""
    sent: bool = True
    """False when no connection came about, so that the server has seen nothing."""
    tokens: int | None = 0
    """Tokens that it cost; None where nobody knows."""
    text: str = ""
    """What there is of a reply that cannot be used."""


def of_status(status: int, message: str, headers: Mapping[str, str], *kinds: object) -> Fault:
    """The fault that an HTTP status from 300 stands for; `kinds` are code and type of the error in the body, if any."""
    unpaid = not UNPAID.isdisjoint(kind for kind in kinds if isinstance(kind, str))
    again = not unpaid and (status in AGAIN or (status >= 500 and status not in LACKS))
    down = again or unpaid or status in DOWN | LACKS
    error = ChatUnavailable if again else ChatRefused
    return Fault(str(status), error, message, again, down, retry_after(headers))


def retry_after(headers: Mapping[str, str], now: datetime | None = None) -> float | None:
    """Seconds that `Retry-After` asks to wait (RFC 9110, 10.2.3: seconds or a date); None where it does not say."""
    text = headers.get("retry-after", "").strip()
    try:
        return max(0.0, float(text)) if text and float(text) < float("inf") else None
    except ValueError:
        pass
    try:
        date = parsedate_to_datetime(text)
    except ValueError:
        return None
    then = date if date.tzinfo else date.replace(tzinfo=UTC)
    return max(0.0, (then - (now or datetime.now(UTC))).total_seconds())


def seconds_before(attempt: int, what: str, base: float, longest: float, asked: float | None) -> float:
    """Seconds to wait before retry number `attempt` (from 1) of the request `what`, `longest` at most."""
    share = seed_of("chat backoff", what, attempt) / 2**63
    if asked is not None:
        return min(asked + share * base, longest)
    return share * min(base * 2.0 ** (attempt - 1), longest)
