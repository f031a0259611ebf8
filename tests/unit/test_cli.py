"""The command line: exit statuses, what each command prints and writes, and a run that is trained and evaluated."""

import contextlib
import io
import json
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any, NamedTuple

import pytest

import medrl
from medrl import cli
from medrl.errors import CheckpointError, TrainingDiverged
from medrl.recipes import load_recipe

Capture = pytest.CaptureFixture[str]

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
    {"id": "empty", "question": "Which disease?", "reference": "gout", "response": ""},
    {"id": "undecided", "question": "Which disease?", "reference": "measles", "response": "mumps"},
]


class Trained(NamedTuple):
    """A folder with micro.yaml and its run, and what the command printed for the first step and for the second."""

    folder: Path
    first: str
    second: str


@pytest.fixture(autouse=True)
def _fresh_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))


@pytest.fixture(scope="module")
def training(tmp_path_factory: pytest.TempPathFactory) -> Trained:
    folder = tmp_path_factory.mktemp("training")
    (folder / "micro.yaml").write_text(MICRO, encoding="utf-8")
    printed = []
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setattr(sys, "path", list(sys.path))
        for override in ("trainer.steps=1", "resume=true"):
            with contextlib.redirect_stdout(io.StringIO()) as out:
                assert cli.main(["run", "micro.yaml", override]) == 0
            printed.append(out.getvalue())
    return Trained(folder, *printed)


@pytest.fixture
def trained(training: Trained, monkeypatch: pytest.MonkeyPatch) -> Trained:
    """The run, from within its folder."""
    monkeypatch.chdir(training.folder)
    return training


def write(name: str, rows: list[dict[str, Any]]) -> str:
    Path(name).write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return name


def read(name: str) -> dict[str, Any]:
    report: dict[str, Any] = json.loads(Path(name).read_text(encoding="utf-8"))
    return report


def fails(capsys: Capture, status: int, *arguments: str) -> str:
    """What a command says that ends with this status: one message, and nothing where results belong."""
    assert cli.main(arguments) == status
    out, err = capsys.readouterr()
    assert out == "" and err.startswith("medrl: ") and err.count("medrl: ") == 1 and "Traceback" not in err
    return err


# Statuses ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("command", [[], ["fly"], ["run"]])
def test_a_command_that_is_none_ends_with_2(command: list[str], capsys: Capture) -> None:
    with pytest.raises(SystemExit) as ended:
        cli.main(command)
    assert ended.value.code == 2 and "usage: medrl" in capsys.readouterr().err


@pytest.mark.parametrize("command", [[], ["run"], ["eval"], ["verify"], ["card"], ["attack"], ["config"], ["doctor"]])
def test_help_ends_with_0(command: list[str], capsys: Capture) -> None:
    with pytest.raises(SystemExit) as ended:
        cli.main([*command, "--help"])
    assert ended.value.code == 0 and capsys.readouterr().out.startswith("usage: medrl")


def test_version(capsys: Capture) -> None:
    with pytest.raises(SystemExit) as ended:
        cli.main(["--version"])
    assert ended.value.code == 0 and capsys.readouterr().out.strip() == f"medrl {medrl.__version__}"


def test_help_is_quick_and_neither_help_nor_verify_brings_in_anything_heavy() -> None:
    """They must answer at once, and work where torch is broken."""
    code = (
        "import sys, time\nfrom medrl.cli import main\n"
        "heavy = {'torch', 'transformers', 'trl', 'datasets'}\n"
        "for command in (['--help'], ['run', '--help']):\n"
        "    try:\n        main(command)\n    except SystemExit:\n        pass\n"
        "found = sorted((heavy | {'numpy', 'rich'}) & set(sys.modules))\nassert not found, found\n"
        "assert time.process_time() < 2\n"  # a tenth of a second, as a rule
        "assert main(['verify', 'answers.jsonl']) == 0\n"
        "found = sorted(heavy & set(sys.modules))\nassert not found, found\n"
    )
    write("answers.jsonl", ROWS)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    listed = done.stdout.partition("usage: medrl run")[0]
    assert all(command in listed for command in ("run", "eval", "verify", "card", "attack", "config", "doctor"))


@pytest.mark.parametrize(
    ("command", "said"),
    [
        ("run nothing.yaml", ["there is no recipe nothing.yaml; that folder has broken.yaml, recipe.yaml"]),
        ("run broken.yaml", ["line 3"]),
        (
            "run recipe.yaml trainer.stpes=3 held_out.cuont=1",
            ["2 faults", "did you mean 'steps'?", "did you mean 'count'?"],
        ),
        ("eval recipe.yaml", ["which has no 'best' policy", "with --policy"]),
        ("verify answer.jsonl", ["answer.jsonl does not exist; did you mean 'answers.jsonl'?"]),
        ("verify answers.jsonl", ["row 7: column 'response' is missing"]),
        ("verify answers.jsonl --limit 0", ["limit is 0"]),
        ("verify answers.jsonl --verifier tpyed", ["has no component 'tpyed'; did you mean 'typed'?"]),
        ("verify answers.jsonl --verifier '{type: number, relative_tolerence: 0.1}'", ["relative_tolerence"]),
        ("verify answers.jsonl --verifier no_such_module:thing", ["no_such_module", "cannot be imported"]),
        ("verify answers.jsonl --verifier '{type: ['", ["'{type: ['"]),
        ("config trainer.stepz", ["did you mean 'trainer.steps'?"]),
    ],
)
def test_what_the_user_can_mend_ends_with_2_and_one_message(command: str, said: list[str], capsys: Capture) -> None:
    Path("recipe.yaml").write_text(MICRO, encoding="utf-8")
    Path("broken.yaml").write_text("name: r\nseed: [\n", encoding="utf-8")
    write("answers.jsonl", [*ROWS, {"id": "g", "question": "Which?", "reference": "gout"}])
    message = fails(capsys, 2, *shlex.split(command))
    for part in said:
        assert part in message


@pytest.mark.parametrize(
    ("error", "status", "said"),
    [
        (TrainingDiverged("the loss is nan"), 1, "the loss is nan"),
        (CheckpointError("no space left"), 1, "no space left"),
        (KeyboardInterrupt(), 130, "interrupted"),
    ],
)
def test_failed_and_interrupted_runs_have_statuses_of_their_own(
    monkeypatch: pytest.MonkeyPatch, capsys: Capture, error: BaseException, status: int, said: str
) -> None:
    def stop(*_: object) -> None:
        raise error

    monkeypatch.setattr("medrl.commands.doctor.main", stop)
    message = fails(capsys, status, "doctor")
    assert said in message and message.count("\n") == 1


def test_faults_of_the_program_keep_their_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("medrl.commands.doctor.main", lambda: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        cli.main(["doctor"])


def test_a_reader_that_goes_away_is_no_crash() -> None:
    command = [sys.executable, "-m", "medrl", "verify", write("a.jsonl", ROWS), "--verifier", "typed"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout is not None and process.stderr is not None
    process.stdout.close()
    assert process.stderr.read() == "" and process.wait() == 1


# verify --------------------------------------------------------------------------------------------------------------


def test_verify_prints_reasons_and_writes_a_flat_object(capsys: Capture) -> None:
    assert cli.main(["verify", write("a.jsonl", ROWS), "--verifier", "typed", "--json", "out/verdicts.json"]) == 0
    printed = capsys.readouterr().out
    for part in ("score", "reference", "undecided", "Koplik spots", "6 responses: 2 right, 3 wrong, 1 abstain"):
        assert part in printed
    assert "labelled" not in printed and max(map(len, printed.split("\n"))) <= 100
    report = read("out/verdicts.json")
    rows = report.pop("rows")
    assert report == {"n": 6, "decided": 5, "correct": 2}
    assert [(row["id"], row["status"], row["score"]) for row in rows] == [
        ("a", "ok", 1.0), ("b", "ok", 1.0), ("c", "ok", 0.0), ("d", "ok", 0.0), ("empty", "ok", 0.0),
        ("undecided", "abstain", None),
    ]  # fmt: skip
    for row in rows:
        assert row["reason"] and row["stage"] and row["reason"][:20] in printed


def test_a_verifier_of_this_folder_that_fails_is_shown_as_an_error_and_never_as_0(
    tmp_path: Path, capsys: Capture
) -> None:
    """`module:attribute` is looked for where the command runs, though an installed command does not look there."""
    Path("verifiers_of_test_cli.py").write_text(
        "from medrl import verifier\n\n\n@verifier('flaky')\ndef flaky(problem, text):\n"
        "    if not text:\n        raise ConnectionError('the judge is down')\n"
        "    return None if text == 'mumps' else 'mg' in text\n",
        encoding="utf-8",
    )
    assert not {"", ".", str(tmp_path)} & set(sys.path)
    command = ["verify", write("a.jsonl", ROWS), "--verifier", "verifiers_of_test_cli:flaky", "--json", "out.json"]
    assert cli.main(command) == 0
    printed = capsys.readouterr().out
    for part in ("! error", "the judge is down", "? abstain", "6 responses: 1 right, 3 wrong, 1 error, 1 abstain"):
        assert part in printed
    report = read("out.json")
    assert (report["n"], report["decided"], report["correct"]) == (6, 4, 1)
    assert [row["score"] for row in report["rows"]] == [0.0, 1.0, 0.0, 0.0, None, None]
    assert [row["status"] for row in report["rows"]] == ["ok", "ok", "ok", "ok", "error", "abstain"]


def test_verify_takes_a_verifier_in_yaml_and_only_so_many_rows(capsys: Capture) -> None:
    rows = [*ROWS[:2], {"id": "without a response", "question": "Which?", "reference": "gout"}]
    assert cli.main(["verify", write("a.jsonl", rows), "--verifier", "{type: text}", "--limit", "2"]) == 0
    assert "2 responses: 1 right, 0 wrong, 1 abstain" in capsys.readouterr().out


def test_verify_measures_agreement_with_labels_over_what_was_decided(capsys: Capture) -> None:
    labels = (True, True, True, False, False, False)  # the third is labelled against the rule
    rows = [{**row, "expected": label} for row, label in zip(ROWS, labels, strict=True)]
    assert cli.main(["verify", write("a.jsonl", rows), "--verifier", "typed", "--json", "out.json"]) == 0
    report = read("out.json")
    assert (report["n"], report["decided"], report["labelled"], report["accuracy"]) == (6, 5, 6, 0.8)
    assert "of 6 labelled rows 5 were decided, 4 as labelled (80.0%)" in capsys.readouterr().out


def test_verify_on_the_labelled_suite(shared_data: Path, capsys: Capture) -> None:
    assert cli.main(["verify", str(shared_data / "verify_cases.jsonl"), "--json", "out.json"]) == 0
    report = read("out.json")
    assert report["n"] == report["labelled"] == len(report["rows"]) > 300
    assert report["accuracy"] >= 0.99 and report["decided"] > 100
    assert f"{report['n']} responses" in capsys.readouterr().out


# config --------------------------------------------------------------------------------------------------------------


def test_config_lists_the_knobs_that_begin_so(capsys: Capture) -> None:
    assert cli.main(["config", "trainer.s"]) == 0
    printed = capsys.readouterr().out
    assert "trainer.steps: int = 100" in printed and "trainer.save_every" in printed
    assert "trainer.patience" not in printed
    assert cli.main(["config"]) == 0
    assert "verifier(typed)" in capsys.readouterr().out


def test_config_prints_recipes_that_read_back(capsys: Capture) -> None:
    assert cli.main(["config", "--yaml"]) == 0
    Path("mine.yaml").write_text(capsys.readouterr().out, encoding="utf-8")
    Path("micro.yaml").write_text(MICRO, encoding="utf-8")
    for name in ("mine.yaml", "micro.yaml"):
        assert cli.main(["config", "--recipe", name]) == 0
        Path("resolved.yaml").write_text(capsys.readouterr().out, encoding="utf-8")
        assert load_recipe("resolved.yaml") == load_recipe(name)


# run and eval --------------------------------------------------------------------------------------------------------


def test_a_run_is_trained_gone_on_with_and_not_begun_again(trained: Trained, capsys: Capture) -> None:
    assert "learning curve: runs/micro/curve.png" in trained.first
    assert "accuracy, mean over samples" in trained.first
    assert "going on from step 1" in trained.second
    recorded = Path("runs/micro/evaluations.jsonl").read_text(encoding="utf-8").splitlines()
    assert [json.loads(line)["step"] for line in recorded] == [0, 1, 2]
    assert "holds a run already" in fails(capsys, 2, "run", "micro.yaml")


@pytest.mark.parametrize("policy", ["best", "latest", "sft", "runs/micro/sft"])
def test_eval_of_a_run_gives_the_figures_that_it_logged(policy: str, trained: Trained, capsys: Capture) -> None:
    logged = [json.loads(line) for line in Path("runs/micro/evaluations.jsonl").read_text().splitlines()]
    first_best = max(logged, key=lambda row: float(row["accuracy"]))
    row = {"best": first_best, "latest": logged[-1]}.get(policy, logged[0])
    assert cli.main(["eval", "runs/micro", "--policy", policy, "--json", "out.json"]) == 0
    assert "accuracy" in capsys.readouterr().out
    report = read("out.json")
    assert report["policy"] == policy
    for figure in ("accuracy", "greedy_accuracy", "reward", "unscored", "length", "problems", "samples"):
        assert report[figure] == row[figure], figure


def test_eval_takes_a_recipe_and_a_folder_of_a_policy(trained: Trained) -> None:
    best = str(trained.folder / "runs" / "micro" / "best")
    assert cli.main(["eval", "micro.yaml", "held_out.count=2", "--policy", best, "--json", "out.json"]) == 0
    assert read("out.json")["problems"] == 2


def test_eval_without_a_policy_or_problems_ends_with_2(trained: Trained, tmp_path: Path, capsys: Capture) -> None:
    without = tmp_path / "without"
    shutil.copytree("runs/micro", without, ignore=shutil.ignore_patterns("sft"))
    assert "has no 'sft' policy; it has: best, latest\n" in fails(capsys, 2, "eval", str(without), "--policy", "sft")
    for nowhere in ("./nothing", str(tmp_path / "nothing")):
        assert f"there is no model at {nowhere}" in fails(capsys, 2, "eval", "runs/micro", "--policy", nowhere)
    assert "no held-out problems" in fails(capsys, 2, "eval", "runs/micro", "held_out=null")


def test_verify_fails_where_the_verifier_failed_on_everything(capsys: Capture) -> None:
    Path("broken_of_test_cli.py").write_text(
        "from medrl import verifier\n\n\n@verifier('broken')\ndef broken(problem, text) -> bool:\n"
        "    raise ConnectionError('the judge is down')\n",
        encoding="utf-8",
    )
    assert cli.main(["verify", write("a.jsonl", ROWS), "--verifier", "broken_of_test_cli:broken"]) == 1
    assert "failed on every response: ConnectionError: the judge is down" in capsys.readouterr().err
