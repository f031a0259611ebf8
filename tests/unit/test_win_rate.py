"""Win rates in both orders and at equal length, against values worked out by hand."""

import math

import pytest

from medrl.evaluation.win_rate import Better, Match, interval, length_controlled, match, near, win_rate


def longer_wins(first: str, second: str) -> Better:
    return "tie" if len(first) == len(second) else "first" if len(first) > len(second) else "second"


def games(wins: int, losses: int, longer: float) -> list[Match]:
    return [Match(1.0, longer, 0.5)] * wins + [Match(0.0, longer, 0.5)] * losses


def test_a_match_is_played_in_both_orders() -> None:
    assert match(longer_wins, "longer", "short") == Match(1.0, 1.0, 1 / 6)
    assert match(longer_wins, "short", "longer") == Match(0.0, -1.0, -1 / 6)
    assert match(longer_wins, "same", "text").outcome == 0.5
    assert match(longer_wins, "", "").share == 0.0


def test_a_judge_that_takes_the_first_gives_a_half_everywhere() -> None:
    assert match(lambda first, second: "first", "good", "bad").outcome == 0.5
    assert match(lambda first, second: "second", "good", "bad").outcome == 0.5


def test_a_tie_in_one_order_is_a_quarter() -> None:
    def half_sure(first: str, second: str) -> Better:
        return "first" if first == "good" else "tie"

    assert match(half_sure, "good", "bad").outcome == 0.75


def test_win_rate_is_the_mean_and_needs_matches() -> None:
    assert win_rate([Match(1.0, 0, 0), Match(0.5, 0, 0), Match(0.0, 0, 0), Match(1.0, 0, 0)]) == 0.625
    with pytest.raises(ValueError, match="no matches"):
        win_rate([])


def test_the_controlled_rate_is_the_fit_at_equal_length() -> None:
    """Two length differences only, so that the fit meets both shares: logit = (logit 0.8 + logit 0.4) / 2 at d = 0."""
    played = games(80, 20, 10.0) + games(40, 60, -10.0)
    by_hand = 1 / (1 + math.exp(-(math.log(0.8 / 0.2) + math.log(0.4 / 0.6)) / 2))  # 0.6202
    assert win_rate(played) == pytest.approx(0.6)
    assert length_controlled(played) == pytest.approx(by_hand, abs=2e-4)  # the prior moves it by less


def test_a_policy_that_only_writes_more_wins_nothing_at_equal_length() -> None:
    """Nine of ten replies are longer and win nine of ten; of the shorter ones, one of ten wins: logits +x and -x."""
    played = games(81, 9, 50.0) + games(1, 9, -50.0)
    assert win_rate(played) == 0.82
    assert length_controlled(played) == pytest.approx(0.5, abs=5e-3)


def test_a_policy_that_wins_at_any_length_keeps_its_rate() -> None:
    played = games(30, 10, 25.0) + games(30, 10, -25.0)
    assert length_controlled(played) == pytest.approx(0.75, abs=2e-3)


def test_one_length_difference_leaves_nothing_to_control() -> None:
    assert length_controlled(games(3, 1, 7.0)) == 0.75


def test_always_winning_stays_finite() -> None:
    found = length_controlled([Match(1.0, float(i), 0.1) for i in range(-5, 20)])
    assert 0.95 < found < 1.0


def test_near_keeps_pairs_of_like_length() -> None:
    played = [Match(1.0, 20, 0.2), Match(0.0, -21, -0.21), Match(0.5, -5, -0.05)]
    assert [one.outcome for one in near(played)] == [1.0, 0.5]


def test_the_interval_holds_the_rate_and_repeats() -> None:
    played = games(70, 30, 1.0)
    low, high = interval(win_rate, played)
    assert (
        low < 0.7 < high and 0.14 < high - low < 0.22
    )  # normal approximation: 2 * 1.96 * sqrt(0.7 * 0.3 / 100) = 0.18
    assert (low, high) == interval(win_rate, played)
    assert interval(win_rate, games(5, 0, 1.0)) == (1.0, 1.0)
