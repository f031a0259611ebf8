"""What `medrl reward` shows of a tree, of answers and of a run."""

import io
import json
from pathlib import Path

import pytest
from rich.console import Console

from medrl.cli import main
from medrl.rewards import Format, RewardContext, Verified
from medrl.rewards.view import reward_tree, score_tree
from medrl.tracking import RunFolder
from medrl.types import Group, Problem, Response, ask
from medrl.verifiers import Text

TREE = 0.9 * Verified(Text(), otherwise=0.0) + 0.1 * Format("o1")
GROUP = Group(Problem("p1", ask("?"), "Asthma"), (Response("Asthma"), Response("Gout")))


def printed(shown: object) -> list[str]:
    out = io.StringIO()
    Console(width=100, file=out).print(shown)
    return out.getvalue().splitlines()


def test_a_tree_shows_every_node_with_its_place_and_knobs() -> None:
    first, correct, form = printed(reward_tree(TREE))
    assert first.startswith("sum  weighted_sum  weights [0.9, 0.1], missing mask")
    assert "parts[0]: correct  verified  verifier text, otherwise 0.0" in correct
    assert "parts[1]: format  format  preset o1" in form


def test_a_scored_rollout_shows_numbers_what_was_read_and_why() -> None:
    right, _ = TREE.score_sync([GROUP])[0]
    total, correct, form = printed(score_tree(TREE, right))
    assert total.startswith("sum  0.9") and "correct  1  read 'Asthma' at 0-6" in correct
    assert "format  0  '## Thinking' occurs 0 times" in form
    gone = printed(score_tree(Format(), right))
    assert "format  0" in gone[0]
    other = printed(score_tree(Format(name="other"), right))
    assert "other  abstain  this score has no part of this name" in other[0]


@pytest.fixture
def run(tmp_path: Path) -> Path:
    tree = "reward:\n  type: verified\n  verifier: text\n  otherwise: 0.0\n"
    with RunFolder.create(tmp_path / "run", tree) as folder:
        scores = Verified(Text(), otherwise=0.0).score_sync([GROUP], RewardContext(1))
        folder.log_rollouts(1, [GROUP], scores)
        return folder.path


def test_of_a_run_the_stored_scores_are_shown(run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["reward", str(run), "--json", str(tmp_path / "out.json")]) == 0
    shown = capsys.readouterr().out
    assert "step 1" in shown and "correct  1  read 'Asthma'" in shown and "correct  0  read 'Gout'" in shown
    rows = json.loads((tmp_path / "out.json").read_text())["rows"]
    assert [row["value"] for row in rows] == [1.0, 0.0]
    assert main(["reward", str(run), "--step", "7"]) == 2
    assert "has rollouts of the training steps [1]" in capsys.readouterr().err
    assert main(["reward", str(run), "--problem", "other"]) == 2
    assert "no rollout of the problem 'other'" in capsys.readouterr().err


def test_of_a_file_the_tree_its_faults_and_answers(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "reward.yaml").write_text("{type: verified, verifier: text, otherwise: 0.0}")
    row = {"id": "1", "question": "?", "reference": "Asthma", "response": "Asthma", "expected": True}
    (tmp_path / "answers.jsonl").write_text(json.dumps(row) + "\n")
    assert main(["reward", str(tmp_path / "reward.yaml"), "--answers", str(tmp_path / "answers.jsonl")]) == 0
    assert "correct  1  read 'Asthma'" in capsys.readouterr().out
    assert main(["reward", str(tmp_path / "reward.yaml"), "--step", "3"]) == 2
    assert "is no run folder" in capsys.readouterr().err


def test_answers_need_a_reference_only_where_something_is_verified(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "answers.jsonl").write_text('{"question": "Why rest?", "response": "To heal."}\n')
    (tmp_path / "signal.yaml").write_text("type: truncation\n")
    (tmp_path / "verified.yaml").write_text("{type: verified, verifier: text, otherwise: 0.0}\n")
    asked = ["--answers", str(tmp_path / "answers.jsonl")]
    out = tmp_path / "out.json"
    assert main(["reward", str(tmp_path / "signal.yaml"), *asked, "--json", str(out)]) == 0
    assert '"value": 1.0' in out.read_text()
    assert main(["reward", str(tmp_path / "verified.yaml"), *asked]) == 2
    assert "fit no known schema" in capsys.readouterr().err
