"""Stages: what is done once, what again, what is refused, and what a kill at any place leaves."""

import json
import multiprocessing
import os
import shutil
import signal
import time
from collections.abc import Callable
from dataclasses import asdict
from multiprocessing.process import BaseProcess
from pathlib import Path

import pytest

from medrl import files
from medrl.errors import CheckpointError, DataError, FolderTaken, StageFailed
from medrl.files import append_jsonl, read_jsonl
from medrl.recipes.stages import DONE, MADE_OF, Mark, Stage, Stages, minutes


def writes(text: str, log: list[str] | None = None) -> Callable[[Path], object]:
    def work(folder: Path) -> None:
        if log is not None:
            log.append(text)
        (folder / "result").write_text(text)

    return work


def chain(log: list[str], **knobs: int) -> list[Stage]:
    """Three stages, one after the other; `a=2` sets the knob of a."""
    names = ("a", "b", "c")
    return [
        Stage(name, writes(name, log), {"knob": knobs.get(name, 1)}, names[:number][-1:])
        for number, name in enumerate(names)
    ]


def do_each(root: Path, stages: list[Stage]) -> list[str]:
    """What is told of them."""
    told: list[str] = []
    driver = Stages(root, told.append)
    for stage in stages:
        driver.do(stage)
    return told


def test_a_stage_is_done_once_and_its_mark_says_of_what(tmp_path: Path) -> None:
    log: list[str] = []
    told = do_each(tmp_path, chain(log))
    assert [line.split(" in ")[0] for line in told] == [
        f"# {name}: {what}" for name in "abc" for what in ("begins", "done")
    ]
    assert do_each(tmp_path, chain(log)) == [] and log == ["a", "b", "c"]
    made_of = json.loads((tmp_path / "b" / MADE_OF).read_text())
    assert made_of["knob"] == 1 and set(made_of["after"]) == {"a"}
    mark = Stages(tmp_path).mark("b")
    assert mark is not None and 0 <= mark.seconds < 5 and abs(time.time() - mark.began) < 60 and not mark.resumed
    earlier = {name: value for name, value in asdict(mark).items() if name != "resumed"}
    (tmp_path / "b" / DONE).write_text(json.dumps(earlier))  # as marks were before they said it
    assert Stages(tmp_path).mark("b") == mark
    assert Stages(tmp_path).mark("d") is None


def test_settings_are_equal_in_any_order_and_as_json_has_them(tmp_path: Path) -> None:
    log: list[str] = []
    Stages(tmp_path).do(Stage("a", writes("a", log), {"x": (1, 2), "y": {"p": 1, "q": None}}))
    Stages(tmp_path).do(Stage("a", writes("a", log), {"y": {"q": None, "p": 1}, "x": [1, 2]}))
    assert log == ["a"]
    with pytest.raises(DataError, match="cannot be written as JSON"):
        Stages(tmp_path).do(Stage("b", writes("b"), {"x": {1, 2}}))


def test_one_written_as_a_float_is_one_for_all_ways_to_ask(tmp_path: Path) -> None:
    log: list[str] = []
    for k in (1, 1.0):
        stages = [Stage("a", writes("a", log), {"k": k}), Stage("b", writes("b", log), after=("a",))]
        do_each(tmp_path, stages)
        Stages(tmp_path).do_all(stages)
    assert log == ["a", "b"]


def test_a_stage_whose_folder_is_gone_is_done_again_alone(tmp_path: Path) -> None:
    log: list[str] = []
    do_each(tmp_path, chain(log))
    shutil.rmtree(tmp_path / "c")
    do_each(tmp_path, chain(log))
    assert log == ["a", "b", "c", "c"]
    shutil.rmtree(tmp_path / "c")
    Stages(tmp_path).do_all(chain(log))
    assert (tmp_path / "c" / "result").read_text() == "c"


def test_what_was_made_of_a_stage_that_is_made_again_is_refused_by_name(tmp_path: Path) -> None:
    log: list[str] = []
    do_each(tmp_path, chain(log))
    shutil.rmtree(tmp_path / "a")
    every = r"b was made of an earlier a; c was made of an earlier b; remove b, c too"
    with pytest.raises(FolderTaken, match=every):
        Stages(tmp_path).do_all(chain(log))
    Stages(tmp_path).do(chain(log)[0])
    with pytest.raises(FolderTaken, match=every):
        Stages(tmp_path).do_all(chain(log))
    with pytest.raises(FolderTaken, match=r"b was made of an earlier a; remove b too"):
        Stages(tmp_path).do(chain(log)[1])
    assert log == ["a", "b", "c", "a"]
    for name in "bc":
        shutil.rmtree(tmp_path / name)
    do_each(tmp_path, chain(log))
    assert log == ["a", "b", "c", "a", "b", "c"]
    Stages(tmp_path).check(chain(log))


def test_a_killed_stage_does_not_go_on_from_what_is_made_again(tmp_path: Path) -> None:
    def fails(folder: Path) -> None:
        (folder / "half").touch()
        raise ValueError

    stages = chain([])
    broken = Stage("b", fails, stages[1].made_of, ("a",))
    Stages(tmp_path).do(stages[0])
    with pytest.raises(ValueError):
        Stages(tmp_path).do(broken)
    os.utime(tmp_path / "b" / MADE_OF, (time.time() - 60,) * 2)  # that was a minute ago
    shutil.copytree(tmp_path / "a", tmp_path / "new a")
    old = json.loads((tmp_path / "a" / DONE).read_text())
    (tmp_path / "a" / DONE).write_text(json.dumps({**old, "began": old["began"] - 70}))
    with pytest.raises(ValueError):
        Stages(tmp_path).do(broken)  # it may go on, which makes it no younger
    Stages(tmp_path).check(stages)
    shutil.rmtree(tmp_path / "a")
    (tmp_path / "new a").rename(tmp_path / "a")
    for refused in (lambda: Stages(tmp_path).do(stages[1]), lambda: Stages(tmp_path).check(stages)):
        with pytest.raises(FolderTaken, match="b was made of an earlier a"):
            refused()


def test_a_stage_that_was_at_work_while_what_it_reads_was_made_again_is_refused(tmp_path: Path) -> None:
    do_each(tmp_path, chain([]))
    os.utime(tmp_path / "b" / MADE_OF, (time.time() - 60,) * 2)  # b began a minute before it ended, and a within it
    with pytest.raises(FolderTaken, match="b was made of an earlier a"):
        Stages(tmp_path).check(chain([]))


def test_a_stage_of_other_settings_is_refused_and_so_is_what_comes_after_it(tmp_path: Path) -> None:
    log: list[str] = []
    do_each(tmp_path, chain(log))
    with pytest.raises(FolderTaken, match=r"/b was made with other knobs \(knob: was 1, is now 2\); remove it"):
        do_each(tmp_path, chain(log, b=2))
    (tmp_path / "c" / "result").unlink()
    for driver in (do_each, lambda root, stages: Stages(root).do_all(stages)):
        with pytest.raises(FolderTaken, match=r"knob: was 1, is now 2"):
            driver(tmp_path, chain(log, b=2))
    assert log == ["a", "b", "c"]
    shutil.rmtree(tmp_path / "b")
    with pytest.raises(FolderTaken, match=r"/c was made with other knobs \(after.b: was"):
        do_each(tmp_path, chain(log, b=2))


def test_all_are_checked_before_any_is_done(tmp_path: Path) -> None:
    log: list[str] = []
    do_each(tmp_path, chain(log))
    with pytest.raises(FolderTaken, match="/c was made"):
        Stages(tmp_path).do_all([Stage("first", writes("first")), *chain(log, c=5)])
    assert not (tmp_path / "first").exists()


def test_many_changes_are_told_in_short(tmp_path: Path) -> None:
    Stages(tmp_path).do(Stage("a", writes("a"), {f"k{n}": 0 for n in range(9)}))
    with pytest.raises(FolderTaken, match=r"k4: was 0, is now 1; and 4 more\)"):
        Stages(tmp_path).do(Stage("a", writes("a"), {f"k{n}": 1 for n in range(9)}))


def test_work_that_failed_is_called_again_with_what_it_left(tmp_path: Path) -> None:
    def fails(folder: Path) -> None:
        (folder / "half").touch()
        raise ValueError("no luck")

    with pytest.raises(ValueError, match="no luck"):
        Stages(tmp_path).do(Stage("a", fails, {"n": 1}))
    assert Stages(tmp_path).mark("a") is None and not (tmp_path / "a" / DONE).exists()
    with pytest.raises(FolderTaken, match="n: was 1, is now 2"):
        Stages(tmp_path).do(Stage("a", writes("a"), {"n": 2}))
    told: list[str] = []
    Stages(tmp_path, told.append).do(Stage("a", writes("a"), {"n": 1}))
    assert told[0] == "# a: goes on" and (tmp_path / "a" / "half").exists()
    mark = Stages(tmp_path).mark("a")
    assert mark is not None and mark.resumed and told[1].endswith("of processor time, since its last start")


def test_work_that_failed_and_left_nothing_may_be_begun_with_other_settings(tmp_path: Path) -> None:
    def fails(folder: Path) -> None:
        raise DataError("a knob that there is not")

    with pytest.raises(DataError, match="a knob"):
        Stages(tmp_path).do(Stage("a", fails, {"n": 1}))
    told: list[str] = []
    Stages(tmp_path, told.append).do(Stage("a", writes("a"), {"n": 2}))
    assert told[0] == "# a: begins"


def test_folders_and_marks_that_are_not_ours_are_refused(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "thesis.doc").touch()
    with pytest.raises(FolderTaken, match=r"thesis.doc and no made_of.json"):
        Stages(tmp_path).do(Stage("a", writes("a")))
    for text, said in (("{", "is not JSON"), ("[]", "no JSON object"), ('{"seconds": 1}', "is no mark")):
        Stages(tmp_path).do(Stage("b", writes("b")))
        (tmp_path / "b" / DONE).write_text(text)
        with pytest.raises(DataError, match=said):
            Stages(tmp_path).do(Stage("b", writes("b")))
        shutil.rmtree(tmp_path / "b")


def test_names_and_settings_that_cannot_be_are_refused() -> None:
    for name in ("", ".", "/a", "../a", "a/../../b"):
        with pytest.raises(DataError, match="a folder below the root"):
            Stage(name, writes("a"))
    with pytest.raises(DataError, match="rename it"):
        Stage("a", writes("a"), {"after": 1})


def test_order_that_cannot_be_is_told(tmp_path: Path) -> None:
    stages = Stages(tmp_path)
    with pytest.raises(DataError, match="comes after a, which is not done"):
        stages.do(Stage("b", writes("b"), after=("a",)))
    with pytest.raises(DataError, match=r"wait for each other: . > . > ."):
        stages.do_all([Stage("a", writes("a"), after=("b",)), Stage("b", writes("b"), after=("a",))])
    with pytest.raises(DataError, match="there is no stage 'a'"):
        stages.do_all([Stage("b", writes("b"), after=("a",))])
    with pytest.raises(DataError, match="two stages have one name"):
        stages.do_all([Stage("b", writes("b")), Stage("b", writes("b"))])
    with pytest.raises(DataError, match="workers is 0"):
        stages.do_all([Stage("b", writes("b"))], workers=0)
    assert not list(tmp_path.iterdir())
    stages.do(Stage("a", writes("a")))
    stages.do_all([Stage("b", writes("b"), after=("a",))])  # a is done, though not among them
    assert stages.mark("b") is not None


def test_stages_run_beside_each_other_and_after_what_they_need(tmp_path: Path) -> None:
    def meets(other: str) -> Callable[[Path], object]:
        def work(folder: Path) -> None:
            (folder / "here").touch()
            deadline = time.monotonic() + 20
            while not (folder.parent / other / "here").exists():
                assert time.monotonic() < deadline, "the other one does not run"
                time.sleep(0.01)

        return work

    def needs(folder: Path) -> None:
        assert all((folder.parent / one / DONE).is_file() for one in "ab")

    both = [Stage("a", meets("b")), Stage("b", meets("a"))]
    Stages(tmp_path).do_all([Stage("c", needs, after=("a", "b")), *both], workers=2)
    marks = [Stages(tmp_path).mark(name) for name in "abc"]
    assert all(marks)


def test_one_that_fails_ends_the_call_and_the_next_call_goes_on(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    def fails(folder: Path) -> None:
        raise DataError("no rows in the file")

    def stages(work: Callable[[Path], object]) -> list[Stage]:
        return [Stage("a", writes("a")), Stage("b", work, after=("a",)), Stage("c", writes("c"), after=("b",))]

    with pytest.raises(StageFailed, match=r"failed in .*: b \(exit 1\); mend it"):
        Stages(tmp_path).do_all(stages(fails), workers=2)
    assert "error: b: no rows in the file" in capfd.readouterr().err
    assert [Stages(tmp_path).mark(name) is not None for name in "abc"] == [True, False, False]
    Stages(tmp_path).do_all(stages(writes("b")))
    assert "# a:" not in capfd.readouterr().out.replace("# a: done", "# a:")
    assert (tmp_path / "c" / "result").read_text() == "c"


def in_another_process(function: Callable[..., object], *arguments: object) -> BaseProcess:
    process = multiprocessing.get_context("fork").Process(target=function, args=arguments)
    process.start()
    return process


def two_stages(root: Path, place: str, workers: int) -> None:
    """Does a, then b, and kills itself, once, at a place: in the work of a, or before or after a mark gets its name."""

    def die(here: str) -> None:
        if here == place and not (root / "killed").exists():
            (root / "killed").touch()
            os.kill(os.getpid(), signal.SIGKILL)

    def replace(one: Path, other: Path) -> None:
        die(f"before {other.name}")
        real(one, other)
        die(f"after {other.name}")

    def work(folder: Path) -> None:
        append_jsonl(root / "log", {"name": folder.name})
        die("work")
        (folder / "result").write_text(folder.name)

    real, files.os.replace = os.replace, replace  # type: ignore[attr-defined, assignment]
    todo = [Stage("a", work, {"n": 1}), Stage("b", work, {"n": 2}, ("a",))]
    if workers:
        Stages(root).do_all(todo, workers)
    else:
        do_each(root, todo)


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize(
    "place", ["before made_of.json", "after made_of.json", "work", "before done.json", "after done.json"]
)
def test_a_kill_at_any_place_loses_nothing(place: str, workers: int, tmp_path: Path) -> None:
    killed = in_another_process(two_stages, tmp_path, place, workers)
    killed.join(60)
    whole = place == "after done.json"  # the mark is all that counts: where another process drives, it goes on
    assert (tmp_path / "killed").exists() and (killed.exitcode == 0) == (whole and workers > 0)
    assert (Stages(tmp_path).mark("a") is not None) == whole
    again = in_another_process(two_stages, tmp_path, place, workers)
    again.join(60)
    assert again.exitcode == 0
    for name in "ab":
        assert Stages(tmp_path).mark(name) is not None and (tmp_path / name / "result").read_text() == name
        assert not [one for one in (tmp_path / name).iterdir() if "partial" in one.name]
    twice = {"work": 2, "before done.json": 2}.get(place, 1)  # the work of a was called, and not known to have ended
    log = read_jsonl(tmp_path / "log")
    assert [row["name"] for row in log] == ["a"] * twice + ["b"]
    two_stages_again = in_another_process(two_stages, tmp_path, place, workers)
    two_stages_again.join(60)
    assert two_stages_again.exitcode == 0 and read_jsonl(tmp_path / "log") == log


def test_nobody_else_does_a_stage_that_is_under_way(tmp_path: Path) -> None:
    def endless(folder: Path) -> None:
        (folder / "here").touch()
        time.sleep(60)

    driver = in_another_process(Stages(tmp_path).do_all, [Stage("a", endless)])
    deadline = time.monotonic() + 30
    while not (tmp_path / "a" / "here").exists():
        assert time.monotonic() < deadline and driver.is_alive()
        time.sleep(0.02)
    with pytest.raises(CheckpointError, match="another process writes"):
        Stages(tmp_path).do(Stage("a", writes("a")))
    driver.kill()
    driver.join()
    while True:  # the process of the stage ends with its driver, and lets go of the folder
        try:
            Stages(tmp_path).do(Stage("a", writes("mine")))
            break
        except CheckpointError:
            assert time.monotonic() < deadline
            time.sleep(0.02)
    assert (tmp_path / "a" / "result").read_text() == "mine"


def test_minutes_are_those_at_which_a_stage_ran() -> None:
    marks = [Mark(1000.0 + began, seconds, 0.0) for began, seconds in ((0, 60), (30, 60), (40, 10), (600, 30))]
    assert minutes(marks) == 2.0 and minutes([]) == 0.0
