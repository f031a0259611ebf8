"""A worker of the reward service: `python -m medrl.services.worker`, a program that scores and nothing else.

It speaks in the frames of `medrl.verifiers.frames`, as `medrl.verifiers.worker` does, and like that it ends with the
process that started it. The first frame holds the tree's config. Then each frame is a piece of work
`{"id", "groups", "step", "parts"}`, answered by `{"id", "lines"}`, or `{"cancel": id}`, answered by
`{"id", "cancelled"}` as soon as the tree can be interrupted, or `{"beat": 0}`, which
comes back as a sign of life. Pieces are scored side by side where the tree waits.
"""

import asyncio
import logging
import os
import threading
from functools import partial
from typing import Any, BinaryIO

from medrl.errors import MedrlError, RewardFailed
from medrl.rewards import Reward, RewardContext, build
from medrl.services.lines import line_of, pack_lines, read_group
from medrl.services.logs import log_to_stderr
from medrl.verifiers.frames import pack, read_frame
from medrl.verifiers.worker import end_with_parent, take_streams

log = logging.getLogger("medrl.services")


def main() -> None:
    """Serve until the input closes."""
    end_with_parent()
    requests, answers = take_streams()
    hello = read_frame(requests)
    log_to_stderr(hello["log_texts"])
    try:
        tree = build(hello["config"])
    except MedrlError as error:
        _send(answers, {"failed": str(error)})
        return
    _send(answers, {"ready": os.getpid()})
    asyncio.run(_serve(tree, requests, answers))


async def _serve(tree: Reward, requests: BinaryIO, answers: BinaryIO) -> None:
    loop = asyncio.get_running_loop()
    frames: asyncio.Queue[Any] = asyncio.Queue()
    threading.Thread(target=_listen, args=(requests, frames, loop), name="medrl-listen", daemon=True).start()
    running: dict[int, asyncio.Task[None]] = {}
    while True:
        frame = await frames.get()
        if "beat" in frame:  # answered by the loop that scores: it is not held up
            _send(answers, frame)
            continue
        if "cancel" in frame:
            if task := running.get(frame["cancel"]):
                task.cancel()
            continue
        task = asyncio.create_task(_score(tree, frame, answers))
        running[frame["id"]] = task
        task.add_done_callback(partial(_forget, running, frame["id"]))


def _forget(running: dict[int, asyncio.Task[None]], id: int, _: asyncio.Task[None]) -> None:
    running.pop(id, None)


async def _score(tree: Reward, frame: dict[str, Any], answers: BinaryIO) -> None:
    answer: dict[str, Any] = {"id": frame["id"]}
    try:
        groups = [read_group(row) for row in frame["groups"]]
        scores = await tree.score(groups, RewardContext(step=frame["step"]))
        answer["lines"] = pack_lines([line_of(row, frame["parts"]) for row in scores])
    except RewardFailed as error:  # a node with missing: raise
        answer["raised"] = str(error)
    except asyncio.CancelledError:
        answer["cancelled"] = True
    except Exception as error:  # nobody may be left waiting
        log.error("a piece of work failed with %s", type(error).__name__)
        answer["broken"] = f"{type(error).__name__}: {error}"[:500]
    _send(answers, answer)


def _listen(requests: BinaryIO, frames: "asyncio.Queue[Any]", loop: asyncio.AbstractEventLoop) -> None:
    try:
        while True:
            loop.call_soon_threadsafe(frames.put_nowait, read_frame(requests))
    except EOFError:
        os._exit(0)
    except BaseException:  # for example no memory left for the frame
        os._exit(1)


def _send(answers: BinaryIO, value: Any) -> None:
    answers.write(pack(value))
    answers.flush()


if __name__ == "__main__":
    main()
