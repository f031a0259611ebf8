"""Reward trees to YAML and back, and every fault of a config in one go."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import pytest
import yaml

from medrl.errors import RecipeError
from medrl.rewards import (
    Format,
    Gate,
    Reward,
    RewardContext,
    Scores,
    Verified,
    WeightedSum,
    build,
    check,
    levels,
    reward,
)
from medrl.types import Group, Problem, Response, Score, ask
from medrl.verifiers.protocol import verifier

HERE = __name__  # stands for a third party's module


@verifier("exact")
def exact(problem: Problem, text: str) -> bool:
    return text.endswith(f"## Final Response\n\n{problem.reference}")


@verifier("unsure")
def unsure(problem: Problem, text: str) -> bool | None:
    return None


@reward("brief")
def brief(problem: Problem, response: Response) -> float | None:
    return 1.0 / (1 + len(response.text.split()))


@dataclass(frozen=True)
class Scaled(Reward):
    inner: tuple[Reward, ...]
    by: float
    steps: int = 1
    mode: Literal["up", "down"] = "up"
    table: Mapping[str, float] | None = None
    name: str = "scaled"

    async def assess(self, groups: Sequence[Group], context: RewardContext) -> Scores:
        rows = await self.inner[0].score(groups, context)
        return [[Score(None if s.value is None else s.value * self.by, s.status, s.parts) for s in row] for row in rows]


def plain(problem: Problem, response: Response) -> float:
    return 1.0


def yaml_text() -> str:
    return f"""
type: weighted_sum
parts:
  - type: levels
    correct: {{type: verified, verifier: "{HERE}:exact"}}
    format: format
    malformed: -1
  - {{type: "{HERE}:brief", name: short}}
  - type: "{HERE}:Scaled"
    inner: [{{type: format, name: again}}]
    by: 2
    table: {{a: 1}}
weights: [1, 0.5, 0.25]
missing: renormalise
"""


def test_yaml_round_trip_gives_an_equal_tree_config_and_scores() -> None:
    tree = build(yaml.safe_load(yaml_text()))
    config = tree.to_config()
    again = build(yaml.safe_load(yaml.safe_dump(config)))
    assert again == tree and again.to_config() == config
    good = "## Thinking\n\nx\n\n## Final Response\n\ngout"
    groups = [Group(Problem("p", ask("?"), "gout"), (Response(good), Response("gout"), Response(good + "y")))]
    assert again.score_sync(groups) == tree.score_sync(groups)
    # by hand: levels + 0.5 / (1 + words) + 0.25 * 2 * format
    expected = [1.0 + 0.5 / 8 + 0.5, -1.0 + 0.5 / 2, 0.1 + 0.5 / 8 + 0.5]
    assert [score.value for score in tree.score_sync(groups)[0]] == pytest.approx(expected)
    assert [node.name for node in tree.walk()] == ["sum", "levels", "correct", "format", "short", "scaled", "again"]


def test_what_the_operators_make_reads_back() -> None:
    for tree in (
        0.9 * Verified(exact) + 0.1 * Format("think"),
        Format("o1_zh") * (0.5 * Verified(unsure, otherwise=0.0) + brief),
        levels(exact, format=None),
        WeightedSum((levels(exact), Gate(Format(name="f2"), brief)), (1.0, -0.5), missing="raise"),
    ):
        assert build(yaml.safe_load(yaml.safe_dump(tree.to_config()))) == tree
    assert build("format") == build({"type": "format"}) == Format()
    assert build(Format("think")) == Format("think")


def test_all_faults_come_at_once_each_with_its_path() -> None:
    config = {
        "type": "gate",
        "gate": {"type": "format", "preset": "thinks"},
        "otherwise": "1e-6",
        "then": {
            "type": "weighted_sum",
            "parts": [
                {"type": "verifed", "verifier": "text"},
                {"type": "levels", "correct": {"type": "verified", "verifier": f"{HERE}:unsure"}, "treshold": 0.4},
                {"type": "verified", "verifier": {"type": f"{HERE}:exact", "deep": 1}, "name": "b"},
                {"type": "verified", "verifier": f"{HERE}:exact"},
                {"verifier": f"{HERE}:exact"},
                f"{HERE}:plain",
                7,
            ],
            "weights": [1, 1],
            "missing": "renormalize",
        },
    }
    faults = check(config)
    by_place = {fault.split(": ")[0]: fault for fault in faults}
    expected = {
        "reward.gate": "did you mean 'think",
        "reward.otherwise": "1.0e-6",
        "reward.then": "7 parts and 2 weights",
        "reward.then.missing": "did you mean 'renormalise'",
        "reward.then.parts[0]": "did you mean 'verified'",
        "reward.then.parts[1]": "did you mean 'threshold'",
        "reward.then.parts[1].correct": "may abstain",
        "reward.then.parts[2].verifier": "deep",
        "reward.then.parts[3]": "the name 'correct' is taken by reward.then.parts[1].correct",
        "reward.then.parts[4]": "no `type`",
        "reward.then.parts[5]": "@reward",
        "reward.then.parts[6]": "not a reward",
    }
    assert set(by_place) == set(expected), faults
    for place, words in expected.items():
        assert words in by_place[place], by_place[place]
    with pytest.raises(RecipeError) as caught:
        build(config)
    assert list(caught.value.faults) == faults
    assert check(config, "evaluation.reward")[0].startswith("evaluation.reward.gate")


@pytest.mark.parametrize(
    ("knobs", "words"),
    [
        ({"by": True}, "reward.by: True is not a number"),
        ({"by": "fast"}, "reward.by: 'fast' is not a number"),
        ({"by": float("nan")}, "reward.by: nan is not a finite number"),
        ({"steps": 1.5}, "reward.steps: 1.5 is not a whole number"),
        ({"mode": "dwn"}, "did you mean 'down'"),
        ({"name": 3}, "reward.name: 3 is not text"),
        ({"inner": "format"}, "reward.inner: 'format' is not a list"),
        ({"inner": ["formt"]}, "reward.inner[0]: medrl.rewards has no component 'formt'; did you mean 'format'?"),
        ({"table": [1]}, "reward.table: [1] is not a"),
        ({"inner": [{"type": "verified", "verifier": 4}]}, "reward.inner[0].verifier: 4 is not a verifier"),
        ({"inner": [{"type": "text"}]}, "'text' is a verifier, write {type: verified, verifier: text}"),
        ({"inner": [{"type": "verified"}]}, "reward.inner[0]: 'verified' needs the knob 'verifier'"),
    ],
)
def test_a_wrong_knob_of_a_third_partys_node_is_one_fault(knobs: dict[str, Any], words: str) -> None:
    config = {"type": f"{HERE}:Scaled", "inner": ["format"], "by": 1.0, **knobs}
    faults = check(config)
    assert len(faults) == 1, faults
    assert words in faults[0]


def test_a_sound_config_has_no_faults() -> None:
    assert check(yaml.safe_load(yaml_text())) == []
