"""Rewards in Ray actors: the numbers of the same tree in this process, and actors that die or hang cost no score."""

import asyncio
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from medrl.cluster.fleet import RewardFleet
from medrl.rewards import Reward, RewardContext, build
from medrl.rewards.tree import Scores
from medrl.types import Group, Problem, Response, ask

pytestmark = pytest.mark.engine
TEXTS = ("gout", "asthma", "a red knee", "")
TREE = {
    "type": "weighted_sum",
    "weights": [0.9, 0.1],
    "parts": [
        {"type": "verified", "otherwise": 0.0, "verifier": {"type": "cascade", "stages": ["text", "typed"]}},
        {"type": "verified", "name": "vowels", "verifier": "rewards_of_actors:vowels"},
    ],
}


def groups(count: int, **metadata: Any) -> list[Group]:
    problems = [Problem(f"p{i}", ask("why?"), reference="gout", metadata=metadata) for i in range(count)]
    return [Group(problem, tuple(Response(f"{text} {i}") for text in TEXTS)) for i, problem in enumerate(problems)]


def values(scores: Scores) -> list[list[float | None]]:
    return [[score.value for score in row] for row in scores]


@pytest.fixture(scope="module")
def fleet(ray: Any) -> Iterator[Any]:
    from medrl.cluster.rewards import RayRewards

    started = RayRewards(build(TREE), RewardFleet(actors=2, cpus=0.5))
    yield started
    started.close()


@pytest.fixture
def tree() -> Reward:
    return build(TREE)


def test_actors_give_the_numbers_of_the_tree_and_count_what_its_verifiers_did(fleet: Any, tree: Reward) -> None:
    context = RewardContext(3)
    found, here = asyncio.run(fleet.score(groups(6), context)), tree.score_sync(groups(6), RewardContext(3))
    assert values(found) == values(here) and len({value for row in values(here) for value in row}) > 2
    assert [list(score.parts) for score in found[0]] == [list(score.parts) for score in here[0]]

    def asked(statistics: Any) -> dict[str, int]:
        return {name: stage["asked"] for name, stage in statistics[tree.children()[0][1].name]["stages"].items()}

    assert asked(fleet.statistics()) == asked(tree.statistics()) and asked(tree.statistics())["text"] == 24
    assert context.seconds[f"reward/{tree.name}"] > 0


def test_an_actor_that_dies_is_replaced_and_its_groups_are_scored_again(
    fleet: Any, tree: Reward, tmp_path: Path
) -> None:
    before, pids = fleet.replaced, fleet.pids
    asked = groups(4) + groups(1, fault="dies once", mark=str(tmp_path / "mark"))
    found = asyncio.run(fleet.score(asked))
    assert fleet.replaced == before + 1 and len(set(pids) & set(fleet.pids)) == 1
    assert values(found) == values(tree.score_sync(asked)), (
        "asked again, each group has the scores that it would have had"
    )


def test_an_actor_that_hangs_is_replaced_too(
    fleet: Any, tree: Reward, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    before, knobs, pids = fleet.replaced, fleet.fleet, fleet.pids
    asked = groups(1, fault="hangs once", mark=str(tmp_path / "mark"))
    fleet.fleet = replace(knobs, timeout=5.0)
    try:
        assert values(asyncio.run(fleet.score(asked))) == values(tree.score_sync(asked))
    finally:
        fleet.fleet = knobs
    assert fleet.replaced == before + 1
    (gone,) = set(pids) - set(fleet.pids)
    said = "\n".join(record.getMessage() for record in caplog.records if record.name == "medrl.cluster")
    assert f"reward-{pids.index(gone)}: no scores within 5 s (process {gone} on node " in said
    assert "its last stack:" in said and "rewards_of_actors.py" in said and "in vowels" in said


def test_what_kills_every_actor_has_no_score_and_is_never_a_0(fleet: Any, tree: Reward) -> None:
    before, knobs = fleet.replaced, fleet.fleet
    fleet.fleet = replace(knobs, attempts=2)
    try:
        (row,) = asyncio.run(fleet.score(groups(1, fault="dies")))
    finally:
        fleet.fleet = knobs
    assert fleet.replaced == before + 2
    assert {(score.value, score.status) for score in row} == {(None, "error")}
    assert "died" in row[0].reason and "2 times" in row[0].reason
    assert {name: part.status for name, part in row[0].parts.items()} == {node.name: "error" for node in tree.walk()}


def test_a_judge_that_fails_is_an_error_and_no_reason_to_ask_again(fleet: Any) -> None:
    before = fleet.replaced
    found = asyncio.run(fleet.score(groups(2, fault="is down")))
    assert {(score.value, score.status) for row in found for score in row} == {(None, "error")}
    assert "the judge is down" in found[0][0].parts["vowels"].reason and fleet.replaced == before


def test_a_reward_that_cannot_be_loaded_in_an_actor_is_said_at_once(ray: Any, tree: Reward) -> None:
    from medrl.cluster.rewards import RayRewards
    from medrl.errors import ClusterUnavailable

    with pytest.raises(ClusterUnavailable, match="an actor for rewards does not start"):
        RayRewards(tree, RewardFleet(actors=1, cpus=1000, start_timeout=1.0))
