"""Which engine gets a group: the least loaded, but for later turns of an episode."""

import pytest

from medrl.engines import Request, Sampling

pytest.importorskip("ray")
from medrl.cluster.engine_slots import Slot, Ticket, place


def ticket(problem: str, index: int = 0) -> Ticket:
    return Ticket(Request(problem, index, 0, (5, 6), Sampling()), 0, lambda result: None)


def slots(*loads: int) -> list[Slot]:
    return [
        Slot(number, ready=True, held={i: ticket("other", i) for i in range(load)}) for number, load in enumerate(loads)
    ]


def test_the_least_loaded_engine_gets_what_is_new() -> None:
    ready = slots(3, 1, 2)
    assert place([ticket("a"), ticket("a", 1)], ready, {}, room=8, ahead=4) is ready[1]
    assert place([], ready, {}, room=8, ahead=4) is ready[1]


def test_a_later_turn_goes_home_unless_that_costs_more_than_the_cache_saves() -> None:
    ready = slots(3, 1, 2)
    homes = {("a", 0): ready[0], ("b", 0): ready[2]}
    assert place([ticket("a")], ready, homes, room=8, ahead=4) is ready[0]
    assert place([ticket("b")], ready, homes, room=8, ahead=4) is ready[2]
    assert place([ticket("a", 1)], ready, homes, room=8, ahead=4) is ready[1], "another episode of the problem"
    assert place([ticket("a")], ready, homes, room=8, ahead=1) is ready[1], "far busier"
    assert place([ticket("a")], ready, homes, room=3, ahead=4) is ready[1], "full"
    ready[0].ready = False
    assert place([ticket("a")], ready[1:], homes, room=8, ahead=4) is ready[1], "gone"
