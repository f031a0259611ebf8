"""Pages of an evaluation: whatever a model writes stays text, and nothing on the blinded page says who wrote what."""

import json
import re
import stat
import subprocess
import sys
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from chat_server import ChatServer, failing
from chat_server import Reply as Sent

from medrl.cli import main
from medrl.commands.compare_models import compare_models
from medrl.commands.evaluate_answers import evaluate_answers
from medrl.data.annotation import load_items
from medrl.errors import DataError
from medrl.evaluation.answers import Answered, Answers, Reply
from medrl.evaluation.comparing import compare, judged_verdict, verdict, without_verdict
from medrl.evaluation.html import Html, page, tag, text
from medrl.evaluation.pairwise import judged_figures, pairs_of
from medrl.evaluation.scoring import score
from medrl.evaluation.side_by_side import draw_order
from medrl.types import Problem, Response, Verdict, ask
from medrl.verifiers import RuleVerifier

Serve = Callable[..., ChatServer]
HOSTILE = (
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "</pre></details><iframe src=javascript:alert(1)>",
    "' onmouseover='alert(1)",
    "&lt;b&gt; <!-- --> ]]> \x00\x1b[31m \u202etxet\u202c \ud800 half",
    "<style>*{display:none}</style><meta http-equiv=refresh content=0>",
)
OPTIONS = {"A": "gout", "B": "measles"}


class Elements(HTMLParser):
    """Every element with its attributes, and all text."""

    def __init__(self, document: str) -> None:
        super().__init__(convert_charrefs=True)
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []
        self.feed(document)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.words.append(data)


OURS = {
    "html", "head", "meta", "title", "style", "body", "main", "h1", "h2", "h3", "p", "div", "table", "thead", "tbody", "tr",
    "th", "td", "small", "span", "i", "b", "section", "details", "summary", "pre", "strong",
}  # fmt: skip


def check(document: str, hostile: tuple[str, ...] = HOSTILE) -> Elements:
    """No element and no attribute but ours, one style sheet, and every hostile text there as text."""
    found = Elements(document)
    assert {name for name, _ in found.elements} <= OURS
    attributes = {name for _, some in found.elements for name in some}
    assert attributes <= {
        "charset", "http-equiv", "content", "name", "lang", "class", "dir", "style", "role", "aria-label"
    }  # fmt: skip
    assert [name for name, _ in found.elements].count("style") == 1 and "url(" not in document
    assert document.encode("utf-8") and not re.search("[\x00-\x08\u202e]", document)
    whole = "".join(found.words)
    for one in hostile:
        assert one.split(" ")[0] in whole
    return found


def hostile_answers(name: str) -> Answers:
    items = []
    for number, bad in enumerate(HOSTILE):
        problem = Problem(
            f"p{number} {bad.encode('utf-8', 'replace').decode()}", ask(f"Which? {bad}"), "B", "choice",
            {**OPTIONS, "C": bad}, metadata={"topic": bad, "department": f"{number % 2}{bad}"},
        )  # fmt: skip
        items.append(Answered(problem, (Reply(f"{bad} The answer is A. I am 90% sure."),), "hostile"))
    return Answers(f"model {name} {HOSTILE[0]}", tuple(items), {"file": HOSTILE[1]})


def test_what_a_model_writes_stays_text(tmp_path: Path) -> None:
    evaluate_answers(hostile_answers("m"), tmp_path)
    check((tmp_path / "report.html").read_text(encoding="utf-8"))
    compare_models(hostile_answers("a"), hostile_answers("b"), tmp_path / "pair")
    check((tmp_path / "pair" / "page.html").read_text(encoding="utf-8"))
    check((tmp_path / "pair" / "compare.html").read_text(encoding="utf-8"), HOSTILE[:1])


@pytest.mark.parametrize("hostile", HOSTILE)
def test_a_reply_is_shown_with_all_that_was_said_before_it(tmp_path: Path, hostile: str) -> None:
    messages = (
        {"role": "system", "content": f"first-words {hostile}"},
        {"role": "user", "content": "second-words"},
        {"role": "assistant", "content": f"third-words {hostile}"},
        {"role": f"user {hostile}", "content": [{"type": "text", "text": f"last-words {hostile}"}, {"type": "image"}]},
    )
    problem = Problem("p0", messages, "B", "choice", OPTIONS)
    sides = [Answers(name, (Answered(problem, (Reply(f"A {name}"),), "set"),)) for name in ("a", "b")]
    compare_models(sides[0], sides[1], tmp_path / "pair")
    evaluate_answers(sides[0], tmp_path)
    report_ = json.loads((tmp_path / "report.json").read_text(encoding="utf-8"))
    assert [one["role"] for one in report_["worst"][0]["messages"]] == [str(one["role"]) for one in messages]
    for file in ("pair/page.html", "report.html"):
        found = check((tmp_path / file).read_text(encoding="utf-8"), (hostile,))
        whole = "".join(found.words)
        places = [whole.index(word) for word in ("first-words", "second-words", "third-words", "last-words", "(image)")]
        assert places == sorted(places) and "assistant" in whole and places[-1] < whole.rindex("A a")


def test_distrusted_rows_are_shown_with_what_was_asked(tmp_path: Path) -> None:
    messages = ({"role": "user", "content": "early-words"}, {"role": "assistant", "content": "and?"},
                {"role": "user", "content": "Which of these is <b>not</b> a cause?"})  # fmt: skip
    evaluate_answers(Answers("m", (Answered(Problem("p", messages, "gout"), (Reply("gout"),)),)), tmp_path)
    words = "".join(check((tmp_path / "report.html").read_text(encoding="utf-8"), ()).words)
    assert "lost_options" in words and "early-words" in words and "Which of these is <b>not</b> a cause?" in words


def test_only_the_builder_makes_markup() -> None:
    assert text("<b>") == "&lt;b&gt;" and text(Html("<b>")) == "<b>"
    assert tag("p", "<", 1, None, ["&", tag("b", "x")], class_='"') == '<p class="&quot;">&lt;1&amp;<b>x</b></p>'
    assert "⟨U+202E⟩" in text("a\u202eb") and "⟨U+D800⟩" in text("\ud800")
    with pytest.raises(ValueError, match="no name of an element"):
        tag("p onload=x")
    assert "default-src &#x27;none&#x27;" in page("t")


def pair(count: int = 40) -> tuple[Answers, Answers]:
    def side(name: str, right: int) -> Answers:
        items = tuple(
            Answered(
                Problem(f"p{i}", ask(f"Question {i}?"), "B", "choice", OPTIONS),
                (Reply(f"{'B' if i < right else 'A'} because of marker-{name}"),),
                "set",
            )
            for i in range(count)
        )
        return Answers(f"model-{name}", items)

    return side("alpha", 10), side("beta", 30)


def test_the_page_is_blinded_and_the_key_opens_it(tmp_path: Path) -> None:
    first, second = pair()
    found = compare_models(first, second, tmp_path, seed=3)
    blinded = (tmp_path / "page.html").read_text(encoding="utf-8")
    assert "model-alpha" not in blinded and "model-beta" not in blinded
    key = json.loads((tmp_path / "key.json").read_text(encoding="utf-8"))
    assert stat.S_IMODE((tmp_path / "key.json").stat().st_mode) == 0o600
    assert sum(row["left"] == "model-alpha" for row in key["rows"]) == 20
    shown = re.findall(r"marker-(alpha|beta)", blinded)
    assert shown == [row[side].removeprefix("model-") for row in key["rows"] for side in ("left", "right")]
    strict = found["sets"]["set"]["strict"]
    assert (strict["only_first"], strict["only_second"], strict["left_out"]) == (0, 20, 0)
    assert strict["p_holm"] == strict["mcnemar_p"] == pytest.approx(2 / 2**20)
    items = load_items(tmp_path / "items.jsonl")
    assert [one.responses[0].text.split("marker-")[1] for one in items] == shown[::2]


def test_sides_depend_on_seed_and_problem_alone() -> None:
    problems = [("s", Problem(f"p{i}", ask("?"), "x")) for i in range(101)]
    order = draw_order(problems, 1)
    assert abs(order.count("A") - order.count("B")) == 1 and order != draw_order(problems, 2)
    assert order == draw_order(problems, 1)


def test_equal_answers_are_shown_once_and_lost_ones_as_lost(tmp_path: Path) -> None:
    problems = [Problem(f"p{i}", ask("?"), "x") for i in range(2)]
    one = Answers("a", (Answered(problems[0], (Reply("same"),)), Answered(problems[1], (Reply("", error="down"),))))
    other = Answers("b", (Answered(problems[0], (Reply("same"),)), Answered(problems[1], (Reply("x"),))))
    compare_models(one, other, tmp_path)
    found = check((tmp_path / "page.html").read_text(encoding="utf-8"), ())
    words = "".join(found.words)
    assert (
        words.count("same") == 2 and "There is no reply." in words and "down" not in words
    )  # "the same answer", "same"


def test_what_one_side_has_no_score_for_is_left_out_of_the_test_and_told() -> None:
    first, second = pair(10)
    broken = Answers("b", tuple(
        Answered(one.problem, (Reply("", error="down"),), one.set) if i < 3 else one for i, one in enumerate(second.items)
    ))  # fmt: skip
    found = compare(score(first), score(broken))["set"]["strict"]
    assert (found["n"], found["left_out"], found["missing"], found["p"]) == (7, 3, 0.3, None)
    few = Answers("b", (Answered(second.items[0].problem, (Reply("", error="down"),), "set"), *second.items[1:]))
    found = compare(score(first), score(few))["set"]["strict"]
    assert (found["n"], found["left_out"]) == (9, 1) and found["p"] == found["p_holm"] == 1.0


class OnTheRest(RuleVerifier):
    """Fails on the replies that say so; else right is what says so."""

    name = "on_the_rest"

    def check(self, problem: Problem, response: Response) -> Verdict:
        if response.text == "break":
            raise OSError("the judge is down")
        return Verdict(float(response.text == "right"))


def open_answers(name: str, *texts: str | tuple[str, ...]) -> Answers:
    rows = [(one,) if isinstance(one, str) else one for one in texts]
    items = (Answered(Problem(f"p{i}", ask(f"{i}?"), "x"), tuple(map(Reply, row)), "set") for i, row in enumerate(rows))
    return Answers(name, tuple(items))


def test_no_model_is_better_by_failing_its_judge(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    honest = open_answers("A", *["right"] * 50, *["wrong"] * 50)
    failing_ = open_answers("B", *["break"] * 39, *["right"] * 22, *["break"] * 39)
    found = compare_models(honest, failing_, tmp_path, verifier=OnTheRest())
    row = found["sets"]["set"]["strict"]
    assert (row["n"], row["left_out"], row["p"], row["difference"], row["interval"]) == (22, 78, None, None, None)
    assert "p_holm" not in row and row["bounds"] == pytest.approx([0.22 - 0.5, 1.0 - 0.5])
    said_ = verdict(found["sets"]["set"], ("A", "B"))
    assert said_.startswith("no verdict, since 78 %") and "-28.0 and +50.0" in said_
    shown = (tmp_path / "compare.html").read_text()
    assert "B is better" not in shown and "no verdict" in shown
    # half of the samples of each problem missing is as bad, though each problem has a score
    several = open_answers("B", *[("right", "break")] * 100)
    assert compare(score(honest, OnTheRest()), score(several, OnTheRest()))["set"]["strict"]["p"] is None
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("medrl.commands.evaluation_commands.verifier_of", lambda config: OnTheRest())
    honest.write("one.jsonl")
    failing_.write("two.jsonl")
    assert main(["compare", "one.jsonl", "two.jsonl", "--verifier", "rest"]) == 1
    assert "no verdict of set: too much of it has no score" in capsys.readouterr().err
    assert main(["compare", "one.jsonl", "one.jsonl", "--verifier", "rest"]) == 0


@pytest.mark.parametrize(("failed", "rate"), [(0, 0.5), (1, 0.5), (2, None), (90, None)])
def test_too_many_pairs_that_were_not_judged_leave_bounds_alone(failed: int, rate: float | None) -> None:
    problems = [("set", Problem(f"p{i}", ask("?"), None, "dialogue")) for i in range(10)]
    pairs, _ = pairs_of(problems, consultations("a", *["same"] * 10), consultations("b", *["same"] * 10), 8000)
    found = judged_figures(pairs, [], {"refused": failed}, "j")
    assert found["win_rate"] == found["length_controlled"] == rate and (found["interval"] is None) == (rate is None)
    assert found["bounds"] == pytest.approx([5 / (10 + failed), (5 + failed) / (10 + failed)])
    assert judged_verdict(found, "a").startswith("no verdict" if rate is None else "0 won, 10 ties")
    assert without_verdict({"sets": {}, "judged": found}) == ([] if rate else ["j"])


def test_problems_that_one_file_lacks_are_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    first, second = pair(10)
    Answers("one", first.items[:9]).write("one.jsonl")
    Answers("two", second.items[3:]).write("two.jsonl")
    assert main(["compare", "one.jsonl", "two.jsonl"]) == 0
    err = capsys.readouterr().err
    assert "one has no answer to 1 of the 7 problems of two; they are not compared" in err
    assert "two has no answer to 3 of the 9 problems of one; they are not compared" in err
    assert json.loads(Path("comparison/compare.json").read_text())["lacking"] == {"A": 1, "B": 3}
    assert "two has no answer to 3 of the 9 problems" in Path("comparison/compare.html").read_text()
    assert main(["compare", "one.jsonl", "one.jsonl"]) == 0
    assert "no answer" not in capsys.readouterr().err


def test_comparisons_of_different_questions_are_refused(tmp_path: Path) -> None:
    first, second = pair(3)
    other = Answers("c", tuple(Answered(Problem("p0", ask("Another?"), "B"), (Reply("B"),), "set") for _ in "x"))
    with pytest.raises(DataError, match="different questions, references or rubrics"):
        compare_models(first, other, tmp_path)
    strange = Answers("c", (Answered(Problem("zz", ask("?"), "B"), (Reply("B"),), "set"),))
    with pytest.raises(DataError, match="no problem in common"):
        compare_models(first, strange, tmp_path)
    assert second.name == "model-beta"


def said(better: str) -> str:
    return json.dumps({"reason": "r", "better": better, "strength": 2})


def consultations(name: str, *texts: str) -> Answers:
    items = tuple(
        Answered(Problem(f"p{i}", ask("My toe hurts."), None, "dialogue"), (Reply(one),), "set")
        for i, one in enumerate(texts)
    )
    return Answers(name, items)


def test_pairs_are_judged_in_both_orders_and_failures_left_out(tmp_path: Path, chat_server: Serve) -> None:
    def judge(request: dict[str, Any], number: int) -> Any:
        shown = re.findall(r"=== \w+ (FIRST|SECOND) ===\n\| (.*)", request["messages"][-1]["content"])
        texts = dict(shown)
        if "down" in texts["FIRST"] + texts["SECOND"]:
            return failing(400)
        if "flip" in texts["FIRST"] + texts["SECOND"]:
            return said("first")
        return said("first" if "good" in texts["FIRST"] else "second")

    server = chat_server(judge)
    same = ["the same words"] * 4
    first = consultations("a", "good advice", "poor", "flip one", "down", "same", "", "x" * 9000, *same)
    second = consultations("b", "poor advice", "good", "flip two", "up", "same", "bad", "y", *same)
    config = {"type": "openai", "model": "judge", "base_url": server.url, "max_retries": 0, "timeout": 20.0}
    found = compare_models(first, second, tmp_path, judge=config)["judged"]
    assert (found["win"], found["tie"], found["loss"], found["n"]) == (1, 6, 3, 10)
    assert found["by_rule"] == 7  # the same words; an empty answer and an endless one lose without a judge
    assert found["failed"] == {"refused": 1}
    assert found["disagreement"] == pytest.approx(1 / 3) and found["first_shown_won"] == pytest.approx(4 / 6)
    assert found["win_rate"] == pytest.approx(4 / 10) and found["near"] >= 2
    assert len((tmp_path / "records.jsonl").read_text().splitlines()) == 3
    assert "Judged by judge" in (tmp_path / "compare.html").read_text()
    asked = len(server.requests)
    compare_models(first, second, tmp_path, judge=config)
    assert len(server.requests) <= asked + 2  # what was judged is not paid for again; what failed is asked again


def test_no_model_wins_by_making_its_judge_fail() -> None:
    problems = [("set", Problem("p0", ask("?"), None, "dialogue"))]
    for bad in ("", "   ", "<think>never ends", "z" * 9000):
        pairs, _ = pairs_of(problems, consultations("a", bad), consultations("b", "see a doctor"), 8000)
        assert pairs[0].ruled == "second"
        assert judged_figures(pairs, [], {}, "j")["win_rate"] == 0.0


def test_the_command_line_evaluates_and_compares(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    rows = [{"id": f"p{i}", "question": f"Question {i}?", "options": OPTIONS, "answer_idx": "B"} for i in range(6)]
    Path("set.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    for name, right in (("one", 2), ("two", 5)):
        replies = [{"id": row["id"], "response": "B" if i < right else "A"} for i, row in enumerate(rows)]
        Path(f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in replies))
    assert main(["eval", "--answers", "one.jsonl", "--problems", "set.jsonl"]) == 0
    made = Path("evaluations/one")
    assert sorted(one.name for one in made.iterdir()) == ["answers.jsonl", "report.html", "report.json", "scored.jsonl"]
    before = json.loads((made / "report.json").read_text())
    assert before["sets"][0]["accuracy"]["strict"]["value"] == pytest.approx(2 / 6)
    assert main(["eval", "--answers", str(made / "answers.jsonl"), "--name", "one", "--out", "again"]) == 0
    after = json.loads(Path("again/report.json").read_text())
    assert {**after, "made": None} == {**before, "made": None}
    assert main(["compare", "one.jsonl", "two.jsonl", "--prompts", "set.jsonl", "--json", "out.json"]) == 0
    assert json.loads(Path("out.json").read_text())["sets"]["set"]["strict"]["only_second"] == 3
    out = capsys.readouterr().out
    assert "6 problems; 33.3 and 83.3 %; no difference is shown (p 0.250 after Holm)" in out
    for arguments, message in (
        (["eval"], "name one thing to evaluate"),
        (["eval", "--answers", "one.jsonl", "--model", "x"], "here are answers and model"),
        (["eval", "--model", "x"], "--problems FILE"),
        (["compare", "one.jsonl", "missing", "--prompts"], "expected at least one"),
        (["eval", "--answers", "one.jsonl", "--problems", "set.jsonl", "--samples", "0"], ""),
        (["eval", "--chat", "{model", "--problems", "set.jsonl"], "is no YAML"),
    ):
        try:
            status = main(arguments)
        except SystemExit as error:
            status = int(error.code or 0)
        assert status == (2 if message else 0)
        assert message in capsys.readouterr().err


def test_answers_in_a_file_are_scored_without_torch(tmp_path: Path) -> None:
    row = {"id": "p", "question": "Which?", "options": OPTIONS, "answer_idx": "B", "response": "B"}
    (tmp_path / "a.jsonl").write_text(json.dumps(row) + "\n")
    code = (
        "import sys; from medrl.cli import main; status = main(['eval', '--answers', 'a.jsonl']); "
        "sys.exit(status or int('torch' in sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_a_chat_model_is_asked_from_the_command_line_and_a_second_time_from_its_cache(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, chat_server: Serve
) -> None:
    monkeypatch.chdir(tmp_path)
    rows = [{"id": f"p{i}", "question": f"Question {i}?", "options": OPTIONS, "answer_idx": "B"} for i in range(5)]
    Path("set.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))

    def behaviour(request: dict[str, Any], number: int) -> Any:
        asked = request["messages"][-1]["content"]
        return Sent("The answer is", finish_reason="length") if "Question 4" in asked else "The answer is B."

    server = chat_server(behaviour)
    chat = f"{{model: m, base_url: '{server.url}', max_retries: 0, timeout: 20.0}}"
    for out in ("out", "out"):
        assert main(["eval", "--chat", chat, "--problems", "set.jsonl", "--out", out, "--max-tokens", "9"]) == 0
    found = json.loads(Path("out/report.json").read_text())["sets"][0]
    assert found["accuracy"]["strict"]["value"] == pytest.approx(4 / 5) and found["truncated"] == pytest.approx(1 / 5)
    assert found["unscored"] == {} and len(server.requests) == 6  # the one that was cut off is no reply to keep
