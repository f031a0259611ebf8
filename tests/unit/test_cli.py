"""The command line: exit statuses, what each command prints and writes."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from medrl.cli import main

Capture = pytest.CaptureFixture[str]


def answers(folder: Path) -> Path:
    rows = [
        {"id": "right", "question": "Which disease?", "reference": "gout", "response": "It is gout."},
        {"id": "wrong", "question": "Which disease?", "reference": "gout", "response": "It is rickets."},
        {"id": "empty", "question": "Which disease?", "reference": "gout", "response": ""},
    ]
    path = folder / "answers.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


# Statuses ------------------------------------------------------------------------------------------------------------


def test_no_command_and_an_unknown_one_end_with_2(capsys: Capture) -> None:
    for arguments in ([], ["fly"], ["run"]):
        with pytest.raises(SystemExit) as ended:
            main(arguments)
        assert ended.value.code == 2
    assert "usage: medrl" in capsys.readouterr().err


@pytest.mark.parametrize("command", [[], ["run"], ["eval"], ["verify"], ["config"], ["doctor"]])
def test_help_ends_with_0(command: list[str], capsys: Capture) -> None:
    with pytest.raises(SystemExit) as ended:
        main([*command, "--help"])
    assert ended.value.code == 0
    assert capsys.readouterr().out.startswith("usage: medrl")


def test_help_and_verify_do_not_import_torch(tmp_path: Path) -> None:
    """They must answer at once, and work where torch is broken."""
    check = (
        "import sys; from medrl.cli import main\n"
        "try:\n    main(sys.argv[1:])\nexcept SystemExit:\n    pass\n"
        "heavy = sorted({'torch', 'transformers', 'trl', 'datasets'} & set(sys.modules)); assert not heavy, heavy"
    )
    for arguments in (["--help"], ["run", "--help"], ["verify", str(answers(tmp_path)), "--verifier", "text"]):
        done = subprocess.run([sys.executable, "-c", check, *arguments], capture_output=True, text=True, timeout=60)
        assert done.returncode == 0, done.stderr


def test_what_the_user_can_mend_ends_with_2_and_one_message(tmp_path: Path, capsys: Capture) -> None:
    assert main(["run", str(tmp_path / "none.yaml")]) == 2
    (tmp_path / "r.yaml").write_text("name: r\nseed: [\n")
    assert main(["run", str(tmp_path / "r.yaml")]) == 2
    out, complaint = capsys.readouterr()
    assert out == ""
    assert complaint.count("medrl: ") == 2
    assert "there is no recipe" in complaint
    assert "line 3" in complaint


# verify --------------------------------------------------------------------------------------------------------------


def test_verify_prints_a_table_and_a_summary(tmp_path: Path, capsys: Capture) -> None:
    assert main(["verify", str(answers(tmp_path)), "--verifier", "text"]) == 0
    printed = capsys.readouterr().out
    for word in ("right", "wrong", "gout", "score", "reference", "3 responses: 1 right"):
        assert word in printed


def test_verify_writes_a_flat_object(tmp_path: Path) -> None:
    out = tmp_path / "out" / "verdicts.json"
    assert main(["verify", str(answers(tmp_path)), "--verifier", "{type: text}", "--json", str(out)]) == 0
    report: dict[str, Any] = json.loads(out.read_text())
    assert report["n"] == 3
    rows = {row["id"]: row for row in report["rows"]}
    assert list(rows) == ["right", "wrong", "empty"]
    assert all({"id", "status", "score", "stage", "reason"} <= set(row) for row in report["rows"])
    assert rows["right"]["score"] == 1.0
    assert (rows["wrong"]["status"], rows["wrong"]["score"]) == ("abstain", None)  # words alone do not decide
    assert rows["empty"]["score"] == 0.0
    assert all((row["score"] is None) == (row["status"] != "ok") for row in report["rows"])
    assert report["decided"] == sum(row["score"] is not None for row in report["rows"])
    assert report["correct"] == 1


def test_a_verifier_that_fails_is_shown_as_an_error_and_never_as_0(
    tmp_path: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is found beside the file, as `module:attribute` in the folder that the command runs in."""
    (tmp_path / "verifiers_of_test_cli.py").write_text(
        "from medrl.verifiers import verifier\n"
        "@verifier('flaky')\ndef flaky(problem, text):\n"
        "    if not text:\n        raise ConnectionError('the judge is down')\n"
        "    return None if 'rickets' in text else True\n"
    )
    monkeypatch.setattr(sys, "path", [path for path in sys.path if path != str(tmp_path)])
    monkeypatch.chdir(tmp_path)
    out = tmp_path / "verdicts.json"
    command = ["verify", str(answers(tmp_path)), "--verifier", "verifiers_of_test_cli:flaky", "--json", str(out)]
    assert main(command) == 0
    printed = capsys.readouterr().out
    assert "! error" in printed
    assert "the judge is down" in printed
    assert "? abstain" in printed
    assert "3 responses: 1 right, 0 wrong, 1 abstain, 1 error" in printed
    report = json.loads(out.read_text())
    assert (report["n"], report["decided"], report["correct"]) == (3, 1, 1)
    assert [(row["status"], row["score"]) for row in report["rows"]] == [
        ("ok", 1.0),
        ("abstain", None),
        ("error", None),
    ]


@pytest.mark.parametrize(
    ("verifier", "said"),
    [
        ("txt", "did you mean 'text'?"),
        ("{type: number, relative_tolerence: 0.1}", "relative_tolerence"),
        ("no_such_module:thing", "cannot be imported"),
        ("{type: [", ""),
    ],
)
def test_an_invalid_verifier_ends_with_2(verifier: str, said: str, tmp_path: Path, capsys: Capture) -> None:
    assert main(["verify", str(answers(tmp_path)), "--verifier", verifier]) == 2
    complaint = capsys.readouterr().err
    assert complaint.startswith("medrl: ")
    assert said in complaint


def test_verify_says_which_row_has_no_response(tmp_path: Path, capsys: Capture) -> None:
    path = answers(tmp_path)
    path.write_text(path.read_text() + json.dumps({"id": "x", "question": "Which?", "reference": "gout"}) + "\n")
    assert main(["verify", str(path)]) == 2
    assert "row 4: column 'response' is missing" in capsys.readouterr().err
    assert main(["verify", str(path), "--limit", "3"]) == 0
    assert main(["verify", str(path), "--limit", "0"]) == 2
    assert main(["verify", str(tmp_path / "answer.jsonl")]) == 2
    assert "did you mean 'answers.jsonl'" in capsys.readouterr().err


# config --------------------------------------------------------------------------------------------------------------


def test_config_lists_the_knobs_that_begin_so(capsys: Capture) -> None:
    assert main(["config", "trainer.s"]) == 0
    printed = capsys.readouterr().out
    assert "trainer.steps: int = 100" in printed
    assert "trainer.save_every" in printed
    assert "trainer.patience" not in printed
    assert main(["config"]) == 0
    assert "verifier(typed)" in capsys.readouterr().out


def test_config_of_an_unknown_knob_ends_with_2(capsys: Capture) -> None:
    assert main(["config", "trainer.stepz"]) == 2
    out, complaint = capsys.readouterr()
    assert out == ""
    assert "did you mean 'trainer.steps'?" in complaint


def test_config_prints_a_whole_recipe_that_reads_back(repository: Path, tmp_path: Path, capsys: Capture) -> None:
    from medrl.recipes import load_recipe

    example = repository / "examples" / "huatuogpt_o1" / "tiny.yaml"
    assert main(["config", "--recipe", str(example)]) == 0
    again = tmp_path / "again.yaml"
    again.write_text(capsys.readouterr().out, encoding="utf-8")
    assert load_recipe(again) == load_recipe(example)


# eval ----------------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of one step, and its recipe beside it."""
    folder = tmp_path_factory.mktemp("eval")
    clinic = "{source: clinic, kinds: [term], languages: [en], diseases: 20, count: 8"
    recipe = folder / "r.yaml"
    recipe.write_text(
        f"name: r\nthreads: 1\nfolder: {folder / 'run'}\n"
        "policy: {new: {vocab_size: 400, hidden_size: 32, layers: 1, heads: 2, key_value_heads: 1,"
        " intermediate_size: 64, context: 256}}\n"
        f"problems: {clinic}}}\nheld_out: {clinic}, split: held_out}}\n"
        "reward: {type: verified, verifier: typed, otherwise: 0.0}\n"
        "sampling: {max_tokens: 16}\ntrainer: {steps: 1, problems_per_step: 2, rollouts_per_problem: 2}\n"
        "evaluation: {samples: 1}\n"
    )
    assert main(["run", str(recipe)]) == 0
    return folder


def test_eval_of_a_finished_run_gives_the_figures_of_the_run(finished: Path, tmp_path: Path, capsys: Capture) -> None:
    logged = [json.loads(line) for line in (finished / "run" / "evaluations.jsonl").read_text().splitlines()]
    for policy, row in (("best", logged[0]), ("latest", logged[-1])):
        out = tmp_path / f"{policy}.json"
        assert main(["eval", str(finished / "run"), "--policy", policy, "--json", str(out)]) == 0
        report = json.loads(out.read_text())
        assert report["policy"] == policy
        for figure in ("accuracy", "greedy_accuracy", "reward", "unscored", "length", "problems", "samples"):
            assert report[figure] == row[figure], figure
    assert "accuracy" in capsys.readouterr().out


def test_eval_takes_a_recipe_and_a_folder_of_a_policy(finished: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.json"
    best = finished / "run" / "best"
    command = ["eval", str(finished / "r.yaml"), "held_out.count=4", "--policy", str(best), "--json", str(out)]
    assert main(command) == 0
    assert json.loads(out.read_text())["problems"] == 4


def test_eval_of_a_policy_that_is_not_there_says_which_are(finished: Path, capsys: Capture) -> None:
    assert main(["eval", str(finished / "run"), "--policy", "sft"]) == 2
    assert "it has: best, latest" in capsys.readouterr().err
    assert main(["eval", str(finished / "r.yaml")]) == 2
    assert "with --policy" in capsys.readouterr().err
    assert main(["eval", str(finished / "run"), "--policy", str(finished / "nowhere")]) == 2
    assert "there is no model" in capsys.readouterr().err


def test_eval_without_held_out_problems_ends_with_2(finished: Path, capsys: Capture) -> None:
    assert main(["eval", str(finished / "run"), "held_out=null"]) == 2
    assert "no held-out problems" in capsys.readouterr().err
