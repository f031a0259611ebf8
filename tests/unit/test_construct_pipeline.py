"""The pipeline of constructions: rows once and only once, whatever fails, kills or repeats; over real HTTP and real files."""

import asyncio
import json
import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

import pytest
from chat_server import CUT, DROPS, HANGS, ChatServer, Reply, failing, garbled

from medrl.chat import BudgetSpent, CachedChat, ChatBadReply, OpenAIChat
from medrl.chat.strict import read_reply
from medrl.construct.pipeline import ConstructionStopped, Dropped, Kept, Pipeline, RowFailed, Stage, Work, items_of
from medrl.construct.progress import Progress
from medrl.construct.roles import Bill, Role, cached_clients
from medrl.construct.slots import TEXT, an_object, chat
from medrl.construct.store import Store
from medrl.construct.tally import Tally, funnel
from medrl.data.rows import count_rows, read_rows, stream_rows
from medrl.errors import CheckpointError, DataError, RecipeError
from medrl.files import append_rows, cut_half_line, read_jsonl

Serve = Callable[..., ChatServer]
SCHEMA = an_object(word=TEXT)


def read_word(text: str) -> str:
    return str(read_reply(text, SCHEMA, "the model")["word"])


@dataclass(frozen=True)
class Words(Stage):
    """Asks for one word about each row; drops what begins with "no"."""

    role: Role
    name: ClassVar[str] = "words"

    @property
    def reasons(self) -> tuple[str, ...]:
        return ("no_word",)

    def cached(self, path: Path) -> "Words":
        return Words(self.role.cached(path))

    def identity(self) -> Mapping[str, Any]:
        return {"models": self.role.identity()}

    async def run(self, work: Work) -> Kept | Dropped:
        text = str(work.item.row["text"])
        if text == "slow verifier":
            raise RowFailed("verifier_timeout", "no verdict in time")
        word = await work.ask(self.role, chat("A word.", {"TEXT": text}, "en", work.seed), SCHEMA, read_word)
        return Dropped("no_word", word) if word.startswith("no") else Kept({"word": word})


def echo(request: dict[str, Any], number: int) -> str:
    (line,) = [line for line in request["messages"][-1]["content"].splitlines() if line.startswith("| ")]
    return json.dumps({"word": line[2:]})


def stage(server: ChatServer, **knobs: Any) -> Words:
    client = OpenAIChat(**{"model": "writer", "base_url": server.url, "max_retries": 0, "timeout": 5.0, **knobs})
    return Words(Role(client, prompt_price=1000.0, completion_price=2000.0))


def rows(count: int) -> list[dict[str, Any]]:
    return [{"id": f"r{i}", "text": f"{'no' if i % 3 == 0 else 'yes'} {i}"} for i in range(count)]


def construct(folder: Path, made: Words, source: list[dict[str, Any]], **knobs: Any) -> Tally:
    store = Store(folder, {"made": made.identity()})
    items = items_of(iter(source), column="id", limit=None, shard=knobs.pop("shard", "0/1"))
    pipeline = Pipeline(made.cached(folder / "chat.sqlite"), items, store, {"construction": "words"}, **knobs)
    try:
        return asyncio.run(pipeline.run())
    finally:
        store.close()


def ids(path: Path) -> list[str]:
    return [row["id"] for row in read_jsonl(path)] if path.exists() else []


def test_each_row_ends_once_with_its_provenance_and_its_bill(tmp_path: Path, chat_server: Serve) -> None:
    server = chat_server(echo)
    tally = construct(tmp_path, stage(server), rows(30), seed=7)
    kept, dropped = read_jsonl(tmp_path / "rows.jsonl"), read_jsonl(tmp_path / "dropped.jsonl")
    assert sorted(row["id"] for row in [*kept, *dropped]) == sorted(f"r{i}" for i in range(30)) and len(dropped) == 10
    assert {row["reason"] for row in dropped} == {"no_word"} and dropped[0]["row"]["text"].startswith("no")
    row = next(one for one in kept if one["id"] == "r1")
    about, bill = row["provenance"], row["provenance"]["bill"]
    assert (row["word"], about["row"], about["seed"], about["outcome"]) == ("yes 1", 2, 7, "kept")
    assert (bill["calls"], bill["cached"], bill["completion_tokens"]) == (1, 0, 3)  # {"word": | "yes | 1"}
    assert bill["cost"] == pytest.approx((bill["prompt_tokens"] * 1000 + 3 * 2000) / 1e6)
    assert (server.count, tally.outcomes, tally.bill.calls) == (30, Counter(kept=20, no_word=10), 30)
    again = construct(tmp_path, stage(server), rows(30), seed=7)
    assert (server.count, again.finished, again.before) == (30, 0, 30) and again.bill == tally.bill


def test_failures_are_named_kept_apart_and_tried_again(tmp_path: Path, chat_server: Serve) -> None:
    faults: list[Reply | str] = [
        failing(429), failing(500), Reply('{"word": "ye', finish_reason="length"), CUT, DROPS, HANGS, garbled(b"{"),
        '{"word": "a", "word": "b"}', "The word is yes", '{"word": 3}',
    ]  # fmt: skip
    server = chat_server()
    server.behaviour = lambda request, n: faults[int(json.loads(echo(request, n))["word"].split()[1]) % len(faults)]
    source = [*rows(10), {"id": "v", "text": "slow verifier"}]
    made = Words(Role(OpenAIChat(model="writer", base_url=server.url, max_retries=0, timeout=0.5), tries=2))
    tally = construct(tmp_path, made, source)
    failed = {row["id"]: row["kind"] for row in read_jsonl(tmp_path / "failed.jsonl")}
    assert not (tmp_path / "rows.jsonl").exists() and not (tmp_path / "dropped.jsonl").exists()
    assert len(failed) == 11 and tally.failures.total() == 11
    assert {failed[f"r{i}"] for i in (0, 1, 3, 4)} <= {"unavailable", "circuit_open"} and failed["r5"] == "timeout"
    assert {failed[f"r{i}"] for i in (2, 6, 7, 8, 9)} == {"bad_reply"} and failed["v"] == "verifier_timeout"
    server.behaviour = echo
    made = Words(Role(OpenAIChat(model="writer", base_url=server.url, max_retries=0, timeout=5.0), tries=2))
    construct(tmp_path, made, source)
    assert sorted(ids(tmp_path / "rows.jsonl") + ids(tmp_path / "dropped.jsonl")) == [f"r{i}" for i in range(10)]
    assert ids(tmp_path / "failed.jsonl") == ["v"]


def test_a_bad_reply_is_asked_for_anew_by_the_next_start(tmp_path: Path, chat_server: Serve) -> None:
    """No cache holds the replies that could not be read; each start sends the first try again, and tries with other seeds."""
    server = chat_server(lambda request, n: '{"word": "yes 1"' if n < 8 else '{"word": "yes 1"}')
    loose = stage(server, structured="none")
    made = Words(Role(loose.role.client, tries=2))
    for paid in (2, 5, 8):  # and not more each time
        assert construct(tmp_path, made, rows(2)[1:]).failures == Counter(bad_reply=1) and server.count == paid
    tally = construct(tmp_path, made, rows(2)[1:])
    assert tally.outcomes == Counter(kept=1) and server.count == 9 and tally.spent.cached == 0
    assert len({request["seed"] for request in server.requests}) == 6


def test_a_dead_server_and_a_spent_budget_stop_it(tmp_path: Path, chat_server: Serve) -> None:
    server = chat_server(lambda request, n: failing(500))
    with pytest.raises(ConstructionStopped, match="rows in a row failed"):
        construct(tmp_path / "a", stage(server, breaker_failures=None), rows(1000), stop_after=10, concurrency=4)
    assert server.count < 20
    server.behaviour = echo
    with pytest.raises(BudgetSpent):
        construct(tmp_path / "b", stage(server, budget_calls=5), rows(100), concurrency=2)
    done = ids(tmp_path / "b" / "rows.jsonl") + ids(tmp_path / "b" / "dropped.jsonl")
    assert 4 <= len(done) <= 5 and len(set(done)) == len(done)  # what was paid for is written down


def test_torn_tails_lost_indices_and_strange_folders(tmp_path: Path, chat_server: Serve) -> None:
    server = chat_server(echo)
    construct(tmp_path, stage(server), rows(9))
    whole = (tmp_path / "rows.jsonl").read_bytes()
    last = whole.rstrip(b"\n").rfind(b"\n") + 1
    (tmp_path / "rows.jsonl").write_bytes(whole[: last + 20])  # killed in the middle of the last line
    tally = construct(tmp_path, stage(server), rows(9))
    assert tally.before == 8 and tally.spent.cached == 1 and server.count == 9  # its reply had been paid for
    assert (
        sorted(ids(tmp_path / "rows.jsonl")) == sorted({*ids(tmp_path / "rows.jsonl")}) and tally.outcomes["kept"] == 6
    )
    for damage in (lambda path: path.unlink(), lambda path: path.write_bytes(b"no database " * 900)):
        damage(tmp_path / "index.sqlite")
        assert construct(tmp_path, stage(server), rows(9)).finished == 0
    with pytest.raises(DataError, match="another recipe \\(made changed since\\)"):
        construct(tmp_path, stage(server, revision="2"), rows(9))
    rival = Store(tmp_path, {"made": stage(server).identity()})
    with pytest.raises(CheckpointError, match="open for writing"):
        Store(tmp_path, {"made": stage(server).identity()})
    rival.close()
    append_rows(tmp_path / "rows.jsonl", read_jsonl(tmp_path / "rows.jsonl")[:1])
    with pytest.raises(DataError, match="twice"):
        construct(tmp_path, stage(server), rows(9))


def test_one_id_is_one_row_and_shards_share_out_all(tmp_path: Path, chat_server: Serve) -> None:
    server = chat_server(echo)
    source = [*rows(200), {"id": "r5", "text": "yes again"}, {"text": "yes nameless"}]
    tally = construct(tmp_path / "all", stage(server), source)
    assert tally.repeated == 1 and tally.outcomes.total() == 201
    assert "row-202" in ids(tmp_path / "all" / "rows.jsonl")
    parts = []
    for place in range(3):
        construct(tmp_path / str(place), stage(server), source, shard=f"{place}/3")
        parts += ids(tmp_path / str(place) / "rows.jsonl") + ids(tmp_path / str(place) / "dropped.jsonl")
    assert len(parts) == len(set(parts)) == 201
    with pytest.raises(ValueError, match="write I/N"):
        next(items_of(source, column="id", limit=None, shard="3/3"))


@pytest.mark.parametrize("apart", [0, 100])
def test_an_id_belongs_to_the_first_row_that_had_it(tmp_path: Path, chat_server: Serve, apart: int) -> None:
    """Also where that one failed: another row must not take its place, and its outcome, for good."""
    server = chat_server(lambda request, n: failing(400) if "first" in json.dumps(request) else echo(request, n))
    source = [{"id": "a", "text": "yes first"}, *rows(apart), {"id": "a", "text": "yes second"}]
    for _ in range(2):
        tally = construct(tmp_path, stage(server), source, concurrency=1)
        assert (tally.repeated, tally.failures.total(), "a" in ids(tmp_path / "rows.jsonl")) == (1, 1, False)
    server.behaviour = echo
    tally = construct(tmp_path, stage(server), source)
    assert tally.repeated == 1
    (row,) = [one for one in read_jsonl(tmp_path / "rows.jsonl") if one["id"] == "a"]
    assert (row["word"], row["provenance"]["row"]) == ("yes first", 1)


def test_the_source_is_read_only_as_far_as_it_is_needed(tmp_path: Path, chat_server: Serve) -> None:
    """A row in flight holds up no other, and rows that nobody has room for are not read."""
    read: list[int] = []

    def endless() -> Any:
        for i in range(10**9):
            read.append(i)
            yield {"id": str(i), "text": f"yes {i}"}

    server = chat_server(echo)
    made = stage(server, budget_calls=40)
    store = Store(tmp_path, {})
    items = items_of(endless(), column="id", limit=None, shard="0/1")
    with pytest.raises(BudgetSpent):
        asyncio.run(Pipeline(made, items, store, {}, concurrency=3).run())
    store.close()
    assert len(read) <= 40 + 3 * 64 and server.peak <= 3


def test_rows_are_streamed_from_every_kind_of_file(tmp_path: Path) -> None:
    wanted = [{"id": "a", "text": "发热, cough"}, {"id": "b", "text": "x"}]
    (tmp_path / "r.jsonl").write_text(
        "".join(json.dumps(row, ensure_ascii=False) + "\n\n" for row in wanted), "utf-8-sig"
    )
    (tmp_path / "r.csv").write_text('id,text\na,"发热, cough"\nb,x\n', "utf-8")
    (tmp_path / "r.json").write_text(json.dumps(wanted), "utf-8")
    import pyarrow
    import pyarrow.parquet

    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(wanted), tmp_path / "r.parquet")
    for kind in ("jsonl", "csv", "json", "parquet"):
        assert list(stream_rows(tmp_path / f"r.{kind}")) == wanted
    assert [count_rows(tmp_path / f"r.{kind}") for kind in ("jsonl", "parquet", "csv")] == [2, 2, None]
    (tmp_path / "bad.jsonl").write_text('{"id": 1}\n{"id": \n', "utf-8")
    stream = stream_rows(tmp_path / "bad.jsonl")
    assert next(stream) == {"id": 1}
    with pytest.raises(DataError, match=r"bad.jsonl line 2: not JSON"):
        next(stream)


def test_csv_is_the_same_read_whole_or_streamed(tmp_path: Path) -> None:
    path = tmp_path / "r.csv"
    texts = ["one\u2028two", "a\r\nb", "x\x0by\x85z", 'say "when"']
    quoted = [text.replace('"', '""') for text in texts]
    path.write_bytes(("id,text\r\n" + "".join(f'{n},"{one}"\r\n' for n, one in enumerate(quoted))).encode("utf-8-sig"))
    wanted = [{"id": str(n), "text": text} for n, text in enumerate(texts)]
    assert list(stream_rows(path)) == read_rows(path)[1] == wanted


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("id,text\n1,发热\n".encode("gb18030"), "r.csv is not UTF-8 text .*save it as UTF-8"),
        (b"id,text\n" + b"1,x\n" * 100_000 + b"1,\xff\n", "r.csv is not UTF-8 text .*save it as UTF-8"),
        (b"id,text\n1,x,y\n", "r.csv line 2: the row does not have 2 columns"),
        (b"id,text\n1," + b"x" * 200_000 + b"\n", "r.csv is no CSV that can be read after line 1: field larger"),
    ],
    ids=["gb18030", "late", "columns", "long"],
)
def test_a_csv_that_cannot_be_read_says_so_read_whole_or_streamed(tmp_path: Path, content: bytes, said: str) -> None:
    path = tmp_path / "r.csv"
    path.write_bytes(content)
    for read in (lambda: list(stream_rows(path)), lambda: read_rows(path)):
        with pytest.raises(DataError, match=said):
            read()


def test_half_lines_are_cut_however_long_they_are(tmp_path: Path) -> None:
    path = tmp_path / "x.jsonl"
    assert cut_half_line(path) == 0
    for whole, half in ((b"", b"x" * 3_000_000), (b'{"a": 1}\n', b"y" * 2_500_000), (b'{"a": 1}\n', b"")):
        path.write_bytes(whole + half)
        assert cut_half_line(path) == len(half) and path.read_bytes() == whole


def test_configs_of_verifiers_get_a_cache_once(tmp_path: Path) -> None:
    client = {"type": "openai", "model": "judge"}
    config = {"type": "cascade", "stages": [{"type": "typed"}, {"type": "judge", "client": client}]}
    found = cached_clients(config, tmp_path / "c")
    assert found["stages"][1]["client"] == {"type": "cached", "client": client, "path": str(tmp_path / "c")}
    assert cached_clients(found, tmp_path / "d") == found and config["stages"][1]["client"] == client  # type: ignore[index]
    role = Role(client)
    assert isinstance(role.cached(tmp_path / "c").client, CachedChat)
    assert role.cached(tmp_path / "c").identity() == role.identity()
    with pytest.raises(RecipeError, match="tries is 0"):
        Role(client, tries=0)


def test_a_role_is_told_no_unreadable_reply_again(tmp_path: Path, chat_server: Serve) -> None:
    """Nor by the cache of another construction, which begins with as few tries."""
    server = chat_server(lambda request, n: "Hm." if n < 2 else json.dumps({"word": "gout"}))
    client = OpenAIChat(model="m", base_url=server.url, max_retries=0, timeout=5.0, structured="none")
    role = Role(client, tries=2).cached(tmp_path / "chat.sqlite")

    def word() -> str:
        return asyncio.run(role.ask(chat("A word.", {}, "en", 0), SCHEMA, read_word, seed=0, bill=Bill()))

    with pytest.raises(ChatBadReply):
        word()
    assert word() == word() == "gout" and server.count == 3


def test_lines_tell_where_it_stands(capsys: pytest.CaptureFixture[str]) -> None:
    now = iter(range(0, 1000, 10))
    tally = Tally(total=100, clock=lambda: float(next(now)))
    tally.begin(Counter(kept=4, broken=6), Bill(calls=10))
    for _ in range(5):
        tally.ended("kept", Bill(calls=2, cached=1, prompt_tokens=1000, completion_tokens=200, cost=0.5))
    tally.failed("unavailable", "down", Bill(calls=1))
    line = tally.line()
    assert line.startswith("15/100 rows, 9 kept, 0.5 rows/s, 1 failed, 11 calls (5 cached), 6,000 tokens, cost 2.50,")
    assert funnel(tally.outcomes, ("broken", "late")) == [("broken", 6, 9), ("late", 0, 9)]
    Progress("words").end(tally, ("broken",))
    said = capsys.readouterr().out
    assert "broken" in said and "failed, unavailable: 1 rows" in said


KILLED = """
import asyncio, json, sys
from pathlib import Path
sys.path[:0] = {path!r}
from test_construct_pipeline import Words, construct, rows
from medrl.chat import OpenAIChat
from medrl.construct.roles import Role
client = OpenAIChat(model="writer", base_url={url!r}, max_retries=0)
print("begun", flush=True)
construct(Path({folder!r}), Words(Role(client)), rows({count}), concurrency=8)
"""


def start(tmp_path: Path, server: ChatServer, count: int) -> "subprocess.Popen[str]":
    here = Path(__file__).resolve().parent
    code = KILLED.format(
        path=[str(here), str(here.parent), str(here.parents[1])], url=server.url, folder=str(tmp_path), count=count
    )
    environment = {**os.environ, "PYTHONPATH": str(here.parents[1])}
    return subprocess.Popen(
        [sys.executable, "-c", code], text=True, stdout=subprocess.PIPE, env=environment,
        preexec_fn=partial(signal.signal, signal.SIGINT, signal.SIG_DFL),  # what starts the tests may ignore it
    )  # fmt: skip


@pytest.mark.slow
def test_kill_9_loses_and_doubles_nothing(tmp_path: Path, chat_server: Serve) -> None:
    """Killed at random moments while rows are written; a call costs twice only if it was under way at a kill."""
    count, concurrency, kills = 300, 8, 0
    server, draw = chat_server(lambda request, n: Reply(echo(request, n), delay=0.02)), random.Random(1)
    while kills < 3:
        before = server.count
        process = start(tmp_path, server, count)
        while server.count < before + 10 and process.poll() is None:
            time.sleep(0.005)
        time.sleep(draw.uniform(0.0, 0.2))
        if process.poll() is None:
            process.send_signal(signal.SIGKILL)
            kills += 1
        process.wait()
        assert process.returncode == -signal.SIGKILL
        if kills == 2:  # as a kill in the middle of a write leaves it
            with open(tmp_path / "rows.jsonl", "ab") as file:
                file.write(b'{"id": "r1", "wo')
    process = start(tmp_path, server, count)
    assert process.wait() == 0
    done = ids(tmp_path / "rows.jsonl") + ids(tmp_path / "dropped.jsonl")
    assert sorted(done) == sorted(f"r{i}" for i in range(count))
    asked = Counter(json.dumps(request, sort_keys=True) for request in server.requests)
    assert len(asked) == count and asked.total() - count <= kills * concurrency


@pytest.mark.slow
def test_ctrl_c_ends_it_cleanly(tmp_path: Path, chat_server: Serve) -> None:
    server = chat_server(lambda request, n: Reply(echo(request, n), delay=0.02 if n < 40 else 3600.0))
    process = start(tmp_path, server, 300)
    while server.count < 48:
        assert process.poll() is None
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    process.wait(20)
    done = ids(tmp_path / "rows.jsonl") + ids(tmp_path / "dropped.jsonl")
    assert len(done) == len(set(done)) == 40  # all that had been answered, and nothing that had not
    server.behaviour = echo
    assert construct(tmp_path, Words(Role(OpenAIChat(model="writer", base_url=server.url))), rows(300)).before == 40
