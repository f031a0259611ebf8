"""The same plugin in a program of its own: `python -m medrl.testing.fresh`, which is told what to do in JSON.

Two such programs with different hash seeds do the same in the same order. What differs between them depends on the
order of a set, the time or the process; what differs between the first and the second time in one of them depends on
what was judged before.
"""

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from medrl.types import Group, Problem, Response

HASH_SEEDS = ("1", "2")


class NotThere(Exception):
    """The plugin could not be built, or did not work, in a program of its own."""


def run(task: Mapping[str, Any], seconds: float) -> list[dict[str, Any]]:
    """What each of two fresh programs says of a task; `{"kind", "config", ...}`, see `main`.

    Raises:
        NotThere: A program ended with an error, or not in time.
    """
    text = json.dumps(task)
    path = os.pathsep.join(dict.fromkeys([os.path.abspath(entry or ".") for entry in sys.path]))
    command = [sys.executable, "-m", "medrl.testing.fresh"]
    programs = [
        subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            encoding="utf-8",
            env={**os.environ, "PYTHONPATH": path, "PYTHONHASHSEED": seed, "PYTHONIOENCODING": "utf-8"},
        )
        for seed in HASH_SEEDS
    ]
    try:
        with ThreadPoolExecutor(len(programs)) as threads:
            ended = list(threads.map(lambda program: _answer(program, text, seconds), programs))
    finally:
        for program in programs:
            program.kill()
            program.wait()
    return ended


def _answer(program: subprocess.Popen[str], text: str, seconds: float) -> dict[str, Any]:
    try:
        out, err = program.communicate(text, timeout=seconds)
    except subprocess.TimeoutExpired as error:
        program.kill()
        raise NotThere(f"it did not end within {seconds:g} s") from error
    if program.returncode:
        last = (err.strip().splitlines() or ["it said nothing"])[-1]
        raise NotThere(f"{last} (exit status {program.returncode})"[:400])
    answer: dict[str, Any] = json.loads(out.splitlines()[-1])
    return answer


def sent(problem: Problem, response: Response) -> list[Any]:
    """An item as JSON."""
    return [problem.to_json(), response_json(response)]


def response_json(response: Response) -> dict[str, Any]:
    return {"text": response.text, "turns": list(response.turns), "finish_reason": response.finish_reason,
            "token_count": response.token_count}  # fmt: skip


def _response(row: Mapping[str, Any]) -> Response:
    return Response(**{**row, "turns": tuple(row["turns"])})


def main() -> None:
    """Read a task, do it, print one line of JSON: the fingerprint, and the results of each pass."""
    task = json.load(sys.stdin)
    out, sys.stdout = sys.stdout, sys.stderr  # what the plugin prints is no part of the answer
    answer = _verify(task) if task["kind"] == "verifier" else _reward(task)
    print(json.dumps(answer), file=out, flush=True)


def _verify(task: Mapping[str, Any]) -> dict[str, Any]:
    from medrl.verifiers import build, judge

    verifier = build(task["config"])
    items = [(Problem.from_json(problem), _response(response)) for problem, response in task["items"]]

    async def passes() -> list[list[dict[str, Any]]]:
        orders: Sequence[Sequence[int]] = task["orders"]
        found = []
        for order in orders:
            verdicts = {index: (await judge(verifier, [items[index]]))[0].to_json() for index in order}
            found.append([verdicts[index] for index in range(len(items))])
        return found

    return {"passes": asyncio.run(passes()), "fingerprint": verifier.fingerprint()}


def _reward(task: Mapping[str, Any]) -> dict[str, Any]:
    from medrl.rewards import build

    reward = build(task["config"])
    groups = [Group(Problem.from_json(p), tuple(map(_response, rows))) for p, rows in task["groups"]]

    async def passes() -> list[list[list[dict[str, Any]]]]:
        found = []
        for order in task["orders"]:
            rows = {index: (await reward.score([groups[index]]))[0] for index in order}
            found.append([[score.to_json() for score in rows[index]] for index in range(len(groups))])
        return found

    return {"passes": asyncio.run(passes())}


if __name__ == "__main__":
    main()
