"""The cache of chat replies: paid for once, by whoever asks, whatever happens to processes, callers and the disk."""

import asyncio
import json
import logging
import os
import pickle
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from chat_server import ChatServer, Reply, always, failing

from medrl.chat import CachedChat, ChatRefused, ChatReply, ChatRequest, ChatUnavailable, Message, OpenAIChat, build_chat
from medrl.chat.cache import clear, default_path, inspect, prune, request_key
from medrl.chat.cache_file import CacheFile, CacheUnusable
from medrl.commands import cache_command
from medrl.errors import DataError, MissingFile

Start = Callable[..., ChatServer]
SECRET = "sk-this-must-never-be-stored-42"


def counting(request: dict[str, Any], n: int) -> str:
    """Another reply for each request that comes, so that nothing but the cache can make two alike."""
    return f"reply {n}"


def openai(server: ChatServer, **knobs: Any) -> OpenAIChat:
    return OpenAIChat(**{"model": "judge", "base_url": server.url, "backoff": 0.01, "max_retries": 1, **knobs})


def ask(text: str = "Is gout an arthritis?", **knobs: Any) -> ChatRequest:
    return ChatRequest((Message("user", text),), **knobs)


def one(chat: CachedChat, request: ChatRequest | None = None) -> ChatReply:
    return asyncio.run(chat.complete(request or ask()))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "deep" / "chat.sqlite"


def test_the_second_time_is_free_also_in_another_run(chat_server: Start, path: Path) -> None:
    server = chat_server(counting)
    chat = CachedChat(openai(server), path)
    first, second = one(chat), one(chat)
    assert (first.text, first.attempts, first.cached) == ("reply 0", 1, False)
    assert second == replace(first, attempts=0, cached=True)
    assert (chat.statistics.misses, chat.statistics.hits) == (1, 1)
    elsewhere = openai(chat_server(always("never asked")))  # another address, the same model
    assert one(CachedChat(elsewhere, str(path))).text == "reply 0"
    assert server.count == 1
    assert path.stat().st_mode & 0o777 == 0o600


def test_all_of_a_request_and_the_fingerprint_are_the_key(chat_server: Start, path: Path) -> None:
    server = chat_server(counting)
    client = openai(server)
    other = [
        (client, ask("other")),
        (client, ask(seed=0)),
        (client, ask(seed=1)),
        (client, ask(temperature=0.7)),
        (client, ask(max_tokens=511)),
        (replace(client, structured="none"), ask(json_schema={"type": "string"})),
        (client, ChatRequest((Message("system", "Is gout an arthritis?"),))),
        (replace(client, revision="2"), ask()),
        (replace(client, model="judge 2"), ask()),
        (client, ask()),
    ]
    texts = [one(CachedChat(who, path), what).text for who, what in other]
    assert len(set(texts)) == len(other) == server.count == inspect(path).entries
    assert [one(CachedChat(who, path), what).text for who, what in other] == texts
    assert server.count == len(other)


def test_the_key_is_stable() -> None:
    """A change of this key orphans every cache there is: raise FORM with it."""
    client = OpenAIChat("judge")
    request = ask("é \ud83d", seed=7, temperature=0, json_schema={"b": 1, "a": [1.5, None]})
    assert request_key(client, request) == request_key(client, replace(request, temperature=0.0))
    assert request_key(client, request) == request_key(client, replace(request, json_schema={"a": [1.5, None], "b": 1}))
    assert request_key(client, ask()) == "b65b0f6ea72351198e116f1bdecf3ea60337112a1a7ef8e0d794367a5f80edbf"


def test_errors_are_never_kept(chat_server: Start, path: Path) -> None:
    lasting = [failing(401), failing(500), Reply("x", finish_reason="length"), Reply(""), Reply("{", status=503)]
    server = chat_server(lambda request, n: lasting[0])
    chat = CachedChat(openai(server, max_retries=0), path)
    while lasting:
        with pytest.raises((ChatRefused, ChatUnavailable, ValueError)):
            one(chat)
        lasting.pop(0)
        server.behaviour = lambda request, n: lasting[0]
    assert inspect(path).entries == 0
    server.behaviour = counting
    assert one(chat).text == "reply 5"


def test_a_reply_is_forgotten_only_if_it_is_still_that_one(chat_server: Start, path: Path) -> None:
    chat = CachedChat(openai(chat_server(counting)), path)
    one(chat)
    asyncio.run(chat.forget(ask(), "another"))
    assert one(chat).text == "reply 0"
    asyncio.run(chat.forget(ask(), "reply 0"))
    asyncio.run(chat.forget(ask("never asked"), "reply 0"))
    assert one(chat).text == "reply 1" and inspect(path).entries == 1


def test_the_same_request_at_once_is_one_call(chat_server: Start, path: Path) -> None:
    server = chat_server(lambda request, n: Reply(f"reply {n}", delay=0.1))
    client = openai(server)
    chats = [CachedChat(client, path), CachedChat(client, path)]  # two judges over one file share their calls

    async def gather() -> list[ChatReply]:
        return await asyncio.gather(*(chats[i % 2].complete(ask()) for i in range(20)))

    replies: list[ChatReply] = []
    threads = [threading.Thread(target=lambda: replies.extend(asyncio.run(gather()))) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert server.count == 1
    assert [reply.text for reply in replies] == ["reply 0"] * 60
    assert sum(not reply.cached for reply in replies) == 1 == sum(reply.attempts for reply in replies)
    assert sum(chat.statistics.misses for chat in chats) == 1


def test_an_error_reaches_all_who_wait(chat_server: Start, path: Path) -> None:
    server = chat_server(lambda request, n: Reply("no", status=401, delay=0.05))
    chat = CachedChat(openai(server), path)

    async def gather() -> list[ChatReply | BaseException]:
        return await asyncio.gather(*(chat.complete(ask()) for _ in range(5)), return_exceptions=True)

    assert {type(result) for result in asyncio.run(gather())} == {ChatRefused}
    assert server.count == 1


def test_a_cancelled_first_caller_does_not_take_the_others_along(chat_server: Start, path: Path) -> None:
    server = chat_server(lambda request, n: Reply(f"reply {n}", delay=0.2))
    chat = CachedChat(openai(server), path)

    async def work() -> list[str]:
        first, *others = [asyncio.create_task(chat.complete(ask())) for _ in range(3)]
        while not server.count:
            await asyncio.sleep(0.005)
        first.cancel()
        texts = [reply.text for reply in await asyncio.gather(*others)]
        assert first.cancelled()
        return texts

    assert asyncio.run(work()) == ["reply 0", "reply 0"]
    assert server.count == 1


def test_a_call_for_which_nobody_waits_is_called_off(chat_server: Start, path: Path) -> None:
    server = chat_server(lambda request, n: Reply("late", delay=30.0) if n == 0 else "reply")
    chat = CachedChat(openai(server), path)

    async def work() -> str:
        waiting = asyncio.create_task(chat.complete(ask()))
        while not server.under_way:
            await asyncio.sleep(0.005)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        for _ in range(2000):
            if not server.under_way:
                break
            await asyncio.sleep(0.01)
        assert not server.under_way
        return (await chat.complete(ask())).text

    assert asyncio.run(work()) == "reply"


def test_a_loop_that_ends_hands_its_call_to_those_who_wait_elsewhere(chat_server: Start, path: Path) -> None:
    server = chat_server(lambda request, n: Reply(f"reply {n}", delay=0.3))
    chat = CachedChat(openai(server), path)
    texts: list[str] = []

    async def give_up() -> None:
        task = asyncio.create_task(chat.complete(ask()))
        while not server.count:
            await asyncio.sleep(0.005)
        follower.start()
        while not chat.statistics.joined:
            await asyncio.sleep(0.005)
        assert not task.done()  # and its loop ends now

    follower = threading.Thread(target=lambda: texts.append(one(chat).text))
    asyncio.run(give_up())
    follower.join(10)
    assert texts == ["reply 1"]
    assert inspect(path).entries == 1


# A program with a chat client of its own: what it says differs from process to process and from call to call.
PROGRAM = """
import asyncio, json, os, sys, time
from medrl.chat import CachedChat, ChatClient, ChatReply, ChatRequest, Message

class Talker(ChatClient):
    model = "talker"
    calls = 0

    def fingerprint(self):
        return "talker"

    async def complete(self, request):
        await asyncio.sleep(0.001)
        self.calls += 1
        return ChatReply(f"process {os.getpid()} call {self.calls} " + "y" * 10_000, "talker")

def ask(i):
    return ChatRequest((Message("user", f"question {i}"),))

chat = CachedChat(talker := Talker(), sys.argv[1])
"""

WRITER = """
async def main():
    numbers = range(int(sys.argv[2]), int(sys.argv[3]))
    replies = await asyncio.gather(*(chat.complete(ask(i)) for i in numbers))
    if "--die" in sys.argv:
        os.kill(os.getpid(), 9)
    await chat.close()
    print(json.dumps([[reply.text for reply in replies], talker.calls]))

while time.time() < float(sys.argv[4]):
    time.sleep(0.001)
asyncio.run(main())
"""


def program(code: str, *arguments: object) -> "subprocess.Popen[str]":
    command = [sys.executable, "-c", PROGRAM + code, *map(str, arguments)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def finished(process: "subprocess.Popen[str]") -> str:
    output, errors = process.communicate(timeout=60)
    assert process.returncode == 0, errors
    return output


def test_processes_write_one_cache_at_once(path: Path) -> None:
    """Questions 100 to 199 are asked by both at the same time, and both must go on with the same replies."""
    start = time.time() + 0.6
    both = [program(WRITER, path, first, first + 200, start) for first in (0, 100)]
    (first, calls), (second, more) = (json.loads(finished(process)) for process in both)
    assert len(first) == len(second) == 200
    assert first[100:] == second[:100]
    assert len({text.split()[1] for text in first + second}) == 2  # both had something to say
    figures = inspect(path)
    assert figures.entries == 300
    assert figures.hits == 400 - calls - more
    assert sqlite3.connect(path).execute("PRAGMA integrity_check").fetchone() == ("ok",)


def test_to_open_it_twice_keeps_the_locks_of_the_first(path: Path) -> None:
    """POSIX drops all locks of a process on a file when it closes any descriptor of it; a cache that does so loses rows.

    With its locks gone, the next process takes itself for the last one, and removes the write-ahead log under us.
    """
    first, second = CacheFile(path), CacheFile(path)
    first.put("one", "client", ChatReply("1", "model"))
    assert second.get("one") is not None
    inspect(path)
    finished(program("chat._desk.file.get('one'); asyncio.run(chat.close())", path))
    assert path.with_name("chat.sqlite-wal").exists()
    first.put("two", "client", ChatReply("2", "model"))
    first.close()
    second.close()
    assert inspect(path).entries == 2


def test_a_killed_process_leaves_what_it_was_given(path: Path) -> None:
    """A reply is in the file before it is given out."""
    process = program(WRITER, path, 0, 50, 0, "--die")
    process.communicate(timeout=60)
    assert process.returncode == -9
    assert inspect(path).entries == 50


def test_a_fork_opens_the_file_anew(path: Path) -> None:
    code = """
tell = lambda i: asyncio.run(chat.complete(ask(i)))
before = tell(1).text
connection = lambda: chat._desk.file._reading._connection
inherited = connection()
child = os.fork()
if child == 0:
    ok = tell(1).text == before and connection() is not inherited and f"process {os.getpid()}" in tell(2).text
    os._exit(0 if ok else 1)
assert os.waitpid(child, 0)[1] == 0
assert tell(1).text == before and tell(2).cached and f"process {child}" in tell(2).text
"""
    finished(program(code, path))
    assert inspect(path).entries == 2


FOREIGN: list[Callable[[Path], object]] = [
    lambda path: path.write_text("patient,age\nanna,42\n" * 100),
    lambda path: path.write_bytes(b"SQLite format 3\x00" + os.urandom(4096)),
    lambda path: sqlite3.connect(path).execute("CREATE TABLE mine (x)").connection.close(),
    lambda path: sqlite3.connect(path).execute("PRAGMA application_id = 7").connection.close(),
]


@pytest.mark.parametrize("make", FOREIGN)
def test_a_file_that_is_no_cache_is_an_error_and_is_left_alone(
    chat_server: Start, tmp_path: Path, make: Callable[[Path], object]
) -> None:
    path = tmp_path / "notes.db"
    make(path)
    before = path.read_bytes()
    server = chat_server()
    chat = CachedChat(openai(server), path)
    for use in (lambda: one(chat), lambda: inspect(path), lambda: clear(path), lambda: prune(path, model="x")):
        with pytest.raises(DataError, match="move it away or name another file") as caught:
            use()
        assert str(path) in str(caught.value)
    assert path.read_bytes() == before
    assert server.count == 0  # nothing is paid for that cannot be kept


def test_a_cache_of_another_form_is_an_error(chat_server: Start, path: Path) -> None:
    one(CachedChat(openai(chat_server()), path))
    with sqlite3.connect(path) as connection:
        connection.execute("PRAGMA user_version = 99")
    with pytest.raises(DataError, match="form 99"):
        CacheFile(path).get("key")


def test_damage_in_the_middle_is_an_error(chat_server: Start, path: Path) -> None:
    chat = CachedChat(openai(chat_server(counting)), path)
    for i in range(200):
        one(chat, ask(str(i)))
    asyncio.run(chat.close())
    data = bytearray(path.read_bytes())
    data[4096:] = os.urandom(len(data) - 4096)
    path.write_bytes(data)
    with pytest.raises(DataError, match="damaged"):
        one(CachedChat(openai(chat_server()), path), ask("1"))
    folder = path.with_name("folder")
    folder.mkdir()
    with pytest.raises(DataError, match="is a folder"):
        one(CachedChat(openai(chat_server()), folder))


def test_a_place_that_cannot_be_written_costs_one_warning_and_no_reply(
    chat_server: Start, caplog: pytest.LogCaptureFixture
) -> None:
    server = chat_server(counting)
    chat = CachedChat(openai(server), "/proc/medrl/chat.sqlite")
    assert [one(chat).text for _ in range(3)] == ["reply 0", "reply 1", "reply 2"]
    warnings = [record for record in caplog.records if record.levelno == logging.WARNING]
    assert len(warnings) == 1
    assert "/proc/medrl/chat.sqlite" in warnings[0].getMessage()


def test_a_full_disk_loses_no_reply(path: Path) -> None:
    """A limit on the size of files stands for the disk; what was stored before stays."""
    code = """
import resource
resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, 200_000))

async def main():
    for i in range(100):
        assert f"call {i + 1} " in (await chat.complete(ask(i))).text

asyncio.run(main())
"""
    process = program(code, path)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 0, errors
    assert errors.count("not all of them are kept") == 1
    assert "is no cache" not in errors  # it is the disk that is at fault
    kept = inspect(path).entries
    assert 5 <= kept < 100
    finished(program(WRITER, path, 1000, 1010, 0))
    assert inspect(path).entries == kept + 10


def test_a_file_that_may_only_be_read_is_read() -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        path = folder / "chat.sqlite"
        finished(program(WRITER, path, 0, 1, 0))
        path.chmod(0o444)
        folder.chmod(0o555)
        code = """
if os.geteuid() == 0:
    os.setuid(65534)
tell = lambda i: asyncio.run(chat.complete(ask(i)))
print(tell(0).cached, tell(1).cached, tell(1).cached)
"""
        assert finished(program(code, path)) == "True False False\n"
        folder.chmod(0o755)


def test_another_writer_is_waited_for(chat_server: Start, path: Path) -> None:
    """And the event loop goes on meanwhile."""
    chat = CachedChat(openai(chat_server(counting)), path)
    one(chat)
    blocker = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    blocker.execute("BEGIN IMMEDIATE")
    threading.Timer(0.6, lambda: blocker.execute("COMMIT")).start()

    async def work() -> int:
        turns, task = 0, asyncio.create_task(chat.complete(ask("new")))
        while not task.done():
            await asyncio.sleep(0.005)
            turns += blocker.in_transaction
        return turns

    assert asyncio.run(work()) >= 10  # a loop that waits for the disk has one or two until the other writer is done
    assert inspect(path).entries == 2
    blocker.close()


@pytest.fixture
def filled(path: Path) -> Iterator[Path]:
    """Ten entries of model a that are ten days old, and ten of b that are new."""
    file = CacheFile(path)
    for model in "ab":
        for i in range(10):
            file.put(f"{model}{i}", "client", ChatReply("x" * 20_000, model))
    with sqlite3.connect(path) as connection:
        connection.execute("UPDATE replies SET created = created - 864000, used = used - 864000 WHERE model = 'a'")
    assert file.get("a3") is not None
    yield path
    file.close()


def test_inspect_prune_and_clear(filled: Path) -> None:
    figures = inspect(filled)
    assert (figures.entries, figures.models) == (20, {"a": 10, "b": 10})
    assert figures.oldest is not None
    assert figures.newest is not None
    assert 863_900 < figures.newest - figures.oldest < 864_100
    assert figures.bytes > 400_000
    with pytest.raises(DataError, match="nothing says what to prune"):
        prune(filled)
    assert prune(filled, older_than=11)[0] == 0
    assert prune(filled, older_than=9, model="b")[0] == 0
    gone, freed = prune(filled, older_than=9, model="a")
    assert gone == 10
    assert freed > 150_000
    gone, _ = prune(filled, max_bytes=100_000)
    left = inspect(filled)
    assert 6 <= gone < 10
    assert left.bytes <= 100_000
    assert left.entries == 10 - gone >= 1
    assert clear(filled)[0] == left.entries
    assert inspect(filled).entries == 0
    assert inspect(filled).oldest is None


@pytest.mark.parametrize("megabytes", [float("nan"), float("inf"), 1e308, -1.0])
def test_a_size_that_is_none_is_refused(filled: Path, megabytes: float) -> None:
    with pytest.raises(DataError, match="give a number"):
        cache_command.run("prune", str(filled), max_megabytes=megabytes)
    assert inspect(filled).entries == 20


def test_what_was_used_last_is_pruned_last(filled: Path) -> None:
    file = CacheFile(filled)
    assert file.get("a3") is not None
    file.write_hits()
    assert inspect(filled).hits == 1
    prune(filled, max_bytes=120_000)
    assert file.get("a3") is not None
    assert file.get("a4") is None
    file.close()


def test_the_command(filled: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    def printed(*arguments: Any, **options: Any) -> str:
        cache_command.run(*arguments, **options)
        return " ".join(capsys.readouterr().out.split())

    shown = printed("show", str(filled))
    assert "entries 20" in shown
    assert str(filled) in shown.replace(" ", "")
    assert printed("prune", str(filled), model="a").startswith("removed 10 of 20 entries")
    assert printed("clear", str(filled)).startswith("removed 10 of 10 entries")
    assert "entries 0" in printed("show", str(filled))
    with pytest.raises(MissingFile, match="there is no cache at"):
        cache_command.run("show", str(tmp_path / "none.sqlite"))
    with pytest.raises(DataError, match="prune"):
        cache_command.run("show", str(filled), model="a")


def test_the_default_place(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("MEDRL_CACHE", raising=False)
    assert default_path() == tmp_path / ".cache/medrl/chat.sqlite"
    monkeypatch.setenv("MEDRL_CACHE", "~/other.sqlite")
    assert default_path() == tmp_path / "other.sqlite"
    assert CachedChat(OpenAIChat("judge")).file == tmp_path / "other.sqlite"


def test_configs_pickles_and_secrets(chat_server: Start, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JUDGE_KEY", SECRET)
    server = chat_server(counting)
    chat = CachedChat(openai(server, api_key_env="JUDGE_KEY"), path)
    one(chat)
    built = build_chat(json.loads(json.dumps(chat.to_config())))
    assert isinstance(built, CachedChat)
    assert (built.client, built.fingerprint(), built.model) == (chat.client, chat.fingerprint(), "judge")
    copy = pickle.loads(pickle.dumps(chat))
    assert copy == chat
    assert one(copy) == one(built) == replace(one(chat), cached=True)
    assert server.count == 1
    asyncio.run(chat.close())
    stored = b"".join(file.read_bytes() for file in path.parent.iterdir())
    assert b"reply 0" in stored
    for shown in (stored, repr(chat).encode(), pickle.dumps(chat), str(chat.to_config()).encode()):
        assert SECRET.encode() not in shown
    assert server.url.encode() not in stored
    assert one(chat).cached  # it opens again


def test_a_write_that_fails_says_why(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(CacheUnusable, match="cannot be made"):
        CacheFile(tmp_path / "file" / "chat.sqlite").get("key")
