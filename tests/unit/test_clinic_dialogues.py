"""Consultations of the clinic: deterministic, nothing leaks across the split, pairs of one content and one length."""

from collections.abc import Callable

import pytest

from medrl.data.clinic import load_world
from medrl.data.clinic.dialogues import FLAWS, SPLITS, WITHIN, generate_flawed, generate_matched, generate_replies
from medrl.data.clinic.speech import pieces
from medrl.data.clinic.visits import diseases_of
from medrl.data.replies import LabelledReply
from medrl.errors import DataError

Generate = Callable[..., list[LabelledReply]]
EVERY: tuple[Generate, ...] = (generate_replies, generate_matched, generate_flawed)


@pytest.mark.parametrize("generate", EVERY)
def test_the_same_arguments_give_the_same_replies_and_a_longer_list_begins_with_the_shorter(generate: Generate) -> None:
    longer = generate(split="train", count=30, seed=3)
    assert generate(split="train", count=12, seed=3) == longer[:24]
    assert len(longer) == 60
    assert generate(split="train", count=12, seed=4) != longer[:24]


def test_no_disease_is_in_two_splits() -> None:
    world = load_world()
    sets = [set(diseases_of(world, split)) for split in SPLITS]
    assert not (sets[0] & sets[1] or sets[0] & sets[2] or sets[1] & sets[2])
    assert min(map(len, sets)) >= 10
    for split, allowed in zip(SPLITS, sets, strict=True):
        shown = {one.problem.metadata["disease"] for one in generate_replies(split=split, count=60)}
        assert shown <= allowed and len(shown) >= 8


@pytest.mark.parametrize("language", ["en", "zh"])
def test_no_wording_is_on_both_sides_and_the_two_use_the_same_blanks(language: str) -> None:
    for name, piece in pieces(language).items():
        if name.startswith(("duration", "sex.")):
            continue
        assert not (set(piece.train) & set(piece.held_out)) - {""}, name
        assert len(set(piece.train)) == len(piece.train) and len(set(piece.held_out)) == len(piece.held_out)
    assert {name.split(".")[0] for name in pieces("en")} == {name.split(".")[0] for name in pieces("zh")}


def test_no_sentence_of_a_speaker_is_in_training_and_held_out() -> None:
    """Held-out replies share no whole sentence with training ones, but for words of the tables."""

    def sentences(split: str) -> set[str]:
        found: set[str] = set()
        for one in generate_replies(split=split, count=150, languages=("en",)):
            found |= {part.strip() for part in one.text.replace("\n", ". ").split(".") if len(part.split()) > 3}
        return found

    assert not sentences("train") & sentences("held_out")


def test_both_speakers_reply_to_one_patient_and_both_vary() -> None:
    replies = generate_replies(split="held_out", count=120)
    for doctor, assistant in zip(replies[::2], replies[1::2], strict=True):
        assert doctor.problem == assistant.problem
        assert (doctor.doctor, assistant.doctor) == (True, False)
        assert doctor.problem.messages[-1]["role"] == "user" and doctor.problem.kind == "dialogue"
    doctors, assistants = replies[::2], replies[1::2]
    assert any("1. " in one.text for one in doctors), "doctors list now and then"
    assert any(one.text.rstrip().endswith(("?", "？")) for one in doctors)
    asking = [one for one in assistants if "?" in one.text or "？" in one.text]
    assert 0.2 < len(asking) / len(assistants) < 0.8, "assistants ask now and then"
    longest, shortest = max(one.length for one in doctors), min(one.length for one in assistants)
    assert longest > shortest, "lengths overlap"


def test_matched_pairs_have_one_content_and_nearly_one_length() -> None:
    pairs = generate_matched(split="held_out", count=80)
    for doctor, assistant in zip(pairs[::2], pairs[1::2], strict=True):
        assert doctor.pair == assistant.pair and doctor.content == assistant.content and doctor.content
        assert abs(doctor.length - assistant.length) <= WITHIN * max(doctor.length, assistant.length)
        assert doctor.text != assistant.text
    world = load_world()
    for one in pairs:
        for key in one.content:
            if key.startswith("disease:"):
                assert (
                    world.diseases[key.removeprefix("disease:")].name.of(one.problem.language).casefold()
                    in one.text.casefold()
                )


def test_flaws_are_told_and_the_sound_reply_has_none() -> None:
    replies = generate_flawed(split="train", count=10)
    assert [one.flaw for one in replies[1::2]] == [*FLAWS, *FLAWS]
    assert all(not one.flaw and one.doctor for one in replies[::2])


def test_settings_that_cannot_be_are_refused() -> None:
    with pytest.raises(DataError, match="split"):
        generate_replies(split="test", count=1)
    with pytest.raises(DataError, match="languages"):
        generate_replies(split="train", count=1, languages=("fr",))
    with pytest.raises(DataError, match="count is 0"):
        generate_matched(split="train", count=0)
