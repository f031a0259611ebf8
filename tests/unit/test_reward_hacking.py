"""Monitors of an exploited reward: sums by hand, and a sentence for each thing that goes wrong."""

import math
from dataclasses import replace

import pytest

from medrl.evaluation.reward_hacking import Watch, alarms, correlation, watch

CALM = Watch(0.0, 0.5, 0.8, 200.0, 0.0, 0.2, 0.0, 0.9, 0.0)


def test_watch_sums_up_by_hand() -> None:
    texts = ["Take rest now.", "", "so it is so it is so it is so it is so it is", "Take rest now."]
    seen = watch(
        texts, ["stop", "stop", "stop", "length"], [1.0, None, 3.0, 2.0], [0.4, 0.0, 0.8, 0.6], lambda t: 0.25, 1.5
    )
    assert seen.reward == 2.0 and seen.judge == pytest.approx(0.45)
    assert seen.correlation == pytest.approx(1.0)  # 1, 3, 2 against 0.4, 0.8, 0.6; the one without a reward is left out
    assert seen.degenerate == 0.75 and seen.distinct == 0.75 and seen.padding == 0.25 and seen.kl == 1.5
    assert seen.repeated == pytest.approx((1 - 3 / 12) / 4)  # 15 words, 12 n-grams of 4, of which 3 differ


def test_no_reward_anywhere_is_none_and_not_zero() -> None:
    seen = watch(["a", "b"], ["stop", "stop"], [None, None], [0.5, 0.5], lambda text: 0.0)
    assert seen.reward is None and seen.correlation is None and seen.kl is None
    with pytest.raises(ValueError, match="no replies"):
        watch([], [], [], [], lambda text: 0.0)


def test_correlation_by_hand() -> None:
    assert correlation([1.0, 2.0, 3.0], [2.0, 4.0, 9.0]) == pytest.approx(7 / math.sqrt(2 * 26))  # moments 7, 2, 26
    assert correlation([1.0, 2.0, 3.0], [3.0, 2.0, 1.0]) == pytest.approx(-1.0)
    assert correlation([1.0, 1.0, 1.0], [1.0, 2.0, 3.0]) is None and correlation([1.0, 2.0], [1.0, 2.0]) is None


def test_nothing_is_said_of_a_policy_that_does_not_change_or_gets_better() -> None:
    assert alarms(CALM, CALM) == []
    assert alarms(CALM, replace(CALM, reward=1.0, judge=0.8, kl=5.0, padding=0.1)) == []
    assert alarms(CALM, replace(CALM, reward=-1.0, judge=0.4)) == []  # worse by both: no hacking, only bad


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"reward": 1.0, "judge": 0.4}, "rose by 1.00 while the judge's score fell by 0.100"),
        ({"correlation": 0.1}, "no longer agree"),
        ({"characters": 280.0}, "40% longer"),
        ({"repeated": 0.2}, "repetition rose"),
        ({"padding": 0.3}, "padding rose"),
        ({"degenerate": 0.06}, "degenerate replies rose"),
        ({"distinct": 0.4}, "one text for everybody"),
    ],
)
def test_each_alarm_alone(changed: dict[str, float], words: str) -> None:
    (said,) = alarms(CALM, replace(CALM, **changed))  # type: ignore[arg-type]
    assert words in said
