"""Intervals and tests of an evaluation, against numbers computed by hand and by counting every case."""

import math
import random
from itertools import combinations, product
from statistics import stdev

import pytest

from medrl.errors import DataError
from medrl.evaluation.statistics import bootstrap, holm, mcnemar, paired, pass_at_k, student


@pytest.mark.parametrize("n", range(1, 7))
def test_pass_at_k_is_the_share_of_subsets_with_a_right_sample(n: int) -> None:
    for right, k in product(range(n + 1), range(1, n + 1)):
        subsets = list(combinations([True] * right + [False] * (n - right), k))
        assert pass_at_k(n, right, k) == pytest.approx(sum(map(any, subsets)) / len(subsets))


def test_pass_at_k_is_not_the_biased_estimate_and_refuses_what_cannot_be() -> None:
    assert pass_at_k(4, 1, 2) == 0.5 != 1 - (1 - 1 / 4) ** 2
    for n, right, k in ((4, 1, 5), (4, 5, 1), (4, 1, 0), (0, 0, 1)):
        with pytest.raises(ValueError, match="pass@"):
            pass_at_k(n, right, k)


def test_mcnemar_is_the_exact_sign_test_of_the_discordant_problems() -> None:
    assert mcnemar(0, 0) == 1.0 and mcnemar(7, 7) == 1.0
    assert mcnemar(0, 5) == mcnemar(5, 0) == 2 / 2**5
    assert mcnemar(5, 15) == pytest.approx(2 * sum(math.comb(20, i) for i in range(6)) / 2**20)
    tail = 2 * sum(math.comb(1200, i) for i in range(551)) / 2**1200  # where floats of the single terms overflow
    assert mcnemar(550, 650) == pytest.approx(tail, rel=1e-9)


def test_holm_by_hand() -> None:
    assert holm({"a": 0.01, "b": 0.04, "c": 0.03}) == pytest.approx({"a": 0.03, "b": 0.06, "c": 0.06})
    assert holm({"a": 0.9, "b": 0.8}) == {"a": 1.0, "b": 1.0} and holm({}) == {}


def test_bootstrap_is_near_the_normal_interval_and_the_same_every_time() -> None:
    values = [i / 99 for i in range(100)]
    low, high = bootstrap(values, "x") or (0.0, 0.0)
    spread = 1.96 * math.sqrt(sum((v - 0.5) ** 2 for v in values) / 100 / 100)
    assert (low, high) == pytest.approx((0.5 - spread, 0.5 + spread), abs=0.012)
    assert bootstrap(values, "x") == (low, high) != bootstrap(values, "y")
    assert bootstrap([1.0], "x") is None


def test_bootstrap_intervals_hold_what_they_promise() -> None:
    """Of 100 samples of a known mean, about 95 intervals hold it; fewer than 88 would be one in a thousand."""
    import random

    rng, held = random.Random(3), 0
    for number in range(100):
        low, high = bootstrap([rng.choice((0.0, 0.25, 0.5, 1.0)) for _ in range(60)], number, resamples=200) or (1, 0)
        held += low <= 1.75 / 4 <= high
    assert 88 <= held <= 100


def test_paired_scores_by_hand() -> None:
    first, second = [1.0] * 10 + [0.0] * 20, [1.0] * 8 + [0.0] * 2 + [1.0] * 12 + [0.0] * 8
    found = paired(first, second, "x")
    assert (found.n, found.only_first, found.only_second) == (30, 2, 12)
    assert found.difference == pytest.approx(10 / 30) and found.first == pytest.approx(1 / 3)
    assert found.mcnemar_p == found.p == mcnemar(2, 12) < 0.05
    assert found.interval[0] > 0 and 0 < found.bootstrap_p < 0.05


def test_paired_means_of_samples_have_no_mcnemar_and_equal_models_no_difference() -> None:
    found = paired([0.5, 0.25, 1.0], [0.5, 0.25, 1.0], "x")
    assert found.mcnemar_p is None and found.p == found.bootstrap_p == 1.0 and found.interval == (0.0, 0.0)
    with pytest.raises(DataError, match="cannot be paired"):
        paired([1.0], [1.0])


def test_paired_tests_seldom_see_a_difference_where_there_is_none() -> None:
    import random

    rng, seen = random.Random(5), 0
    for number in range(100):
        a, b = ([float(rng.random() < 0.5) for _ in range(40)] for _ in "ab")
        seen += paired(a, b, number, resamples=100).p < 0.05
    assert seen <= 12  # five are due; thirteen or more would be one in five hundred


def test_few_runs_have_the_interval_of_students_t() -> None:
    rng, inside = random.Random(0), 0
    for _ in range(2000):
        means = [rng.gauss(0.0, 1.0) for _ in range(3)]
        inside += abs(sum(means) / 3) <= student(means)
    assert 0.94 < inside / 2000 < 0.96  # a bootstrap over the three covers 75 %
    assert student([0.5]) == 0.0 and student([0.2, 0.4, 0.6]) == pytest.approx(4.30 * 0.2 / math.sqrt(3))
    assert student([0.1 * i for i in range(12)]) == pytest.approx(
        2.26 * stdev(0.1 * i for i in range(12)) / math.sqrt(12)
    )
