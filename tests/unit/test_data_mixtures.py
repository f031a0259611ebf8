"""Samplers: every problem once an epoch, exact priorities, state that resumes."""

import json
from collections import Counter

import pytest

from medrl.data.mixtures import PriorityMixture, ProblemSampler
from medrl.errors import CheckpointError, DataError
from medrl.types import Problem, ask


def problems(count: int, name: str = "p") -> list[Problem]:
    return [Problem(f"{name}{number}", ask("?"), "!") for number in range(count)]


def ids(items: list[Problem]) -> list[str]:
    return [item.id for item in items]


def test_each_epoch_holds_every_problem_once_in_another_order() -> None:
    sampler = ProblemSampler(problems(10), seed=3)
    first, second = ids(sampler.next(10)), ids(sampler.next(10))
    assert sorted(first) == sorted(second) == sorted(ids(problems(10)))
    assert first != second
    assert (sampler.epoch, sampler.position, sampler.consumed) == (1, 10, 20)


def test_the_order_does_not_depend_on_the_size_of_the_bites() -> None:
    whole = ids(ProblemSampler(problems(7), seed=1).next(30))
    sampler = ProblemSampler(problems(7), seed=1)
    assert [one for size in (1, 4, 9, 16) for one in ids(sampler.next(size))] == whole
    assert ids(ProblemSampler(problems(7), seed=2).next(30)) != whole


@pytest.mark.parametrize("consumed", [0, 3, 7, 16])
def test_a_resumed_sampler_goes_on_exactly(consumed: int) -> None:
    sampler = ProblemSampler(problems(7), seed=1)
    if consumed:
        sampler.next(consumed)
    state = json.loads(json.dumps(sampler.state_dict()))
    resumed = ProblemSampler(problems(7), seed=1)
    resumed.load_state_dict(state)
    assert ids(resumed.next(20)) == ids(sampler.next(20))
    assert resumed.state_dict() == sampler.state_dict()


def test_a_state_of_other_problems_or_another_seed_is_refused() -> None:
    state = ProblemSampler(problems(7), seed=1).state_dict()
    with pytest.raises(CheckpointError, match="fingerprint"):
        ProblemSampler(problems(8), seed=1).load_state_dict(state)
    with pytest.raises(CheckpointError, match="seed 1, but this run has 2"):
        ProblemSampler(problems(7), seed=2).load_state_dict(state)


def test_nothing_to_sample_is_refused() -> None:
    with pytest.raises(DataError, match="no problems"):
        ProblemSampler([])
    with pytest.raises(DataError, match="at least one"):
        ProblemSampler(problems(2)).next(0)


def test_a_mixture_draws_every_copy_once_and_then_ends() -> None:
    sources = {"web": problems(30, "w"), "sft": problems(10, "s")}
    mixture = PriorityMixture(sources, {"web": 32, "sft": 1}, epochs={"sft": 3})
    drawn = ids(mixture.next(1000))
    assert Counter(drawn) == Counter([*ids(sources["web"]), *ids(sources["sft"]) * 3])
    assert mixture.next(5) == []


def test_the_first_draw_follows_the_priorities() -> None:
    sources = {"a": problems(3, "a"), "b": problems(5, "b")}
    first = Counter(PriorityMixture(sources, {"a": 4, "b": 1}, seed=s).sources()[0] for s in range(2000))
    # P(a first) = 3*4 / (3*4 + 5*1); four standard errors of a share from 2000 draws
    expected = 12 / 17
    assert abs(first["a"] / 2000 - expected) < 4 * (expected * (1 - expected) / 2000) ** 0.5


def test_the_second_draw_is_over_what_is_left() -> None:
    sources = {"a": problems(1, "a"), "b": problems(2, "b")}
    seen = [PriorityMixture(sources, {"a": 2, "b": 1}, seed=s).sources()[:2] for s in range(4000)]
    after_b = [second for first, second in seen if first == "b"]
    share = after_b.count("a") / len(after_b)  # what is left then: one a of weight 2, one b of weight 1
    assert abs(share - 2 / 3) < 4 * (2 / 9 / len(after_b)) ** 0.5


def test_high_priorities_come_first_and_sft_last() -> None:
    sources = {name: problems(400, name) for name in ("web", "books", "sft")}
    order = PriorityMixture(sources, {"web": 32, "books": 4, "sft": 1}, seed=0).sources()
    place = {name: sum(i for i, source in enumerate(order) if source == name) / 400 for name in sources}
    assert place["web"] < place["books"] < place["sft"]
    assert order[-60:].count("sft") > 45


def test_a_mixture_resumes_and_refuses_a_strange_state() -> None:
    sources = {"a": problems(9, "a"), "b": problems(9, "b")}
    mixture = PriorityMixture(sources, {"a": 4, "b": 1}, seed=7)
    mixture.next(5)
    resumed = PriorityMixture(sources, {"a": 4, "b": 1}, seed=7)
    resumed.load_state_dict(json.loads(json.dumps(mixture.state_dict())))
    assert ids(resumed.next(20)) == ids(mixture.next(20))
    with pytest.raises(CheckpointError, match="data order"):
        PriorityMixture(sources, {"a": 1, "b": 4}, seed=7).load_state_dict(mixture.state_dict())


@pytest.mark.parametrize(
    ("priorities", "message"),
    [({"a": 1}, "'b' needs both"), ({"a": 1, "b": 0}, "above 0"), ({"a": 1, "b": float("nan")}, "above 0")],
)
def test_priorities_are_checked(priorities: dict[str, float], message: str) -> None:
    with pytest.raises(DataError, match=message):
        PriorityMixture({"a": problems(1), "b": problems(1, "b")}, priorities)
