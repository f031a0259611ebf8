"""The run folder: begin, go on, lock, logs, rollouts and checkpoints."""

import math
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from medrl.errors import CheckpointError, DataError, FolderTaken, MissingFile, RecipeError
from medrl.tracking import RunFolder, timeless
from medrl.types import Group, Part, Problem, Response, Rollout, Score, Verdict, VersionSpan, ask

ROOT = Path(__file__).parents[2]
RECIPE = "name: x\ntrainer:\n  steps: 100\nsampling:\n  temperature: 1.0\n"


def a_group(number: int = 0) -> tuple[Group, list[Score]]:
    problem = Problem(
        f"q{number}",
        ask("多少毫克？ How many mg?"),
        "5 mg",
        "numeric",
        aliases=("5 milligrams",),
        language="zh",
        metadata={"row": 3, "range": [1, 2]},
    )
    rollouts = (
        Rollout(
            "## Thinking\nx\n## Final Response\n5 mg",
            token_count=3,
            problem_id=problem.id,
            seed=2**63 + 1,
            prompt_ids=(1, 2),
            token_ids=(7, 8, 9),
            logprobs=(-0.1, 0.0, -2.5e-8),
            loss_mask=(True, False, True),
            versions=(VersionSpan(0, 2, 4), VersionSpan(2, 3, 5)),
        ),
        Rollout("no", finish_reason="length", token_count=1, problem_id=problem.id, index=1, seed=9),
        Response("plain", turns=(*ask("hi"), {"role": "assistant", "content": "plain"})),
    )
    right = Verdict.right("equal", answer="5 mg", span=(3, 7), stage="number", cost={"calls": 1.0}, parts={"unit": 1.0})
    scores = [
        Score(1.0, parts={"correct": Part(1.0, verdict=right), "format": Part(1.0, reason="both parts")}),
        Score(None, "timeout", {"correct": Part(None, "timeout", Verdict.failed("30 s", "timeout"))}, "judge: 30 s"),
        Score(0.1, token_values=(0.0, 0.1)),
    ]
    return Group(problem, rollouts), scores


def begin(path: Path, recipe: str = RECIPE, *, resume: bool = False) -> RunFolder:
    return RunFolder.create(path, recipe, resume)


def test_begin_and_refuse_to_begin_twice(tmp_path: Path) -> None:
    with begin(tmp_path / "x") as run:
        assert not run.resumed
        run.log_metrics(1, {"reward": 0.5})
    with pytest.raises(FolderTaken, match=r"holds a run already \(1 rows of metrics.*pass resume=true"):
        begin(tmp_path / "x")
    with begin(tmp_path / "x", resume=True) as run:
        assert run.resumed and len(run.read_metrics()) == 1
    with begin(tmp_path / "new", resume=True) as run:  # restarted before it had begun
        assert not run.resumed


def test_a_kill_while_a_run_begins_leaves_a_folder_that_can_be_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make = Path.mkdir

    def killed(path: Path, *flags: Any, **more: Any) -> None:
        if path.name == "rollouts":
            raise KeyboardInterrupt
        make(path, *flags, **more)

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(Path, "mkdir", killed)
        begin(tmp_path / "new")
    with begin(tmp_path / "new", resume=True) as run:
        assert (run.path / "rollouts").is_dir()


def test_a_folder_of_something_else_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("mine")
    for resume in (False, True):
        with pytest.raises(FolderTaken, match=r"no run \(it holds thesis\.tex\)"):
            begin(tmp_path, resume=resume)
    (tmp_path / "file").write_text("mine")
    with pytest.raises(CheckpointError, match="cannot make the run folder"):
        begin(tmp_path / "file" / "x")
    with pytest.raises(MissingFile, match="no such folder"):
        RunFolder(tmp_path / "none")


def test_a_changed_recipe_is_shown_field_by_field(tmp_path: Path) -> None:
    begin(tmp_path).close()
    changed = "trainer: {steps: 200}\nname: x\nsampling:\n  temperature: 0.7\n  top_k: 5\n"
    with pytest.raises(RecipeError) as caught:
        begin(tmp_path, changed, resume=True)
    assert list(caught.value.faults) == [
        "trainer.steps: was 100, is now 200",
        "sampling.temperature: was 1.0, is now 0.7",
        "sampling.top_k: was absent, is now 5",
    ]
    with RunFolder.create(tmp_path, changed, True, may_change=("trainer.steps", "sampling")) as run:
        assert run.recipe_text == changed
    with pytest.raises(RecipeError, match=r"trainer\.steps"):
        RunFolder.create(tmp_path, RECIPE, True, may_change=("trainer.step", "sampling"))
    begin(tmp_path, "# a comment\nname: x\n" + changed.replace("name: x\n", ""), resume=True).close()


HOLD = """
import sys, time, os
from medrl.tracking import RunFolder
run = RunFolder.create(sys.argv[1], "name: x")
if os.fork() == 0:
    time.sleep(8)  # a child that outlives its parent must not keep the lock
    os._exit(0)
print("locked", flush=True)
time.sleep(60)
"""


def test_two_processes_never_write_one_run_and_the_lock_dies_with_its_process(tmp_path: Path) -> None:
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-c", HOLD, str(tmp_path / "x")]
    holder = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment)
    assert holder.stdout is not None and holder.stdout.readline() == "locked\n"
    with pytest.raises(CheckpointError, match=rf"another process writes the run .*process {holder.pid} on"):
        begin(tmp_path / "x", "name: x", resume=True)
    reader = RunFolder(tmp_path / "x")
    with pytest.raises(CheckpointError, match="open for reading only"):
        reader.log_metrics(1, {})
    holder.send_signal(signal.SIGKILL)
    holder.wait()
    run = begin(tmp_path / "x", "name: x", resume=True)
    with pytest.raises(CheckpointError, match="open for writing in this process already"):
        begin(tmp_path / "x", "name: x", resume=True)
    run.close()
    begin(tmp_path / "x", "name: x", resume=True).close()
    holder.stdout.close()


def test_metrics_hold_whatever_is_a_number_and_name_what_is_not_finite(tmp_path: Path) -> None:
    import numpy

    with begin(tmp_path) as run:
        run.log_metrics(3, {"reward": numpy.float32(0.5), "kl": math.nan, "accuracy": None, "time/step": 2.0})
        run.log_metrics(1, {"loss": 1.0}, phase="sft")
        assert "NaN" not in (tmp_path / "metrics.jsonl").read_text()
        assert [timeless(row) for row in run.read_metrics("rl")] == [
            {"step": 3, "phase": "rl", "reward": 0.5, "kl": None, "accuracy": None, "not_finite": ["kl"]}
        ]
        assert run.read_metrics("sft") == [{"step": 1, "phase": "sft", "loss": 1.0}]
    assert timeless({"tokens_per_second": 3, "time/x": 1, "timeout": 2}) == {"timeout": 2}


@pytest.mark.parametrize("tokens", [False, True])
def test_rollouts_come_back_as_they_were(tmp_path: Path, tokens: bool) -> None:
    group, scores = a_group()
    other, other_scores = a_group(1)
    with begin(tmp_path) as run:
        advantages: list[list[float | None]] = [[1.0, None, -1.0], [0.5, 0.0, -0.5]]
        run.log_rollouts(12, [group, other], [scores, other_scores], advantages, tokens=tokens)
        run.log_rollouts(12, [group], [scores], name="held_out")
    run = RunFolder(tmp_path)
    first, second = run.read_rollouts(12)
    assert (first.group.problem, second.group.problem) == (group.problem, other.problem)
    assert first.scores == tuple(scores) and first.advantages == (1.0, None, -1.0)
    assert second.advantages == (0.5, 0.0, -0.5)
    if tokens:
        assert first.group == group
    else:
        assert "logprobs" not in (tmp_path / "rollouts" / "step-000012.jsonl").read_text()
        kept = first.group.rollouts[0]
        assert isinstance(kept, Rollout) and kept.seed == 2**63 + 1 and kept.versions[1] == VersionSpan(2, 3, 5)
        assert first.group.rollouts[1:] == group.rollouts[1:]
    (evaluated,) = run.read_rollouts(12, "held_out")
    assert evaluated.advantages is None
    assert run.rollout_steps() == run.rollout_steps("held_out") == [12]


def test_a_rollout_row_says_all_by_itself(tmp_path: Path) -> None:
    from medrl.files import read_jsonl

    group, scores = a_group()
    with begin(tmp_path) as run:
        rows = read_jsonl(run.log_rollouts(1, [group], [scores]))
        assert [row["reward"] for row in rows] == [1.0, None, 0.1]
        assert [row["status"] for row in rows] == ["ok", "timeout", "ok"]
        assert rows[1]["finish_reason"] == "length" and rows[1]["problem"]["messages"][0]["content"].startswith("多少")
        assert rows[0]["score"]["parts"]["correct"]["verdict"]["span"] == [3, 7]
        with pytest.raises(ValueError):
            run.log_rollouts(2, [group], [scores[:2]])
        with pytest.raises(DataError, match="cannot name a set"):
            run.log_rollouts(2, [group], [scores], name="../../etc")
        (tmp_path / "rollouts" / "step-000003.jsonl").write_text('{"text": "?"}\n')
        with pytest.raises(DataError, match=r"step-000003\.jsonl is no file of rollouts"):
            run.read_rollouts(3)


def work(run: RunFolder, first: int, last: int) -> None:
    group, scores = a_group()
    for step in range(first, last + 1):
        run.log_metrics(step, {"reward": step / 10})
        run.log_rollouts(step, [group], [scores])
        if step % 2 == 0:
            run.log_evaluation(step, "held_out", {"accuracy": step / 10})
            run.log_rollouts(step, [group], [scores], name="held_out")


def logs(path: Path) -> dict[str, bytes]:
    return {str(f.relative_to(path)): f.read_bytes() for f in path.rglob("*") if f.is_file() and f.name != ".lock"}


def test_cut_back_leaves_logs_as_if_never_killed(tmp_path: Path) -> None:
    for name in ("straight", "killed"):
        with begin(tmp_path / name) as run:
            for step in range(1, 21):
                run.log_metrics(step, {"loss": 1 / step}, phase="sft")
            work(run, 1, 6 if name == "straight" else 5)
    with open(tmp_path / "killed" / "metrics.jsonl", "a") as file:
        file.write('{"step": 6, "phase": "rl", "rew')
    with begin(tmp_path / "killed", resume=True) as run:
        run.cut_back(3)
        assert run.rollout_steps() == [1, 2, 3] and run.rollout_steps("held_out") == [2]
        work(run, 4, 6)
    assert logs(tmp_path / "killed") == logs(tmp_path / "straight")
    with begin(tmp_path / "killed", resume=True) as run:
        run.cut_back(5, phase="sft")
        assert len(run.read_metrics("sft")) == 5 and len(run.read_metrics("rl")) == 6
        run.cut_back(-1)
        assert not (run.read_metrics("rl") or run.read_evaluations() or run.rollout_steps())


def save(run: RunFolder, *steps: int) -> None:
    for step in steps:
        with run.checkpoint(step) as folder:
            (folder / "weights").write_text(str(step))


def test_only_whole_checkpoints_count(tmp_path: Path) -> None:
    with begin(tmp_path) as run:
        assert run.latest_checkpoint() is None
        save(run, 10, 20, 1_000_000, 30)
        with pytest.raises(CheckpointError, match="step-000040"), run.checkpoint(40) as folder:
            (folder / "weights").write_text("half")
            raise OSError("disk gone")
        (tmp_path / "checkpoints" / ".step-000050.partial-999999").mkdir()
        (tmp_path / "checkpoints" / "notes").mkdir()
        assert [path.name for path in run.checkpoints()] == [
            "step-000010",
            "step-000020",
            "step-000030",
            "step-1000000",
        ]
        with pytest.raises(CheckpointError, match="keep is 0"):
            run.prune(0)
        assert [path.name for path in run.prune(2)] == ["step-000010", "step-000020"]
        assert run.prune(2) == []
        latest = run.latest_checkpoint()
        assert latest is not None and (latest / "weights").read_text() == "1000000"
    with begin(tmp_path, resume=True):
        left = sorted(path.name for path in (tmp_path / "checkpoints").iterdir())
        assert left == ["notes", "step-000030", "step-1000000"]


def test_cut_back_before_a_checkpoint_must_be_meant(tmp_path: Path) -> None:
    with begin(tmp_path) as run:
        save(run, 10, 20)
        run.log_metrics(20, {"reward": 1.0})
        with pytest.raises(CheckpointError, match="past step 10, up to step-000020"):
            run.cut_back(10)
        assert len(run.read_metrics()) == 1
        run.cut_back(10, drop_checkpoints=True)
        assert [path.name for path in run.checkpoints()] == ["step-000010"] and run.read_metrics() == []


def test_summary_and_no_torch(tmp_path: Path) -> None:
    with begin(tmp_path) as run:
        run.write_summary({"accuracy": 0.5, "where": tmp_path})
        assert '"accuracy": 0.5' in (tmp_path / "summary.json").read_text()
    check = "import sys, medrl.tracking; print([m for m in ('torch', 'matplotlib', 'tensorboard') if m in sys.modules])"
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run([sys.executable, "-c", check], capture_output=True, text=True, env=environment, check=True)
    assert done.stdout.strip() == "[]"
