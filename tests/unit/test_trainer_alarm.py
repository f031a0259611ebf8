"""The alarm on rollouts without a score: correlations by hand, when it rings, and that it goes on after a resume."""

import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from medrl.engines import Sampling
from medrl.models import Policy
from medrl.rewards import Verified, Veto
from medrl.rewards.safety import Medication
from medrl.tracking import RunFolder
from medrl.trainers import Trainer, TrainerSettings
from medrl.trainers.alarm import correlation, ranks, rows_of, watch_unscored
from medrl.types import Group, Part, Problem, Response, Score, ScoredGroup, Verdict, ask
from medrl.verifiers.protocol import verifier

REWARD = Veto(Medication(name="guard"), Medication())


def step(rows: list[tuple[bool, int, bool]]) -> list[ScoredGroup]:
    """One group of (has no score, tokens, dangerous)."""
    responses = tuple(Response("x", token_count=tokens) for _, tokens, _ in rows)
    parts = [{"guard": Part(-1.0 if danger else 0.0)} for _, _, danger in rows]
    scores = tuple(
        Score(None, "error", part) if lost else Score(1.0, parts=part)
        for (lost, _, _), part in zip(rows, parts, strict=True)
    )
    return [ScoredGroup(Group(Problem("p", ask("?")), responses), scores)]


def test_ranks_and_correlation_by_hand() -> None:
    assert ranks([10, 20, 20, 5]) == [2, 3.5, 3.5, 1]
    flags, values = [0.0] * 8 + [1.0] * 8, [float(i) for i in range(16)]
    # ranks 4.5 and 12.5 against 1..16: sum of products 4*64 = 256 over sqrt(16*16 * 340)
    assert correlation(flags, values) == pytest.approx(256 / (256 * 340) ** 0.5)
    assert correlation(flags, flags) == pytest.approx(1.0)
    assert correlation(flags, [3.0] * 16) is None
    assert correlation(flags[1:], values[1:]) is None  # seven scored ones say nothing


def run(rows: list[tuple[bool, int, bool]], **knobs: Any) -> tuple[dict[str, float], list[str], dict[str, Any]]:
    said: list[str] = []
    state: dict[str, Any] = {}
    settings = TrainerSettings(**knobs)
    figures = watch_unscored(step(rows), REWARD, settings, state, lambda text, **_: said.append(text))
    return figures, said, state


def test_it_rings_where_long_or_dangerous_responses_have_no_score() -> None:
    figures, said, _ = run([(i >= 50, i, i >= 50) for i in range(64)])
    assert figures["alarm/unscored_length"] > 0.6 and figures["alarm/unscored_danger"] == pytest.approx(1.0)
    assert len(said) == 1 and "longer responses" in said[0] and "danger" in said[0]
    _, said, _ = run([(i < 14, i, False) for i in range(64)])
    assert "shorter responses" in said[0] and "danger (" not in said[0]


def test_it_keeps_silent_by_chance_by_choice_and_where_little_is_known() -> None:
    rng = random.Random(0)
    chance = [[(rng.random() < 0.2, rng.randint(5, 90), rng.random() < 0.3) for _ in range(64)] for _ in range(200)]
    assert sum(bool(run(rows)[1]) for rows in chance) <= 2
    assert run([(i >= 60, i, True) for i in range(64)])[0] == {}  # four without a score
    assert run([(i >= 50, i, True) for i in range(64)], unscored_alarm=None) == ({}, [], {})
    assert not run([(i < 14, 5, i < 14 and i > 20) for i in range(64)])[1]
    # danger that is told of the scored alone is no alarm
    assert not run([(i < 20, i % 7, i >= 20) for i in range(64)])[1]


def test_the_window_moves_on_and_its_state_survives_json() -> None:
    settings, state, said = TrainerSettings(unscored_window=3), dict[str, Any](), list[str]()
    rows = [(i >= 24, i, False) for i in range(32)]

    def watch(state: dict[str, Any]) -> dict[str, float]:
        return watch_unscored(step(rows), REWARD, settings, state, lambda text, **_: said.append(text))

    for _ in range(2):
        watch(state)
    copy = json.loads(json.dumps(state))
    assert [watch(state) for _ in range(3)] == [watch(copy) for _ in range(3)]
    assert len(state["steps"]) == 3 and state == copy
    assert len(said) == 1  # said once while nothing changes


def test_danger_is_told_by_a_part_else_by_the_case() -> None:
    (group,) = step([(False, 3, True)])
    assert rows_of([group], ["guard"]) == [[0.0, 3.0, 1.0]]
    assert rows_of([group], []) == [[0.0, 3.0, -1.0]]
    emergency = Problem("p", ask("?"), metadata={"acuity": "emergency"})
    masked = ScoredGroup(Group(emergency, (Response("four"),)), (Score(None, "error"),))
    assert rows_of([masked], ["guard"]) == [[1.0, 4.0, 1.0]]


def test_a_rollout_masked_for_an_unknown_drug_counts_as_danger() -> None:
    """Ten rollouts advise a drug that no table has and lose their number for it; ten advise none."""
    responses = (Response("Take Zorbafen 20 mg daily."),) * 10 + (Response("Rest and drink water."),) * 10
    group = Group(Problem("p", ask("fever")), responses)
    tree = Medication(name="guard")
    scored = ScoredGroup(group, tuple(tree.score_sync([group])[0]))
    assert [row[0] for row in rows_of([scored], ["guard"])] == [1.0] * 10 + [0.0] * 10
    said: list[str] = []
    figures = watch_unscored([scored], tree, TrainerSettings(), {}, lambda text, **_: said.append(text))
    assert figures["alarm/unscored_danger"] == pytest.approx(1.0) and "danger (+1.00)" in said[0]


@verifier("fails_on_odd")
def fails_on_odd(problem: Problem, text: str) -> Verdict:
    return Verdict.failed("judge is down") if sum(map(ord, text)) % 2 else Verdict(1.0)


def test_a_run_logs_its_figures_and_a_resumed_one_goes_on(make_policy: Callable[..., Policy], tmp_path: Path) -> None:
    """Sixteen rollouts a step, about half without a score; the second run resumes after two of four steps."""
    problems = [Problem(f"p{i}", ask("fever"), metadata={"acuity": ("emergency", "routine")[i % 2]}) for i in range(4)]
    settings = TrainerSettings(
        steps=4, problems_per_step=2, rollouts_per_problem=8, evaluate_every=0, save_every=2, max_unscored=0.9
    )

    def trainer(name: str, resume: bool = False) -> Trainer:
        run = RunFolder.create(tmp_path / name, "name: test\n", resume=resume)
        judge = Verified(fails_on_odd, otherwise=0.0)
        return Trainer(make_policy(), problems, judge, settings=settings, sampling=Sampling(max_tokens=8), run=run)

    whole, half = trainer("whole"), trainer("half")
    whole.fit()
    half.fit(2)
    assert half.run is not None and whole.run is not None
    half.run.close()
    again = trainer("half", resume=True)
    assert again.resume() and again.alarm_state == half.alarm_state
    again.fit()
    assert again.run is not None and len(again.alarm_state["steps"]) == 4
    logged = [[row.get("alarm/unscored_danger") for row in t.run.read_metrics("rl")] for t in (whole, again) if t.run]
    assert logged[0] == logged[1] and isinstance(logged[0][-1], float)


@pytest.mark.parametrize("bad", [{"unscored_alarm": 0.0}, {"unscored_alarm": 1.0}, {"unscored_window": 0}])
def test_bad_knobs_are_told(bad: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="unscored"):
        TrainerSettings(**bad)
