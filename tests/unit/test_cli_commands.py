"""The command line: exit statuses, plain messages, `medrl verify` on files, and a run that is trained and evaluated."""

import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

import medrl
from medrl import cli
from medrl.errors import CheckpointError, TrainingDiverged
from medrl.recipes import load_recipe

MICRO = """\
name: micro
threads: 1
policy:
  new: {vocab_size: 400, hidden_size: 64, layers: 2, heads: 2, key_value_heads: 1, intermediate_size: 64, context: 256}
problems: {kinds: [term], languages: [en], diseases: 20, count: 32}
held_out: {split: held_out, kinds: [term], languages: [en], diseases: 20, count: 4}
demonstrations: {count: 16}
sft: {epochs: 1, lr: 2e-3, batch_size: 8, microbatch_size: 8, max_length: 256}
reward:
  type: levels
  format: {type: format, preset: o1}
  correct: {type: verified, verifier: {type: typed, format: o1}, otherwise: 0.0}
sampling: {max_tokens: 10}
trainer: {steps: 2, problems_per_step: 4, rollouts_per_problem: 2, evaluate_every: 1, save_every: 1}
evaluation: {samples: 2}
"""
ROWS: list[dict[str, Any]] = [
    {"id": "a", "question": "Capital sign of measles?", "reference": "Koplik spots", "response": "Koplik spots"},
    {"id": "b", "question": "Adult dose of paracetamol?", "reference": "1 g", "response": "Give 1000 mg."},
    {"id": "c", "question": "Adult dose of paracetamol?", "reference": "1 g", "response": "Give 3 g."},
    {"id": "d", "question": "Which?", "reference": "B", "options": {"A": "gout", "B": "measles"}, "response": "(A)"},
]


@pytest.fixture(autouse=True)
def _workplace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))


def write(name: str, rows: list[dict[str, Any]]) -> str:
    Path(name).write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return name


def fails(capsys: pytest.CaptureFixture[str], status: int, *arguments: str) -> str:
    assert cli.main(arguments) == status
    err = capsys.readouterr().err
    assert err.startswith("medrl: ") and "Traceback" not in err
    return err


def test_help_is_quick_and_brings_in_nothing_heavy() -> None:
    code = (
        "import sys\nfrom medrl.cli import main\n"
        "try:\n    main(['--help'])\nexcept SystemExit:\n    pass\n"
        "heavy = {'torch', 'transformers', 'datasets', 'numpy', 'rich'} & set(sys.modules)\nassert not heavy, heavy\n"
    )
    started = time.perf_counter()
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert time.perf_counter() - started < 5  # well under half a second where the machine has nothing else to do
    for command in ("run", "eval", "verify", "config", "doctor"):
        assert command in done.stdout


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        cli.main(["--version"])
    assert caught.value.code == 0 and capsys.readouterr().out.strip() == f"medrl {medrl.__version__}"


def test_what_the_user_can_mend_exits_with_2(capsys: pytest.CaptureFixture[str]) -> None:
    Path("recipe.yaml").write_text(MICRO, encoding="utf-8")
    assert "there is no recipe nothing.yaml; that folder has recipe.yaml" in fails(capsys, 2, "run", "nothing.yaml")
    message = fails(capsys, 2, "run", "recipe.yaml", "trainer.stpes=3", "held_out.cuont=1")
    assert "2 faults" in message and "did you mean 'steps'?" in message and "did you mean 'count'?" in message
    assert "has no component 'tpyed'; did you mean 'typed'?" in fails(
        capsys, 2, "verify", write("a.jsonl", ROWS), "--verifier", "tpyed"
    )
    assert "does not exist" in fails(capsys, 2, "verify", "nothing.jsonl")
    assert "did you mean 'optimization.lr'?" in fails(capsys, 2, "config", "optimisation.lr")
    assert "which has no 'best' policy" in fails(capsys, 2, "eval", "recipe.yaml")
    with pytest.raises(SystemExit) as caught:
        cli.main(["rnu"])
    assert caught.value.code == 2


@pytest.mark.parametrize(
    ("error", "status", "said"),
    [
        (TrainingDiverged("the loss is nan"), 1, "the loss is nan"),
        (CheckpointError("no space left"), 1, "no space left"),
        (KeyboardInterrupt(), 130, "interrupted"),
    ],
)
def test_failed_and_interrupted_runs_have_statuses_of_their_own(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], error: BaseException, status: int, said: str
) -> None:
    def stop(*_: object) -> None:
        raise error

    monkeypatch.setattr("medrl.doctor.main", stop)
    message = fails(capsys, status, "doctor")
    assert said in message and message.count("\n") == 1


def test_faults_of_the_program_keep_their_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("medrl.doctor.main", lambda: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        cli.main(["doctor"])


def test_a_reader_that_goes_away_is_no_crash() -> None:
    command = [sys.executable, "-m", "medrl", "verify", write("a.jsonl", ROWS)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout is not None and process.stderr is not None
    process.stdout.close()
    assert process.stderr.read() == "" and process.wait() == 1


def test_verify_prints_reasons_and_writes_a_flat_object(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["verify", write("a.jsonl", ROWS), "--json", "out.json"]) == 0
    out = capsys.readouterr().out
    assert "4 responses: 2 right, 2 wrong" in out and "labelled" not in out
    assert max(map(len, out.split("\n"))) <= 100
    report = json.loads(Path("out.json").read_text(encoding="utf-8"))
    assert {key: report[key] for key in report if key != "rows"} == {"n": 4, "decided": 4, "correct": 2}
    assert [(row["id"], row["status"], row["score"]) for row in report["rows"]] == [
        ("a", "ok", 1.0), ("b", "ok", 1.0), ("c", "ok", 0.0), ("d", "ok", 0.0)
    ]  # fmt: skip
    assert all(row["reason"] and row["stage"] for row in report["rows"])


def test_verify_measures_agreement_with_labels_over_what_was_decided(capsys: pytest.CaptureFixture[str]) -> None:
    labels = (True, True, True, False)  # the third is labelled against the rule
    rows = [{**row, "expected": label} for row, label in zip(ROWS, labels, strict=True)]
    undecided = {"id": "e", "question": "Why?", "reference": "measles", "response": "mumps", "expected": False}
    assert cli.main(["verify", write("a.jsonl", [*rows, undecided]), "--json", "out.json"]) == 0
    report = json.loads(Path("out.json").read_text(encoding="utf-8"))
    assert (report["n"], report["decided"], report["labelled"], report["accuracy"]) == (5, 4, 5, 0.75)
    assert "of 5 labelled rows 4 were decided, 3 as labelled (75.0%)" in capsys.readouterr().out


def test_verify_takes_verifiers_of_this_folder_and_yaml(capsys: pytest.CaptureFixture[str]) -> None:
    Path("medrl_test_rule.py").write_text(
        "from medrl import verifier\n\n\n@verifier('grams')\ndef grams(problem, text):\n    return 'mg' in text\n",
        encoding="utf-8",
    )
    code = "import sys\nfrom medrl.cli import main\nsys.exit(main(sys.argv[1:]))"
    arguments = ["verify", write("a.jsonl", ROWS), "--verifier", "medrl_test_rule:grams", "--json", "out.json"]
    subprocess.run([sys.executable, "-P", "-c", code, *arguments], check=True, capture_output=True)
    assert [row["score"] for row in json.loads(Path("out.json").read_text())["rows"]] == [0.0, 1.0, 0.0, 0.0]
    assert cli.main(["verify", "a.jsonl", "--verifier", "{type: number}", "--limit", "1"]) == 0
    assert "1 responses:" in capsys.readouterr().out


def test_verify_on_the_labelled_suite(shared_data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["verify", str(shared_data / "verify_cases.jsonl"), "--json", "out.json"]) == 0
    report = json.loads(Path("out.json").read_text(encoding="utf-8"))
    assert report["n"] == report["labelled"] == len(report["rows"]) > 300
    assert report["accuracy"] >= 0.99 and report["decided"] > 100
    assert f"{report['n']} responses" in capsys.readouterr().out


def test_config_explains_prints_and_begins_recipes(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["config", "optimization.lr"]) == 0
    assert "optimization.lr: float = 1e-06" in capsys.readouterr().out
    assert cli.main(["config", "--yaml"]) == 0
    Path("mine.yaml").write_text(capsys.readouterr().out, encoding="utf-8")
    assert cli.main(["config", "--recipe", "mine.yaml"]) == 0
    Path("resolved.yaml").write_text(capsys.readouterr().out, encoding="utf-8")
    assert load_recipe("resolved.yaml") == load_recipe("mine.yaml")


def test_run_then_eval(capsys: pytest.CaptureFixture[str]) -> None:
    Path("micro.yaml").write_text(MICRO, encoding="utf-8")
    assert cli.main(["run", "micro.yaml", "trainer.steps=1"]) == 0
    out = capsys.readouterr().out
    assert "learning curve: runs/micro/curve.png" in out and "accuracy, mean over samples" in out
    assert "holds a run already" in fails(capsys, 1, "run", "micro.yaml")
    assert cli.main(["run", "micro.yaml", "resume=true"]) == 0
    assert "going on from step 1" in capsys.readouterr().out
    recorded = [json.loads(line) for line in Path("runs/micro/evaluations.jsonl").read_text().splitlines()]
    assert [row["step"] for row in recorded] == [0, 1, 2]
    for policy, step in (("sft", 0), ("latest", 2), ("runs/micro/sft", 0)):
        assert cli.main(["eval", "runs/micro", "--policy", policy, "--json", "out.json"]) == 0
        figures = json.loads(Path("out.json").read_text(encoding="utf-8"))
        assert figures["policy"] == policy
        assert all(figures[key] == recorded[step][key] for key in ("accuracy", "length", "greedy_accuracy", "problems"))
    assert cli.main(["eval", "micro.yaml", "held_out.count=2", "--policy", "runs/micro/best"]) == 0
    assert "accuracy" in capsys.readouterr().out
    assert "it has: best, latest, sft" not in fails(capsys, 2, "eval", "runs/micro", "--policy", "./nothing")
