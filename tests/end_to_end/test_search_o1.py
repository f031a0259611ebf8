"""The teacher of the search's writer, the writer's tokenizer, and the leash of its server; the server itself is not run."""

import asyncio
import json
import os
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

FOLDER = Path(__file__).parents[2] / "examples" / "huatuogpt_o1"


@pytest.fixture
def teaching(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.syspath_prepend(str(FOLDER))
    import clinic_teacher

    return clinic_teacher


def outcomes(stage: Any, rows: Any) -> list[Any]:
    from medrl.construct.pipeline import Item, Work

    async def run() -> list[Any]:
        return [await stage.run(Work(Item(row["id"], number, row), 0)) for number, row in enumerate(rows, 1)]

    return asyncio.run(run())


def test_what_the_teacher_says_carries_both_stages(teaching: Any) -> None:
    cases = teaching.cases(60, 7, taught=False)
    role = teaching.Role(teaching.Teacher.of(cases), temperature=0.7)
    searched = outcomes(
        teaching.ReasoningStage(writer=role, verifier=teaching.VERIFIER), map(teaching.reasoning_row, cases)
    )
    kept = [one for one in searched if hasattr(one, "row")]
    assert len(kept) >= 58
    at_once = sum(not one.about["strategies"] for one in kept)
    assert 25 <= at_once <= 50  # four first ideas in ten are wrong on purpose
    used = Counter(way for one in kept for way in one.about["strategies"])
    assert set(used) >= {"exploring_new_paths", "verification", "correction"}  # nobody goes back on the first retry
    for one in kept:
        ideas = one.row["Complex_CoT"].count("Is it ")
        assert ideas == 1 + len(one.about["strategies"])
        assert one.row["Complex_CoT"].endswith(f"So it is {one.about['reference']}.")

    made = outcomes(
        teaching.VerifiableStage(grader=role, rewriter=role, small_models=(role,), verifier=teaching.VERIFIER),
        map(teaching.problem_row, cases),
    )
    reasons = Counter(getattr(one, "reason", "kept") for one in made)
    assert set(reasons) == {"kept", "too_easy", "too_simple"}
    assert all("letter" not in one.row["Open-ended Verifiable Question"] for one in made if hasattr(one, "row"))


def test_no_combination_of_findings_is_both_taught_and_asked(teaching: Any) -> None:
    taught, asked = (teaching.cases(150, seed, taught=side) for seed, side in ((0, True), (1000, False)))
    assert not {teaching.combination(one) for one in taught} & {teaching.combination(one) for one in asked}
    assert {one.metadata["disease"] for one in asked} <= {one.metadata["disease"] for one in taught}


def test_the_writer_reads_instructions_as_tokens_and_codes_as_nothing(teaching: Any) -> None:
    import clinic_writer

    lessons = teaching.exchanges(teaching.cases(12, 3, taught=True), 0)
    tokenizer = clinic_writer.new_writer(lessons, {**clinic_writer.SHAPE, "layers": 1}, 0).tokenizer
    for lesson in lessons:
        system, asked, reply = (str(message["content"]) for message in lesson.messages)
        assert tokenizer.decode(tokenizer.encode(reply)) == reply
        assert tokenizer.decode(tokenizer.encode(system)) == system
        code = asked.split("\n")[0]
        assert tokenizer.decode(tokenizer.encode(asked)) == asked.replace(f"{code} ", "").replace(code, "")
        assert len(tokenizer.encode(system)) < 25


def test_a_writer_that_was_killed_under_examination_is_not_taught_again(
    teaching: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import clinic_writer
    import search

    from medrl.recipes.stages import Stage, Stages

    class Killed(BaseException):
        pass

    def killed(*_: object) -> None:
        raise Killed

    def stage(name: str, work: Any, made_of: Any, *after: str) -> Path:
        return Stages(tmp_path).do(Stage(name, work, made_of, after))

    shape = {**clinic_writer.SHAPE, "layers": 1, "hidden_size": 64, "heads": 2, "intermediate_size": 64}
    made = search.Search(stage, 0, search.Size(lessons=4, epochs=0.2), shape)
    with monkeypatch.context() as patch, pytest.raises(Killed):
        patch.setattr(clinic_writer, "examined", killed)
        made.writer()
    folder = tmp_path / "search_writer"
    weights = (folder / "model" / "model.safetensors").stat()
    monkeypatch.setattr(clinic_writer, "train", killed)
    monkeypatch.setattr(search, "EXAMINED", 1)
    assert made.writer() == folder
    assert (folder / "model" / "model.safetensors").stat().st_mtime_ns == weights.st_mtime_ns
    told = json.loads((folder / "writer.json").read_text())
    assert told["examined"] and told["lessons"] > 0 and {"loss", "seconds", "parameters"} <= told.keys()


def test_a_leashed_command_ends_with_the_program_that_started_it(tmp_path: Path) -> None:
    child = f"echo $$ > {tmp_path}/pid; exec sleep 60"
    program = (
        "import os, subprocess, sys, time\n"
        f"p = subprocess.Popen([sys.executable, {str(FOLDER / 'leashed.py')!r}, 'sh', '-c', {child!r}], "
        "stdin=subprocess.PIPE)\n"
        f"while not os.path.exists({str(tmp_path / 'pid')!r}): time.sleep(0.02)\n"
        "time.sleep(0.2)\n"
        "os._exit(1)"  # as if it had been killed: nothing is cleaned up
    )
    subprocess.run([sys.executable, "-c", program], timeout=30)
    pid, deadline = int((tmp_path / "pid").read_text()), time.monotonic() + 10
    while alive(pid) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not alive(pid)


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
