"""The isolated verifier against real trouble: hangs, crashes, floods of memory, noise, and parents that die."""

import asyncio
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from medrl.errors import PluginError, RecipeError
from medrl.rewards import Verified
from medrl.types import Problem, Response, Rollout, Verdict, ask
from medrl.verifiers import Cascade, Number, Text, Typed, Verifier, judge, run_sync, verifier, verify_all, worker_pool
from medrl.verifiers.frames import pack, read_frame
from medrl.verifiers.isolated import Isolated
from medrl.verifiers.worker_pool import close_all, pool
from medrl.verifiers.worker_process import WorkerLost

pytestmark = pytest.mark.slow  # starts processes, or waits
RULES = '''
import ctypes, os, re, subprocess, sys, time
from fractions import Fraction
from medrl.types import Verdict
from medrl.verifiers import verifier

@verifier("troubled", decides=True)
def troubled(problem, text):
    """Does what the response, or the problem, asks for."""
    do = text + " " + str(problem.metadata.get("do", ""))
    if "spin" in do:
        while True:
            pass
    if "blow-up" in do:
        re.match(r"(a+)+$", "a" * 60 + "b")  # holds the interpreter
    if "sleep" in do:
        time.sleep(60)
    if "hog" in do:
        bytearray(1 << 34)
    if "exit" in do:
        os._exit(3)
    if "segfault" in do:
        ctypes.string_at(0)
    if "deep" in do:
        troubled.function(problem, text)
    if "raise" in do:
        raise ValueError("it went wrong")
    if "prints" in do:
        print("noise " * 2000, flush=True)
        os.write(1, b"\\x00\\x00\\x00\\x05more noise")
        subprocess.run(["echo", "and more"])
        assert sys.stdin.read() == ""
    if "leak" in do:  # harms whoever comes next
        os.environ["HARMED"] = "1"
    if "next" in do and os.environ.get("HARMED"):
        os._exit(5)
    if "slow once" in do and not os.path.exists(problem.metadata["mark"]):
        open(problem.metadata["mark"], "w").close()
        time.sleep(60)
    if os.path.exists(str(problem.metadata.get("slow while", ""))):
        time.sleep(60)
    if "pause" in do:
        time.sleep(0.15)
    return Verdict(float("good" in text), cost={"pid": os.getpid()}, parts={"surrogate": float("\\ud800" in text)})

@verifier("lenient")
def lenient(problem, text):
    if "exit" in text:
        os._exit(3)
    if "part" in text:
        return Verdict(0.7, cost={"calls": 1}, parts={"whole": 0.0})
    return Verdict(float("good" in text), cost={"calls": 1})

@verifier("denies", decides=True)
def denies(problem, text):
    return False

@verifier("fractional", decides=True)
def fractional(problem, text):
    """An auditor whose cost adds up and cannot be written."""
    return Verdict(0.0, cost={"calls": Fraction(1, 2)})

@verifier("unwritable")
def unwritable(problem, text):
    return Verdict(1.0, parts={"x": object()})
'''
GOOD = Problem("good", ask("?"), "good")
ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module", autouse=True)
def rules(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    folder = tmp_path_factory.mktemp("rules")
    (folder / "isolated_rules.py").write_text(RULES)
    sys.path.insert(0, str(folder))
    yield folder
    sys.path.remove(str(folder))
    close_all()


def isolated(**knobs: object) -> Isolated:
    return Isolated("isolated_rules:troubled", **{"deadline": 0.4, "memory": 2048, **knobs})  # type: ignore[arg-type]


def judged(rule: Verifier, texts: list[str], problem: Problem = GOOD) -> list[Verdict]:
    return verify_all(rule, [problem] * len(texts), texts)


def seen(verdicts: list[Verdict]) -> list[float | str]:
    return [verdict.status if verdict.score is None else verdict.score for verdict in verdicts]


@pytest.mark.parametrize(
    "trouble",
    ["blow-up", "deep", *(pytest.param(one, marks=pytest.mark.slow) for one in ("sleep", "spin", "segfault", "hog", "exit"))],
)  # fmt: skip
def test_a_response_that_spends_a_worker_scores_0_and_its_neighbours_are_unharmed(trouble: str) -> None:
    rule = isolated()
    (before,) = judged(rule, ["good"])
    start = time.monotonic()
    verdicts = judged(rule, ["good", "bad", trouble, "good", "good bye"])
    assert time.monotonic() - start < 30
    assert seen(verdicts) == [1.0, 0.0, 0.0, 1.0, 1.0]
    assert verdicts[2].reason.startswith("the response exhausts the verifier, and the reference does not")
    assert verdicts[0].cost["pid"] == before.cost["pid"]
    (after,) = judged(rule, ["good"])
    assert trouble == "deep" or after.cost["pid"] != before.cost["pid"]


@pytest.mark.parametrize(
    ("trouble", "status"),
    [("spin", "timeout"), pytest.param("exit", "error", marks=pytest.mark.slow), ("hog", "error")],
)
def test_a_problem_that_spends_a_worker_gives_no_number(trouble: str, status: str) -> None:
    items = [(GOOD, Response("good")), (Problem("p", ask("?"), "good", metadata={"do": trouble}), Response("good"))]
    assert seen(run_sync(judge(isolated(), [*items, items[0]]))) == [1.0, status, 1.0]


@pytest.mark.parametrize(
    ("trouble", "status"), [pytest.param("spin", "timeout", marks=pytest.mark.slow), ("exit", "error")]
)
def test_without_blame_or_without_a_reference_nobody_gets_a_number(trouble: str, status: str) -> None:
    assert seen(judged(isolated(exhausted="timeout"), ["good", trouble, "bad"])) == [1.0, status, 0.0]
    assert seen(judged(isolated(), ["good", trouble, "bad"], Problem("p", ask("?")))) == [1.0, status, 0.0]


def test_a_response_is_not_blamed_where_no_worker_can_be_started(monkeypatch: pytest.MonkeyPatch) -> None:
    """The problem is known as sound; then the machine has no room for a second try."""
    rule, problem = isolated(deadline=5.0), Problem("crowded", ask("?"), "good")
    assert seen(judged(rule, ["exit", "good"], problem)) == [0.0, 1.0]

    def full(*_: object) -> None:
        raise WorkerLost("a verifier worker cannot be started: no room")

    with monkeypatch.context() as patch:
        patch.setattr(worker_pool, "WorkerProcess", full)
        (verdict,) = judged(rule, ["exit"], problem)
    assert verdict.status == "error" and "no room" in verdict.reason
    assert seen(judged(rule, ["exit"], problem)) == [0.0]


def test_a_machine_that_is_slow_now_costs_nobody_a_score(tmp_path: Path) -> None:
    """Its reference was judged in time before; that says nothing of today."""
    mark = tmp_path / "mark"
    problem = Problem("later", ask("?"), "good", metadata={"slow while": str(mark)})
    assert seen(judged(isolated(), ["good", "spin"], problem)) == [1.0, 0.0]
    mark.touch()
    assert seen(judged(isolated(), ["good"], problem)) == ["timeout"]
    mark.unlink()
    assert seen(judged(isolated(), ["good"], problem)) == [1.0]


def test_a_machine_that_was_slow_once_costs_nobody_a_score(tmp_path: Path) -> None:
    problem = Problem("p", ask("?"), "good", metadata={"mark": str(tmp_path / "mark")})
    assert seen(judged(isolated(), ["good", "good but slow once", "bad"], problem)) == [1.0, 1.0, 0.0]


def test_an_item_that_an_earlier_one_harmed_is_asked_again() -> None:
    assert seen(judged(isolated(), ["good leak", "good next", "next"])) == [1.0, 1.0, 0.0]


def test_an_exception_is_an_error_and_never_a_score() -> None:
    verdicts = judged(isolated(), ["good", "raise", "good"])
    assert seen(verdicts) == [1.0, "error", 1.0] and verdicts[1].reason == "ValueError: it went wrong"


def test_what_a_verifier_prints_breaks_nothing() -> None:
    assert seen(judged(isolated(deadline=5.0), ["good prints", "prints", "good"])) == [1.0, 0.0, 1.0]


def test_nothing_asked_is_nothing_answered() -> None:
    assert asyncio.run(isolated().verify_batch([])) == []


def test_time_in_the_queue_does_not_count() -> None:
    verdicts = judged(isolated(chunk=4), ["good pause"] * 8)  # 1.2 s in all, 0.4 s each at most
    assert seen(verdicts) == [1.0] * 8


def test_order_is_kept_over_workers_and_chunks() -> None:
    texts = ["good" if i % 3 else "bad" for i in range(101)]
    verdicts = judged(isolated(workers=2, chunk=7, deadline=5.0), texts)
    assert seen(verdicts) == [float("good" in text) for text in texts]
    assert len({verdict.cost["pid"] for verdict in verdicts}) == 2


def test_texts_that_no_encoding_holds_arrive_whole_and_what_is_no_json_fails_alone() -> None:
    odd = Problem("p", ({"role": "user", "content": [{"type": "image", "bytes": b"\x00\xff"}]},), "good")
    broken = Problem("p", ask("?"), "good", metadata={"x": object()})
    items = [(odd, Response("good \ud800 \0")), (broken, Response("good")), (GOOD, Rollout("good", index=3))]
    verdicts = run_sync(judge(isolated(deadline=5.0), items))
    assert seen(verdicts) == [1.0, "error", 1.0] and verdicts[0].parts["surrogate"] == 1.0
    assert "cannot be written as JSON" in verdicts[1].reason
    assert seen(judged(Isolated("isolated_rules:unwritable"), ["a"])) == ["error"]


def test_frames_go_both_ways() -> None:
    from io import BytesIO

    value = {"text": "\ud800\0Ж", "image": b"\x00\xff", "deep": [{"a": [b""]}], "__bytes__": "no base64!"}
    assert read_frame(BytesIO(pack(value))) == value
    with pytest.raises(EOFError):
        read_frame(BytesIO(pack(value)[:-1]))
    with pytest.raises(ValueError, match="does not write frames"):
        read_frame(BytesIO(b"\xff\xff\xff\xffx"))


def test_built_in_rules_judge_as_they_do_here_and_cascades_too() -> None:
    texts = ["asthma", "not asthma", "something else", "## Final Response\n\nAsthma", "", "\\boxed{asthma}"]
    problem = Problem("p", ask("Diagnosis?"), "Asthma")
    for rule in (Typed(vocabulary="clinic"), Cascade((Number(), Text()))):
        around = Isolated(rule)
        assert judged(around, texts, problem) == judged(rule, texts, problem)
        assert around.decides == rule.decides and around.fingerprint() != rule.fingerprint()


def test_a_cascade_counts_there_as_it_does_here(caplog: pytest.LogCaptureFixture) -> None:
    """Audits, disagreements and the alarm too; of a response that spends its worker, and of its control, nothing."""
    here = Cascade(("isolated_rules:lenient", "isolated_rules:denies"), audit=1.0, alarm_after=3)
    there = Isolated(Cascade(here.stages, audit=1.0, alarm_after=3), workers=2, chunk=1)
    texts = ["good", "very good", "good enough", "bad", "part"]
    judged(here, texts)
    told = [record.message for record in caplog.records]
    caplog.clear()
    assert judged(there, [*texts, "exit"])[-1].score == 0.0

    def counts(found: dict[str, Any]) -> dict[str, Any]:
        for stage in found["stages"].values():
            stage.pop("seconds")
        return found

    assert counts(there.statistics()) == counts(here.statistics())
    lenient = there.statistics()["stages"]["lenient"]
    assert (lenient["right"], lenient["wrong"], lenient["audited_accepts"], lenient["gap"]) == (3, 2, 3, 1.0)
    assert there.statistics()["alarms"] == ["lenient"] and len(there.statistics()["disagreements"]) == 3
    assert sorted(record.message for record in caplog.records) == sorted(told) and len(told) == 4
    assert Verified(there, otherwise=0.0).statistics() == {"correct": there.statistics()}
    assert Verified(Isolated("text"), otherwise=0.0).statistics() == {}
    Cascade((there, "text")).reset_statistics()
    assert there.statistics()["stages"]["lenient"]["asked"] == 0


def test_an_audit_that_cannot_be_written_spoils_no_verdict() -> None:
    there = Isolated(Cascade(("isolated_rules:lenient", "isolated_rules:fractional"), audit=1.0))
    assert seen(judged(there, ["good", "bad"])) == [1.0, 0.0]
    counts = there.statistics()["stages"]["lenient"]
    assert (counts["asked"], counts["right"], counts["audited"]) == (2, 1, 0)


def test_the_fingerprint_follows_what_verdicts_depend_on() -> None:
    same = {Isolated("text").fingerprint(), Isolated("text", workers=3, chunk=1).fingerprint()}
    other = {Isolated("number").fingerprint(), Isolated("text", deadline=1.0).fingerprint()}
    assert len(same) == 1 and len(same | other | {Isolated("text", exhausted="timeout").fingerprint()}) == 4


def test_faults_of_the_knobs_are_told_at_once() -> None:
    with pytest.raises(RecipeError) as caught:
        Isolated("text", workers=0, deadline=-1, chunk=True, memory=3, exhausted="wrogn")  # type: ignore[arg-type]
    assert len(caught.value.faults) == 5 and "did you mean 'wrong'" in str(caught.value)

    @verifier("local")
    def local(problem: Problem, text: str) -> bool:
        return True

    with pytest.raises(PluginError, match="move it to a module"):
        Isolated(local)
    with pytest.raises(PluginError):
        Isolated("nowhere:rule")


@pytest.mark.parametrize(
    ("does", "said"),
    [
        ("raise RuntimeError('not in a worker')", "not in a worker"),
        pytest.param("os._exit(9)", "exit code 9", marks=pytest.mark.slow),
    ],
)
def test_a_worker_that_cannot_start_is_an_error_for_every_item_and_is_said(does: str, said: str, rules: Path) -> None:
    module = f"only_here_{said.partition(' ')[0]}"
    (rules / f"{module}.py").write_text(
        f"import os\nfrom medrl.verifiers import verifier\nif os.getpid() != {os.getpid()}:\n    {does}\n"
        "@verifier('here')\ndef here(problem, text) -> bool:\n    return True\n"
    )
    verdicts = judged(Isolated(f"{module}:here"), ["a", "b"])
    assert seen(verdicts) == ["error"] * 2 and said in verdicts[1].reason


def test_a_cancelled_call_leaves_the_workers_to_others() -> None:
    rule = isolated(deadline=20.0, chunk=2)

    async def hurried() -> list[Verdict]:
        return await judge(rule, [(GOOD, Response("good pause"))] * 40, timeout=0.3)

    assert set(seen(asyncio.run(hurried()))) == {"timeout"}
    assert seen(judged(rule, ["good"])) == [1.0]


def test_a_worker_that_was_killed_while_idle_is_replaced_and_nothing_is_lost() -> None:
    rule = isolated(deadline=10.0)
    before = judged(rule, ["good"])[0].cost["pid"]
    os.kill(int(before), signal.SIGKILL)
    verdicts = judged(rule, ["good", "bad", "good"])
    assert seen(verdicts) == [1.0, 0.0, 1.0] and verdicts[0].cost["pid"] != before


def test_closed_workers_are_gone_and_the_next_call_starts_others() -> None:
    rule = isolated(deadline=10.0)
    before = int(judged(rule, ["good"])[0].cost["pid"])
    close_all()
    assert gone(before) and not Path(f"/proc/{before}").exists()  # not even as a zombie
    assert seen(judged(rule, ["good"])) == [1.0]


def test_many_threads_share_the_workers() -> None:
    rule = isolated(workers=2, chunk=3, deadline=10.0)
    found: dict[int, list[float | str]] = {}

    def ask_some(index: int) -> None:
        found[index] = seen(judged(rule, ["good", "bad", "good"][: index % 3 + 1] * 3))

    threads = [threading.Thread(target=ask_some, args=(i,)) for i in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == {i: ([1.0, 0.0, 1.0][: i % 3 + 1]) * 3 for i in range(8)}
    assert len(pool(rule.verifier.to_config(), rule.workers, rule.memory).pids()) <= 2


def gone(pid: int, seconds: float = 10.0) -> bool:
    """Whether a process is gone, or becomes so."""
    limit = time.monotonic() + seconds
    while time.monotonic() < limit:
        try:
            state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
        except FileNotFoundError:
            return True
        if state == "Z":  # dead, and only its new parent has not looked yet
            return True
        time.sleep(0.02)
    return False


PARENT = """
import sys, threading
from medrl.types import Problem, ask
from medrl.verifiers.isolated import Isolated
rule = Isolated("isolated_rules:troubled", deadline=600.0)
print(int(rule.verify(Problem("p", ask("?"), "good"), "good").cost["pid"]), flush=True)
if sys.argv[1] != "ends":
    rule.verify(Problem("p", ask("?"), "good"), sys.argv[1])
"""


@pytest.mark.parametrize("doing", ["ends", pytest.param("sleep", marks=pytest.mark.slow), "blow-up"])
def test_no_worker_outlives_its_parent(doing: str, rules: Path) -> None:
    environment = {**os.environ, "PYTHONPATH": f"{rules}{os.pathsep}{ROOT}"}
    parent = subprocess.Popen([sys.executable, "-c", PARENT, doing], stdout=subprocess.PIPE, env=environment, text=True)
    assert parent.stdout is not None
    pid = int(parent.stdout.readline())
    if doing != "ends":
        time.sleep(0.3)  # it is judging
        assert Path(f"/proc/{pid}").exists()
        parent.send_signal(signal.SIGKILL)
    assert parent.wait(20) == (0 if doing == "ends" else -signal.SIGKILL)
    parent.stdout.close()
    assert gone(pid)


def test_a_forked_child_has_workers_of_its_own() -> None:
    rule = isolated(deadline=10.0)
    ours = judged(rule, ["good"])[0].cost["pid"]
    child = os.fork()
    if child == 0:
        try:
            theirs = judged(rule, ["good"])[0].cost["pid"]
            os._exit(0 if theirs != ours else 1)
        finally:
            os._exit(2)
    assert os.waitpid(child, 0)[1] == 0
    assert judged(rule, ["good"])[0].cost["pid"] == ours
