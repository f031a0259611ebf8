"""The nouns refuse what must not be, and survive JSON and pickling unchanged."""

import json
import math
import pickle

import pytest

from medrl.errors import InvalidScore, ProblemError
from medrl.types import (
    Group,
    Part,
    Problem,
    Response,
    Rollout,
    Score,
    ScoredGroup,
    Verdict,
    VersionSpan,
    ask,
)

PROBLEM = Problem(
    "p1",
    ({"role": "user", "content": [{"type": "image", "path": "x.png"}, {"type": "text", "text": "Which?"}]},),
    reference="B",
    kind="choice",
    options={"A": "gout", "B": "痛风"},
    aliases=("b)",),
    language="zh",
    metadata={"row": 3},
)
VERDICT = Verdict(0.5, answer="B", span=(3, 4), reason="near", stage="choice", cost={"calls": 1}, parts={"unit": 1.0})
ROLLOUT = Rollout(
    "B", (), "length", 2, "p1", 1, 77, (5, 6), (7, 8), (-0.5, -1.0), (True, False), (VersionSpan(0, 2, 4),), ("x.png",)
)


@pytest.mark.parametrize("value", [math.nan, math.inf, -0.1, 1.1])
def test_a_verdict_is_a_number_from_0_to_1(value: float) -> None:
    with pytest.raises(InvalidScore, match="from 0 to 1"):
        Verdict(value)


@pytest.mark.parametrize("status", ["abstain", "error", "timeout", "invalid"])
def test_only_ok_has_a_score(status: str) -> None:
    with pytest.raises(InvalidScore, match="only `ok` has"):
        Verdict(0.0, status)  # type: ignore[arg-type]
    with pytest.raises(InvalidScore, match="only `ok` has"):
        Score(0.0, status)  # type: ignore[arg-type]


def test_ok_without_a_number_is_refused() -> None:
    with pytest.raises(InvalidScore):
        Verdict(None)
    with pytest.raises(InvalidScore):
        Score(None)
    with pytest.raises(InvalidScore, match="one of ok, abstain"):
        Verdict(None, "failed")  # type: ignore[arg-type]


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_a_score_is_finite(value: float) -> None:
    with pytest.raises(InvalidScore, match="finite"):
        Score(value)
    with pytest.raises(InvalidScore, match="finite"):
        Score(1.0, token_values=(0.0, value))


def test_lengths_that_disagree_are_refused() -> None:
    with pytest.raises(ValueError, match="rollout 2 of problem 'p' has 2 tokens, 1 logprobs and 2 mask"):
        Rollout("", problem_id="p", index=2, token_ids=(1, 2), logprobs=(-1.0,), loss_mask=(True, True))
    with pytest.raises(ValueError, match="'p1' has 2 rollouts and 1 scores"):
        ScoredGroup(Group(PROBLEM, (Response("a"), Response("b"))), (Score(1.0),))


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"id": "", "messages": ask("?")}, "no id"),
        ({"id": "p", "messages": ()}, "'p' has no messages"),
        ({"id": "p", "messages": ask("?"), "kind": "essay"}, "'essay'; it is one of open, choice"),
        ({"id": "p", "messages": "?"}, "messages are a list"),
        ({"id": "p", "messages": ({"content": "?"},)}, "messages are a list"),
        ({"id": "p", "messages": ask("?"), "reference": 5}, "the reference 5"),
        ({"id": "p", "messages": ask("?"), "aliases": "MI"}, "aliases 'MI'"),
        ({"id": "p", "messages": ask("?"), "options": ["a"]}, "options"),
    ],
)
def test_broken_problems_say_what_is_wrong(fields: dict[str, object], says: str) -> None:
    with pytest.raises(ProblemError, match=says):
        Problem(**fields)  # type: ignore[arg-type]


def test_question_is_the_text_of_the_last_user_message() -> None:
    assert PROBLEM.question == "Which?"
    turns = ({"role": "user", "content": "one"}, {"role": "assistant", "content": "two"}, *ask("three"))
    assert Problem("p", turns).question == "three"


def test_json_round_trips() -> None:
    score = Score(
        0.3, parts={"correct": Part(0.5, verdict=VERDICT), "sum": Part(None, "error", reason="x")}, reason="r"
    )
    with_tokens = Score(0.3, token_values=(0.1, 0.2))
    for thing in (PROBLEM, VERDICT, Verdict.failed("down", "timeout"), score, with_tokens, Part(0.5, verdict=VERDICT)):
        assert type(thing).from_json(json.loads(json.dumps(thing.to_json()))) == thing


def test_pickle_round_trips() -> None:
    scored = ScoredGroup(Group(PROBLEM, (ROLLOUT,)), (Score(1.0, parts={"correct": Part(1.0, verdict=VERDICT)}),))
    assert pickle.loads(pickle.dumps(scored)) == scored


def test_an_inner_stage_keeps_its_signature() -> None:
    assert Verdict.right().by("outer").stage == "outer"
    assert Verdict.right(stage="inner").by("outer").stage == "inner"
    assert not Verdict.abstain().decided
    assert Verdict.wrong().decided
