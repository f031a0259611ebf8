"""Length, overlong, cosine and repetition: by hand, against TRL's own functions, and under attack."""

import math
import random
from pathlib import Path
from typing import Any

import pytest

from medrl.rewards import Cosine, Gate, Length, Overlong, Repetition, Reward, Truncation, VisibleLength, reward
from medrl.rewards.repetition import repeated_share
from medrl.rewards.textual import pieces, words
from medrl.types import FinishReason, Group, Problem, Response, Score, ask

PROBLEM = Problem("p", ask("What is it?"), "gout")


@reward("right")
def right(problem: Problem, response: Response) -> float | None:
    """Right where it says gout; no number where it says so."""
    return None if "unjudged" in response.text else float("gout" in response.text.lower())


def score(tree: Reward, text: str, tokens: int | None = None, finish: FinishReason = "stop") -> Score:
    ((one,),) = tree.score_sync([Group(PROBLEM, (Response(text, finish_reason=finish, token_count=tokens),))])
    return one


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("", 0),
        ("The diagnosis is gout.", 4),
        ("It's 2.5 mg, twice-daily.", 5),
        ("患者服用 Metformin 500 mg。", 7),
        ("痛风", 2),
        ("a" * 20, 1),
        ("a" * 21, 2),  # a text without blanks is not short
        ("痛" * 1000, 1000),
        ("....", 1),  # nor is one of signs
        (". . . .", 1),
        (" \n\t ", 0),
        ("한국어 テスト", 6),
    ],
)
def test_words(text: str, count: int) -> None:
    assert words(text) == count


def test_pieces_make_all_numbers_alike() -> None:
    assert pieces("Step 12: 痛风, 2.5 MG") == ["step", "0", ":", "痛", "风", ",", "0.0", "mg"]


def test_length_counts_answer_and_reasoning_apart() -> None:
    text = f"<think>\n{'why ' * 50}\n</think>\n{'so ' * 10}"
    assert score(Length(at_most=10, slack=10), text).value == 1.0
    assert score(Length(portion="reasoning", at_most=40, slack=20), text).value == 0.5
    assert score(Length(portion="all", at_most=40, slack=20), text).value == 0.0
    assert score(Length(at_least=20, at_most=40, slack=20), text).value == 0.5  # too short
    assert score(Length(at_least=10, at_most=10, slack=0), text).value == 1.0
    assert score(Length(at_least=11, at_most=11, slack=0), text).value == 0.0


def test_tokens_are_counted_or_there_is_no_number(tmp_path: Path) -> None:
    from medrl.rewards.textual import length
    from medrl.verifiers.extract import sections

    leaf = Length(portion="all", unit="tokens", at_most=10, slack=10)
    assert score(leaf, "gout", tokens=15).value == 0.5
    uncounted = score(leaf, "gout")
    assert (uncounted.value, uncounted.status) == (None, "abstain") and "nobody counted" in uncounted.reason
    tokenizers = pytest.importorskip("tokenizers")
    made = tokenizers.Tokenizer(tokenizers.models.WordLevel({"gout": 0, "?": 1}, unk_token="?"))
    made.pre_tokenizer = tokenizers.pre_tokenizers.Whitespace()
    made.save(str(tmp_path / "tokenizer.json"))
    text = "<think>\nIt hurts a lot.\n</think>\ngout it is"
    for path in (tmp_path, tmp_path / "tokenizer.json"):
        exact = Length(unit="tokens", at_most=3, slack=0, tokenizer=str(path))
        assert score(exact, text, tokens=99).value == 1.0
        assert length(Response(text), sections(text), "reasoning", "tokens", str(path)) == 5
    assert score(VisibleLength(unit="tokens", free=1, span=4, tokenizer=str(tmp_path)), text).value == -0.5


def test_overlong_is_equation_13() -> None:
    leaf = Overlong(100, 20)
    assert [score(leaf, "gout", n).value for n in (1, 80, 90, 100, 101, 10**6)] == [0.0, 0.0, -0.5, -1.0, -1.0, -1.0]
    assert score(leaf, "gout", None, "length").value == -1.0  # known without a count
    assert score(leaf, "gout", 1, "length").value == -1.0
    assert score(leaf, "gout").status == "abstain"
    assert [score(Overlong(100, 0), "gout", n).value for n in (100, 101)] == [0.0, -1.0]


def test_overlong_equals_trl() -> None:
    trl = pytest.importorskip("trl.rewards")
    for most, buffer in ((100, 20), (100, 100), (64, 1), (50, 0)):
        ours, theirs = Overlong(most, buffer), trl.get_soft_overlong_punishment(most, buffer)
        counts = range(1, most + 30)
        expected = theirs(completion_ids=[[0] * n for n in counts])
        assert [score(ours, "gout", n).value for n in counts] == pytest.approx(expected)


def test_visible_length_is_huatuogpt_3s() -> None:
    leaf = VisibleLength(factor=0.6)
    for n, expected in ((1, 0.0), (200, 0.0), (2200, -0.3), (4200, -0.6), (9000, -0.6)):
        answer = "so " * n
        assert score(leaf, answer).value == pytest.approx(expected)
        assert score(leaf, f"<think>\n{'why ' * 5000}\n</think>\n{answer}").value == pytest.approx(expected)
    assert score(leaf, "痛" * 2200).value == pytest.approx(-0.3)


def test_truncation() -> None:
    assert score(Truncation(), "gout").value == 1.0
    assert score(Truncation(), "gout", finish="length").value == 0.0
    assert score(Truncation(), "<think>\ngout").value == 0.0
    assert Truncation() * right == Gate(Truncation(), right)


def test_cosine_by_hand() -> None:
    leaf = Cosine(right, 100, wrong_short=-1.0, wrong_long=-0.5)
    assert score(leaf, "gout", 50).value == pytest.approx(0.75)
    assert score(leaf, "flu", 50).value == pytest.approx(-0.75)
    assert score(leaf, "gout", 25).value == pytest.approx(0.5 + 0.25 * (1 + math.cos(math.pi / 4)))
    assert score(leaf, "gout", 100).value == score(leaf, "gout", 170).value == pytest.approx(0.5)
    assert score(leaf, "gout", 50).parts["right"].value == 1.0
    assert score(leaf, "unjudged", 50).status == "abstain"
    uncounted = score(leaf, "gout")
    assert uncounted.status == "abstain" and uncounted.parts["right"].value == 1.0
    cut = Cosine(right, 100, exceeded=-1.0)
    assert score(cut, "gout", 100, "length").value == -1.0 and score(cut, "gout", 100).value == 0.5
    assert score(Cosine(right, 100), "<think>\ngout", 5).value == 0.0  # right, and no visible answer


def test_cosine_equals_trl() -> None:
    trl = pytest.importorskip("trl.rewards")
    pytest.importorskip("math_verify")
    theirs = trl.get_cosine_scaled_reward(max_len=100)
    leaf = Cosine(right, 100, wrong_short=-1.0, wrong_long=-0.5)
    counts = [1, 7, 50, 99, 100, 101, 250]
    for ours, boxed in (("gout", r"\boxed{3}"), ("flu", r"\boxed{4}")):
        expected = theirs(
            [[{"role": "assistant", "content": boxed}]] * len(counts), ["$3$"] * len(counts), [[0] * n for n in counts]
        )
        assert [score(leaf, ours, n).value for n in counts] == pytest.approx(expected)


@pytest.mark.parametrize("size", [1, 2, 3, 4])
def test_repetition_equals_trl(size: int) -> None:
    trl = pytest.importorskip("trl.rewards")
    theirs: Any = trl.get_repetition_penalty_reward(ngram_size=size, max_penalty=-1.0)
    leaf = Repetition(size=size, size_zh=size, free=0.0)
    draw = random.Random(0)
    for letters in (2, 5, 26):
        for n in (1, 2, 3, 10, 200):
            ids = [draw.randrange(letters) for _ in range(n)]
            expected = theirs(completion_ids=[ids])[0]
            assert -repeated_share(ids, size) == pytest.approx(expected)  # type: ignore[arg-type]
            latin = " ".join("w" + chr(ord("a") + one) * 2 for one in ids)
            chinese = "".join(chr(0x4E00 + one) for one in ids)
            assert score(leaf, latin).value == pytest.approx(expected)
            assert score(leaf, chinese).value == pytest.approx(expected)


def test_prose_is_not_repetition_and_loops_are() -> None:
    prose = (
        "Gout is caused by crystals of urate in a joint. Start naproxen 500 mg twice daily. Avoid beer and red meat."
    )
    chinese = "痛风由尿酸盐结晶引起。急性期口服秋水仙碱，每日两次。少饮啤酒，少吃红肉，多喝水，定期复查尿酸。"
    assert score(Repetition(), prose).value == score(Repetition(), chinese).value == 0.0
    loops = [
        prose * 10,
        chinese * 10,
        "\n".join(f"{i}. Drink plenty of water every day." for i in range(50)),  # counting up hides nothing
        "\n".join(f"{i}、每天多喝水，注意休息。" for i in range(50)),
        "!" * 500 + " gout",
        "ha" * 500,
        "痛" * 500,
        f"<think>\n{prose}\n</think>\n" + "Drink water now, please. " * 30,
    ]
    for loop in loops:
        value = score(Repetition(), loop).value
        assert value is not None and value < -0.7, loop[:40]


def test_long_reasoning_does_not_dilute_an_answer_that_repeats_itself() -> None:
    reasoning = " ".join(f"{a}{b}{c}" for a in "abcdefgh" for b in "ijklmnop" for c in "qrstuvwxyz")
    text = f"<think>\n{reasoning}\n</think>\n" + "Drink water now, please. " * 30
    assert score(Repetition(), text).value == score(Repetition(portion="answer"), text).value
    assert score(Repetition(portion="reasoning"), text).value == 0.0


# Attacks


@pytest.mark.parametrize("leaf", [Length(), VisibleLength(), Overlong(1000, 200, unit="words"), Repetition()])
def test_terseness_earns_nothing_above_an_ordinary_answer(leaf: Reward) -> None:
    ordinary = score(leaf, "This is gout. Take naproxen 500 mg twice daily with food, and drink more water.").value
    for terse in ("ok.", "多喝水", "A", "?", "", "yes"):
        value = score(leaf, terse).value
        assert value is not None and ordinary is not None and value <= ordinary


def test_a_text_without_blanks_or_of_signs_is_not_short() -> None:
    leaf = VisibleLength(free=50, span=100)
    for padded in ("take_naproxen_daily_" * 500, "naproxen" * 500, "=" * 5000, "- " * 5000, "痛" * 5000):
        assert score(leaf, padded).value == -1.0


def test_padding_a_wrong_answer_does_not_pay_unless_asked_for() -> None:
    assert score(Cosine(right, 100), "flu", 5).value == score(Cosine(right, 100), "flu", 100).value == 0.0
    published = Cosine(right, 100, wrong_short=-1.0, wrong_long=-0.5)  # pays for it, as the paper says
    short, long = score(published, "flu", 5).value, score(published, "flu", 100).value
    assert short is not None and long is not None and short < long


def test_what_is_hidden_in_the_reasoning_or_cut_off_does_not_pass_for_brief() -> None:
    text = "<think>\n" + "why " * 2000
    assert score(VisibleLength(), text).value == -1.0
    assert score(Overlong(1000, 200), text, 1000, "length").value == -1.0
