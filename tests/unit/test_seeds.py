"""Seeds are pinned: a change of the hash would change every run."""

from medrl.seeds import seed_of


def test_values_are_pinned() -> None:
    assert seed_of(0, "train", 1, "p1", 0, 0, 0) == 2775322547770563090
    assert seed_of() == 8238016292129134938


def test_each_part_and_its_place_count() -> None:
    seeds = {
        seed_of(0, "train", 1, "p"),
        seed_of(1, "train", 1, "p"),
        seed_of(0, "evaluate", 1, "p"),
        seed_of(0, "train", 2, "p"),
        seed_of(0, "train", 1, "q"),
        seed_of(0, 1, "train", "p"),
    }
    assert len(seeds) == 6


def test_borders_and_types_of_parts_count() -> None:
    assert seed_of("ab", "c") != seed_of("a", "bc") != seed_of("abc")
    assert seed_of(1) != seed_of("1")


def test_seeds_fit_into_a_signed_64_bit_number() -> None:
    seeds = [seed_of("range", i) for i in range(2000)]
    assert all(0 <= seed < 2**63 for seed in seeds)
    assert max(seeds) > 2**62, "the upper half of the range is used"


def test_a_seed_does_not_depend_on_what_was_asked_before() -> None:
    forwards = [seed_of("order", i) for i in range(5)]
    assert [seed_of("order", i) for i in reversed(range(5))] == forwards[::-1]
