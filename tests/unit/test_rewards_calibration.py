"""Calibration of judges: fits by hand, pass rates whose intervals hold, and confidence that scales what a rollout teaches."""

import json
import random
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import pytest
import torch

from medrl.algorithms import GRPO, Batch
from medrl.cli import main
from medrl.commands.calibrate import calibrate
from medrl.errors import DataError, InvalidScore, RecipeError
from medrl.rewards import Calibrated, Calibration, Verified
from medrl.rewards.calibration import fit, fit_isotonic, fit_platt
from medrl.types import Group, Part, Problem, Response, Rollout, Score, ScoredGroup, Verdict, ask
from medrl.verifiers import Text, verifier
from medrl.verifiers.pass_rate import pass_rate
from medrl.verifiers.protocol import RuleVerifier


@dataclass(frozen=True)
class Says(RuleVerifier):
    name: ClassVar[str] = "says"

    def check(self, problem: Problem, response: Response) -> Verdict:
        return Verdict.abstain("no number") if response.text == "?" else Verdict(float(response.text))


@verifier("lenient")
def lenient(problem: Problem, text: str) -> bool:
    """Accepts every right answer, and the wrong ones that are long."""
    return text == problem.reference or len(text) > 8


def test_isotonic_pools_what_goes_down() -> None:
    xs, right = [0.1, 0.2, 0.3, 0.3, 0.8, 0.9], [False, True, False, False, True, True]
    assert fit_isotonic(xs, right) == ((0.1, 0.2, 0.3, 0.8, 0.9), (0.0, 1 / 3, 1 / 3, 1.0, 1.0))
    made = fit(xs, right)
    assert [made(x) for x in (-5.0, 0.15, 0.25, 0.55, 7.0)] == pytest.approx([0.0, 1 / 6, 1 / 3, 2 / 3, 1.0])
    both = fit([0.0] * 5 + [1.0] * 5, [False] * 4 + [True] * 5 + [False])
    assert (both(0.0), both(1.0)) == (0.2, 0.8)  # a judge of two values: what each of them is worth


def test_platt_finds_the_logistic_and_stays_off_the_ends() -> None:
    draw = random.Random(0)
    xs = [draw.uniform(-3, 3) for _ in range(4000)]
    right = [draw.random() < 1 / (1 + torch.exp(torch.tensor(-(1.5 * x - 0.5))).item()) for x in xs]
    a, b = fit_platt(xs, right)
    assert a == pytest.approx(1.5, abs=0.15) and b == pytest.approx(-0.5, abs=0.15)
    apart = fit([0.0, 0.0, 1.0, 1.0], [False, False, True, True], "platt")
    assert 0.0 < apart(0.0) < 0.3 < 0.7 < apart(1.0) < 1.0
    with pytest.raises(DataError, match="prefers wrong answers"):
        fit([0.0] * 9 + [1.0] * 9, [True] * 9 + [False] * 9, "platt")
    with pytest.raises(DataError, match="both kinds"):
        fit([0.1, 0.2], [True, True])


def test_pass_rate_undoes_the_errors_of_the_judge() -> None:
    # Se 0.9 and Sp 0.8: of 60 % right it accepts 0.9 * 0.6 + 0.2 * 0.4 = 62 %
    found = pass_rate(620, 1000, 90, 100, 80, 100)
    assert (found.accepted, found.corrected) == (0.62, pytest.approx(0.6))
    assert found.low is not None and found.high is not None and found.low < 0.6 < found.high
    wide = pass_rate(620, 1000, 9, 10, 8, 10)
    assert wide.low is not None and wide.high is not None and wide.high - wide.low > found.high - found.low
    assert pass_rate(5, 10, 5, 10, 5, 10).corrected is None  # chance
    for bad in ((11, 10, 1, 1, 1, 1), (0, 0, 1, 1, 1, 1), (1, 1, 0, 0, 1, 1)):
        with pytest.raises(ValueError, match="is no share"):
            pass_rate(*bad)


@pytest.mark.parametrize(("share", "se", "sp"), [(0.6, 0.9, 0.8), (0.2, 0.8, 0.95), (0.85, 0.95, 0.7)])
def test_the_interval_covers_what_it_says(share: float, se: float, sp: float) -> None:
    draw, inside, rounds = random.Random(7), 0, 1500

    def count(n: int, p: float) -> int:
        return sum(draw.random() < p for _ in range(n))

    for _ in range(rounds):
        right = count(200, share)
        accepted = count(right, se) + count(200 - right, 1 - sp)
        found = pass_rate(accepted, 200, count(60, se), 60, count(60, sp), 60)
        inside += found.low is not None and found.high is not None and found.low <= share <= found.high
    assert 0.935 <= inside / rounds <= 0.985


def write(path: Path, rows: list[tuple[str, bool | None]]) -> Path:
    lines = [
        {"id": str(i), "question": "?", "reference": "Asthma", "response": text, "expected": label}
        for i, (text, label) in enumerate(rows)
    ]
    path.write_text("".join(json.dumps({k: v for k, v in one.items() if v is not None}) + "\n" for one in lines))
    return path


def test_calibrate_on_the_command_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    labelled = [("Asthma", True)] * 20 + [("Gout", False)] * 15 + [("Bronchiectasis", False)] * 5
    labels = write(tmp_path / "labels.jsonl", labelled)
    new = write(tmp_path / "new.jsonl", [("Asthma", None)] * 40 + [("Gout", None)] * 45 + [("Pneumothorax", None)] * 15)
    out, figures = tmp_path / "lenient.json", tmp_path / "figures.json"
    name = f"{__name__}:lenient"
    command = [
        "calibrate",
        name,
        "--labels",
        str(labels),
        "--answers",
        str(new),
        "--out",
        str(out),
        "--json",
        str(figures),
    ]
    assert main(command) == 0
    shown = capsys.readouterr().out
    assert "pass rate corrected" in shown and "40.0%" in shown
    report = json.loads(figures.read_text())
    assert (report["sensitivity"], report["specificity"]) == (1.0, 0.75)
    assert report["pass_rate_claimed"] == 0.55 and report["pass_rate_corrected"] == pytest.approx(0.4)
    assert report["pass_rate_interval"][0] < 0.4 < report["pass_rate_interval"][1]
    assert report["brier_after"] < report["brier_before"]
    node = Calibrated(Verified(lenient, otherwise=0.0), str(out), weigh=True)
    group = Group(Problem("p", ask("?"), "Asthma"), (Response("Asthma"), Response("Gout")))
    right, wrong = node.score_sync([group])[0]
    assert (right.value, wrong.value) == (pytest.approx(0.8), 0.0)
    assert right.parts["calibrated"].confidence == right.weight == pytest.approx(0.6) and wrong.weight == 1.0
    assert main(["calibrate", name, "--labels", str(write(tmp_path / "few.jsonl", labelled[:25]))]) == 2
    assert "decides at least 10 of each" in capsys.readouterr().err


@dataclass(frozen=True)
class Partly(RuleVerifier):
    """Pays "half" for a part of the answer."""

    name: ClassVar[str] = "partly"

    def check(self, problem: Problem, response: Response) -> Verdict:
        return Verdict(0.8, parts={"whole": 0.0}) if response.text == "half" else Verdict(float(response.text))


def test_a_part_of_the_answer_passes_no_pass_rate(tmp_path: Path) -> None:
    labels = write(
        tmp_path / "labels.jsonl", [("1", True)] * 9 + [("half", True)] + [("0", False)] * 5 + [("half", False)] * 5
    )
    report = calibrate(Partly(), labels).report
    assert (report["sensitivity"], report["specificity"], report["pass_rate_claimed"]) == (0.9, 1.0, 0.45)


def test_a_calibration_of_another_judge_or_a_broken_file_is_refused(tmp_path: Path) -> None:
    made = fit([0.0, 1.0, 0.0, 1.0], [False, True, True, False], judge=Text().fingerprint())
    path = tmp_path / "c.json"
    path.write_text(json.dumps(made.to_json()))
    assert Calibration.load(path) == made
    assert Calibrated(Verified(Text(), otherwise=0.0), str(path)).calibration == made
    with pytest.raises(RecipeError, match="is of a judge with the fingerprint"):
        Calibrated(Verified(Says(), otherwise=0.0), str(path))
    for content, said in (
        ("{", "cannot be read"),
        ("[]", "version None"),
        ('{"version": 1, "xs": [1]}', "no calibration"),
    ):
        path.write_text(content)
        with pytest.raises(RecipeError, match=said):
            Calibrated(Verified(Text(), otherwise=0.0), str(path))
    with pytest.raises(RecipeError, match="medrl calibrate JUDGE"):
        Calibrated(Verified(Text(), otherwise=0.0), str(tmp_path / "none.json"))


def rollout(index: int) -> Rollout:
    return Rollout(
        "x", problem_id="p", index=index, prompt_ids=(1,), token_ids=(2,), logprobs=(-1.0,), loss_mask=(True,)
    )


def test_odd_judges_are_calibrated_or_told() -> None:
    always = fit([0.3] * 20, [True] * 5 + [False] * 15, "platt")
    assert always(0.3) == pytest.approx(6 / 22)  # it tells nothing: the share of right answers
    close = fit([0.5] * 10 + [0.5001] * 10, [False] * 10 + [True] * 10, "platt")
    assert close(0.5) < 0.15 and close(0.5001) > 0.85
    odd = pass_rate(0, 200, 90, 100, 90, 100)
    assert not odd.fits and pass_rate(40, 200, 90, 100, 90, 100).fits


def test_only_verdicts_are_calibrated(tmp_path: Path) -> None:
    path = tmp_path / "c.json"
    path.write_text(json.dumps(fit([0.0, 0.0, 1.0, 1.0], [False, True, True, True]).to_json()))
    with pytest.raises(RecipeError, match="no verdict of a judge as it is"):
        Calibrated(0.5 * Verified(Text(), otherwise=0.0), str(path))
    with pytest.raises(RecipeError, match="wrap it"):
        Calibrated(Text(), str(path))  # type: ignore[arg-type]
    node = Calibrated(Verified(Says(), otherwise=0.25), str(path))
    group = Group(Problem("p", ask("?"), "x"), (Response("0"), Response("?")))
    judged, settled = node.score_sync([group])[0]
    assert (judged.value, settled.value) == (0.5, 0.25)


def test_what_is_only_watched_weighs_nothing() -> None:
    watched = Calibration((0.0, 1.0), (0.5, 0.6))
    part = Part(0.5, confidence=abs(2 * watched(0.5) - 1))
    assert Score(1.0, parts={"a": Part(1.0), "b": part}).weight == pytest.approx(0.1)


def test_confidence_scales_advantages_and_moves_no_baseline() -> None:
    with pytest.raises(InvalidScore, match=r"confidence 1\.5"):
        Part(1.0, confidence=1.5)
    rows = [(1.0, 1.0), (0.0, 0.5), (0.0, 0.0), (None, 1.0)]
    scores = tuple(
        Score(value, "ok" if value is not None else "error", {"a": Part(value, confidence=sure), "b": Part(1.0)})
        for value, sure in rows
    )
    group = ScoredGroup(Group(Problem("p", ask("?")), tuple(rollout(i) for i in range(4))), scores)
    batch = Batch.from_groups([group], 4)
    plain = GRPO(scale="none").advantages(batch.with_(weights_B=None), {}).advantages_BT
    weighed = GRPO(scale="none").advantages(batch, {}).advantages_BT
    assert plain is not None and weighed is not None
    assert plain[:, 1].tolist() == pytest.approx([2 / 3, -1 / 3, -1 / 3, 0.0])
    assert weighed[:, 1].tolist() == pytest.approx([2 / 3, -1 / 6, 0.0, 0.0])
    sure = ScoredGroup(group.group, tuple(Score(1.0) for _ in range(4)))
    assert Batch.from_groups([sure], 4).weights_B is None
    assert Part.from_json(Part(0.5, confidence=0.25).to_json()).confidence == 0.25
