"""What a check of one drug came to."""

from typing import Literal, NamedTuple

Outcome = Literal["safe", "unknown", "violates"]


class Finding(NamedTuple):
    """What a check came to, in words, and where its rule comes from."""

    outcome: Outcome
    reason: str
    source: str = ""
