"""Format: well-formed texts pass, and nothing that merely counts right does."""

import time

import pytest

from medrl.errors import RecipeError
from medrl.rewards import Format
from medrl.types import Group, Problem, Response, ask

PROBLEM = Problem("p", ask("What is it?"), "gout")
GOOD = "## Thinking\n\nUric acid is high.\n\n## Final Response\n\nGout.\n"
GOOD_ZH = "## 思考\n\n尿酸偏高。\n\n## 最终回答\n\n痛风。"
GOOD_THINK = "<think>\nUric acid is high.\n</think>\n\nGout."


def value(text: str, preset: str = "o1") -> float | None:
    ((score,),) = Format(preset).score_sync([Group(PROBLEM, (Response(text),))])
    assert score.status == "ok"
    assert score.parts["format"].value == score.value
    assert bool(score.reason) == (score.value == 0.0)
    return score.value


@pytest.mark.parametrize(
    "text",
    [
        GOOD,
        "\n\n  " + GOOD,
        GOOD.replace("\n", "\r\n"),
        GOOD.replace("## Final Response\n", "## Final Response  \n"),
        "## Thinking\nHigh.\n## Final Response\nGout.",
        "## Thinking\n```\ncode\n```\nHigh.\n## Final Response\n```\nGout\n```",
        "## Thinking\n### Labs\nHigh.\n## Final Response\n### Answer\nGout.",
        "## Thinking\nI think about the final response.\n## Final Response\n痛风",
    ],
)
def test_well_formed_o1(text: str) -> None:
    assert value(text) == 1.0


@pytest.mark.parametrize(
    "text",
    [
        "",
        "Gout.",
        "## Thinking\n\nHigh.",
        "## Final Response\n\nGout.",
        "## Final Response\n\nGout.\n\n## Thinking\n\nHigh.",  # wrong order
        GOOD + GOOD,
        GOOD + "\n## Thinking",  # trailing headers
        GOOD + "\n## Final Response\n",
        GOOD + "\n### Final Response\n\nNot gout.",  # a near copy
        GOOD + "\n##Final Response\n\nNot gout.",
        GOOD + "\n## final response: not gout",
        "## Thinking\n## Thinking\nHigh.\n## Final Response\nGout.",
        "## Thinking\n\n\n## Final Response\n\nGout.",  # empty sections
        "## Thinking\n\nHigh.\n\n## Final Response\n\n",
        "## Thinking\n\nHigh.\n\n## Final Response\n\n...\n:\n",
        "## Thinking\n\n---\n\n## Final Response\n\nGout.",
        "## Thinking\n\nHigh.\n\n## Final Response\n\n## Answer\n",  # nothing but another header
        "## Thinking\n\nHigh. `## Final Response`\n\nGout.",  # inside a line, inside code
        "`## Thinking`\n\nHigh.\n\n## Final Response\n\nGout.",
        "## Thinking\n\nHigh.\n\n    ## Final Response\n\nGout.",
        "## Thinking\n\nHigh.\n```\n## Final Response\n```\nGout.",
        "## Thinking\n\nHigh.\n~~~md\n```\n## Final Response\n\nGout.",
        "```\n## Thinking\n\nHigh.\n\n## Final Response\n\nGout.\n```",
        "## Thinking High.\n\n## Final Response Gout.",
        "Sure!\n\n" + GOOD,
    ],
)
def test_malformed_o1(text: str) -> None:
    assert value(text) == 0.0


def test_chinese_headers_follow_the_same_rules() -> None:
    assert value(GOOD_ZH, "o1_zh") == 1.0
    for text in (
        GOOD_ZH + "\n\n## 思考",
        GOOD_ZH + "\n\n##最终回答：不是痛风",
        "## 最终回答\n\n痛风。\n\n## 思考\n\n尿酸偏高。",
        "## 思考\n\n\n## 最终回答\n\n痛风。",
        "## 思考\n\n尿酸偏高。\n\n## 最终回答\n\n。",
        "好的。\n" + GOOD_ZH,
        GOOD,
    ):
        assert value(text, "o1_zh") == 0.0, text
    assert value(GOOD_ZH, "o1") == 0.0


def test_think_tags() -> None:
    assert value(GOOD_THINK, "think") == 1.0
    assert value("  <think>a</think>b", "think") == 1.0
    for text in (
        "Gout.",
        "<think>High.</think>",
        "<think>High.</think>\n\n \n",
        "<think></think>Gout.",
        "<think>High. Gout.",
        "High.</think>Gout.",
        "</think>High.<think>Gout.",
        "Gout. <think>High.</think> Gout.",
        GOOD_THINK + GOOD_THINK,
        GOOD_THINK + "</think>",
        GOOD_THINK + "<THINK>",
        "<think>High. `</think>` Gout.",
        "<think>High.\n```\n</think>\nGout.",
        "<think>High. < / think > x</think>Gout.",
    ):
        assert value(text, "think") == 0.0, text


@pytest.mark.parametrize("piece", ["#", "# ", "## Thinking\n", "`", "```\n", "<think>", "<", "</think ", "\n", " "])
def test_a_long_degenerate_text_takes_linear_time(piece: str) -> None:
    text = piece * (200_000 // len(piece))
    start = time.perf_counter()
    assert [value(text, preset) for preset in ("o1", "o1_zh", "think")] == [0.0, 0.0, 0.0]
    assert time.perf_counter() - start < 2.0


def test_an_unknown_preset_is_refused_with_the_nearest_one() -> None:
    with pytest.raises(RecipeError, match="did you mean 'think'"):
        Format("thinks")
