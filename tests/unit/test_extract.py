"""Which part of a response counts as its answer."""

import sys

import pytest

from medrl.errors import RecipeError
from medrl.types import Problem, ask
from medrl.verifiers import Text, Typed, degenerate, final_answer, sections, verify_all
from medrl.verifiers.extract import Format


@pytest.mark.parametrize(
    ("text", "answer", "how"),
    [
        ("Asthma", "Asthma", "short"),
        ("## Thinking\n\nGout?\n\n## Final Response\n\nThe answer is Asthma.", "Asthma", "stated"),
        ("<think>Gout. The answer is gout.</think>\nAsthma.", "Asthma", "short"),
        ("Gout</think>Asthma", "Asthma", "short"),
        ("So \\boxed{\\text{Asthma}} it is", "Asthma", "boxed"),
        ("<answer> Asthma </answer> thanks", "Asthma", "tag"),
        ("The answer is gout. No, wait. The answer is asthma.", "asthma", "stated"),
        ("Final answer: **Asthma**", "Asthma", "stated"),
        ("All things considered, the most likely diagnosis is asthma.", "asthma", "stated"),
        ("Weighing everything, cellulitis is the most likely diagnosis.", "cellulitis", "stated"),
        ("The most common cause is E. coli. The answer is E. coli. It is a rod.", "E. coli", "stated"),
        ("The answer is 3.5 mmol/L.", "3.5 mmol/L", "stated"),
        ("综上所述，最可能的诊断是哮喘。", "哮喘", "stated"),
        ("答案：Ｂ", "Ｂ", "stated"),
        ("【答案】B", "B", "stated"),
        ("分析如下。故选B。", "B", "stated"),
        ("诊断为：支气管哮喘。需与肺炎鉴别。", "支气管哮喘", "stated"),
    ],
)
def test_the_committed_answer_is_read_and_its_span_reproduces_it(text: str, answer: str, how: str) -> None:
    found = final_answer(text)
    assert found is not None
    assert (found.text, found.how) == (answer, how)
    assert text[slice(*found.span)] == answer


@pytest.mark.parametrize(
    "text",
    [
        "",
        "   ",
        "。",
        ":",
        "Solution",
        "解：",
        "答案是",
        "The answer is",
        "Let's think step by step.",
        "<think>Asthma",
        "<think>Asthma</think>",
        "## Thinking\n\nAsthma",
        "Asthma\n## Thinking\n\nhm",
        "让我们一步一步地思考。",
        "## Thinking\n\nAsthma\n\n## Final Response\n\n",
        "<think>a</think>Asthma<think>Asthma",
        "\\boxed{}",
    ],
)
def test_no_answer_is_found_where_there_is_none(text: str) -> None:
    assert final_answer(text) is None


def test_an_empty_reasoning_block_before_an_answer_breaks_the_form_only() -> None:
    found = sections("<think>\n</think>\n\nAsthma")
    assert (found.answer, found.well_formed, found.fault) == ("Asthma", False, "the reasoning is empty")


def test_earlier_statements_are_kept_unless_they_are_taken_back() -> None:
    kept = final_answer("The answer is gout. The answer is asthma.")
    retracted = final_answer("The answer is gout. Correction: the answer is asthma.")
    assert kept is not None and kept.earlier == ("gout",)
    assert retracted is not None and retracted.earlier == ()


def test_a_long_answer_without_a_statement_is_not_read_as_committed() -> None:
    found = final_answer("Many things may be said about the lungs of this patient. " * 12)
    assert found is not None and found.how == "long" and not found.committed


def test_sections_keep_the_format_rules() -> None:
    good = sections("## Thinking\n\nwhy\n\n## Final Response\n\nAsthma", "o1")
    assert (good.reasoning, good.answer, good.well_formed, good.format) == ("why", "Asthma", True, "o1")
    assert not sections("Hi ## Thinking\n\nwhy\n\n## Final Response\n\nAsthma", "o1").well_formed
    twice = sections("## Thinking\n\na\n\n## Final Response\n\nb\n\n## Final Response\n\nAsthma", "o1")
    assert not twice.well_formed and twice.answer == "Asthma"
    assert sections("<think>a</think>b", "plain").answer == "<think>a</think>b"
    with pytest.raises(RecipeError, match="did you mean 'think'"):
        sections("a", "thnk")  # type: ignore[arg-type]


def test_loops_are_seen_and_lists_are_not() -> None:
    assert degenerate("pneumonia " * 200)
    assert degenerate("It is asthma. " + "The lung is fine and " * 60)
    assert degenerate("肺炎" * 50)
    assert not degenerate("Asthma, because the wheeze is reversible and the flow rises after salbutamol.")


HOSTILE = {
    "brackets": "(" * 200_000,
    "boxes": "\\boxed{" * 10_000,
    "one line": "a" * 1_000_000,
    "cues": "the answer is " * 50_000,
    "answers": "<answer>" * 50_000,
    "thinking": "<think>" * 50_000,
    "spaces": " " * 500_000 + "x",
    "digits": "9" * 200_000,
    "powers": "9^" * 100_000,
    "commas": "1," * 100_000,
    "after": "x is the diagnosis " * 20_000,
    "heads": "## Thinking\n" * 30_000,
    "mixed tag": "<answer>" + "a or (b " * 50_000 + "</answer>",
    "han": "答案是" * 100_000,
    "numerals": "一" * 200_000,
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_text_costs_little_work_in_every_rule(name: str) -> None:
    """Counted in Python function calls and lines, not in seconds: superlinear work would pass the bound by far."""
    text, steps = HOSTILE[name], 0

    def count(frame: object, event: str, arg: object) -> object:
        nonlocal steps
        steps += 1
        return count

    problems = [
        Problem("t", ask("Diagnosis?"), "Asthma"),
        Problem("n", ask("Sodium in mmol/L?"), "3.5 mmol/L"),
        Problem("c", ask("Which?"), "A", kind="choice", options={"A": "Asthma", "B": "Gout"}),
        Problem("y", ask("Is it?"), "yes"),
        Problem("s", ask("Name them."), "a; b; c"),
    ]
    sys.setprofile(None)
    previous = sys.gettrace()
    sys.settrace(count)
    try:
        verdicts = verify_all(Typed(), problems, [text] * len(problems))
    finally:
        sys.settrace(previous)
    assert all(verdict.score != 1.0 and verdict.status in ("ok", "abstain") for verdict in verdicts)
    assert steps < 20 * 1_000_000


def test_time_grows_no_faster_than_the_text() -> None:
    from time import perf_counter

    def seconds(size: int) -> float:
        texts = ["(" * size, "\\boxed{" * (size // 7), "9" * size, "the answer is " * (size // 14), "a " * (size // 2)]
        start = perf_counter()
        for text in texts:
            final_answer(text)
            degenerate(text)
        return perf_counter() - start

    seconds(1000)
    assert seconds(400_000) < 5 + 40 * seconds(40_000)


@pytest.mark.parametrize(
    ("format", "text", "score"),
    [
        ("o1-strict", "## Thinking\n\nBecause.\n\n## Final Response\n\nGout", 1.0),
        ("o1-strict", "Well.\n## Thinking\n\nBecause.\n\n## Final Response\n\nGout", 0.0),
        ("o1", "Well.\n## Thinking\n\nBecause.\n\n## Final Response\n\nGout", 1.0),
        ("think-strict", "<think>Because.</think>Gout", 1.0),
        ("think-strict", "Gout", 0.0),
        ("boxed", "It is \\boxed{Gout}", 1.0),
        ("boxed", "The answer is Gout", 0.0),
        ("answer", "<answer>Gout</answer>", 1.0),
        ("answer", "\\boxed{Gout}", 0.0),
    ],
)
def test_strict_presets_want_their_form(format: Format, text: str, score: float) -> None:
    verdict = Text(format).verify(Problem("p", ask("Diagnosis?"), "Gout"), text)
    assert verdict.score == score, verdict


@pytest.mark.parametrize(
    ("text", "answer", "earlier"),
    [
        ("\\boxed{The answer is no. No, that is wrong: the answer is yes.}", "yes", 0),
        ("<answer>The answer is gout. The answer is asthma.</answer>", "asthma", 1),
        ("\\boxed{acute gout of the left foot}", "acute gout of the left foot", 0),
    ],
)
def test_what_a_box_states_and_takes_back_counts(text: str, answer: str, earlier: int) -> None:
    found = final_answer(text)
    assert found and found.text == answer and text[slice(*found.span)] == answer and found.how in ("boxed", "tag")
    assert len(found.earlier) >= earlier


@pytest.mark.parametrize(
    ("format", "text"),
    [
        ("o1", "<think>\nThe answer is gout.\n</think>\n\nSee above for the answer."),
        ("think", "## Thinking\n\nThe answer is gout.\n\n## Final Response\n\nSee above for the answer."),
        ("o1", "<think>\nThe answer is gout."),
    ],
)
def test_reasoning_in_the_other_format_is_no_answer_either(format: Format, text: str) -> None:
    assert "gout" not in sections(text, format).answer and not sections(text, format).well_formed
    assert Text(format).verify(Problem("p", ask("Diagnosis?"), "Gout"), text).score != 1.0
