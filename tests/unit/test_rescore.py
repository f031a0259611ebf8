"""A run's stored rollouts are scored again: what changed, how, and why; and the run stays as it is."""

import io
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml
from rich.console import Console

from medrl.commands.rescore import CHANGES, rescore, state
from medrl.commands.rescore_table import show
from medrl.errors import DataError, MissingFile, PluginError, RecipeError
from medrl.rewards import Format, Normalise, Reward, RewardContext, Verified, build, levels, reward
from medrl.rewards.tree import Scores
from medrl.tracking import RunFolder
from medrl.types import Group, Problem, Response, Rollout, Score, Verdict, ask
from medrl.verifiers import RuleVerifier, Text, Typed

ANSWERS = ("## Thinking\nIt wheezes.\n## Final Response\nAsthma", "## Thinking\nx\n## Final Response\nGout", "Asthma")
OWN = levels(Typed("o1"), "o1", otherwise=0.0)


class Contrary(RuleVerifier):
    """Takes gout for right and asthma for wrong, and fails at texts without a header."""

    name = "contrary"

    def check(self, problem: Problem, response: Response) -> Verdict:
        if not response.text.startswith("##"):
            raise ConnectionError("down")
        return Verdict(float("Gout" in response.text), answer=response.text[-4:], span=(0, 4), reason="contrary")


@reward("step_seen")
def nothing(problem: Problem, response: Response) -> float:
    return 0.0


@dataclass(frozen=True)
class StepSeen(Reward):
    """Pays the step that it is told."""

    name: str = "step_seen"

    async def assess(self, groups: Sequence[Group], context: RewardContext) -> Scores:
        return [[Score(float(context.step)) for _ in group.rollouts] for group in groups]


def groups(step: int) -> list[Group]:
    english = Problem(f"en-{step}", ask("What wheezes?"), "asthma", aliases=("bronchial asthma",), metadata={"row": 3})
    choice = Problem("zh", ask("哪一个？"), "B", "choice", {"A": "痛风", "B": "Asthma"}, language="zh")
    return [
        Group(one, tuple(Rollout(t, token_count=9, problem_id=one.id, index=i, seed=i) for i, t in enumerate(ANSWERS)))
        for one in (english, choice)
    ]


@pytest.fixture
def run(tmp_path: Path) -> Path:
    with RunFolder.create(tmp_path / "run", yaml.safe_dump({"name": "x", "reward": OWN.to_config()})) as folder:
        for step in (1, 12):
            asked = groups(step)
            scores = OWN.score_sync(asked, RewardContext(step))
            folder.log_rollouts(step, asked, scores, [[0.5, -0.5, 0.0]] * 2)
        folder.log_rollouts(12, groups(0)[:1], OWN.score_sync(groups(0)[:1]), name="held_out")
    return tmp_path / "run"


def contents(path: Path) -> dict[str, bytes]:
    return {str(file.relative_to(path)): file.read_bytes() for file in path.rglob("*") if file.is_file()}


def test_the_runs_own_reward_changes_nothing(run: Path) -> None:
    before = contents(run)
    report = rescore(run).report
    assert (report["n"], report["changed"], report["changes"], report["rows"]) == (15, 0, {}, [])
    assert report["reward_before"] == report["reward_after"] == pytest.approx((1.0 + 0.1 + 0.0) / 3)
    assert report["paid_before"] == pytest.approx(1 / 3) and report["unscored_after"] == 0
    assert [(row["phase"], row["step"], row["n"]) for row in report["steps"]] == [
        ("train", 1, 6), ("train", 12, 6), ("held_out", 12, 3),
    ]  # fmt: skip
    assert contents(run) == before


def test_every_change_is_told_with_both_reasons(run: Path) -> None:
    found = rescore(run, levels(Contrary(), None, otherwise=0.0))
    assert found.report["changes"] == {"paid -> unpaid": 5, "unpaid -> paid": 5, "unpaid -> no number": 5}
    assert [CHANGES.index(row["change"]) for row in found.report["rows"]] == [0] * 5 + [1] * 5 + [3] * 5
    first = found.report["rows"][0]
    assert (first["phase"], first["step"], first["problem_id"], first["index"]) == ("train", 1, "en-1", 0)
    assert first["old"]["value"] == 1.0 and first["old"]["answer"] == "Asthma" and first["old"]["stage"] == "text"
    span = first["old"]["span"]
    assert ANSWERS[0][span[0] : span[1]] == "Asthma" and first["text"] == ANSWERS[0]
    assert first["new"] == {
        "value": 0.1, "status": "ok", "reason": "contrary", "answer": "thma", "span": [0, 4], "verdict": "ok",
        "stage": "contrary",
    }  # fmt: skip
    lost = found.report["rows"][-1]
    assert lost["new"]["status"] == "error" and "down" in lost["new"]["reason"] and lost["old"]["value"] == 0.0
    assert found.report["unscored_after"] == 5 and found.report["reward_after"] == pytest.approx(0.55)
    json.dumps(found.report)


def test_phase_and_limit_take_whole_groups(run: Path) -> None:
    assert rescore(run, phase="train").report["n"] == 12
    evaluated = rescore(run, phase="evaluation").report
    assert evaluated["n"] == 3 and evaluated["steps"][0]["phase"] == "held_out"
    assert rescore(run, limit=4).report["n"] == 6
    with pytest.raises(DataError, match="limit is 0"):
        rescore(run, limit=0)


def test_a_limit_reads_no_more_than_it_needs(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A long run is not held in memory for a look at its beginning."""
    read: list[int] = []
    whole = RunFolder.read_rollouts
    monkeypatch.setattr(RunFolder, "read_rollouts", lambda *some: (read.append(some[1]), whole(*some))[1])
    assert rescore(run, limit=4).report["n"] == 6 and read == [1]


def test_training_and_evaluations_know_their_step(run: Path) -> None:
    steps = {(one.name, one.step): one.new.value for one in rescore(run, StepSeen()).rollouts}
    assert steps == {("train", 1): 1.0, ("train", 12): 12.0, ("held_out", 12): 12.0}


def test_running_state_is_learnt_anew_from_the_steps_before(run: Path) -> None:
    """`normalise` sees at step 12, and at the evaluation after it, what the trainer's would have seen."""
    tree = Normalise(StepSeen(), mean=1.0, std=2.0, limit=100.0)
    values = {(one.name, one.step): one.new.value for one in rescore(run, tree).rollouts}
    # Step 1 by the first scale; step 12 by three values of 1.0, whose spread is nothing; the evaluation by 1, 1, 1, 12, ...
    first, second = 3, 3
    mean = (first * 1.0 + second * 12.0) / (first + second)
    assert values[("train", 1)] == 0.0 and values[("train", 12)] == pytest.approx((12.0 - 1.0) / 2.0)
    assert values[("held_out", 12)] == pytest.approx((12.0 - mean) / 5.5)
    alone = rescore(run, tree, phase="evaluation").rollouts
    assert [one.new.value for one in alone] == [values[("held_out", 12)]] * len(alone)


def test_other_values_failures_and_answers_are_changes_too(tmp_path: Path) -> None:
    group = Group(Problem("p", ask("?"), "Asthma"), tuple(Response(text) for text in ("Asthma", "Gout", "x", "Asthma")))
    right = Verified(Text(), otherwise=0.0).score_sync([group])[0]
    lost = Score(None, "timeout", {"correct": right[2].parts["correct"]}, "late")
    read = Score.from_json(
        json.loads(json.dumps(right[3].to_json()).replace('"answer": "Asthma"', '"answer": "asthma!"'))
    )
    with RunFolder.create(tmp_path, "reward: {type: verified, verifier: text, otherwise: 0.0}") as folder:
        folder.log_rollouts(1, [group], [[right[0], right[1], lost, read]])
    assert rescore(tmp_path).report["changes"] == {"no number -> unpaid": 1, "another answer read": 1}
    doubled = rescore(tmp_path, build({"type": "weighted_sum", "parts": [{"type": "verified", "verifier": "text",
        "otherwise": 0.0}], "weights": [2.0]}))  # fmt: skip
    assert doubled.report["changes"]["another value"] == 2 and doubled.report["reward_after"] == 1.0
    failing = rescore(tmp_path, Verified(Contrary()))
    assert failing.report["changes"] == {"paid -> no number": 2, "unpaid -> no number": 1, "another failure": 1}
    assert state(Score(0.3), "") == "paid" and state(Score(0.0), "") == "unpaid"


def test_a_reward_without_a_verifier_pays_what_is_above_nothing(run: Path) -> None:
    report = rescore(run, Format("o1")).report
    assert report["paid_after"] == pytest.approx(2 / 3) and report["changes"]["unpaid -> paid"] == 5


def test_runs_that_cannot_be_scored_again_are_named(run: Path, tmp_path: Path) -> None:
    with pytest.raises(MissingFile, match="no such folder"):
        rescore(tmp_path / "none")
    with RunFolder.create(tmp_path / "empty", "name: x") as folder:
        with pytest.raises(DataError, match="names no reward; give one with --reward"):
            rescore(folder.path)
        with pytest.raises(DataError, match=r"no rollouts of training; .*trainer\.log_rollouts=true"):
            rescore(folder.path, OWN, phase="train")
    with (
        RunFolder.create(tmp_path / "gone", "reward: {type: 'absent_package:reward'}") as folder,
        pytest.raises((PluginError, RecipeError), match="absent_package"),
    ):
        rescore(folder.path)
    rows = [json.loads(line) for line in (run / "rollouts/step-000012.jsonl").read_text().splitlines()]
    old: list[dict[str, Any]] = [{k: v for k, v in row.items() if k != "problem"} for row in rows]
    (run / "rollouts/step-000012.jsonl").write_text("".join(json.dumps(row) + "\n" for row in old))
    with pytest.raises(DataError, match=r"step-000012\.jsonl .*each row needs its problem, response and score"):
        rescore(run)


def test_the_table_shows_steps_changes_and_examples(run: Path) -> None:
    def shown(tree: Reward | None) -> str:
        file = io.StringIO()
        show(Console(file=file, width=120, highlight=False, emoji=False, markup=False), rescore(run, tree))
        return file.getvalue()

    said = shown(levels(Contrary(), None, otherwise=0.0))
    assert "paid -> unpaid: 5" in said and "held_out" in said and "old  1, read 'Asthma' at" in said
    assert "new  error" in said and "down" in said
    assert "nothing changed in 15 rollouts" in shown(None)


def test_the_evaluations_of_a_run_are_listed_by_name(run: Path) -> None:
    assert RunFolder(run).rollout_names() == ["held_out"]
