"""Rules read an answer without what it says of its own certainty, and never accept one that says it is rather wrong."""

from dataclasses import replace

import pytest

from medrl.types import Problem, Response, Verdict, ask
from medrl.verifiers import Typed

OPTIONS = {"A": "Gout", "B": "Psoriasis", "C": "Lupus", "D": "Sarcoid"}
CHOICE = Problem("c", ask("Which?"), "B", kind="choice", options=OPTIONS)
TERM = Problem("t", ask("What is the diagnosis?"), "Psoriasis")
ZH = Problem("z", ask("诊断？"), "银屑病", language="zh")
NUMBER = Problem("n", ask("How many mg?"), "5 mg")
STATED = [
    "Confidence: 80%", "Confidence 80%.", "(confidence: 80%)", "(80% sure)", "80% confident.", "I am 80% sure.",
    "I'm about 90% certain.", "with 80% confidence.", "Certainty: 0.9", "My confidence is 85%.", "Confidence level: 75%",
    "Overall confidence: 80 %", "Confidence: 100%", "**Confidence:** 80%", "CONFIDENCE: 80%", "把握80%。", "八成把握。",
    "置信度：0.8", "我有80%的把握。", "（把握80%）", "信心：90%", "可信度：85%", "九成的把握。",
]  # fmt: skip
OF_CHANCE = ["80% likely.", "probability 80%", "概率80%", "80%的可能"]


def verdict(problem: Problem, text: str) -> Verdict:
    found = Typed().check_safely(problem, Response(text))
    assert found.status in ("ok", "abstain"), found
    if found.span:
        assert found.answer == text[slice(*found.span)]
    return found


@pytest.mark.parametrize("stated", [*STATED, *OF_CHANCE])
def test_a_stated_confidence_leaves_the_answer_as_it_is(stated: str) -> None:
    for problem, heads in (
        (CHOICE, ("The answer is B.", "B.", "B", "Answer: B", "Final answer: B (Psoriasis)")),
        (TERM, ("Psoriasis.", "The diagnosis is psoriasis.", "Psoriasis")),
        (ZH, ("银屑病。", "诊断：银屑病。")),
        (NUMBER, ("5 mg.",) if stated in STATED else ()),  # a chance may be what a number answers
    ):
        for head in heads:
            for text in (f"{head} {stated}", f"{head}\n{stated}", f"{head.rstrip('.。')}, {stated}"):
                found = verdict(problem, text)
                assert found.score == 1.0, (text, found.reason)
    for head in ("The answer is A.", "A.", "Gout, which is A."):
        assert verdict(CHOICE, f"{head} {stated}").score == 0.0, head
    for head in ("Not B.", "B is wrong.", "Neither A nor B."):
        assert verdict(CHOICE, f"{head} {stated}").score != 1.0, head


@pytest.mark.parametrize(
    "text",
    [
        "B. Confidence: 0%", "B. Confidence: 10%", "B? Confidence: 80% that it is A", "B. Confidence: 80% in A",
        "B. Confidence: 80% that it is not B", "B. 80% sure it is A", "B. Not 80% sure.", "B. 20% sure.",
        "B or A. Confidence: 80%", "B 40% sure, A 60% sure", "B (20% sure); A (80% sure)", "B. Confidence: 80%; A: 90%",
        "B. Confidence: 80%. A. Confidence: 90%", "B. Confidence: 80%, but A is right", "B。把握0%。", "B。一成把握。",
        "B. 80% sure that this is wrong.", "B. Confidence: 80% against.", "B. Confidence: 80%?", "B. Confidence: 0.8 (for A)",
        "Stop B. Confidence: 80%", "B is excluded, 80% sure.", "80% confident: not B", "B. Confidence: 80% (A)",
        "B. Confidence: 8%", "B. Confidence: 0.1", "B, 30% likely.", "B。概率20%。",
    ],
)  # fmt: skip
def test_what_doubts_the_answer_or_speaks_of_another_is_not_accepted(text: str) -> None:
    assert verdict(CHOICE, text).score != 1.0


def test_a_share_that_is_the_answer_stays() -> None:
    chance = Problem("p", ask("How likely is a recurrence?"), "80%")
    assert verdict(chance, "The answer is 80%.").score == 1.0
    assert verdict(chance, "The probability is 80%.").score != 0.0
    assert verdict(chance, "80% likely.").score != 0.0
    assert verdict(replace(chance, reference="20%"), "The answer is 20%. Confidence: 80%").score != 0.0


SHARES = {"A": "0%", "B": "25%", "C": "50%", "D": "75%"}
MODES = {"A": "Autosomal dominant", "B": "Autosomal recessive"}


@pytest.mark.parametrize(
    ("reference", "options", "text"),
    [
        ("B", SHARES, "The answer is B. The probability is 25%."), ("B", SHARES, "B. There is a 25% chance."),
        ("A", SHARES, "The answer is A. The probability is 0%."),
        ("B", MODES, "The answer is B. Siblings have a 25% chance."), ("B", MODES, "B。子女患病概率为25%。"),
        ("B", {"A": "CT", "B": "D-dimer"}, "B. The pretest probability is 10%."),
        ("Autosomal recessive", {}, "Autosomal recessive. The recurrence probability is 25%."),
    ],
)  # fmt: skip
def test_the_chance_of_an_event_is_no_doubt(reference: str, options: dict[str, str], text: str) -> None:
    question = ask("What is the probability that the next child is affected?" if options is SHARES else "Which?")
    problem = Problem("e", question, reference, kind="choice" if options else "open", options=options)
    assert verdict(problem, text).score == 1.0


@pytest.mark.parametrize(
    ("options", "text"),
    [(SHARES, "B. The probability is 50%."), (SHARES, "B. There is a 75% chance."), (SHARES, "B. The probability is 0%."),
     (SHARES, "B. Each child has a 0% chance."), (SHARES, "B. It is not 25% likely."), (MODES, "B. There is a 20% chance."),
     (MODES, "B. My estimated probability is 20%."), (MODES, "B. Autosomal recessive has 20% probability."),
     ({"A": "Cure", "B": "Recurrence"}, "B. Recurrence probability is 20%.")],
)  # fmt: skip
def test_a_chance_of_the_answer_or_of_another_option_is_one(options: dict[str, str], text: str) -> None:
    assert verdict(Problem("e", ask("Which?"), "B", kind="choice", options=options), text).score != 1.0


@pytest.mark.parametrize(
    "phrase",
    ["No wait, ", "No, wait: ", "Correction, ", "Scratch that, ", "Actually, no, ", "I misspoke, ", "Strike that - ",
     "Sorry, I mean ", "No wait ,", "更正，", "说错了，", "不对，", "更正："],
)  # fmt: skip
def test_a_correction_is_read_without_its_comma(phrase: str) -> None:
    said = verdict(CHOICE, f"The answer is A. {phrase}B.")
    assert (said.score, said.answer) == (1.0, "B")
    assert verdict(CHOICE, f"The answer is B. {phrase}A.").score == 0.0
    assert verdict(CHOICE, f"The answer is B. {phrase}not B.").score != 1.0
