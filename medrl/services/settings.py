"""The knobs of the reward service, and what is refused before it listens."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, fields
from ipaddress import ip_address
from typing import Any

import yaml

from medrl.errors import RecipeError
from medrl.knobs import read_dataclass

MEBI = 1 << 20


@dataclass(frozen=True)
class ServiceSettings:
    """How a reward tree is served. `medrl serve FILE KNOB=VALUE ...` sets each."""

    host: str = "127.0.0.1"
    """Address to listen on. Any but loopback needs tokens."""
    port: int = 8480
    """Port; 0 takes a free one, which the first line of output names."""
    tokens: str = ""
    """File with one token a line, read again when it changes; readable by its owner alone. Empty: the environment
    variable MEDRL_SERVICE_TOKENS, tokens apart by commas or spaces."""
    open_to_all: bool = False
    """Whether an address beyond this machine may be served without tokens. Only inside a network that you trust."""
    workers: int = 1
    """Processes that score. One per processor core for rules; 1 for a model on a GPU. 0 scores in a thread of the
    server's own process, which a rule that hangs or crashes takes along."""
    in_flight: int = 2
    """Pieces of work that a worker holds at once. 2 for rules, which compute; 16 to 64 for trees that wait for a chat
    server."""
    pending: int = 256
    """Requests that are read, queued or scored at once; what comes beyond is refused with 429. 2 to 10 times the
    clients."""
    max_body: int = 8
    """Largest body of a request, in MiB; 1 to 64."""
    max_stream: int = 64
    """Largest body of a stream, in MiB."""
    max_responses: int = 4096
    """Responses in one request; a group of a training step has 4 to 64."""
    max_values: int = 200_000
    """JSON values in one request, nested ones counted, so that a small body cannot be dear to read."""
    max_depth: int = 24
    """Levels of JSON within JSON."""
    connections: int = 1024
    """Open connections; further ones are closed at once."""
    deadline: float = 60.0
    """Seconds from when work on a piece of a request begins to its scores (in a stream: on a group); what has none by then
    is a `timeout`. A request waits as long again at most for its turn, so its answer comes within twice this: that should
    be below the client's own patience; OpenRLHF's is 180."""
    hang: float | None = None
    """Seconds that a worker may compute without a look at its other work before it counts as hanging: it is killed, and
    what it held is tried once more, each piece alone. Above the longest computation of a piece (32 responses, or a group).
    Empty: a quarter of `deadline`."""
    header_timeout: float = 10.0
    """Seconds for the headers of a request, from its first byte."""
    body_timeout: float = 30.0
    """Seconds for the body of a request, and for a client to take each piece of the answer."""
    keep_alive: float = 30.0
    """Seconds that an idle connection stays open."""
    drain: float = 30.0
    """Seconds that requests under way have to end after SIGTERM, while new ones are refused with 503."""
    log_texts: bool = False
    """Whether logs may carry reasons and error messages, which quote what patients and policies wrote."""
    missing: float | None = None
    """For /get_reward alone, whose contract knows no "no number". Empty: 503 with the reason, so that the client asks
    again and then fails loudly. A number is sent in its place, and trains the policy on it: a judge that is down then
    teaches something. `extra_logs.no_number` counts them."""
    ending: tuple[str, ...] = ()
    """For /get_reward alone: the texts of the policy's ending tokens, such as "<|im_end|>". They are cut off the end of
    a query; where it ends in none, the response counts as cut off at the token limit. Empty: the well-known ones are
    cut off, and every response counts as ended."""

    def __post_init__(self) -> None:
        faults = [
            f"{name} is {value!r}; it must be a whole number from {least} to {most}"
            for name, least, most in WHOLE
            if not isinstance(value := getattr(self, name), int)
            or isinstance(value, bool)
            or not least <= value <= most
        ]
        faults += [
            f"{name} is {value!r}; it is seconds, above 0 and at most a day"
            for name in ("deadline", "header_timeout", "body_timeout", "keep_alive", "drain")
            if not isinstance(value := getattr(self, name), int | float) or not 0 < value <= 86_400
        ]
        if self.hang is not None and not 0 < self.hang < self.deadline:
            faults.append(f"hang is {self.hang!r}; it is seconds, above 0 and below the deadline of {self.deadline:g}")
        if self.missing is not None and not math.isfinite(self.missing):
            faults.append(f"missing is {self.missing!r}; it must be a finite number, or empty")
        if not all(isinstance(text, str) and text for text in self.ending):
            faults.append(f"ending is {list(self.ending)!r}; it is a list of texts that are not empty")
        if faults:
            raise RecipeError("the service's settings", faults)

    @property
    def patience(self) -> float:
        """`hang`, or its default."""
        return self.deadline / 4 if self.hang is None else self.hang

    def check_exposure(self, has_tokens: bool) -> None:
        """Refuse to serve strangers.

        Raises:
            RecipeError: The address is not of this machine alone, and nothing asks for a token.
        """
        if not (has_tokens or self.open_to_all or is_local(self.host)):
            raise RecipeError(
                "the service's settings",
                [
                    f"host {self.host} can be reached from other machines and there is no token; set "
                    "MEDRL_SERVICE_TOKENS or tokens=FILE (or open_to_all=true inside a network that you trust)"
                ],
            )


WHOLE = (
    ("port", 0, 65_535),
    ("workers", 0, 256),
    ("in_flight", 1, 1024),
    ("pending", 1, 100_000),
    ("max_body", 1, 512),
    ("max_stream", 1, 4096),
    ("max_responses", 1, 1_000_000),
    ("max_values", 100, 50_000_000),
    ("max_depth", 6, 100),
    ("connections", 1, 100_000),
)


def is_local(host: str) -> bool:
    """Whether a host names this machine and cannot be reached from another."""
    try:
        return ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host == "localhost"


def read_settings(overrides: Sequence[str]) -> ServiceSettings:
    """Settings from `KNOB=VALUE` texts, each value being YAML.

    Raises:
        RecipeError: With every fault.
    """
    knobs: dict[str, Any] = {}
    faults: list[str] = []
    for text in overrides:
        name, equals, value = text.partition("=")
        if not equals or not name:
            faults.append(f"{text!r} is no setting; write KNOB=VALUE")
            continue
        try:
            knobs[name] = yaml.safe_load(value)
        except yaml.YAMLError as error:
            faults.append(f"{name}: {value!r} is no YAML value: {' '.join(str(error).split())}")
    settings = read_dataclass(ServiceSettings, knobs, "", faults)
    if faults or settings is None:
        raise RecipeError("the service's settings", faults)
    return settings


def settings_page() -> str:
    """Every knob with its default and documentation."""
    from medrl.recipes.document import docstrings  # brings in torch

    docs = docstrings(ServiceSettings)
    return "\n".join(
        f"{knob.name} = {knob.default!r}\n    {docs.get(knob.name, '')}" for knob in fields(ServiceSettings)
    )
