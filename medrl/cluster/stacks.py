"""The stacks of an actor that hangs: its process writes them itself when it gets a signal, without the interpreter's lock."""

import asyncio
import faulthandler
import os
import signal
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from medrl.errors import need

ray: Any = need("ray", "ray")
STACK_SIGNAL = signal.SIGUSR1


@dataclass(frozen=True)
class Card:
    """Where an actor lives.

    Attributes:
        name: For people.
        pid: Its process.
        node: Ray's id of its node.
        stack: A file of that node into which the process writes its stacks when it gets `STACK_SIGNAL`.
    """

    name: str
    pid: int
    node: str
    stack: str


def card_of_this_process(name: str) -> Card:
    """Called in an actor: from now on it answers `STACK_SIGNAL`."""
    descriptor, stack = tempfile.mkstemp(prefix=f"medrl-{name}-", suffix=".stack")
    faulthandler.register(STACK_SIGNAL, file=descriptor, all_threads=True)  # needs no GIL: answers in a hang too
    return Card(name, os.getpid(), ray.get_runtime_context().get_node_id(), stack)


async def stack_on_its_node(card: Card) -> str:
    """The stack of an actor that hangs, read on its own node."""
    if card.node == ray.get_runtime_context().get_node_id():
        return await asyncio.to_thread(stack_of, card)
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    there = NodeAffinitySchedulingStrategy(node_id=card.node, soft=False)
    try:
        async with asyncio.timeout(30.0):
            return str(await ray.remote(stack_of).options(num_cpus=0, scheduling_strategy=there).remote(card))
    except (TimeoutError, ray.exceptions.RayError) as error:
        return f"(no stack: {type(error).__name__} on its node)"


def stack_of(card: Card, patience: float = 3.0) -> str:
    """The stacks of all threads of an actor's process, which need not be alive in any other sense; on its node only."""
    try:
        before = os.path.getsize(card.stack)
        os.kill(card.pid, STACK_SIGNAL)
    except OSError as error:
        return f"(no stack: {error})"
    deadline, text = time.monotonic() + patience, ""
    while time.monotonic() < deadline:
        time.sleep(0.1)
        more = Path(card.stack).read_text(encoding="utf-8", errors="replace")[before:]
        if more and more == text:
            return text
        text = more
    return text or f"(no stack: {_state(card.pid)})"


def _state(pid: int) -> str:
    """Linux's word on a process that does not answer a signal."""
    try:
        status = Path(f"/proc/{pid}/status").read_text(encoding="utf-8")
    except OSError:
        return "the process is gone"
    state = next((line.split(":", 1)[1].strip() for line in status.splitlines() if line.startswith("State:")), "?")
    return f"the process does not react to signals; its state is {state}"
