"""What medrl's chat client costs and saves: `OpenAIChat` and the judge over it beside the bare `openai` package.

    python benchmarks/judge.py [--items N] [--faults SHARE] [--concurrency N] [--json FILE]

A server process of its own (aiohttp, loopback) answers like a judge: it reads REFERENCE and ANSWER out of the slots of
the request and says at once whether they are equal. So nothing but the client's own time is measured, in one process
on one core, and every verdict has a truth to be held against. All sides send the same requests (those of
`medrl.verifiers.Judge`), with the same number under way.

    bare     `AsyncOpenAI.chat.completions.create` with the settings that were fastest here: the package's aiohttp
             transport, a pool as large as the number under way, a semaphore; its own retries
    client   `OpenAIChat.complete`: queue, deadline, budget, breaker, strict reading
    judge    `Judge` over `OpenAIChat`: reading the answer, the prompt, the reply, the verdict

First without faults: the first blocks of items, the three sides in turn, the first round does not count. The overhead
is the median over the rounds of a side's wall time for a block divided by bare's in the same round, so what else runs on
the machine disturbs both. Then with faults, all items at once: the server gives a share of all HTTP requests, drawn anew
for each, one of: connection closed without a byte, connection closed in the middle of the body, 429, 500, status 200
with half of its JSON. Each side may send a request again as often.

"lost" are items without a verdict; "zeroed" are right answers that got a score of 0 and "paid" wrong ones that got 1,
both of which must not be. The bare client has no retry for a body that is not whole, so it loses these.

Not measured: a model. Its time comes on top of every side alike.
"""

import argparse
import asyncio
import json
import random
import statistics
import subprocess
import sys
import time
import urllib.request
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from common import fail, machine, print_machine, print_table, write_json

FAULTS = ("closed", "cut", "429", "500", "garbled")
RETRIES = 12
SIDES = ("bare", "client", "judge")
# One outcome per item: 1 right, 0 wrong, None where there is no verdict.
Outcomes = Sequence[float | None]


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--items", type=int, default=10_000, help="answers to judge in the part with faults")
    parser.add_argument("--block", type=int, default=400, help="items of a block in the part without faults")
    parser.add_argument("--rounds", type=int, default=7, help="the most blocks of that part")
    parser.add_argument("--faults", type=float, default=0.3, help="share of HTTP requests that fail")
    parser.add_argument("--concurrency", type=int, default=64, help="requests under way")
    parser.add_argument("--seed", type=int, default=0, help="of the faults")
    parser.add_argument("--json", type=Path, help="also write the figures here")
    parser.add_argument("--serve", action="store_true", help=argparse.SUPPRESS)  # what the server process does
    return parser.parse_args()


def serve(share: float, seed: int) -> None:
    """The judge server: `/clean/v1` never fails, `/faulty/v1` does, `/counts` says how often; ends with its parent."""
    from aiohttp import web

    draw, counts = random.Random(seed), Counter[str]()

    async def complete(request: web.Request) -> web.StreamResponse:
        asked = await request.json()
        body = json.dumps(reply(asked)).encode()
        fault = draw.choice(FAULTS) if request.match_info["how"] == "faulty" and draw.random() < share else "none"
        counts[fault] += 1
        if fault in ("429", "500"):
            return web.json_response({"error": {"message": "not now"}}, status=int(fault))
        if fault == "garbled":
            return web.Response(body=body[: len(body) // 2], content_type="application/json")
        if fault in ("closed", "cut"):
            assert request.transport is not None
            response = web.StreamResponse(headers={"Content-Length": str(len(body))})
            if fault == "cut":
                await response.prepare(request)
                await response.write(body[: len(body) // 2])
            request.transport.close()
            return response
        return web.Response(body=body, content_type="application/json")

    async def tell(_: web.Request) -> web.Response:
        return web.json_response(counts)

    async def main() -> None:
        app = web.Application()
        app.add_routes([web.post("/{how}/v1/chat/completions", complete), web.get("/counts", tell)])
        runner = web.AppRunner(app, access_log=None)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0, backlog=1024)
        await site.start()
        assert site._server is not None
        print(site._server.sockets[0].getsockname()[1], flush=True)  # type: ignore[attr-defined]
        await asyncio.to_thread(sys.stdin.read)

    asyncio.run(main())


def reply(asked: dict[str, Any]) -> dict[str, Any]:
    """What a judge says: whether what stands in the slots REFERENCE and ANSWER is equal."""
    lines = asked["messages"][-1]["content"].split("\n")
    slots = {name: [row[2:] for row in lines[at + 1 : end]] for name, at, end in slots_of(lines)}
    same = slots["REFERENCE"] == slots["ANSWER"]
    opinion = {"answer": slots["ANSWER"][0], "reason": "as told", "verdict": "match" if same else "no_match"}
    message = {"role": "assistant", "content": json.dumps(opinion)}
    return {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": 1_700_000_000,
        "model": asked["model"],
        "choices": [{"index": 0, "message": message, "finish_reason": "stop", "logprobs": None}],
        "usage": {"prompt_tokens": 900, "completion_tokens": 30, "total_tokens": 930},
    }


def slots_of(lines: Sequence[str]) -> list[tuple[str, int, int]]:
    marks = [(i, line.split()[2]) for i, line in enumerate(lines) if line.startswith("=== ") and line.endswith(" ===")]
    return [(name, at, end) for (at, name), (end, _) in zip(marks[::2], marks[1::2], strict=True)]


@dataclass
class Item:
    """A problem, an answer, and whether the answer is right."""

    problem: Any
    response: Any
    right: bool
    request: Any


def make_items(count: int, judge: Any) -> list[Item]:
    """Answers to questions about drugs that do not exist; every other one is right."""
    from medrl.types import Problem, Response, ask

    items = []
    for i in range(count):
        reference, right = f"compound {i}", i % 2 == 0
        question = f"A patient of {20 + i % 60} years needs treatment number {i}. Which drug is given?"
        problem = Problem(f"p{i}", ask(question), reference=reference)
        answer = reference if right else f"compound {i + 1}"
        items.append(Item(problem, Response(answer), right, judge.requests(problem, answer)[0]))
    return items


class Side:
    """One way to ask; `ask` gives the outcomes of some items."""

    def __init__(self, name: str, url: str, concurrency: int) -> None:
        import openai

        from medrl.chat import OpenAIChat
        from medrl.verifiers.chat_judge import Judge

        self.name, self.failures = name, Counter[str]()
        self.chat = OpenAIChat("judge", base_url=url, concurrency=concurrency, max_retries=RETRIES)
        self.judge = Judge(self.chat, self_test=False)  # our server is no model, and knows no synonyms
        limits = type(openai.DEFAULT_CONNECTION_LIMITS)(max_connections=concurrency)
        self.bare = openai.AsyncOpenAI(
            base_url=url,
            api_key="none",
            max_retries=RETRIES,
            http_client=openai.DefaultAioHttpClient(limits=limits, trust_env=False),
        )
        self.places = asyncio.Semaphore(concurrency)

    async def ask(self, items: Sequence[Item]) -> Outcomes:
        if self.name == "judge":
            from medrl.verifiers.protocol import judge

            verdicts = await judge(self.judge, [(item.problem, item.response) for item in items])
            self.failures.update(verdict.reason[:80] for verdict in verdicts if verdict.score is None)
            return [verdict.score for verdict in verdicts]
        one = self.ask_bare if self.name == "bare" else self.ask_client
        return await asyncio.gather(*map(one, items))

    async def ask_bare(self, item: Item) -> float | None:
        request = item.request
        schema = {"name": "reply", "schema": request.json_schema, "strict": True}
        try:
            async with self.places:
                completion = await self.bare.chat.completions.create(
                    model="judge",
                    messages=[{"role": one.role, "content": one.content} for one in request.messages],
                    max_tokens=request.max_tokens,
                    temperature=request.temperature,
                    seed=request.seed,
                    response_format={"type": "json_schema", "json_schema": schema},
                )
            return score(completion.choices[0].message.content)
        except Exception as error:  # whatever it raises, the item is lost
            self.failures[type(error).__name__] += 1
            return None

    async def ask_client(self, item: Item) -> float | None:
        from medrl.chat import ChatError

        try:
            return score((await self.chat.complete(item.request)).text)
        except ChatError as error:
            self.failures[error.kind] += 1
            return None

    async def close(self) -> None:
        await self.chat.close()
        await self.bare.close()


def score(text: str) -> float:
    return float(json.loads(text)["verdict"] == "match")


async def without_faults(url: str, items: Sequence[Item], block: int, concurrency: int) -> dict[str, list[float]]:
    """Seconds per item of each block, by side; the three sides take the same block in turn."""
    sides = [Side(name, url, concurrency) for name in SIDES]
    seconds: dict[str, list[float]] = {name: [] for name in SIDES}
    blocks = [items[at : at + block] for at in range(0, len(items), block)]
    for number, some in enumerate([blocks[0], *blocks]):
        for side in sides[number % 3 :] + sides[: number % 3]:
            outcomes, took = await timed(side.ask, some)
            if outcomes != [float(item.right) for item in some]:
                fail(f"{side.name} gave wrong verdicts without any fault: {side.failures}")
            if number:
                seconds[side.name].append(took / len(some))
    for side in sides:
        await side.close()
    return seconds


async def with_faults(name: str, url: str, items: Sequence[Item], concurrency: int) -> dict[str, Any]:
    """What became of all items at once on a server that fails."""
    side, before = Side(name, url, concurrency), injected(url)
    outcomes, took = await timed(side.ask, items)
    counts = side.chat.statistics
    await side.close()
    now = injected(url)
    return {
        "lost": sum(outcome is None for outcome in outcomes),
        "zeroed": sum(outcome == 0.0 and item.right for outcome, item in zip(outcomes, items, strict=True)),
        "paid": sum(outcome == 1.0 and not item.right for outcome, item in zip(outcomes, items, strict=True)),
        "answers_per_s": (len(items) - sum(outcome is None for outcome in outcomes)) / took,
        "seconds": took,
        "faults": sum(now[fault] - before[fault] for fault in FAULTS),
        "sent": now.total() - before.total(),
        "retries": counts.retries if name != "bare" else now.total() - before.total() - len(items),
        "failures": dict(side.failures.most_common(3)),
    }


async def timed(work: Callable[[Sequence[Item]], Awaitable[Outcomes]], items: Sequence[Item]) -> tuple[Outcomes, float]:
    began = time.perf_counter()
    return await work(items), time.perf_counter() - began


def injected(url: str) -> Counter[str]:
    """What the server has done so far, by fault."""
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(url.rsplit("/", 2)[0] + "/counts") as response:
        return Counter(json.load(response))


def main() -> None:
    options = arguments()
    if options.serve:
        serve(options.faults, options.seed)
        return
    if options.items < 2 * options.block:
        fail(f"--items {options.items} is less than two blocks; lower --block ({options.block})")
    try:
        import aiohttp  # noqa: F401
        import openai  # noqa: F401
    except ImportError as error:
        fail(f"{error}; install it with: pip install 'medrl[judge]'")
    command = [sys.executable, __file__, "--serve", "--faults", str(options.faults), "--seed", str(options.seed)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdin is not None
        assert server.stdout is not None
        port = server.stdout.readline().strip()
        try:
            measure(options, f"http://127.0.0.1:{port}")
        finally:
            server.stdin.close()


def measure(options: argparse.Namespace, address: str) -> None:
    from medrl.verifiers.chat_judge import Judge

    judge = Judge({"type": "medrl.chat:OpenAIChat", "model": "judge"}, self_test=False)
    items = make_items(options.items, judge)
    some = items[: options.block * options.rounds]
    clean = asyncio.run(without_faults(f"{address}/clean/v1", some, options.block, options.concurrency))
    faulty = {
        name: asyncio.run(with_faults(name, f"{address}/faulty/v1", items, options.concurrency)) for name in SIDES
    }
    overhead = {
        name: statistics.median(one / bare for one, bare in zip(clean[name], clean["bare"], strict=True))
        for name in SIDES
    }
    print(f"{options.items:,} items, {options.concurrency} under way; {options.faults:.0%} of HTTP requests fail\n")
    header = ["side", "ms/item", "over bare", "with faults: lost", "zeroed", "paid", "faults", "retries", "answers/s"]
    print_table(header, [row(name, clean[name], overhead[name], faulty[name]) for name in SIDES])
    for name in SIDES:
        if faulty[name]["failures"]:
            print(f"{name} lost them to: {faulty[name]['failures']}")
    of = machine()
    print_machine(of)
    ours = faulty["judge"]
    figures = {
        "items": options.items,
        "overhead_over_bare_client": overhead["client"],
        "judge_overhead_over_bare_client": overhead["judge"],
        "lost": ours["lost"],
        "zeroed": ours["zeroed"],
        "fault_share": options.faults,
        "concurrency": options.concurrency,
        **{f"{name}_ms_per_item": 1e3 * statistics.median(clean[name]) for name in SIDES},
        **{f"{name}_faulty_{key}": value for name in SIDES for key, value in faulty[name].items() if key != "failures"},
        **of,
    }
    write_json(options.json, figures)


def row(name: str, seconds: Sequence[float], overhead: float, faulty: dict[str, Any]) -> list[str]:
    counts = [f"{faulty[key]:,}" for key in ("lost", "zeroed", "paid", "faults", "retries")]
    return [
        name,
        f"{1e3 * statistics.median(seconds):.2f}",
        f"{overhead:.2f}",
        *counts,
        f"{faulty['answers_per_s']:.0f}",
    ]


if __name__ == "__main__":
    main()
