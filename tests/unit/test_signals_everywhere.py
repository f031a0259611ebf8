"""What holds for every textual signal: names, YAML, aborted and empty responses, faults, and time."""

import pickle
import time
from collections.abc import Mapping
from typing import Any

import pytest
import yaml

from medrl import plugins
from medrl.errors import RecipeError
from medrl.rewards import Overlong, Repetition, Reward, build, check
from medrl.types import FinishReason, Group, Problem, Response, Score, ask

PASSAGES = ["Colchicine 0.5 mg twice daily is recommended for acute gout."]
ENGLISH = Problem("en", ask("What is it?"), "gout", metadata={"passages": PASSAGES})
CHINESE = Problem("zh", ask("这是什么病？"), "痛风", language="zh", metadata={"passages": PASSAGES})

# Every signal with the knobs that it needs, and its value for a response without a visible answer.
SIGNALS: dict[str, tuple[dict[str, Any], float]] = {
    "length": ({}, 0.0),
    "overlong": ({"max_length": 1000, "buffer": 100, "unit": "words"}, -1.0),
    "visible_length": ({"factor": 0.6}, -0.6),
    "truncation": ({}, 0.0),
    "cosine": ({"correct": "SAYS_RIGHT", "max_length": 1000, "unit": "words", "wrong_short": -1.0}, -1.0),
    "repetition": ({}, -1.0),
    "language": ({}, 0.0),
    "readability": ({}, 0.0),
    "hedging": ({}, 0.0),
    "refusal": ({}, 0.0),
    "citation": ({}, 0.0),
}


def made(kind: str, **knobs: Any) -> Reward:
    config: dict[str, Any] = {"type": kind, **SIGNALS[kind][0], **knobs}
    if config.get("correct") == "SAYS_RIGHT":
        config["correct"] = {"type": "verified", "verifier": {"type": "text"}, "otherwise": 1.0}
    return build(config)


def score(
    tree: Reward, text: str, problem: Problem = ENGLISH, finish: FinishReason = "stop", tokens: int | None = None
) -> Score:
    ((one,),) = tree.score_sync([Group(problem, (Response(text, finish_reason=finish, token_count=tokens),))])
    return one


@pytest.mark.parametrize("kind", SIGNALS)
def test_it_is_built_in_and_goes_to_yaml_and_back(kind: str) -> None:
    assert kind in plugins.available("medrl.rewards")
    tree = made(kind)
    config = yaml.safe_load(yaml.safe_dump(tree.to_config()))
    assert config["type"] == kind and config["name"] == kind
    assert build(config) == tree and pickle.loads(pickle.dumps(tree)) == tree


def test_the_table_above_names_every_signal() -> None:
    from medrl.rewards.cosine import Cosine
    from medrl.rewards.textual import Signal

    loaded = {name: plugins.load("medrl.rewards", name) for name in plugins.BUILTIN["medrl.rewards"]}
    assert {name for name, one in loaded.items() if issubclass(one, Signal | Cosine)} == set(SIGNALS)


@pytest.mark.parametrize("kind", SIGNALS)
def test_an_aborted_response_has_no_number(kind: str) -> None:
    got = score(made(kind), "The diagnosis is gout.", finish="abort")
    assert (got.value, got.status) == (None, "error") and "aborted" in got.reason


@pytest.mark.parametrize("kind", SIGNALS)
@pytest.mark.parametrize(
    "text",
    [
        "",
        " \n\t\n ",
        "...",
        "<think>\nIt is gout, no doubt about it.",  # never closed
        "## Thinking\nIt is gout, no doubt about it.",
        "<think>\nIt is gout.\n</think>\n",
        "## Thinking\n\n## Final Response\n---\n",
        "<think>\nOne.\n</think>\nGout.\n<think>\nTwo.",
        "\u200b\u200b",
    ],
)
def test_without_a_visible_answer_it_has_its_worst_value(kind: str, text: str) -> None:
    for problem in (ENGLISH, CHINESE):
        got = score(made(kind), text, problem)
        assert (got.value, got.status) == (SIGNALS[kind][1], "ok")
        assert "no visible answer" in got.reason


@pytest.mark.parametrize("kind", SIGNALS)
def test_a_strict_format_takes_malformed_for_no_answer(kind: str) -> None:
    tree = made(kind, format="think-strict")
    assert score(tree, "The diagnosis is gout.").value == SIGNALS[kind][1]
    assert "no visible answer" not in score(tree, "<think>\nHm.\n</think>\nThe diagnosis is gout.").reason


HOSTILE: Mapping[str, str] = {
    "one word": "a",
    "words": "may ",
    "hedges": "i can't not sure, ",
    "brackets": "[1-",
    "citations": "[1]",
    "quotes": '"x“',
    "Chinese": "无法",
    "referrals": "如果您出现建议咨询",
    "lines": "a\n",
    "stops": ". ",
    "marks": "a\u0301\u0323",
    "numbers": "1.2,3",
    "headers": "## Thinking\n",
    "tags": "<think>",
    "blanks": "a" + " " * 999,
}


@pytest.mark.parametrize("kind", SIGNALS)
def test_a_text_ten_times_as_long_takes_about_ten_times_as_long(kind: str) -> None:
    """Quadratic time would be a hundred times as long."""
    tree = made(kind)
    for name, unit in HOSTILE.items():
        spent = []
        for size in (2_000, 20_000):
            text = (unit * size)[:size] + " a"
            began = time.process_time()
            assert score(tree, text, CHINESE).status in ("ok", "abstain"), name
            spent.append(time.process_time() - began)
        assert spent[1] < max(35 * spent[0], 0.25), f"{name}: {spent}"


@pytest.mark.slow
@pytest.mark.parametrize("kind", SIGNALS)
@pytest.mark.parametrize("name", ["hedges", "Chinese"])
def test_a_megabyte_is_read_in_seconds(kind: str, name: str) -> None:
    tree, text = made(kind), (HOSTILE[name] * 1_000_000)[:1_000_000] + " a"
    began = time.process_time()
    assert score(tree, text).status in ("ok", "abstain")
    assert time.process_time() - began < 20


@pytest.mark.parametrize(
    ("kind", "knobs", "words"),
    [
        ("length", {"portion": "answers", "at_least": -1}, ["portion", "at_least"]),
        ("length", {"unit": "tokens"}, ["tokenizer"]),
        ("length", {"unit": "tokens", "tokenizer": "nowhere"}, ["there is no file"]),
        ("length", {"at_least": 9, "at_most": 3}, ["`at_least` 9 is above `at_most` 3"]),
        ("overlong", {"buffer": 2000}, ["longer than `max_length`"]),
        ("overlong", {"max_length": 10.5}, ["max_length"]),
        ("visible_length", {"factor": -1.0, "span": 0}, ["factor", "span"]),
        ("cosine", {"wrong_long": 0.9}, ["wrong answer can be worth more"]),
        ("cosine", {"right_long": 2.0}, ["padding would pay"]),
        ("cosine", {"exceeded": 1.0}, ["never to end would pay"]),
        ("repetition", {"size": 0, "free": 1.0}, ["size", "free"]),
        ("language", {"reasoning": "yes"}, ["true or false"]),
        ("readability", {"low": 9.0, "high": 4.0, "slack_zh": 0.0}, ["`low` 9.0", "slack_zh"]),
        ("readability", {"otherwise": 2.0}, ["otherwise"]),
        ("hedging", {"cost": -1.0, "disclaimers": -1}, ["cost", "disclaimers"]),
        ("refusal", {"direction": "both"}, ["direction"]),
        ("citation", {"support": 0.0, "uncited_free": 1.5}, ["support", "uncited_free"]),
        ("language", {"format": "boxed"}, ["format"]),
    ],
)
def test_every_fault_is_told(kind: str, knobs: dict[str, Any], words: list[str]) -> None:
    config = {**made(kind).to_config(), **knobs}
    faults = "\n".join(check(config))
    for word in words:
        assert word in faults


def test_faults_come_all_at_once() -> None:
    with pytest.raises(RecipeError) as caught:
        Overlong(0, -1, unit="pages")  # type: ignore[arg-type]
    assert len(caught.value.faults) == 3
    with pytest.raises(RecipeError):
        Repetition(free=float("nan"))
