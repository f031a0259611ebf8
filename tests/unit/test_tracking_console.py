"""What the console prints: rows at width 100, plain lines in logs, bars on a terminal, before against after."""

import io
import os
import pty
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from medrl.errors import DataError
from medrl.tracking import RunConsole, Trace
from medrl.tracking.compare import mark, shorten
from medrl.tracking.console import time_left
from medrl.types import Group, Part, Problem, Response, Score, Verdict, ask

ROOT = Path(__file__).parents[2]
ROW: dict[str, Any] = {
    "step": 7,
    "phase": "rl",
    "reward": 0.4567,
    "part/correct": 0.4,
    "part/format": 0.98,
    "part/language": 1.0,
    "accuracy": 0.4,
    "unscored": 0.015,
    "length": 812.4,
    "kl": 0.00213,
    "clip_share": 0.012,
    "grad_norm": 0.52,
    "lr": 1e-6,
    "time/rollout": 20.0,
    "time/step": 31.24,
    "tokens_per_second": 1834.0,
}


def printed(rows: list[dict[str, Any]], width: int | None = 100) -> list[str]:
    out = io.StringIO()
    with RunConsole(file=out, width=width) as console:
        for row in rows:
            console.row(row)
    return out.getvalue().splitlines()


def test_a_full_row_fits_100_columns_under_its_header() -> None:
    header, line = printed([ROW])
    assert len(header) <= 100 and len(line) == len(header)
    labels = "step reward correct format language accuracy unscored length KL clipped grad tok/s s/step"
    assert header.split() == labels.split()
    values = "7 0.457 0.400 0.980 1.000 40.0% 1.5% 812 0.0021 1.2% 0.520 1834 31.2"
    assert line.split() == values.split()


def test_columns_adapt_to_what_there_is() -> None:
    lines = printed([{"step": 1, "loss": 2.5}, {"step": 2, "loss": 2.0, "accuracy": 0.5}, {"step": 3, "loss": None}])
    assert [line.split() for line in lines] == [
        ["step", "loss"],
        ["1", "2.500"],
        ["step", "loss", "accuracy"],
        ["2", "2.000", "50.0%"],
        ["3", "-", "-"],
    ]


def test_no_number_is_not_zero_and_extremes_are_readable() -> None:
    row = {**ROW, "reward": None, "kl": float("nan"), "grad_norm": 123456.0, "length": 25_000, "clip_share": 0.0}
    cells = printed([ROW, row])[-1].split()
    assert cells[1] == "-" and cells[8:11] == ["nan", "0.0%", "1.2e+05"] and cells[7] == "25.0k"


def test_a_narrow_width_keeps_the_important_columns_and_names_the_others() -> None:
    note, header, line = printed([{**ROW, **{f"part/extra_number_{n}": 0.5 for n in range(6)}}], width=60)
    assert {"step", "reward", "accuracy", "unscored"} <= set(header.split())
    assert len(header) <= 60 and len(line) <= 60 and "grad" in note and "metrics.jsonl" in note


def test_80_columns_hold_what_a_step_is_watched_by() -> None:
    note, header, _ = printed([{**ROW, "loss": 0.1, "abstained": 0.0}], width=80)
    labels = {"step", "reward", "correct", "format", "accuracy", "unscored", "length", "KL", "tok/s"}
    assert labels <= set(header.split()) and "grad" in note


MACHINES: dict[str, Any] = {
    **{f"time/share/{phase}": 0.25 for phase in ("rollout", "forward", "update", "sync")},
    **{"time/queue": 12.34, "time/queue/peak": 4096.0, "time/queue/scoring": 0.5, "time/queue/scoring/peak": 16.0},
    **{"time/engine/0/tokens_per_second": 1000.0, "time/engine/10/tokens_per_second": 500.0, "time/engine/0/load": 8.0},
    **{"time/learner/tokens_per_second": 23_456.0, "time/learner/mfu": 0.456, "time/sync": 0.0321},
    **{"time/reward_latency": 61.0, "cost/correct/calls": 64.0, "cost/safe/calls": 32.0, "cost/correct/tokens": 51_234.0},
    **{"staleness": 0.6, "staleness/0": 0.5, "staleness/1": 0.4, "staleness/2": 0.1},
}  # fmt: skip


def test_a_second_row_says_what_the_machines_did_where_it_is_asked_for() -> None:
    out = io.StringIO()
    with RunConsole(file=out, width=110) as console:
        console.row({**ROW, **MACHINES}, machines=True)
        console.row({**ROW, "step": 8}, machines=True)
    first, second, row, machines, _, empty = out.getvalue().splitlines()
    assert len(second) == len(machines) <= 110 and "MFU" in second and "MFU" not in first
    labels = "roll fwd upd sync queue scoring eng t/s lrn t/s MFU sync s score s calls tokens stale %"
    assert second.split() == labels.split()
    values = "25% 25% 25% 25% 12/4096 0.5/16 1500 23.5k 45.6% 0.032 61.0 96 51.2k 0:50 1:40 2:10"
    assert machines.split() == values.split() and row.split()[0] == "7"
    assert empty.split() == ["-"] * 14, "no number is not 0"


def test_the_second_row_is_left_out_or_cut_where_it_is_not_wanted_or_does_not_fit() -> None:
    assert len(printed([{**ROW, **MACHINES}], width=120)) == 2
    out = io.StringIO()
    with RunConsole(file=out, width=60) as console:
        console.row({**ROW, **MACHINES}, machines=True)
    note, _, second, *_, machines = out.getvalue().splitlines()
    assert len(second) <= 60 and len(machines) <= 60 and second.split()[-1] == "%", "how old tokens are stays long"
    assert "tokens" in note and "score s" in note and "metrics.jsonl" in note


def test_the_header_returns_every_20_rows() -> None:
    lines = printed([{**ROW, "step": step} for step in range(1, 46)])
    assert [number for number, line in enumerate(lines) if "step" in line] == [0, 21, 42]


def test_a_log_gets_plain_lines_without_control_codes() -> None:
    out = io.StringIO()
    with RunConsole(file=out) as console:
        with console.phase("SFT", 20, done=10) as sft:
            for _ in range(10):
                sft.advance()
        with console.phase("RL steps", 2) as rl:
            for step in (1, 2):
                with console.phase("rollouts", 8) as rollouts:
                    rollouts.advance(8)
                console.row({**ROW, "step": step})
                rl.advance()
            row = {"accuracy": 0.452, "accuracy_stderr": 0.013, "greedy_accuracy": 0.47, "unscored": 0.0}
            console.evaluation({"step": 2, "name": "held_out", **row})
    text = out.getvalue()
    assert "\x1b" not in text and "\r" not in text and "rollouts" not in text
    assert "SFT: 10 to do, 10 done before" in text and "SFT: 18/20, 0:00 gone, 0:00 left" in text
    assert "RL steps: 2/2 in 0:00" in text
    assert "step 2 held_out: accuracy 45.2% +- 1.3%, greedy 47.0%, unscored 0.0%" in text


def test_quiet_prints_nothing() -> None:
    out = io.StringIO()
    with RunConsole(file=out, quiet=True) as console, console.phase("RL", 1) as phase:
        console.row(ROW)
        console.before_after({"accuracy": 0.1}, {"accuracy": 0.2})
        phase.advance()
    assert out.getvalue() == ""


def test_a_warning_is_told_once_and_a_quiet_console_logs_it(caplog: pytest.LogCaptureFixture) -> None:
    out = io.StringIO()
    console = RunConsole(file=out)
    console.warn("no card", "old weights")
    console.warn("no card")
    assert out.getvalue() == "no card\nold weights\n" and not caplog.records
    quiet = RunConsole(file=out, quiet=True)
    quiet.warn("no card")
    quiet.warn("no card")
    assert [one.message for one in caplog.records] == ["no card"] and out.getvalue().count("no card") == 1


ON_TERMINAL = """
import time
from medrl.tracking import RunConsole
with RunConsole() as console, console.phase("RL steps", 3) as rl:
    for step in range(1, 4):
        with console.phase("rollouts", 4) as rollouts:
            for _ in range(4):
                rollouts.advance()
                time.sleep(0.06)
        console.row({"step": step, "reward": 0.5})
        rl.advance()
"""


def test_a_terminal_shows_bars_below_rows_that_scroll() -> None:
    master, slave = pty.openpty()
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "TERM": "xterm", "COLUMNS": "100", "LINES": "30"}
    command = [sys.executable, "-c", ON_TERMINAL]
    process = subprocess.Popen(command, stdout=slave, stderr=slave, stdin=slave, env=environment)
    os.close(slave)
    seen = b""
    try:
        while chunk := os.read(master, 65536):
            seen += chunk
    except OSError:  # Linux says so when the other end is closed
        pass
    os.close(master)
    assert process.wait() == 0
    text = seen.decode()
    assert "rollouts" in text and "2/4" in text and "left" in text
    assert "    2   0.500" in text and text.count("reward") == 1


def test_time_left_is_taken_from_the_speed_so_far() -> None:
    assert time_left(120.0, 4, 6) == "3:00"
    assert time_left(7200.0, 1, 2) == "4:00:00"
    assert time_left(5.0, 0, 6) == "?"


BEFORE = {"step": 0, "name": "held_out", "accuracy": 0.334, "accuracy_stderr": 0.03, "format": 0.9, "problems": 200}
AFTER = {"step": 50, "name": "held_out", "accuracy": 0.677, "accuracy_stderr": 0.04, "greedy_accuracy": 0.7}


def test_before_after_shows_the_change_with_its_error() -> None:
    out = io.StringIO()
    RunConsole(file=out).before_after({**BEFORE, "samples": 4}, {**AFTER, "problems": 200, "samples": 4})
    text = " ".join(out.getvalue().split())
    assert "held_out: 200 problems, 4 samples each" in text
    assert "33.4 +- 3.0 67.7 +- 4.0 +34.3 +- 5.0" in text
    assert "accuracy, greedy (%) - 70.0 -" in text and "format kept (%) 90.0 - -" in text
    assert "length" not in text
    assert max(map(len, out.getvalue().splitlines())) <= 100


def test_two_different_sets_are_not_compared() -> None:
    with pytest.raises(DataError, match="problems 200 and 100 cannot be compared"):
        RunConsole(file=io.StringIO()).before_after(BEFORE, {**AFTER, "problems": 100})


def a_trace(number: int, score: Score, text: str) -> Trace:
    problem = Problem(f"q{number}", ask(f"Question {number} [bold]?"), "5 mg", options={"A": "5 mg"})
    return Trace(Group(problem, (Response(text, token_count=9, finish_reason="length"),)), (score,))


def right(answer: str = "5 mg") -> Score:
    return Score(1.0, parts={"correct": Part(1.0, verdict=Verdict.right(answer=answer))})


WRONG = Score(0.1, parts={"correct": Part(0.0, verdict=Verdict.wrong(answer="6 mg"))})
FAILED = Score(None, "timeout", {"correct": Part(None, "timeout", Verdict.failed("30 s", "timeout"))})


def test_answers_stand_side_by_side_in_order_with_counts() -> None:
    before = [
        a_trace(0, WRONG, "it is 6 mg"),
        a_trace(1, right(), "it is 5 mg"),
        a_trace(2, FAILED, "?"),
        a_trace(9, WRONG, ""),
    ]
    after = [a_trace(2, right(), "x"), a_trace(0, right(), "[red]now 5 mg"), a_trace(1, WRONG, "剂量 6 mg")]
    out = io.StringIO()
    RunConsole(file=out).answers(before, after, limit=2)
    text = out.getvalue()
    counts = "3 problems: 0 right in both, 1 right only after RL, 1 right only after SFT, 0 wrong in both, 1 not scored"
    assert counts in " ".join(text.split())
    assert text.index("q0: Question 0 [bold]?") < text.index("q1:") and "q2:" not in text
    assert "Reference: 5 mg" in text and "A. 5 mg" in text
    row = next(line for line in text.splitlines() if "it is 6 mg" in line)
    assert "[red]now 5 mg" in row
    assert "SFT: wrong (0), read as '6 mg'" in text and "cut at the token limit" in text
    with pytest.raises(DataError, match="no problem in common"):
        RunConsole(file=out).answers(before[:1], after[:1])


def test_marks_and_shortening() -> None:
    assert mark(FAILED) == "no verdict (timeout: 30 s)"
    assert mark(Score(0.7, parts={"correct": Part(0.7)})) == "right (0.7)"
    assert mark(Score(0.7)).startswith("no verdict"), "the whole reward does not say whether the answer is right"
    text = shorten("a" * 500 + "b" * 500, 300)
    assert text.startswith("a" * 100) and text.endswith("b" * 200) and "700 characters left out" in text
    assert shorten("short", 300) == "short"
