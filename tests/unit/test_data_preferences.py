"""Preference pairs from feedback, every figure worked out by hand."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import pytest

from medrl.data.feedback import Candidate, Comparison, Consent, FeedbackRecord, Rater, Ratings, write_feedback
from medrl.data.preferences import PreferencePair, load_pairs, load_preferences, pairs_from, write_pairs
from medrl.errors import DataError
from medrl.types import Problem, ask

GOOD, BAD, THIRD = Candidate("Migraine; rest."), Candidate("Drink water."), Candidate("See a doctor.")


def problem(text: str = "My head hurts.", key: str = "p1") -> Problem:
    return Problem(key, ask(text), metadata={"department": "neurology"})


def compared(
    key: str, preferred: Literal["first", "second", "tie"], rater: str = "anna", responses: Any = (GOOD, BAD),
    consent: Consent = "given", phi: tuple[str, ...] = (), adjudicates: tuple[str, ...] = (), **more: Any,
) -> FeedbackRecord:  # fmt: skip
    judgement = Comparison(preferred, **more)
    who = Rater("human", rater)
    return FeedbackRecord(key, problem(), responses, who, judgement, consent, phi, adjudicates=adjudicates)


def rated(key: str, *totals: float, rater: str = "judge") -> FeedbackRecord:
    values = tuple({"accuracy": total, "coherence": total} for total in totals)
    judgement = Ratings(values, 0, 10)
    return FeedbackRecord(key, problem(), (GOOD, BAD, THIRD), Rater("ai", rater), judgement, "not_needed")


def test_three_rated_responses_give_pairs_with_their_margins_and_ties_are_counted() -> None:
    made = pairs_from([rated("r1", 9, 2, 2)])
    found = {(p.chosen.text, p.rejected.text): (p.margin, p.weight) for p in made.pairs}
    assert found == {
        (GOOD.text, BAD.text): (pytest.approx(0.7), 1.0),
        (GOOD.text, THIRD.text): (pytest.approx(0.7), 1.0),
    }
    assert (made.left_out, made.judged) == ({"tie": 1}, 3)
    assert made.pairs[0].sources == ("r1",) and made.pairs[0].topic == "neurology"
    assert len(pairs_from([rated("r1", 9, 8, 2)], tie_margin=0.1)) == 2  # 9 and 8 differ by just the tie margin


def test_a_tie_may_be_kept_in_both_directions_with_half_the_weight() -> None:
    made = pairs_from([compared("r1", "tie")], ties="both").pairs
    assert {(p.chosen.text, p.rejected.text, p.weight, p.margin) for p in made} == {
        (GOOD.text, BAD.text, 0.5, 0.0),
        (BAD.text, GOOD.text, 0.5, 0.0),
    }
    assert len({p.id for p in made}) == 2


def test_both_orders_of_one_rater_agree_or_say_nothing() -> None:
    swapped = (Candidate("drink  WATER."), Candidate("MIGRAINE; rest."))  # the same texts, spaces and case aside
    agree = [compared("r1", "first"), compared("r2", "second", responses=swapped)]
    (pair,) = pairs_from(agree).pairs
    assert (pair.chosen.text, pair.weight, pair.sources) == (GOOD.text, 1.0, ("r1", "r2"))
    always_first = [compared("r1", "first"), compared("r2", "first", responses=swapped)]
    assert pairs_from(always_first).left_out == {"tie": 1, "votes_of_torn_raters": 1}
    half = [compared("r1", "first"), compared("r2", "tie", responses=swapped)]
    assert pairs_from(half).pairs[0].weight == 0.5


def test_raters_who_disagree_are_dropped_outvoted_or_overruled() -> None:
    two = [compared("r1", "first", "anna"), compared("r2", "second", "ben")]
    assert pairs_from(two).left_out["raters_disagree"] == 1
    assert len(pairs_from(two, contradictions="majority")) == 0  # one against one is no majority
    third = [*two, compared("r3", "second", "carl")]
    (pair,) = pairs_from(third, contradictions="majority").pairs
    assert (pair.chosen.text, pair.weight) == (BAD.text, pytest.approx(1 / 3))
    assert len(pairs_from(third)) == 0
    adjudicated = [*two, compared("r3", "first", "dora", adjudicates=("r1", "r2"))]
    made = pairs_from(adjudicated)
    assert (made.pairs[0].chosen.text, made.pairs[0].weight, made.left_out["overruled"]) == (GOOD.text, 1.0, 2)


def test_confidence_is_weight_and_margins_are_means_with_their_sign() -> None:
    votes = [
        compared("r1", "first", "anna", margin=0.9, confidence=0.8),
        compared("r2", "second", "ben", margin=0.3, confidence=0.2),
    ]
    (pair,) = pairs_from(votes, contradictions="majority").pairs
    assert pair.weight == pytest.approx((0.8 - 0.2) / 2) and pair.margin == pytest.approx((0.9 - 0.3) / 2)


def test_nothing_trains_without_consent_or_with_personal_information() -> None:
    records = [
        compared("r1", "first", consent="withheld"),
        compared("r2", "first", consent="unknown"),
        compared("r3", "first", phi=("phone",), responses=(Candidate("x"), Candidate("y"))),
        compared("r4", "first", responses=(GOOD, Candidate("migraine;\n rest."))),
    ]
    records[2] = replace(records[2], problem=Problem("other", ask("Call 555-0199 for me?")))
    made = pairs_from(records)
    assert not made.pairs
    assert made.left_out == {"consent": 2, "phi": 1, "same_text": 1}
    assert len(pairs_from(records, allow_phi=True)) == 1


def test_an_adjudication_that_may_not_be_used_overrules_nothing() -> None:
    records = [compared("r1", "first"), compared("r2", "second", "dora", consent="withheld", adjudicates=("r1",))]
    assert pairs_from(records).pairs[0].chosen.text == GOOD.text


def test_other_dimensions_and_unknown_ones() -> None:
    assert not pairs_from([compared("r1", "first", dimension="style")]).pairs
    assert pairs_from([compared("r1", "first", dimension="style")], dimension="style").pairs
    with pytest.raises(DataError, match="feedback record 'r1': nobody rated safety"):
        pairs_from([rated("r1", 1, 2, 3)], weights={"safety": 1.0})


def test_pairs_come_back_from_disk_and_a_file_of_either_kind_is_told_apart(tmp_path: Path) -> None:
    made = pairs_from([rated("r1", 9, 2, 5)]).pairs
    write_pairs(tmp_path / "pairs.jsonl", made)
    write_feedback(tmp_path / "feedback.jsonl", [rated("r1", 9, 2, 5)])
    assert tuple(load_pairs(tmp_path / "pairs.jsonl")) == made
    assert load_preferences(tmp_path / "pairs.jsonl").pairs == made
    assert load_preferences(tmp_path / "feedback.jsonl").pairs == made


def test_published_rows_of_prompt_chosen_rejected_are_read(tmp_path: Path) -> None:
    rows = [
        {"prompt": "Q?", "chosen": "A", "rejected": "B"},
        {"prompt": list(ask("头痛")), "chosen": [{"role": "assistant", "content": "甲"}], "rejected": "乙"},
    ]
    path = tmp_path / "pairs.jsonl"
    path.write_text("\n".join(json.dumps(row) for row in rows), encoding="utf-8")
    first, second = load_pairs(path)
    assert (first.problem.question, first.chosen.text, first.rejected.text) == ("Q?", "A", "B")
    assert (second.problem.language, second.chosen.text, second.rejected.text) == ("zh", "甲", "乙")


@pytest.mark.parametrize(("name", "value"), [("margin", -0.1), ("margin", 2), ("weight", 0), ("weight", float("nan"))])
def test_margins_and_weights_out_of_range_are_faults(name: str, value: float) -> None:
    with pytest.raises(ValueError, match=f"{name} is "):
        PreferencePair("x", problem(), GOOD, BAD, **{name: value})
