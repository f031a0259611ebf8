"""A worker of the `isolated` verifier: `python -m medrl.verifiers.worker`, a program of its own.

It reads frames from standard input and writes frames to what was its standard output; whatever a verifier prints goes to
standard error, so it cannot break a frame. The first frame names the verifier, and `{"ready": ...}` or
`{"failed": reason}` answers it. Each further frame is a chunk `{"problems": [...], "items": [[problem, response], ...]}`,
answered by `{"started": n}` and then by one `{"verdict": ...}` or `{"exhausted": reason}` an item, in order, each as soon
as it is known: so the other side sees which item is being judged, and since when. Beside a verdict stands as `counted` what
the cascades of the verifier would have counted.

A verifier that wants to load something before the first clock starts has a method `prepare()`.

The worker ends when the other side closes its input or dies. A thread sees that while the verifier works, and where a
verifier holds the interpreter (a long regular expression), the kernel ends the worker with its parent.
"""

import asyncio
import ctypes
import gc
import os
import queue
import resource
import signal
import sys
import threading
from collections.abc import Iterable
from functools import partial
from typing import Any, BinaryIO

from medrl.types import Problem, Response, Verdict
from medrl.verifiers.cascade import cascades_of
from medrl.verifiers.frames import pack, read_frame, read_response
from medrl.verifiers.protocol import RuleVerifier, Verifier, build, failure, judge

# What a rule raises when a text is more than it can take; the process lives, but the item is as one that killed it.
_SPENT = (MemoryError.__name__, RecursionError.__name__)
_PR_SET_PDEATHSIG = 1


def main() -> None:
    """Serve until the input closes."""
    end_with_parent()
    requests, answers = take_streams()
    try:
        verifier = _verifier(read_frame(requests))
    except EOFError:
        return
    except Exception as error:  # a stranger's module may raise anything while it is imported
        _send(answers, {"failed": f"{type(error).__name__}: {error}"})
        return
    counted: list[Any] = []
    for place, cascade in enumerate(cascades_of(verifier)):
        cascade.counts.tell = partial(_note, counted, place)
    _send(answers, {"ready": os.getpid()})
    chunks: queue.SimpleQueue[Any] = queue.SimpleQueue()
    threading.Thread(target=_listen, args=(requests, chunks), name="medrl-listen", daemon=True).start()
    with asyncio.Runner() as runner:
        while True:
            _serve(verifier, chunks.get(), answers, runner, counted)


def end_with_parent() -> None:
    """Ask the kernel (Linux) to end this process with the thread that started it, whatever it is doing then."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    resource.setrlimit(resource.RLIMIT_CORE, (0, resource.getrlimit(resource.RLIMIT_CORE)[1]))


def take_streams() -> tuple[BinaryIO, BinaryIO]:
    """The two pipes, taken away from file descriptors 0 and 1, which a verifier may use."""
    requests, answers = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
    empty = os.open(os.devnull, os.O_RDONLY)
    os.dup2(empty, 0)
    os.close(empty)
    os.dup2(2, 1)
    return requests, answers


def _verifier(hello: dict[str, Any]) -> Verifier:
    if hello["memory"] is not None:
        limit = int(hello["memory"]) << 20
        hard = resource.getrlimit(resource.RLIMIT_AS)[1]
        resource.setrlimit(resource.RLIMIT_AS, (limit if hard == resource.RLIM_INFINITY else min(limit, hard), hard))
    verifier = build(hello["config"])
    _prepare([verifier])
    gc.freeze()  # what is there now stays; looking through a vocabulary again and again takes tens of milliseconds each time
    return verifier


def _prepare(values: Iterable[Any]) -> None:
    for value in values:
        if isinstance(value, Verifier):
            prepare = getattr(value, "prepare", None)
            if callable(prepare):
                prepare()
            _prepare(value.knobs().values())
        elif isinstance(value, list | tuple):
            _prepare(value)


def _listen(requests: BinaryIO, chunks: "queue.SimpleQueue[Any]") -> None:
    """Hand chunks to the main thread; at the end of the input end the process, whatever a verifier is doing."""
    try:
        while True:
            chunks.put(read_frame(requests))
    except EOFError:
        os._exit(0)
    except BaseException:  # for example no memory left for the chunk
        os._exit(1)


def _note(counted: list[Any], place: int, count: list[Any]) -> None:
    counted.append([place, *count])


def _serve(
    verifier: Verifier, chunk: dict[str, Any], answers: BinaryIO, runner: asyncio.Runner, counted: list[Any]
) -> None:
    problems = [Problem.from_json(row) for row in chunk["problems"]]
    items = [(problems[at], read_response(row)) for at, row in chunk["items"]]
    _send(answers, {"started": len(items)})
    for problem, response in items:
        counted.clear()
        verdict = _judge(verifier, problem, response, runner)
        if verdict.status == "error" and verdict.reason.partition(":")[0] in _SPENT:
            _send(answers, {"exhausted": verdict.reason})
            continue
        row = {**vars(verdict), "cost": dict(verdict.cost), "parts": dict(verdict.parts)}
        try:
            frame = pack({"verdict": row, "counted": counted} if counted else {"verdict": row})
        except (TypeError, ValueError):
            frame = _what_can_be_written(row, counted, verifier.name)
        answers.write(frame)
        answers.flush()


def _what_can_be_written(row: dict[str, Any], counted: list[Any], name: str) -> bytes:
    """A frame without the counts that JSON cannot hold; where it cannot hold the verdict, that is a failure."""
    kept = [count for count in counted if _is_writable(count)]
    try:
        return pack({"verdict": row, "counted": kept})
    except (TypeError, ValueError) as error:
        return pack({"verdict": failure(error, name).to_json(), "counted": kept})


def _is_writable(value: object) -> bool:
    try:
        pack(value)
    except (TypeError, ValueError):
        return False
    return True


def _judge(verifier: Verifier, problem: Problem, response: Response, runner: asyncio.Runner) -> Verdict:
    if isinstance(verifier, RuleVerifier):
        return verifier.check_safely(problem, response)
    return runner.run(judge(verifier, [(problem, response)]))[0]


def _send(answers: BinaryIO, value: Any) -> None:
    answers.write(pack(value))
    answers.flush()


if __name__ == "__main__":
    main()
