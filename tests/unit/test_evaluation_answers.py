"""Anybody's answers: which files are read, the three readers of a choice apart, what has no score, what is recomputed."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from chat_server import ChatServer, failing
from chat_server import Reply as Sent

from medrl.chat import OpenAIChat
from medrl.errors import DataError, EngineFailed, ProblemError
from medrl.evaluation.answer_files import load_answers, load_sets
from medrl.evaluation.answers import Answered, Answers, Reply
from medrl.evaluation.asking import Asking, ask_chat, ask_policy
from medrl.evaluation.figures import set_figures
from medrl.evaluation.report import report, worst
from medrl.evaluation.scoring import ScoredAnswer, score
from medrl.types import Problem, Response, Verdict, ask
from medrl.verifiers import Cascade, RuleVerifier, SetOf, Verifier, run_sync

Serve = Callable[..., ChatServer]
OPTIONS = {"A": "gout", "B": "measles", "C": "rubella", "D": "mumps"}


def choice(name: str = "p", reference: str = "B", **more: Any) -> Problem:
    listed = "".join(f"\n{label}. {text}" for label, text in OPTIONS.items())
    return Problem(name, ask(f"Which disease?{listed}"), reference, "choice", OPTIONS, **more)


def scored(*texts: str, problem: Problem | None = None) -> list[ScoredAnswer]:
    """One problem per text."""
    base = problem or choice()
    items = [
        Answered(Problem(f"p{i}", base.messages, base.reference, base.kind, base.options), (Reply(text),))
        for i, text in enumerate(texts)
    ]
    return score(Answers("m", tuple(items)))


@pytest.mark.parametrize(
    ("text", "strict", "first", "last"),
    [
        ("B", 1, 1, 1),
        ("b.", 1, 1, 1),
        ("The answer is (B) measles.", 1, 1, 1),
        ("答案：B", 1, 1, 1),
        ("<think>A or C</think>B", 1, 1, 1),
        ("## Thinking\n\nC\n\n## Final Response\n\nmeasles", 1, 1, 1),
        ("A is tempting. The answer is B.", 1, 0, 1),
        ("The answer is B, not C.", 1, 1, 0),
        ("A patient with spots has measles.", 1, 1, 1),  # an article is no label
        ("I think it is measles", 1, 1, 1),
        ("A, B, C, D", 0, 0, 0),
        ("The answer is B. Final answer: C", 0, 1, 0),
        ("The answer is A. The answer is B.", 0, 0, 1),
        ("B. gout", 0, 1, 0),
        ("<think>the answer is B", 0, 0, 0),
        ("", 0, 0, 0),
        ("\\boxed{B}", 1, 1, 1),
    ],
)  # fmt: skip
def test_three_readers(text: str, strict: int, first: int, last: int) -> None:
    (one,) = scored(text)
    reply = one.scores[0]
    assert (reply.strict, reply.first, reply.last) == (strict, first, last), reply.reason


def test_the_better_of_first_and_last_is_no_accuracy_here() -> None:
    """A model that names two options each time, the right one now first and now last, knows nothing: each reader gives it a
    half or less, where the better of the two, answer by answer, would be 1.
    """
    texts = ["B or maybe C", "C or maybe B"] * 10
    found = set_figures("set", scored(*texts))
    better = sum(max(one.scores[0].first or 0, one.scores[0].last or 0) for one in scored(*texts)) / len(texts)
    assert better == 1.0
    assert found["accuracy"]["first"]["value"] == found["accuracy"]["last"]["value"] == 0.5
    assert found["accuracy"]["strict"]["value"] == 0.0

    def values(node: Any) -> list[Any]:
        inner = node.values() if isinstance(node, dict) else node if isinstance(node, list) else ()
        return [node, *(value for one in inner for value in values(one))]

    assert not [one for one in values(found["accuracy"]) if isinstance(one, float) and one > 0.9]


def test_several_labels_and_yes_no_maybe() -> None:
    three = scored("ACD", "A、C、D", "答案是A，C，D", "AC", "A", problem=choice(reference="ACD"))
    assert [(s.strict, s.first, s.last) for one in three for s in one.scores] == [(1, 1, 1)] * 3 + [(0, 0, 0)] * 2
    sure = Problem("q", ask("Does it help?"), "maybe", "choice", {one: one for one in ("yes", "no", "maybe")})
    found = scored("maybe", "Yes. But then, maybe.", "no", problem=sure)
    assert [(one.scores[0].first, one.scores[0].last) for one in found] == [(1, 1), (0, 1), (0, 0)]


def test_unanswered_and_truncated_are_shares_of_what_is_known() -> None:
    replies = (
        Reply("B", "stop"),
        Reply("I ponder on", "length"),
        Reply("B"),
        Reply("", "stop"),
        Reply("", error="down"),
    )
    found = set_figures(
        "set", score(Answers("m", tuple(Answered(choice(f"p{i}"), (r,)) for i, r in enumerate(replies))))
    )
    assert found["truncated"] == pytest.approx(1 / 3) and found["truncated_known"] == 3
    assert found["unanswered"] == pytest.approx(2 / 4)
    assert found["unscored"] == {"error": 1}


class Fails(RuleVerifier):
    """Fails on every answer that says so."""

    name = "fails"

    def check(self, problem: Problem, response: Response) -> Verdict:
        if response.text == "fail":
            raise OSError("the judge is down")
        return Verdict(float(response.text == "right"))


def test_a_judge_that_fails_is_counted_and_never_a_zero() -> None:
    texts = ["right"] * 18 + ["wrong", "fail"]
    items = tuple(Answered(Problem(f"p{i}", ask("?"), "x"), (Reply(text),)) for i, text in enumerate(texts))
    found = set_figures("set", score(Answers("m", items), Fails()))
    strict = found["accuracy"]["strict"]
    assert strict["value"] == pytest.approx(18 / 19) and strict["n"] == 19 and found["unscored"] == {"error": 1}
    assert strict["bounds"] == pytest.approx([18 / 20, 19 / 20])
    many = items[:6] + items[-1:]
    found = set_figures("set", score(Answers("m", many), Fails()))
    assert found["accuracy"]["strict"]["value"] is None and found["accuracy"]["strict"]["missing"] == pytest.approx(
        1 / 7
    )


def test_missing_scores_hide_pass_at_k_and_calibration_as_they_hide_accuracy() -> None:
    sure = "right, I am 90% sure."

    class Half(Fails):
        def check(self, problem: Problem, response: Response) -> Verdict:
            return Verdict.right() if response.text == sure else super().check(problem, response)

    def found(*rows: tuple[str, ...]) -> dict[str, Any]:
        items = (Answered(Problem(f"p{i}", ask("?"), "x"), tuple(map(Reply, row))) for i, row in enumerate(rows))
        return set_figures("set", score(Answers("m", tuple(items)), Half()))

    half = found(*[(sure, sure, "fail", "fail")] * 10)
    assert half["accuracy"]["strict"]["value"] is None and half["calibration"] is None
    assert [row["value"] for row in half["pass_at_k"].values()] == [None] * 3
    assert half["pass_at_k"]["1"]["bounds"] == [0.5, 1.0] and half["pass_at_k"]["4"]["bounds"] == [1.0, 1.0]
    none = found(*[("fail", "fail")] * 3)
    assert none["pass_at_k"]["2"] == {"value": None, "interval": None, "n": 0, "bounds": [0.0, 1.0]}
    one = found(
        (sure, sure, sure, "fail"), *[(sure, sure, sure, "wrong")] * 4
    )  # 5 % of replies, 20 % of problems for k = 4
    assert (
        one["pass_at_k"]["1"]["value"] == pytest.approx((1 + 4 * 0.75) / 5) and one["pass_at_k"]["4"]["value"] is None
    )
    assert one["calibration"] is not None


def test_pass_at_k_and_intervals_are_over_problems() -> None:
    sets = [("B", "B", "A", "A"), ("A", "A", "A", "A"), ("B", "B", "B", "B")]
    items = tuple(Answered(choice(f"p{i}"), tuple(map(Reply, row))) for i, row in enumerate(sets))
    found = set_figures("set", score(Answers("m", items)))
    assert found["accuracy"]["strict"]["value"] == pytest.approx(0.5) and found["samples"] == [4]
    assert {k: row["value"] for k, row in found["pass_at_k"].items()} == pytest.approx(
        {"1": 0.5, "2": (5 / 6 + 0 + 1) / 3, "4": 2 / 3}
    )
    low, high = found["accuracy"]["strict"]["interval"]
    assert low < 0.2 and high > 0.8  # three problems, not twelve independent answers


def test_open_answers_that_rules_leave_undecided_have_bounds() -> None:
    problem = Problem("q", ask("Which disease?"), "measles")
    found = set_figures("set", scored("measles", "some long story of a rash", problem=problem))
    assert found["unscored"] == {"undecided": 1} and found["accuracy"]["strict"]["bounds"] == [0.5, 1.0]
    assert found["accuracy"]["strict"]["value"] is None and "first" not in found["accuracy"]


def test_confidence_is_calibrated_over_problems_and_slices_speak_of_metadata() -> None:
    about = [{"department": "cardiology", "rare": True}, {"department": "skin", "rare": "no"}]
    items = [
        Answered(choice(f"p{i}", metadata=about[i % 2], language="zh" if i % 4 else "en"), (Reply(text),))
        for i, text in enumerate(["The answer is B. I am 90% sure.", "The answer is A. I am 90% sure."] * 10)
    ]
    found = set_figures("set", score(Answers("m", tuple(items))))
    assert found["calibration"]["ece"] == pytest.approx(0.4) and found["calibration"]["stated"] == 1.0
    low, high = found["calibration"]["ece_interval"]
    assert 0.1 < low < 0.4 < high < 0.7
    assert found["slices"]["department"]["cardiology"]["value"] == 1.0
    assert found["slices"]["rare"]["common"] == {**found["slices"]["rare"]["common"], "value": 0.0, "n": 10}
    assert set(found["slices"]["language"]) == {"en", "zh"} and "kind" not in found["slices"]


def test_part_of_a_list_pays_its_score_and_is_never_right() -> None:
    triad = Problem("p", ask("Name the triad."), "fever; jaundice; abdominal pain")
    answers = ["fever, jaundice. I am 90% sure.", "fever, jaundice, abdominal pain. I am 90% sure."]
    items = [Answered(replace(triad, id=f"p{i}"), tuple(map(Reply, answers))) for i in range(4)]
    found = score(Answers("m", tuple(items)), SetOf(partial=True))
    assert [(one.strict, one.right) for one in found[0].scores] == [(pytest.approx(0.8), False), (1.0, True)]
    figures = set_figures("set", found)
    assert figures["accuracy"]["strict"]["value"] == pytest.approx(0.9)
    assert figures["pass_at_k"]["1"]["value"] == 0.5 and figures["calibration"]["ece"] == pytest.approx(0.4)
    assert [number for _, number in worst(found)] == [0] * 4


def test_an_option_is_no_stated_confidence() -> None:
    sure = Problem("q", ask("Does it help?"), "maybe", "choice", {one: one for one in ("yes", "no", "maybe")})
    found = [
        one.scores[0].confidence for one in scored("maybe", "Maybe. I am 70% sure.", "Probably yes.", problem=sure)
    ]
    assert found == [None, 0.7, 0.75]


def test_a_report_is_made_again_from_the_written_answers(tmp_path: Path) -> None:
    texts = ["B", "The answer is C. I am 70% sure.", "", "B or C"]
    items = tuple(
        Answered(choice(f"p{i}"), (Reply(t, "stop", 3), Reply("B", "length", 9))) for i, t in enumerate(texts)
    )
    answers = Answers("m", items)
    answers.write(tmp_path / "answers.jsonl")
    again = load_answers(tmp_path / "answers.jsonl", name="m")
    assert again.items == items
    flaws = {items[0].key: [("negated", "not")]}
    one, other = (report(each, score(each), flaws) for each in (answers, Answers("m", again.items)))
    assert one == other and one["sets"][0]["distrusted"] == 1 and one["sets"][0]["accuracy_trusted"]["n"] == 3


def test_files_of_many_kinds_are_read(tmp_path: Path) -> None:
    def file(name: str, *rows: Any) -> Path:
        (tmp_path / name).write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
        return tmp_path / name

    row = {"id": "a", "question": "Which?", "options": OPTIONS, "answer_idx": "B"}
    problems = load_sets([file("set.jsonl", row)])
    by_id = load_answers(file("by_id.jsonl", {"problem_id": "a", "responses": ["B", {"text": "C"}]}), problems)
    assert [one.text for one in by_id.items[0].replies] == ["B", "C"] and by_id.items[0].set == "set"
    columns = load_answers(file("columns.jsonl", {**row, "response": "B", "finish_reason": "length"}))
    assert columns.items[0].replies == (Reply("B", "length"),) and columns.name == "columns"
    stored = {"problem": choice("r").to_json(), "text": "B", "finish_reason": "stop", "token_count": 2, "group": 0}
    rollouts = load_answers(file("step.jsonl", stored, {**stored, "text": "C"}))
    assert [one.text for one in rollouts.items[0].replies] == ["B", "C"]
    own = file("own.jsonl", Answered(choice("r"), (Reply("B"),), "else").to_json(), by_id.items[0].to_json())
    assert [one.key for one in load_answers(own, problems).items] == [
        ("set", "a")
    ]  # what was not asked for is left out
    for rows, message in (
        ([by_id.items[0].to_json()], r"no answer to 1 of 2 problems \(b\)"),
        ([{"problem_id": "a", "response": "B"}], r"no answer to 1 of 2 problems \(b\)"),
        ([{"problem_id": "zz", "response": "B"}], "the id 'zz' is no problem's"),
        ([{"problem_id": "a", "response": 3}], "column 'response' is 3"),
        ([{"problem_id": "a", "said": "B"}], "none with replies"),
        ([{"name": "a", "response": "B"}], "does not say which problem"),
    ):
        with pytest.raises(DataError, match=message):
            load_answers(file("bad.jsonl", *rows), [*problems, ("set", choice("b"))])
    with pytest.raises(DataError, match="two files are called 'set'"):
        load_sets([tmp_path / "set.jsonl", tmp_path / "other" / "set.jsonl"])
    with pytest.raises(DataError, match="different questions"):
        load_answers(file("two.jsonl", stored, {**stored, "problem": Problem("r", ask("Another?"), "x").to_json()}))
    with pytest.raises(DataError, match="occur more than once"):
        Answers("m", (by_id.items[0], by_id.items[0]))


def test_samples_of_lm_evaluation_harness_are_read(tmp_path: Path) -> None:
    doc = {"sent1": "Which disease?", **{f"ending{i}": text for i, text in enumerate(OPTIONS.values())}, "label": 1}
    likely = {
        "doc_id": 0,
        "doc": doc,
        "target": "1",
        "resps": [[["-3.5", "False"]], [["-0.5", "True"]], [["-9", "False"]], [["-4", "False"]]],
    }
    tied = {**likely, "doc_id": 1, "resps": [[["-1", "False"]]] * 4}
    path = tmp_path / "samples_medqa_4options_2026-01-31T10-20-30.123.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in (likely, tied)), encoding="utf-8")
    answers = load_answers(path)
    assert [one.set for one in answers.items] == ["medqa_4options"] * 2 and answers.items[0].problem.reference == "B"
    assert answers.items[0].replies[0].text == "B" and answers.items[1].replies[0].error
    assert [one.scores[0].strict for one in score(answers)] == [1.0, None]
    pubmed = {"QUESTION": "Does it help?", "CONTEXTS": ["It did."], "final_decision": "yes", "pmid": 7}
    path.write_text(json.dumps({"doc_id": 0, "doc": pubmed, "resps": [["Yes.", "no"]]}) + "\n", encoding="utf-8")
    assert [one.text for one in load_answers(path).items[0].replies] == ["Yes.", "no"]
    path.write_text(json.dumps({"doc_id": 0, "doc": doc, "resps": [[["-1", "True"]]]}) + "\n", encoding="utf-8")
    with pytest.raises(DataError, match="1 log-likelihoods and 4 options"):
        load_answers(path)


def test_a_policy_answers_alike_every_time_and_prompts_are_never_cut(make_policy: Callable[..., Any]) -> None:
    policy = make_policy()
    problems = [("one", Problem("a", ask("which colour?"), "red")), ("two", Problem("a", ask("which dose?"), "1 g"))]
    asking = Asking(samples=2, temperature=1.0, max_tokens=5)
    found = ask_policy(policy, problems, asking)
    assert [(one.set, len(one.replies)) for one in found] == [("one", 2), ("two", 2)]
    assert (
        found
        == ask_policy(policy, problems, asking)
        != ask_policy(policy, problems, Asking(2, 1.0, max_tokens=5, seed=1))
    )
    assert all(
        reply.finish_reason in ("stop", "length") and reply.token_count for one in found for reply in one.replies
    )
    with pytest.raises(ProblemError, match="leave no room for 120 tokens"):
        ask_policy(policy, problems, Asking(max_tokens=120))
    with pytest.raises(ValueError, match="one answer over again"):
        Asking(samples=2)


def test_a_chat_model_is_held_to_what_it_does_and_its_server_is_not(chat_server: Serve) -> None:
    def behaviour(request: dict[str, Any], number: int) -> Sent | str:
        asked = request["messages"][-1]["content"]
        cut = Sent("The answer is", finish_reason="length")
        return {"right": "B", "cut": cut, "empty": Sent(""), "down": failing(500)}[asked]

    server = chat_server(behaviour)
    client = OpenAIChat(model="m", base_url=server.url, max_retries=0, timeout=20.0)
    problems = [("set", Problem(name, ask(name), "B", "choice", OPTIONS)) for name in ("right", "cut", "empty", "down")]
    found = run_sync(ask_chat(client, problems, Asking(max_tokens=16)))
    replies = [one.replies[0] for one in found]
    assert [(one.text, one.finish_reason, bool(one.error)) for one in replies] == [
        ("B", "stop", False), ("The answer is", "length", False), ("", "stop", False), ("", None, True),
    ]  # fmt: skip
    assert [one.scores[0].strict for one in score(Answers("m", tuple(found)))] == [1.0, 0.0, 0.0, None]
    with pytest.raises(EngineFailed, match="no reply to any of 1"):
        run_sync(ask_chat(client, problems[3:], Asking()))


def test_hostile_answers_take_time_in_proportion() -> None:
    import time

    def seconds(text: str) -> float:
        began = time.perf_counter()
        scored(text)
        return time.perf_counter() - began

    for piece in ("B ", "gout ", "A, B, ", "100% sure "):
        short, long = seconds(piece * 2_000), seconds(piece * 16_000)
        assert long < 30 * max(short, 0.02), piece


LONG = (
    "It looks like an illness that children get, which starts with fever and a cough. Some days later spots come up behind "
    "the ears and spread downwards. Contacts of the patient ought to be told, and those who were never vaccinated seen soon. "
    "What the laboratory finds will settle it, since several illnesses look alike in their first days. "
    "Until then rest, enough to drink, and a dark room where light hurts do more good than any drug that one could name. "
    "Whoever cares for the patient should watch the breathing, and come back at once when it grows fast."
)


class Unsure(RuleVerifier):
    """Never makes up its mind."""

    name = "unsure"

    def check(self, problem: Problem, response: Response) -> Verdict:
        return Verdict.abstain("unsure")


@pytest.mark.parametrize("verifier", [Unsure(), Cascade((Unsure(),))])
def test_a_judge_that_is_unsure_of_a_choice_is_no_wrong_answer(verifier: Verifier) -> None:
    texts = ["B", "A", "The answer is B.", LONG]
    items = tuple(Answered(choice(f"p{i}"), (Reply(text),)) for i, text in enumerate(texts))
    found = set_figures("set", score(Answers("m", items), verifier))
    strict = found["accuracy"]["strict"]
    assert (strict["value"], strict["missing"], strict["bounds"]) == (None, 1.0, [0.0, 1.0])
    assert found["unscored"] == {"undecided": 4} and found["unanswered"] == 0.0
    hedged = ("A or B", "A, B, C, D", "I don't know", "", "The answer is A. The answer is B.", "It is not A.")
    (both,) = score(Answers("m", (Answered(choice(), tuple(map(Reply, hedged))),)), verifier)
    assert [one.strict for one in both.scores] == [0.0] * len(hedged)  # nobody gains by a judge's doubt


PAIN = {"A": "Aspirin", "B": "Paracetamol", "C": "Ibuprofen", "D": "Naproxen"}


@pytest.mark.parametrize(
    ("text", "strict"),
    [
        ("The answer is acetaminophen.", None),
        ("acetaminophen", None),
        ("答案是对乙酰氨基酚", None),
        ("Paracetamol", 1.0),
        ("The answer is F.", 0.0),
        ("The answer is option F", 0.0),
        ("I don't know.", 0.0),
        ("Unknown", 0.0),
        ("It is unclear.", 0.0),
        ("无法确定", 0.0),
        ("不知道", 0.0),
        ("None of the above", 0.0),
        ("以上都不是", 0.0),
        ("I cannot answer this question.", 0.0),
        ("7", 0.0),
        ("The answer is B. The answer is acetaminophen.", 0.0),
        ("Aspirin or acetaminophen or Paracetamol", 0.0),
        ("Not aspirin", 0.0),
        ("Aspirin or maybe acetaminophen, perhaps Naproxen", 0.0),
        (LONG, 0.0),
    ],
)  # fmt: skip
def test_an_answer_in_other_words_is_undecided_and_one_that_names_none_is_wrong(
    text: str, strict: float | None
) -> None:
    problem = Problem("q", ask("Which drug is safe?"), "B", "choice", PAIN)
    (one,) = scored(text, problem=problem)
    assert one.scores[0].strict == strict, one.scores[0].reason
    assert one.scores[0].status == "abstain" or strict is not None


def test_yes_no_and_broken_choices_in_other_words() -> None:
    sure = Problem("q", ask("Does it help?"), "maybe", "choice", {one: one for one in ("yes", "no", "maybe")})
    found = scored("It helps some patients", "Unclear to me", "yes or no", problem=sure)
    assert [one.scores[0].strict for one in found] == [None, 0.0, 0.0]
