"""What dialogues are held against: whether a rewriting says the same, and whether a question is nearly there already."""

import random
import time

import pytest

from medrl.construct.faithful import amounts_of, unfaithful
from medrl.construct.near_duplicates import NearDuplicates, shingles
from medrl.construct.self_instruct import SEEDS


def test_chinese_rewritings_are_compared_too() -> None:
    before = "考虑扁桃体炎。阿莫西林500mg一天3次。发烧吗？"
    assert not unfaithful(before, "您这种情况考虑是扁桃体炎。请服用阿莫西林500mg，一天3次。请问您发烧吗？")
    assert "is new" in unfaithful(before, "考虑扁桃体炎。阿莫西林500mg一天3次，再加布洛芬。发烧吗？")


@pytest.mark.parametrize(
    ("before", "after", "said"),
    [
        ("Do not take ibuprofen. Take paracetamol 500 mg.", "Please take paracetamol 500 mg.", "not drug:ibuprofen is gone"),
        ("Avoid ibuprofen.", "Please take ibuprofen.", "not drug:ibuprofen is gone"),
        ("Take ibuprofen.", "It is best that you stop ibuprofen.", "drug:ibuprofen is gone"),
        ("Rest. Do not drive.", "Please rest well.", "advised against"),
        ("2 tablets every 8 hours.", "8 tablets every 2 hours, please.", "numbers"),
        ("2 tablets every 8 hours.", "Every 2 hours, please take 8 tablets.", "other units"),
        ("Two tablets every eight hours.", "Eight tablets every two hours.", "numbers"),
        ("Take 500 mg for 3 days.", "Take 500 mg for 3 weeks.", "other units"),
        ("Ibuprofen 400 mg, paracetamol 500 mg.", "Ibuprofen 500 mg and paracetamol 400 mg.", "numbers"),
        ("不要服用布洛芬，可以吃对乙酰氨基酚。", "您可以服用对乙酰氨基酚。", "is gone"),
        ("不建议您现在就服用布洛芬。", "建议您现在就服用布洛芬。", "is gone"),
        ("每8小时2片。", "每2小时8片。", "numbers"),
        ("每天三次，一次两片。", "每天两次，一次三片。", "numbers"),
        ("忌辛辣，多休息。", "请您多休息。", "advised against"),
        ("多休息。", "请您多休息，并做康复训练。", "is new"),
        ("多休息。", "请您多休息，祝您服用布洛芬早日康复。", "is new"),
        ("多休息。", "请您多休息，希望您尽快康复训练。", "is new"),
        ("多休息。", "请您多休息，愿您早日康复治疗。", "is new"),
    ],
)  # fmt: skip
def test_harm_that_a_rewriting_does_is_found(before: str, after: str, said: str) -> None:
    assert said in unfaithful(before, after)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("Do not take ibuprofen. Take paracetamol 500 mg.", "Please avoid ibuprofen, but take paracetamol 500 mg."),
        ("No ibuprofen. Paracetamol 3x/day.", "Please don't take ibuprofen. Take paracetamol three times a day."),
        ("Ibuprofen 400 mg twice daily.", "You can take 400 mg of ibuprofen 2 times a day. Don't worry."),
        ("2 tabs q8h.", "Please take two tablets every 8 hours."),
        ("不要吃布洛芬，阿莫西林500mg一天3次。", "请您不要服用布洛芬。阿莫西林每次500毫克，每天三次，请不要担心。"),
        ("Do not worry. Rest.", "You need not be afraid. Please rest."),
        ("扁桃体炎，多喝水。", "您这是扁桃体炎，请多喝水。祝您早日康复！"),
        ("多休息，希望孩子尽快恢复健康。", "请让孩子多休息。"),
    ],
)
def test_the_same_in_kind_words_passes(before: str, after: str) -> None:
    assert not unfaithful(before, after)


def test_hostile_numbers_are_read_in_linear_time() -> None:
    for text in ("2 " * 50_000, "two-" * 50_000, "9" * 200_000, "一" * 100_000, "do not " * 30_000):
        start = time.perf_counter()
        amounts_of(text)
        assert time.perf_counter() - start < 3.0


# Near duplicates


def test_near_duplicates_are_found_and_others_are_not() -> None:
    seen = NearDuplicates()
    assert all(seen.add(one) for language in ("en", "zh") for one in SEEDS[language])
    for text in (SEEDS["en"][0].upper(), SEEDS["en"][2] + " Tell me.", SEEDS["zh"][3].replace("昨晚", "昨天晚")):
        assert not seen.new(text), text
    assert seen.new("How often should I have my eyes checked?")


def test_the_duplicates_found_are_those_of_all_pairs() -> None:
    """Against the exact comparison of every pair."""
    rng = random.Random(0)
    words = [f"w{n}" for n in range(40)]
    texts = [" ".join(rng.choices(words, k=12)) for _ in range(150)]
    for text in texts[:100]:
        changed = text.split()
        changed[rng.randrange(10, 12)] = "other"
        texts.append(" ".join(changed))
    seen, kept, wrong = NearDuplicates(), [], 0
    for text in texts:
        mine = shingles(text)
        exact = all(len(mine & one) <= 0.5 * len(mine | one) for one in kept)
        wrong += exact != seen.add(text)
        if exact:
            kept.append(mine)
    assert len(kept) < 170 and wrong <= 5
