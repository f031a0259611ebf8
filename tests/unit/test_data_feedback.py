"""Feedback records: there and back, and what is said of broken rows."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from medrl.data.feedback import (
    Candidate,
    Comparison,
    FeedbackRecord,
    Rater,
    Ratings,
    append_feedback,
    load_feedback,
    write_feedback,
)
from medrl.errors import DataError
from medrl.types import Problem, ask

PROBLEM = Problem("p1", ask("我头痛三天了，怎么办？"), "偏头痛", language="zh", metadata={"topic": "neurology"})
RATED = FeedbackRecord(
    id="r1",
    problem=PROBLEM,
    responses=(
        Candidate("考虑偏头痛。", "policy", "huatuo-mini", "v3", seed=7, decoding={"temperature": 0.7}),
        Candidate("多喝水。", "doctor", "dr-1", turns=({"role": "user", "content": "痛"},)),
    ),
    rater=Rater("ai", "judge-a", prompt="rlaif-2", fingerprint="abc"),
    judgement=Ratings(({"accuracy": 4, "coherence": 5}, {"accuracy": 1, "coherence": 3}), 1, 5, 0.9),
    consent="not_needed",
    phi=("name",),
    created="2026-01-31T12:00:00+00:00",
    adjudicates=("r0",),
    comment="clear",
    metadata={"cost": 0.01},
)
COMPARED = replace(
    RATED, id="r2", rater=Rater("human", "nurse-2"), judgement=Comparison("second", margin=0.5, shown=(1, 0)), phi=()
)


def test_records_of_a_judge_and_of_a_person_come_back_from_disk_as_they_were(tmp_path: Path) -> None:
    path = tmp_path / "feedback.jsonl"
    write_feedback(path, [RATED])
    append_feedback(path, COMPARED)
    assert load_feedback(path) == [RATED, COMPARED]


def test_the_total_of_ratings_is_a_weighted_share_of_the_scale() -> None:
    judgement = RATED.judgement
    assert isinstance(judgement, Ratings)
    assert judgement.total(0) == pytest.approx((4.5 - 1) / 4)
    assert judgement.total(1, {"accuracy": 3, "coherence": 1}) == pytest.approx((1.5 - 1) / 4)
    with pytest.raises(ValueError, match="nobody rated safety; the record has accuracy, coherence"):
        judgement.total(0, {"safety": 1})


def row(**changes: Any) -> dict[str, Any]:
    return {**RATED.to_json(), **changes}


@pytest.mark.parametrize(
    ("broken", "message"),
    [
        (row(schema_version=2), "schema_version is 2; this medrl reads version 1"),
        (row(consent="yes"), "consent is 'yes'; it is one of given"),
        (row(phi="name"), "'phi' is 'name'; it must be a list"),
        (row(created="yesterday"), "created is 'yesterday'"),
        (row(stars=5), "a feedback record has the column 'stars'"),
        (row(rater={"kind": "robot", "name": "x"}), "rater.kind is 'robot'"),
        (row(rater={"kind": "ai", "name": ""}), "the rater's name is ''"),
        (row(judgement={"type": "stars"}), "the judgement's type is 'stars'"),
        (row(judgement={"type": "ratings", "values": [{"a": 0.5}]}), "2 responses and 1 ratings"),
        (row(judgement={"type": "ratings", "values": [{"a": 0.5}, {"b": 0.5}]}), "response 1 is rated on"),
        (row(judgement={"type": "ratings", "values": [{"a": 0.5}, {"a": 7}]}), "'a' of response 1 is 7; the scale"),
        (row(judgement={"type": "ratings", "values": [{"a": 0.5}, {"a": float("nan")}]}), "is nan"),
        (row(judgement={"type": "comparison", "preferred": "left"}), "preferred is 'left'"),
        (row(judgement={"type": "comparison", "preferred": "tie", "second": 5}), "names response 5; there are 2"),
        (row(judgement={"type": "comparison", "preferred": "tie", "second": 0}), "response 0 against itself"),
        (row(judgement={"type": "comparison", "preferred": "tie", "margin": 2}), "margin is 2"),
        (row(judgement={"type": "comparison", "preferred": "tie", "shown": [0, 3]}), "`shown` is"),
        (row(responses=[{"text": None}, {"text": "a"}]), "its `text` must be text"),
        ({name: value for name, value in row().items() if name != "problem"}, "column 'problem' is missing"),
    ],
)
def test_a_broken_row_is_named_with_what_is_wrong(tmp_path: Path, broken: dict[str, Any], message: str) -> None:
    path = tmp_path / "feedback.jsonl"
    path.write_text(json.dumps(RATED.to_json()) + "\n" + json.dumps({**broken, "id": "r9"}) + "\n", encoding="utf-8")
    with pytest.raises(DataError, match="has 1 row that cannot become a feedback record") as caught:
        load_feedback(path)
    assert "row 2: " in str(caught.value) and message in str(caught.value)


def test_ids_are_unique_when_written_and_when_read(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="two feedback records have the id 'r1'"):
        write_feedback(tmp_path / "a.jsonl", [RATED, RATED])
    append_feedback(tmp_path / "a.jsonl", RATED)
    append_feedback(tmp_path / "a.jsonl", RATED)
    with pytest.raises(DataError, match="'r1' is already that of row 1"):
        load_feedback(tmp_path / "a.jsonl")
