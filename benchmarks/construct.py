"""Kill a construction again and again, let it go on, and see what was lost, doubled or paid for twice.

    python benchmarks/construct.py [--stage reasoning|problems] [--server vllm|scripted] [--rows N] [--kills N] [--json FILE]

`medrl construct` runs in a process of its own against a real server on loopback, `vllm serve` with the writer of
examples/huatuogpt_o1 (`clinic_writer.py`): a million parameters, first taught what a scripted writer says of the
clinic's cases, so that its replies mean something. Its folder is kept with `--model`, which also takes that of
`reproduce.py --search`. The cases are such as it was not taught. With `--server scripted` no model is served: the
clinic's own answers come at once, and a share of the HTTP requests (`--faults`) gets 429, 500, half a body or no
reply. A proxy between the two counts whole replies by request.

First a construction that nobody disturbs, for the speed. Then the same one from the start, killed (SIGKILL) after some
replies, as many as a draw says, and started again until it was killed so often and is done.

    rows_per_second     rows done a second, undisturbed, from the first call on
    rows_lost           rows of the source that ended nowhere: neither kept, nor dropped, nor named in failed.jsonl
    rows_doubled        rows that ended more than once
    kept_share          share of the rows that came to a finished row
    right_at_once       reasoning: share whose first chain was right; `ended_by` has the share by what led to the answer
    calls_paid_twice    requests that were answered whole more than once: those that were under way at a kill
"""

import argparse
import asyncio
import json
import random
import signal
import subprocess
import sys
import threading
import time
import urllib.request
from collections import Counter
from collections.abc import Callable
from contextlib import ExitStack
from hashlib import sha256
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from common import fail, machine, print_machine, print_table, write_json

from medrl.chat.base import ChatRequest, Message

sys.path.insert(0, str(Path(__file__).parents[1] / "examples" / "huatuogpt_o1"))
from clinic_teacher import Teacher, cases, problem_row, reasoning_row
from clinic_writer import served, train
from search import UNSEEN, outcomes, roles, ways


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--stage", choices=("reasoning", "problems"), default="reasoning")
    parser.add_argument("--server", choices=("vllm", "scripted"), default="vllm")
    parser.add_argument("--rows", type=int, default=100)
    parser.add_argument("--kills", type=int, default=4)
    parser.add_argument("--faults", type=float, default=0.1, help="scripted: share of requests that fail")
    parser.add_argument("--model", type=Path, help="folder of the model; made there if it is empty")
    parser.add_argument("--cases", type=int, default=2000, help="cases that the model is taught")
    parser.add_argument("--epochs", type=float, default=3.0)
    parser.add_argument("--concurrency", type=int, default=16, help="rows under way")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", type=Path, help="also write the figures here")
    return parser.parse_args()


class Proxy:
    """Passes requests on, or answers them by script, and counts whole replies by request.

    Attributes:
        paid: Request digest to whole replies sent back, since `paid` was last cleared.
    """

    def __init__(self, answer: Callable[[bytes], "bytes | str"], faults: float, seed: int) -> None:
        from aiohttp import web

        self.paid: Counter[str] = Counter()
        self._answer, self._faults, self._draw = answer, faults, random.Random(seed)
        self._loop = asyncio.new_event_loop()
        app = web.Application(client_max_size=1 << 24)
        app.add_routes([web.post("/v1/chat/completions", self._complete)])
        runner = web.AppRunner(app, access_log=None)
        started: threading.Event = threading.Event()

        async def begin() -> None:
            await runner.setup()
            site = web.TCPSite(runner, "127.0.0.1", 0, backlog=1024)
            await site.start()
            self.port = runner.addresses[0][1]
            started.set()

        def serve() -> None:
            self._loop.run_until_complete(begin())
            self._loop.run_forever()

        threading.Thread(target=serve, name="proxy", daemon=True).start()
        started.wait(30)
        self.url = f"http://127.0.0.1:{self.port}/v1"

    async def _complete(self, request: Any) -> Any:
        from aiohttp import web

        asked = await request.read()
        fault = self._draw.choice(("429", "500", "half", "closed")) if self._draw.random() < self._faults else ""
        if fault in ("429", "500"):
            return web.json_response({"error": {"message": "not now"}}, status=int(fault))
        if fault == "closed":
            request.transport.close()
            return web.Response()
        found = await asyncio.to_thread(self._answer, asked)
        if isinstance(found, str):
            return web.json_response({"error": {"message": found}}, status=500)
        if fault == "half":
            return web.Response(body=found[: len(found) // 2], content_type="application/json")
        self.paid[sha256(asked).hexdigest()] += 1
        return web.Response(body=found, content_type="application/json")


def scripted(teacher: Teacher) -> Callable[[bytes], bytes]:
    """The teacher behind the wire format."""

    def answer(asked: bytes) -> bytes:
        body = json.loads(asked)
        messages = tuple(Message(one["role"], one["content"]) for one in body["messages"])
        text = teacher.reply(ChatRequest(messages, seed=body.get("seed")))
        time.sleep(0.05)
        message = {"role": "assistant", "content": text}
        choice = {"index": 0, "message": message, "finish_reason": "stop", "logprobs": None}
        usage = {"prompt_tokens": 400, "completion_tokens": 50, "total_tokens": 450}
        head = {"id": "c", "object": "chat.completion", "created": 1, "model": body["model"]}
        return json.dumps({**head, "choices": [choice], "usage": usage}).encode()

    return answer


def forwarded(url: str) -> Callable[[bytes], "bytes | str"]:
    """Another server; what is no whole reply is passed on as its error."""

    def answer(asked: bytes) -> bytes | str:
        request = urllib.request.Request(f"{url}/chat/completions", asked, {"Content-Type": "application/json"})
        try:
            with urllib.request.urlopen(request, timeout=300) as reply:
                return bytes(reply.read())
        except OSError as error:
            return f"{error}"

    return answer


def write_recipe(place: Path, options: argparse.Namespace, url: str) -> Path:
    """The rows and the recipe of one construction."""
    row = problem_row if options.stage == "problems" else reasoning_row
    rows = place / "source.jsonl"
    rows.write_text("".join(json.dumps(row(one)) + "\n" for one in unseen(options)), "utf-8")
    stage = {name.removeprefix("stage."): value for name, value in roles(options.stage, url).items()}
    recipe = {
        "rows": {"source": str(rows)},
        "seed": options.seed,
        "concurrency": options.concurrency,
        "stop_after": 10_000,
        "stage": stage,
    }
    path = place / "recipe.yaml"
    path.write_text(json.dumps(recipe), "utf-8")  # JSON is YAML
    return path


def unseen(options: argparse.Namespace) -> list[Any]:
    return cases(options.rows, options.seed + UNSEEN, taught=False)


def start(options: argparse.Namespace, recipe: Path, folder: Path) -> "subprocess.Popen[bytes]":
    command = [sys.executable, "-m", "medrl", "construct", options.stage, str(recipe), f"folder={folder}"]
    with (recipe.parent / "log.txt").open("ab") as log:
        return subprocess.Popen(command, stdout=log, stderr=log)


def finished(process: "subprocess.Popen[bytes]", place: Path) -> None:
    code, said = process.wait(), (place / "log.txt").read_text()
    if code != 0 and "the next start tries them again" not in said:  # 1 also where rows failed
        fail(f"the construction ended with {code}: {said[-2000:]}")


def killed(options: argparse.Namespace, proxy: Proxy, recipe: Path, folder: Path, calls: int) -> None:
    """Run one to its end through so many kills, each some replies after a start.

    `calls` is how many replies it takes undisturbed: no start gets so many of them that none is left for the last one.
    """
    draw = random.Random(options.seed)
    for kill in range(options.kills):
        until = proxy.paid.total() + draw.randint(1, max(1, calls // (options.kills + 1)))
        process = start(options, recipe, folder)
        while process.poll() is None and proxy.paid.total() < until:
            time.sleep(0.005)
        process.kill()
        if process.wait() != -signal.SIGKILL:
            fail(
                f"the construction ended before kill {kill + 1} of {options.kills}; give it more --rows or fewer --kills"
            )
    finished(start(options, recipe, folder), recipe.parent)


def measure(options: argparse.Namespace, proxy: Proxy, place: Path) -> dict[str, Any]:
    """The construction undisturbed, then killed."""
    recipe, ids = write_recipe(place, options, proxy.url), [one.id for one in unseen(options)]
    finished(start(options, recipe, place / "whole"), place)
    report = json.loads((place / "whole" / "report.json").read_text())
    print(f"undisturbed: {outcomes(place / 'whole', ids)}", flush=True)
    undisturbed = proxy.paid.total()
    proxy.paid.clear()
    killed(options, proxy, recipe, place / "killed", undisturbed)
    found, calls = outcomes(place / "killed", ids), proxy.paid.total()
    if options.stage == "reasoning":
        found |= ways(place / "killed", len(ids))
    return {
        **found,
        "rows_per_second": report["this_start"]["rows_per_second"],
        "kills": options.kills,
        "rows_lost": found["lost"],
        "rows_doubled": found["doubled"],
        "calls": calls,
        "calls_paid_twice": calls - len(proxy.paid),
    }


def main() -> None:
    options = arguments()
    with TemporaryDirectory(prefix="medrl-construct-") as temporary, ExitStack() as stack:
        place = Path(temporary)
        figures: dict[str, Any] = {"stage": options.stage, "server": options.server}
        if options.server == "scripted":
            proxy = Proxy(scripted(Teacher.of(unseen(options))), options.faults, options.seed)
        else:
            folder = options.model or place / "model"
            if not (folder / "config.json").exists():
                learnt = cases(options.cases, options.seed, taught=True)
                figures["training"] = train(folder, learnt, epochs=options.epochs, seed=options.seed)
            url = stack.enter_context(served(folder, place / "vllm.txt"))
            proxy = Proxy(forwarded(url), 0.0, options.seed)
        figures |= measure(options, proxy, place)
    figures["machine"] = machine()
    names = ("rows_per_second", "rows", "kills", "rows_lost", "rows_doubled", "kept_share", "calls", "calls_paid_twice")
    print_table(("figure", "value"), [(name, f"{figures[name]:,g}") for name in names])
    print(figures["outcomes"], figures.get("ended_by", ""))
    print_machine(machine())
    write_json(options.json, figures)


if __name__ == "__main__":
    main()
