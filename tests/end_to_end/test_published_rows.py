"""Real published rows through the same recipe, unchanged but for its sources; skipped where the samples are absent."""

import json
from pathlib import Path
from typing import Any

import pytest

from medrl.cli import main
from medrl.data import load_problems
from medrl.types import Problem

# The policy writes nothing sensible; a custom reward of its letters keeps the updates from being empty.
LARGE = ("policy.new.context=4096", "policy.new.vocab_size=1200", "sft.batch_size=2", "sft.microbatch_size=1")


def o1_sft_rows(source: Path, path: Path, count: int) -> Path:
    """Rows in the schema of medical-o1-reasoning-SFT, from the same columns of the rows that are trained on."""
    lines = source.read_text(encoding="utf-8").split("\n")[:24]
    rows = [{name: json.loads(line)[name] for name in ("Question", "Complex_CoT", "Response")} for line in lines]
    rows = sorted(rows, key=lambda row: len(row["Complex_CoT"]))[:count]
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
    return path


def test_o1_rows_go_through_sft_and_reinforcement_learning(tiny: Path, shared_data: Path, tmp_path: Path) -> None:
    source, run = shared_data / "o1_demo.jsonl", tmp_path / "run"
    shown = o1_sft_rows(source, tmp_path / "sft.jsonl", 6)
    overrides = (
        f"folder={run}", f"problems={{source: {source}, limit: 24}}",
        f"held_out={{source: {source}, skip: 24, limit: 30}}", f"demonstrations={{source: {shown}}}", "sft.epochs=1",
        "trainer.steps=2", "trainer.problems_per_step=3", *LARGE,
    )  # fmt: skip
    assert main(["run", str(tiny), *overrides]) == 0
    logged = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    assert [(row["phase"], row["step"]) for row in logged] == [("sft", 1), ("sft", 2), ("sft", 3), ("rl", 1), ("rl", 2)]
    assert all(row["grad_norm"] > 0 for row in logged)
    assert (run / "checkpoints" / "step-000002" / "model.safetensors").is_file()
    evaluated = [json.loads(line) for line in (run / "evaluations.jsonl").read_text().splitlines()]
    assert [(row["step"], row["problems"]) for row in evaluated] == [(0, 6), (2, 6)]
    row = json.loads((run / "rollouts" / "step-000001.jsonl").read_text(encoding="utf-8").splitlines()[0])
    known = {problem.id: problem for problem in load_problems(source)}
    assert row["problem"]["reference"] == known[row["problem_id"]].reference
    assert main(["run", str(tiny), *overrides, "resume=true", "trainer.steps=3"]) == 0


def test_o1_rows_in_training_and_evaluation_at_once_are_refused(
    tiny: Path, shared_data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = shared_data / "o1_demo.jsonl"
    data = (f"problems={{source: {source}, limit: 24}}", f"held_out={{source: {source}, skip: 20, limit: 30}}")
    nothing_to_imitate = ("demonstrations=null", "sft=null")
    assert main(["run", str(tiny), f"folder={tmp_path / 'run'}", *data, *nothing_to_imitate, *LARGE[:2]]) == 2
    assert "4 of 10 held-out problems are also trained on" in capsys.readouterr().err


def right(problem: Problem) -> str:
    return f"## Thinking\n\nLet me see.\n\n## Final Response\n\n{problem.reference}"


def wrong(problem: Problem) -> str:
    other = next((label for label in problem.options if label != problem.reference), "-987654321")
    return f"## Thinking\n\nLet me see.\n\n## Final Response\n\n{other}"


@pytest.mark.parametrize(("name", "limit"), [("medqa", 80), ("medmcqa", 80), ("pubmedqa", 80), ("medcalc", 80)])
def test_published_rows_are_verified_with_made_responses(
    name: str, limit: int, shared_data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The reference as the answer is right, another option (a far number) is wrong; all are decided."""
    path = shared_data / f"{name}.jsonl"
    problems = load_problems(path)
    raw = [json.loads(line) for line in path.read_text(encoding="utf-8").split("\n") if line]
    assert len(problems) == len(raw)
    assert len({problem.id for problem in problems}) == len(problems)
    for answer, correct in ((right, True), (wrong, False)):
        pairs = zip(raw[:limit], problems[:limit], strict=True)
        rows: list[dict[str, Any]] = [{**row, "response": answer(problem)} for row, problem in pairs]
        file, out = tmp_path / "responses.jsonl", tmp_path / "verdicts.json"
        file.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
        assert main(["verify", str(file), "--verifier", "{type: typed, format: o1}", "--json", str(out)]) == 0
        report = json.loads(out.read_text(encoding="utf-8"))
        unlike = [row for row in report["rows"] if row["score"] != float(correct)]
        assert (report["n"], unlike) == (limit, [])
    assert f"{limit} responses: 0 right" in capsys.readouterr().out
