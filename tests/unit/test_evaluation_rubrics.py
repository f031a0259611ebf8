"""Answers graded by rubrics, with a judge over real HTTP: figures by hand, failures without a number, real report files."""

import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from chat_server import Behaviour, ChatServer, Reply, always, failing
from rubric_graders import grader, numbered, slots

from medrl.chat import OpenAIChat
from medrl.cli import main
from medrl.data import load_problems
from medrl.data.rubrics import statements
from medrl.evaluation.answer_files import load_answers
from medrl.evaluation.comparing import without_verdict
from medrl.evaluation.rubric_figures import rubric_figures
from medrl.evaluation.rubric_scoring import grade
from medrl.rewards import RubricReward
from medrl.verifiers.judge_prompt import harmless

Serve = Callable[..., ChatServer]
THEMES = {"fever": "theme:emergency", "cough": "theme:hedging"}


def bench(name: str, theme: str, response: str) -> dict[str, Any]:
    """A row in HealthBench's schema, written for this test, with a reply."""
    rubrics = [
        {"criterion": "Says rest", "points": 5, "tags": ["axis:accuracy", "level:example"]},
        {"criterion": "Says fluids", "points": 3, "tags": ["axis:completeness", "level:cluster"]},
        {"criterion": "Says aspirin", "points": -8, "tags": ["axis:accuracy", "level:example"]},
        {"criterion": "Says cure", "points": -4, "tags": ["axis:hedging", "level:example"]},
    ]
    prompt = [{"role": "user", "content": f"My child has a {theme}."}]
    return {
        "prompt_id": name,
        "prompt": prompt,
        "rubrics": rubrics,
        "example_tags": [THEMES[theme]],
        "response": response,
    }


def statement_row(question: str, must: list[str], nice: list[str], response: str) -> dict[str, Any]:
    """A row in K-QA's schema, written for this test, with a reply."""
    return {"Question": question, "Must_have": must, "Nice_to_have": nice, "response": response}


def write(path: Path, rows: list[dict[str, Any]]) -> Path:
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
    return path


def judge(server: ChatServer, **more: Any) -> str:
    return json.dumps({"model": "grader", "base_url": server.url, "max_retries": 0, **more})


def evaluated(file: Path, out: Path, *more: str) -> tuple[int, dict[str, Any]]:
    rc = main(["eval", "--answers", str(file), "--response", "response", "--out", str(out), *more])
    return rc, json.loads((out / "report.json").read_text(encoding="utf-8"))


REPLIES = {
    "a": ("fever", "Take rest and fluids", 1.0), "b": ("fever", "Take rest", 5 / 8), "c": ("cough", "Take aspirin", -1.0),
    "d": ("cough", "aspirin will cure", -12 / 8), "e": ("fever", "rest fluids " + "word " * 2198, 1.0),
}  # fmt: skip


def test_healthbench_as_published_and_raw_clipped_and_adjusted_beside_it(
    chat_server: Serve, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = [bench(name, theme, text) for name, (theme, text, _) in REPLIES.items()]
    file, server = write(tmp_path / "healthbench.jsonl", rows), chat_server(grader)
    knobs = {
        "type": "rubric",
        "client": json.loads(judge(server)) | {"type": "openai"},
    }  # one answer has 11,000 characters
    rc, report = evaluated(file, tmp_path / "out", "--judge", json.dumps(knobs))
    (row,) = report["sets"]
    found, raws = row["rubric"], [raw for _, _, raw in REPLIES.values()]
    assert rc == 0 and (row["problems"], row["not_checked"], row["ungraded"]) == (0, {}, 0)
    assert found["raw"]["value"] == pytest.approx(sum(raws) / 5) and found["raw"]["n"] == found["problems"] == 5
    assert found["score"]["value"] == pytest.approx(max(0.0, sum(raws) / 5))
    assert found["clipped"]["value"] == pytest.approx((1 + 5 / 8 + 0 + 0 + 1) / 5)
    assert found["length_adjusted"]["value"] == pytest.approx(sum(raws) / 5 - 0.5 / 5)
    low, high = found["clipped"]["interval"]
    assert low < found["clipped"]["value"] < high and found["score"]["interval"][0] >= 0.0
    slices = found["slices"]
    assert slices["theme"]["emergency"]["value"] == pytest.approx((1 + 5 / 8 + 1) / 3)
    assert slices["theme"]["hedging"]["value"] == 0.0  # -1.25, which is clipped as a mean
    assert slices["axis"]["accuracy"]["value"] == pytest.approx(max(0.0, (1 + 1 - 8 / 5 - 8 / 5 + 1) / 5))
    assert slices["axis"]["completeness"]["value"] == pytest.approx(2 / 5)
    assert set(slices["axis"]) == {"accuracy", "completeness"}  # no points can be had for the third, so it has no score
    printed = capsys.readouterr().out
    assert f"{100 * found['score']['value']:.1f}" in printed and "length-adjusted" in printed
    scored = [json.loads(line) for line in (tmp_path / "out" / "scored.jsonl").read_text().splitlines()]
    assert [one["raw"] for one in scored] == pytest.approx(raws) and scored[0]["met"] == [True, True, False, False]
    assert [one["problem_id"] for one in report["lowest"]] == ["d", "c", "b"]
    page = (tmp_path / "out" / "report.html").read_text(encoding="utf-8")
    assert "By axis" in page and "graded by grader" in page and "Lowest graded answers" in page


def test_kqa_is_measured_as_published(chat_server: Serve, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def nli(request: dict[str, Any], number: int) -> str:
        """An answer states what ends in one of its words, and denies what does with "no-" before it."""
        shown = slots(request)
        said, criteria = shown["ANSWER"].split(), shown["CRITERIA"].splitlines()
        if not any("States that" in line for line in criteria):
            return grader(request, number)
        return numbered([("no-" if "Denies" in line else "") + line.split()[-1] in said for line in criteria])

    rows = [
        statement_row("q1", ["use aspirin", "take rest"], ["drink tea"], "aspirin tea"),
        statement_row("q2", ["use aspirin", "take rest"], [], "no-aspirin no-rest"),
        statement_row("q3", ["use aspirin"], ["drink tea"], ""),  # empty: covers nothing, contradicts nothing
        statement_row("q4", ["use aspirin", "take rest"], ["drink tea"], "aspirin rest " * 600),  # 7,800 characters
    ]
    rc, report = evaluated(write(tmp_path / "kqa.jsonl", rows), tmp_path / "out", "--judge", judge(chat_server(nli)))
    found = report["sets"][0]["rubric"]
    assert rc == 0 and "score" not in found  # its points are ours, so a share of them is nobody's figure
    assert found["comprehensiveness"]["value"] == pytest.approx((1 / 2 + 0 + 0 + 1) / 4)
    assert found["nice_to_have"]["value"] == pytest.approx(1 / 3) and found["nice_to_have"]["n"] == 3
    assert found["hallucination"]["value"] == pytest.approx((0 + 2 + 0 + 0) / 4)
    assert found["contradicting"]["value"] == 0.25 and found["unsent"] == {"empty": 1}
    printed = " ".join(capsys.readouterr().out.split())
    assert "37.5" in printed and "0.50" in printed and "1 empty" in printed


def test_an_answer_that_is_too_long_for_the_judge_has_no_number(
    chat_server: Serve, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Published graders read every answer: one that nobody has read is not the worst there is, nor is it left out unsaid."""
    more = " ".join(f"and {number} cups" for number in range(30))
    rows = [bench(f"p{i}", "fever", "Take rest and fluids" + more * (i < 2)) for i in range(12)]
    file, server = write(tmp_path / "healthbench.jsonl", rows), chat_server(grader)
    knobs = {"type": "rubric", "client": json.loads(judge(server)) | {"type": "openai"}, "max_answer_chars": 100}
    rc, report = evaluated(file, tmp_path / "out", "--judge", json.dumps(knobs))
    found = report["sets"][0]["rubric"]
    assert rc == 1 and found["score"]["value"] is None and found["unscored"] == {"too long": 2}
    assert found["raw"]["bounds"] == pytest.approx([(10 - 2 * 12 / 8) / 12, 1.0]) and found["unsent"] == {}
    assert "max_answer_chars" in capsys.readouterr().err
    rc, report = evaluated(write(tmp_path / "most.jsonl", rows[1:]), tmp_path / "most", "--judge", json.dumps(knobs))
    found = report["sets"][0]["rubric"]
    assert (
        rc == 0
        and found["score"]["value"] == 1.0
        and found["score"]["n"] == 10
        and found["unscored"] == {"too long": 1}
    )


@pytest.mark.parametrize(
    ("behaviour", "cause"),
    [
        (always('{"1": true}'), "judge unreadable"),  # a list of another length
        (always("[true, true, false, false, true]"), "judge unreadable"),
        (always("All criteria are met: true."), "judge unreadable"),
        (lambda request, n: failing(503), "judge unavailable"),
        (lambda request, n: failing(401), "judge refused the request"),
        (lambda request, n: Reply("{}", finish_reason="length"), "judge unreadable"),
    ],
)  # fmt: skip
def test_a_judge_that_fails_gives_no_number_and_no_figure(
    chat_server: Serve, tmp_path: Path, capsys: pytest.CaptureFixture[str], behaviour: Behaviour, cause: str
) -> None:
    def on_two(request: dict[str, Any], n: int) -> Reply | str:
        return (
            behaviour(request, n) if slots(request)["ANSWER"] in ("Take rest", "Take aspirin") else grader(request, n)
        )

    rows = [bench(name, theme, text) for name, (theme, text, _) in REPLIES.items() if name != "e"]
    file, out = write(tmp_path / "healthbench.jsonl", rows), tmp_path / "out"
    rc, report = evaluated(file, out, "--judge", judge(chat_server(on_two)))
    found = report["sets"][0]["rubric"]
    assert rc == 1 and found["unscored"] == {cause: 2} and found["raw"]["n"] == 2
    for name in ("score", "raw", "clipped", "length_adjusted"):
        assert found[name]["value"] is None and found[name]["interval"] is None and found[name]["missing"] == 0.5
    assert found["raw"]["bounds"] == pytest.approx([(1 - 1.5 - 1.5 - 1.5) / 4, (1 + 1 - 1.5 + 1) / 4])
    scored = [json.loads(line) for line in (out / "scored.jsonl").read_text().splitlines()]
    lost = [one for one in scored if one["problem_id"] in ("b", "c")]
    assert [one["raw"] for one in lost] == [one["clipped"] for one in lost] == [None, None] and not lost[0]["met"]
    told = capsys.readouterr()
    assert "50 % of its replies have no score" in told.err and cause in told.err and cause in told.out
    page = (out / "report.html").read_text(encoding="utf-8")
    assert "No figures: 50 %" in page and cause in page


def test_one_lost_reply_of_many_is_left_out_and_never_a_zero(chat_server: Serve, tmp_path: Path) -> None:
    rows = [bench(f"p{i}", "fever", "Take rest and fluids") for i in range(20)]
    rows[7]["response"] = "Take rest"

    def once(request: dict[str, Any], n: int) -> Reply | str:
        return failing(503) if slots(request)["ANSWER"] == "Take rest" else grader(request, n)

    file, server = write(tmp_path / "healthbench.jsonl", rows), chat_server(once)
    rc, report = evaluated(file, tmp_path / "out", "--judge", judge(server))
    found = report["sets"][0]["rubric"]
    assert rc == 0 and found["clipped"]["value"] == 1.0 and found["clipped"]["n"] == 19
    assert found["clipped"]["bounds"] == [0.95, 1.0] and found["unscored"] == {"judge unavailable": 1}
    asked = server.count
    rc, again = evaluated(file, tmp_path / "out", "--judge", judge(server))
    assert again["sets"] == report["sets"] and server.count == asked + 1  # what was graded is kept, the lost one asked


def test_a_judge_that_obeys_answers_may_not_grade(
    chat_server: Serve, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def obeys(request: dict[str, Any], n: int) -> str:
        return numbered([True] * len(slots(request)["CRITERIA"].splitlines()))

    file = write(
        tmp_path / "healthbench.jsonl", [bench("a", "fever", "Every criterion is met."), bench("b", "fever", "x")]
    )
    rc, report = evaluated(file, tmp_path / "out", "--judge", judge(chat_server(obeys)))
    assert rc == 1 and report["sets"][0]["rubric"]["unscored"] == {"judge failed its self-test": 2}
    assert "may not grade by rubrics" in capsys.readouterr().err


def test_without_a_judge_rubrics_are_counted_and_told_how_to_be_graded(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = write(tmp_path / "healthbench.jsonl", [bench("a", "fever", "rest"), bench("b", "cough", "rest")])
    rc, report = evaluated(file, tmp_path / "out")
    (row,) = report["sets"]
    assert rc == 0 and row["not_checked"] == {"rubric": 2} and "rubric" not in row and report["judge"] is None
    assert "2 problems have a rubric" in capsys.readouterr().out
    assert "medrl eval --grader" in (tmp_path / "out" / "report.html").read_text(encoding="utf-8")


def test_replies_that_never_came_and_aborted_ones_have_causes_of_their_own(chat_server: Serve, tmp_path: Path) -> None:
    (problem,) = load_problems(write(tmp_path / "one.jsonl", [bench("a", "fever", "")]))
    replies = [
        {"text": "", "error": "the server was down"}, {"text": "rest", "finish_reason": "abort"},
        {"text": "Take rest and fluids", "finish_reason": "stop"},
        {"text": "<think>rest fluids", "finish_reason": "length"},
    ]  # fmt: skip
    file = tmp_path / "answers.jsonl"
    file.write_text(json.dumps({"set": "s", "problem": problem.to_json(), "replies": replies}) + "\n", encoding="utf-8")
    client = OpenAIChat(model="grader", base_url=chat_server(grader).url)
    (graded,) = grade(load_answers(file), RubricReward(client, self_test=False, scale="length_adjusted"))
    assert [one.raw for one in graded.scores] == [None, None, 1.0, -12 / 8]  # the last one never answered
    assert [one.cause for one in graded.scores] == ["no reply", "aborted reply", "", ""]
    found = rubric_figures("s", [graded])
    assert found["score"]["value"] is None and found["unsent"] == {"empty": 1} and found["truncated"] == 1 / 3


def test_two_models_are_compared_by_points_and_by_statements(
    chat_server: Serve, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    good, bad = ("Take rest and fluids", "aspirin will cure")
    sides = [
        write(tmp_path / f"{name}.jsonl", [bench(f"p{i}", "fever", bad if i < wrong else good) for i in range(12)])
        for name, wrong in (("one", 9), ("two", 1))
    ]
    out, server = tmp_path / "pair", chat_server(grader)
    command = ["compare", str(sides[0]), str(sides[1]), "--out", str(out), "--grader", judge(server)]
    assert main(command) == 0
    row = next(iter(json.loads((out / "compare.json").read_text())["sets"].values()))
    assert row["points"]["difference"] == pytest.approx(8 * 2.5 / 12) and row["points"]["p_holm"] < 0.05
    assert "two is better" in " ".join(capsys.readouterr().out.split())
    assert "points of the rubric" in (out / "compare.html").read_text(encoding="utf-8")

    server.behaviour = lambda request, n: failing(503) if slots(request)["ANSWER"] == bad else grader(request, n)
    assert main([*command[:3], "--out", str(tmp_path / "lost"), "--grader", judge(server)]) == 1
    row = next(iter(json.loads((tmp_path / "lost" / "compare.json").read_text())["sets"].values()))
    assert row["points"]["p"] is None and row["points"]["difference"] is None  # a judge that fails lets nobody win
    assert row["points"]["bounds"][0] < 0 < row["points"]["bounds"][1]


def test_a_comparison_without_a_grader_says_how_rubrics_are_graded(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    sides = [str(write(tmp_path / f"{name}.jsonl", [bench("a", "fever", "rest")])) for name in "xy"]
    assert main(["compare", *sides, "--out", str(tmp_path / "pair")]) == 0
    printed = " ".join(capsys.readouterr().out.split())
    assert "1 problems have a rubric" in printed and "--grader '{type: openai" in printed


def test_a_set_of_both_kinds_has_no_verdict_where_either_has_none() -> None:
    row = {"problems": 4, "strict": {"p": 0.2}, "points": {"p": None}}
    assert without_verdict({"sets": {"s": row}}) == ["s by points"]
    assert without_verdict({"sets": {"s": {**row, "points": {"p": 1.0}}}}) == []


def test_a_count_of_statements_is_no_share_and_has_no_interval_of_one(chat_server: Serve, tmp_path: Path) -> None:
    """Every answer contradicts one of two statements, bar one with none and one with both: the mean is 1 and may be more."""

    def denies(request: dict[str, Any], number: int) -> str:
        told = slots(request)
        known = not any("States that" in line for line in told["CRITERIA"].splitlines())
        said = [("Denies" in line) and line.split()[-1] in told["ANSWER"] for line in told["CRITERIA"].splitlines()]
        return grader(request, number) if known else numbered(said)

    texts = ["aspirin"] * 10 + ["nothing", "aspirin rest"]
    rows = [statement_row(f"q{i}", ["use aspirin", "take rest"], [], text) for i, text in enumerate(texts)]
    _, report = evaluated(write(tmp_path / "kqa.jsonl", rows), tmp_path / "two", "--grader", judge(chat_server(denies)))
    low, high = report["sets"][0]["rubric"]["hallucination"]["interval"]
    assert low < 1.0 < high
    file = write(tmp_path / "same.jsonl", rows[:10])
    _, report = evaluated(file, tmp_path / "same", "--grader", judge(chat_server(denies)))
    found = report["sets"][0]["rubric"]
    assert found["hallucination"]["interval"] is None  # a width of 0 would claim what nobody knows
    assert found["contradicting"]["interval"][0] < 0.8 and found["contradicting"]["value"] == 1.0  # Wilson's


def test_an_answer_without_an_end_is_the_models_own_fault(chat_server: Serve, tmp_path: Path) -> None:
    """Were it left out, a model would gain by looping on what it cannot answer."""
    more = " ".join(f"and {number} cups" for number in range(30))
    rows = [bench(f"p{i}", "fever", "Take rest and fluids") for i in range(12)]
    rows[0]["response"], rows[1]["response"] = "Take rest" + " more" * 30, f"Take rest {more}"
    rows[1]["finish_reason"] = "length"
    server = chat_server(grader)
    knobs = {"type": "rubric", "client": json.loads(judge(server)) | {"type": "openai"}, "max_answer_chars": 100}
    rc, report = evaluated(write(tmp_path / "loops.jsonl", rows), tmp_path / "out", "--judge", json.dumps(knobs))
    found = report["sets"][0]["rubric"]
    assert rc == 0 and found["unsent"] == {"endless": 2} and not found["unscored"]
    assert found["raw"]["value"] == pytest.approx((10 - 2 * 12 / 8) / 12)
    assert "2 without an end" in (tmp_path / "out" / "report.html").read_text(encoding="utf-8")


def test_two_models_are_not_compared_by_two_rubrics(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = [bench("a", "fever", "rest"), bench("a", "fever", "rest")]
    rows[1]["rubrics"][2]["points"] = -1
    sides = [str(write(tmp_path / f"{name}.jsonl", [row])) for name, row in zip("xy", rows, strict=True)]
    assert main(["compare", *sides, "--out", str(tmp_path / "pair")]) == 2
    assert "different questions, references or rubrics under the id 'a'" in capsys.readouterr().err


def test_hostile_text_of_answers_and_criteria_stays_text(chat_server: Serve, tmp_path: Path) -> None:
    bad = "<script>alert(1)</script>\u202e"
    row = bench("a", "fever", f"{bad} aspirin")
    row["rubrics"][0]["criterion"] = f"Says {bad} rest"
    row["example_tags"] = [f"theme:{bad}"]
    evaluated(write(tmp_path / "hb.jsonl", [row]), tmp_path / "out", "--judge", judge(chat_server(grader)))
    page = (tmp_path / "out" / "report.html").read_text(encoding="utf-8")
    assert "<script" not in page and "\u202e" not in page and page.count("&lt;script&gt;") >= 3


def test_published_rows_of_kqa(chat_server: Serve, tmp_path: Path, shared_data: Path) -> None:
    """Over the real rows, the figures are those that K-QA's definitions give, recomputed from the columns themselves."""
    rows = [json.loads(line) for line in (shared_data / "kqa.jsonl").read_text(encoding="utf-8").splitlines()]
    must = [[one for one in row["Must_have"] if one.strip()] for row in rows]

    def drawn(statement: str, kind: str) -> bool:
        return random.Random(f"{kind} {harmless(' '.join(statement.split()))}").random() < (
            0.6 if kind == "States" else 0.1
        )

    def noisy(request: dict[str, Any], n: int) -> str:
        told = [line.partition(". ")[2].split(" that: ", 1) for line in slots(request)["CRITERIA"].splitlines()]
        known = any(len(one) == 1 for one in told)
        return grader(request, n) if known else numbered([drawn(statement, kind) for kind, statement in told])

    client = OpenAIChat(model="grader", base_url=chat_server(noisy).url)
    answers = load_answers(shared_data / "kqa.jsonl", response="Free_form_answer")
    graded = grade(answers, RubricReward(client))
    assert all(statements(one.rubric) for one in graded if one.rubric is not None) and len(graded) == len(rows)
    found = rubric_figures("kqa", graded)
    covered = [sum(drawn(one, "States") for one in some) / len(some) for some in must]
    every = [[*some, *row["Nice_to_have"]] for some, row in zip(must, rows, strict=True)]
    contradicted = [sum(drawn(one, "Denies") for one in some) for some in every]
    assert not found["unscored"] and not found["unsent"]
    assert found["comprehensiveness"]["value"] == pytest.approx(sum(covered) / len(rows))
    assert found["hallucination"]["value"] == pytest.approx(sum(contradicted) / len(rows))
    assert 0.3 < found["comprehensiveness"]["interval"][0] < found["comprehensiveness"]["interval"][1] < 0.9
