"""The rater that knows what a reply was meant to be: its judgements by hand, its errors, its records."""

import json

import pytest

from medrl.data.clinic import intent_rater
from medrl.data.clinic.consultations import Quality
from medrl.data.clinic.intent_rater import IntentRater, generate_feedback
from medrl.data.feedback import Comparison, FeedbackRecord
from medrl.data.preferences import pairs_from

FAIR = IntentRater(length_bias=0.0, position_bias=0.0, noise=0.0)
BEST, WRONG = Quality(), Quality(diagnosis="wrong")


def test_worth_by_hand() -> None:
    rater = IntentRater()
    assert rater.worth(BEST) == pytest.approx(1.0)
    assert rater.worth(WRONG) == pytest.approx(0.65)
    # 0.35 * 0.3 listed, 0.1 * 0.3 no findings, 0.15 * 0.2 wrong test, 0.25 * -0.5 banned, 0.15 * 0.3 generic, -0.1
    poor = Quality("listed", "absent", "wrong", "banned", "generic", boilerplate=True, fillers=3)
    assert rater.worth(poor) == pytest.approx(0.105 + 0.03 + 0.03 - 0.125 + 0.045 - 0.1)


def test_it_prefers_the_better_and_never_reads_the_text() -> None:
    assert FAIR.prefers("x", (BEST, "aa"), (WRONG, "bb")) == ("first", pytest.approx(0.35))
    assert FAIR.prefers("x", (WRONG, "aa"), (BEST, "bb")) == ("second", pytest.approx(0.35))
    assert FAIR.prefers("x", (BEST, "aa"), (BEST, "bb"))[0] == "tie"
    assert not hasattr(intent_rater, "oracle")


def test_it_errs_towards_the_longer_at_most_so_far() -> None:
    rater = IntentRater(position_bias=0.0, noise=0.0)
    assert rater.prefers("x", (BEST, "a" * 300), (BEST, "a" * 100)) == ("first", pytest.approx(0.1))
    assert rater.prefers("x", (BEST, "a"), (WRONG, "a" * 9000)) == ("first", pytest.approx(0.35 - 0.15))


def test_it_errs_towards_the_first_shown() -> None:
    rater = IntentRater(length_bias=0.0, noise=0.0, position_bias=0.06)
    assert rater.prefers("x", (BEST, "a"), (BEST, "b"), shown_first=0)[0] == "first"
    assert rater.prefers("x", (BEST, "a"), (BEST, "b"), shown_first=1)[0] == "second"


def test_noise_turns_its_share_of_pairs_in_both_orders_alike() -> None:
    rater = IntentRater(length_bias=0.0, position_bias=0.0)
    for shown in (0, 1):
        wrong = [rater.prefers(f"case {i}", (BEST, "a"), (WRONG, "b"), shown)[0] == "second" for i in range(2000)]
        assert 0.13 < sum(wrong) / 2000 < 0.17
    both = [{rater.prefers(f"case {i}", (BEST, "a"), (WRONG, "b"), s)[0] for s in (0, 1)} for i in range(200)]
    assert all(len(one) == 1 for one in both)


@pytest.mark.parametrize("knobs", [{"noise": 0.6}, {"noise": -0.1}, {"test": float("nan")}, {"tie": -1.0}])
def test_bad_knobs_are_told(knobs: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="out of range"):
        IntentRater(**knobs)


def test_records_are_two_orders_of_a_question_and_come_back_whole() -> None:
    records = generate_feedback(split="train", count=20, languages=["en", "zh"])
    assert len(records) == 40 and len({one.id for one in records}) == 40
    assert all(one.rater.kind == "rule" and one.rater.name == "clinic-intent" for one in records)
    orders = [one.judgement.shown for one in records if isinstance(one.judgement, Comparison)]
    assert orders == [(0, 1), (1, 0)] * 20
    assert [FeedbackRecord.from_json(json.loads(json.dumps(one.to_json()))) for one in records] == records
    assert generate_feedback(split="train", count=20, languages=["en", "zh"]) == records


def test_a_verdict_that_hangs_on_the_order_gives_no_pair() -> None:
    """With nothing but position to go by, every pair is torn."""
    rater = IntentRater(0.0, 0.0, 0.0, 0.0, 0.0, boilerplate=0.0, length_bias=0.0, noise=0.0, position_bias=0.1)
    found = pairs_from(generate_feedback(split="train", count=10, rater=rater))
    assert not found.pairs and found.left_out["votes_of_torn_raters"] == 10
