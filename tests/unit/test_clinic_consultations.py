"""Consultations of the clinic: no leak between splits, true labels but for the noise, lengths apart from quality."""

from collections import Counter

import pytest

from medrl.data.clinic.consultations import SPLITS, generate_consultations, generate_pairs, pools
from medrl.data.clinic.oracle import case_of, judge
from medrl.data.clinic.world import load_world
from medrl.data.preferences import load_pairs, write_pairs
from medrl.errors import DataError

WORLD = load_world()


def test_no_disease_is_in_two_splits_and_replies_name_only_those_of_their_own() -> None:
    sides = pools(WORLD)
    assert sum(map(len, sides.values())) == len(WORLD.diseases) == len(set().union(*sides.values()))
    for split in SPLITS:
        pairs = generate_pairs(split=split, count=60)
        assert {case_of(pair.problem).disease for pair in pairs} <= set(sides[split])
        for pair in pairs:
            for side in (pair.chosen, pair.rejected):
                assert set(judge(pair.problem, side.text).notes.get("diseases", ())) <= set(sides[split])


def test_no_wording_of_the_questions_is_in_training_and_test() -> None:
    used = {split: {p.metadata["template"] for p in generate_consultations(split=split, count=100)} for split in SPLITS}
    assert used["train"].isdisjoint(used["test"] | used["calibration"])
    known = generate_consultations(split="test", count=100, known=True)
    assert {p.metadata["template"] for p in known} == used["test"]
    assert {case_of(p).disease for p in known} <= set(pools(WORLD)["train"])


def test_the_same_arguments_give_the_same_questions_and_a_longer_list_begins_with_the_shorter() -> None:
    short, long = (generate_consultations(split="train", count=count, seed=4) for count in (10, 30))
    assert long[:10] == short and generate_consultations(split="train", count=10, seed=5) != short
    assert len({p.id for p in long}) == 30


def test_labels_are_the_oracles_but_for_exactly_the_noise() -> None:
    pairs = generate_pairs(split="train", count=200, noise=0.15, seed=1)
    assert sum(pair.provenance["noise"] for pair in pairs) == 30
    for pair in pairs:
        better = judge(pair.problem, pair.chosen.text).total > judge(pair.problem, pair.rejected.text).total
        assert better != pair.provenance["noise"] and pair.margin >= 0.1
    assert Counter(pair.problem.language for pair in pairs).keys() == {"en", "zh"}


def test_noise_may_fall_on_pairs_whose_better_reply_is_the_shorter() -> None:
    turned = [p for p in generate_pairs(split="train", count=200, noise=0.15, long_wins=1.0) if p.provenance["noise"]]
    assert len(turned) == 30 and all(len(p.chosen.text) > len(p.rejected.text) for p in turned)


def test_length_is_drawn_apart_from_quality() -> None:
    """Long bad and short good replies abound; the rest of the correlation is that good replies say more."""
    pairs = generate_pairs(split="train", count=300, seed=2)
    shorter = [pair for pair in pairs if len(pair.chosen.text) < len(pair.rejected.text)]
    assert 0.3 < len(shorter) / len(pairs) < 0.5
    fillers = [
        pair.chosen.metadata["quality"]["fillers"] - pair.rejected.metadata["quality"]["fillers"] for pair in pairs
    ]
    assert abs(sum(fillers) / len(fillers)) < 0.35


def test_pairs_come_back_from_disk(tmp_path: object) -> None:
    from pathlib import Path

    path, pairs = Path(str(tmp_path)) / "pairs.jsonl", generate_pairs(split="test", count=20, noise=0.1)
    write_pairs(path, pairs)
    again = load_pairs(path)
    assert [p.to_json() for p in again] == [p.to_json() for p in pairs]
    assert judge(again[0].problem, again[0].chosen.text) == judge(pairs[0].problem, pairs[0].chosen.text)


def test_settings_that_make_no_sense_are_faults() -> None:
    with pytest.raises(DataError, match="did you mean 'train'"):
        generate_consultations(split="trian", count=1)
    with pytest.raises(DataError, match=r"noise is 0\.7"):
        generate_pairs(split="train", count=1, noise=0.7)
    with pytest.raises(DataError, match=r"asked for 0 in \['en'\]"):
        generate_pairs(split="train", count=0, languages=["en"])
