"""Multiple choice to verifiable problems over real HTTP: each way to be dropped, and what a silent model is worth."""

import json
import re
from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
from chat_server import ChatServer, Reply, failing

from medrl.cli import main
from medrl.commands.construct_rows import construct_rows
from medrl.construct import problem_prompt as prompt
from medrl.construct.problem_overlap import HeldOut, overlaps
from medrl.construct.verifiable import length
from medrl.data import load_problems
from medrl.errors import RecipeError
from medrl.files import read_jsonl
from medrl.recipes.construction import load_construction
from medrl.types import Problem, ask

Serve = Callable[..., ChatServer]
CASE = "A 30-year-old man has pain that moved to the right lower belly, fever and vomiting since yesterday. "
OPTIONS = {"A": "acute appendicitis", "B": "acute pancreatitis", "C": "acute cholecystitis"}
ROW = {"id": "q", "question": f"{CASE}Which of the following is the most likely diagnosis?", "options": OPTIONS,
       "answer_idx": "A"}  # fmt: skip
OPEN = {"question": f"{CASE}What is the most likely diagnosis?", "answer": "Acute appendicitis"}


def part(request: Mapping[str, Any]) -> str:
    """take, grade or rewrite."""
    system = request["messages"][0]["content"]
    for name, texts in (("take", prompt.TAKE), ("grade", prompt.GRADE), ("rewrite", prompt.REWRITE)):
        if any(system.startswith(text) for text in texts.values()):
            return name
    raise AssertionError(system)


class Models:
    """One server for all: small models by name, a grader, a rewriter."""

    def __init__(self, *, grade: str = "pass", written: Mapping[str, str] = OPEN, **takes: Reply | str) -> None:
        self.grade, self.written, self.takes = grade, written, takes

    def __call__(self, request: dict[str, Any], number: int) -> Reply | str:
        match part(request):
            case "take":
                said = self.takes[request["model"]]
                return json.dumps({"reason": "so", "answer": said}) if said in ("A", "B", "C") else said
            case "grade":
                return json.dumps({"reason": "because", "grade": self.grade})
        return json.dumps(self.written)


def recipe(tmp_path: Path, server: ChatServer, *overrides: str, rows: Any = (ROW,), small: str = "abc") -> Any:
    source = tmp_path / "mcq.jsonl"
    source.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), "utf-8")
    client = f"base_url: '{server.url}', max_retries: 0, timeout: 5.0}}, tries: 1}}"
    roles = [f"{{client: {{type: openai, model: {name}, {client}" for name in ("grader", "rewriter", *small)]
    path = tmp_path / "problems.yaml"
    path.write_text(
        f"name: p\nfolder: {tmp_path / 'out'}\nrows: {{source: {source}}}\nstage:\n  grader: {roles[0]}\n"
        f"  rewriter: {roles[1]}\n  small_models: [{', '.join(roles[2:])}]\n"
        "  verifier: {type: typed, vocabulary: clinic}\n",
        "utf-8",
    )
    return load_construction("problems", path, overrides)


def outcome(tmp_path: Path, server: ChatServer, *overrides: str, **knobs: Any) -> str:
    """What became of one row."""
    construct_rows(recipe(tmp_path, server, *overrides, **knobs))
    for name, key in (("rows", ""), ("dropped", "reason"), ("failed", "kind")):
        path = tmp_path / "out" / f"{name}.jsonl"
        if path.exists():
            (row,) = read_jsonl(path)
            return str(row[key]) if key else "kept"
    raise AssertionError("it is gone")


def asked(server: ChatServer) -> list[str]:
    return [f"{part(one)} {one['model']}" for one in server.requests]


def test_a_question_becomes_a_problem(tmp_path: Path, chat_server: Serve) -> None:
    server = chat_server(Models(a="A", b="B", c="A"))
    assert outcome(tmp_path, server) == "kept"
    assert asked(server) == ["take a", "take b", "grade grader", "rewrite rewriter"]  # b is wrong, so c need not try
    (row,) = read_jsonl(tmp_path / "out" / "rows.jsonl")
    about = row["provenance"]
    assert row["Open-ended Verifiable Question"] == OPEN["question"] and row["Ground-True Answer"] == OPEN["answer"]
    assert (
        about["source"]["options"] == OPTIONS and about["answer_check"] == "same" and about["prompts"] == prompt.VERSION
    )
    assert [one["model"] for one in about["models"]["small_models"]] == ["a", "b", "c"]
    (problem,) = load_problems(tmp_path / "out" / "rows.jsonl")
    assert (problem.id, problem.reference, problem.kind) == ("q", "Acute appendicitis", "open")


@pytest.mark.parametrize(
    ("takes", "quorum", "found"),
    [
        ({"a": "A", "b": "A", "c": "A"}, None, "too_easy"),
        (
            {"a": "A", "b": failing(500), "c": "A"},
            None,
            "small_models",
        ),  # no evidence: tried again, not dropped, not kept
        ({"a": "A", "b": "The answer is A", "c": "A"}, None, "small_models"),
        ({"a": "A", "b": failing(500), "c": "A"}, 2, "too_easy"),
        ({"a": failing(500), "b": failing(429), "c": "A"}, 2, "small_models"),
        (
            {"a": failing(500), "b": "B", "c": "A"},
            None,
            "kept",
        ),  # somebody is wrong, whatever the other would have said
        ({"a": failing(500), "b": failing(500), "c": failing(500)}, None, "small_models"),
    ],
)
def test_a_silent_model_is_no_evidence(
    tmp_path: Path, chat_server: Serve, takes: Any, quorum: int | None, found: str
) -> None:
    server = chat_server(Models(**takes))
    overrides = [] if quorum is None else [f"stage.quorum={quorum}"]
    assert outcome(tmp_path, server, *overrides) == found


@pytest.mark.parametrize("grade", [one for one in prompt.GRADES if one != "pass"])
def test_each_grade_but_one_drops(tmp_path: Path, chat_server: Serve, grade: str) -> None:
    server = chat_server(Models(grade=grade))
    assert outcome(tmp_path, server, small="") == grade and asked(server) == ["grade grader"]
    (row,) = read_jsonl(tmp_path / "out" / "dropped.jsonl")
    assert row["words"] == "because" and row["row"] == ROW


def test_a_grade_that_is_none_is_no_grade(tmp_path: Path, chat_server: Serve) -> None:
    assert outcome(tmp_path, chat_server(Models(grade="Pass, I think")), small="") == "bad_reply"


@pytest.mark.parametrize(
    ("change", "found"),
    [
        ({"question": "Drug for this?"}, "too_short"),
        ({"question": f"{CASE}All of the following are likely diagnoses EXCEPT:"}, "negated"),
        ({"question": f"{CASE}Which diagnosis is shown in the following image?"}, "lost_figure"),
        ({"answer_idx": "AC"}, "several_keys"),
        ({"answer_idx": "D"}, "broken_row"),
        ({"options": {**OPTIONS, "A": "All of the above"}}, "reference_names_options"),
        ({"options": {**OPTIONS, "B": "Acute  appendicitis"}}, "equal_options"),
        ({"question": "", "answer_idx": "A"}, "broken_row"),
    ],
)
def test_what_costs_nothing_is_told_first(tmp_path: Path, chat_server: Serve, change: Any, found: str) -> None:
    server = chat_server(Models(a="A"))
    assert outcome(tmp_path, server, rows=[{**ROW, **change}]) == found and not server.requests


@pytest.mark.parametrize(
    ("change", "found"),
    [
        ({"question": f"{CASE}Which of the following is the most likely diagnosis?"}, "rewritten_lost_options"),
        ({"question": f"{CASE}Name one possible diagnosis."}, "rewritten_not_unique"),
        ({"question": f"{CASE}Why is acute appendicitis the most likely diagnosis?"}, "rewritten_leaked"),
        ({"answer": "Acute pancreatitis"}, "answer_changed"),
        ({"question": "哪种疾病最可能？右下腹疼痛、发热、呕吐。"}, "rewritten_language"),
        ({"answer": ""}, "bad_reply"),
    ],
)
def test_what_was_written_is_audited(tmp_path: Path, chat_server: Serve, change: Any, found: str) -> None:
    assert outcome(tmp_path, chat_server(Models(written={**OPEN, **change})), small="") == found


def test_nothing_of_an_evaluation_set_gets_in(tmp_path: Path, chat_server: Serve) -> None:
    other = "Tell me about somebody who went to the mountains last week. "
    held_out = tmp_path / "test.jsonl"
    held_out.write_text(
        json.dumps({"id": "t", "question": f"{other}{CASE}Diagnosis?", "reference": "x"}) + "\n", "utf-8"
    )
    against = f"stage.held_out=[{held_out}]"
    server = chat_server(Models())
    assert outcome(tmp_path, server, against, small="") == "overlap" and not server.requests
    (tmp_path / "2").mkdir()
    fresh = [
        {**ROW, "question": "A man of thirty suffers in his belly since a day or two; what is the diagnosis here?"}
    ]
    assert outcome(tmp_path / "2", server, against, small="", rows=fresh) == "rewritten_overlap"
    problems = [Problem(str(i), ask(text)) for i, text in enumerate((CASE, CASE[:60], other, f"x {CASE[5:]}"))]
    one = HeldOut(load_problems(held_out))
    assert [bool(one.shared(problem)[0]) for problem in problems] == [True, False, False, True]
    assert {i for i, p in enumerate(problems) if one.shared(p)[0]} == set(overlaps(problems, load_problems(held_out)))


def test_the_command_prints_a_funnel_and_shards_share_out(
    tmp_path: Path, chat_server: Serve, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = [{**ROW, "id": f"q{i}", **({"question": "Short?"} if i % 2 else {})} for i in range(12)]
    server = chat_server(Models(a="B"))
    recipe(tmp_path, server, rows=rows, small="a")
    path = str(tmp_path / "problems.yaml")
    assert main(["construct", "problems", path]) == 0
    said = capsys.readouterr().out
    assert re.search(r"rows +12\n", said) and re.search(r"too_short +6 +6\n", said)
    assert "6 rows are in" in said and "12/12 rows, 6 kept" in said
    report = json.loads((tmp_path / "out" / "report.json").read_text())
    assert report["outcomes"] == {"kept": 6, "too_short": 6} and report["bill"]["calls"] == 18
    parts = [read_jsonl(one) for place in "012" if main(["construct", "problems", path, f"shard={place}/3"]) == 0
             for one in (tmp_path / "out" / f"shard-{place}-of-3").glob("[rd]*.jsonl")]  # fmt: skip
    assert Counter(row["id"] for part in parts for row in part) == Counter(f"q{i}" for i in range(12))
    server.behaviour = lambda request, n: failing(500)
    assert main(["construct", "problems", path, "seed=5", f"folder={tmp_path / 'down'}"]) == 1  # some rows wait
    capsys.readouterr()
    assert main(["construct", "problems", path, "stage.min_words=3"]) == 2
    assert "knobs changed since" in capsys.readouterr().err


def test_faults_of_a_recipe_come_at_once(tmp_path: Path, chat_server: Serve) -> None:
    with pytest.raises(RecipeError) as found:
        recipe(tmp_path, chat_server(), "stage.quorum=9", "stage.after=[negatd]", "stage.min_words=-1", "concurrency=x")
    for word in ("quorum is 9", "did you mean 'negated'", "min_words is -1", "concurrency"):
        assert word in str(found.value)
    assert (length("a b-c 12"), length("右下腹疼痛"), length("")) == (4, 2.5, 0)


def test_real_questions_go_through(tmp_path: Path, chat_server: Serve, shared_data: Path) -> None:
    """Published rows, whose rewriter hands back the question as it was: nothing breaks, all is accounted for."""

    def models(request: dict[str, Any], number: int) -> str:
        if part(request) == "grade":
            return json.dumps({"reason": "", "grade": "pass"})
        lines = request["messages"][-1]["content"].splitlines()
        at = {line.split()[2]: i for i, line in enumerate(lines) if line.startswith("===") and "END" not in line}
        text = " ".join(line[2:] for line in lines[at["QUESTION"] + 1 : at["OPTIONS"] - 1])
        return json.dumps({"question": text, "answer": lines[at["ANSWER"] + 1][2:]})

    server = chat_server(models)
    recipe(tmp_path, server, small="")
    for name, limit in (("medqa", 60), ("medmcqa", 60)):
        over = (f"rows.source={shared_data / name}.jsonl", f"rows.limit={limit}", f"folder={tmp_path / name}")
        tally = construct_rows(load_construction("problems", tmp_path / "problems.yaml", over))
        assert tally.outcomes.total() == limit and not tally.failures and tally.outcomes["kept"] > 5
        assert len(load_problems(tmp_path / name / "rows.jsonl")) == tally.outcomes["kept"]


def test_an_unreadable_verdict_on_the_new_answer_is_asked_for_anew(tmp_path: Path, chat_server: Serve) -> None:
    verdict = json.dumps({"answer": "x", "reason": "same", "verdict": "match"})
    server = chat_server(Models(a="A", b="A", c="B"))
    judge = chat_server(lambda request, n: "Yes." if n < 1 else verdict)
    client = f"{{type: openai, model: j, base_url: '{judge.url}', max_retries: 0, timeout: 5.0, structured: none}}"
    config = f"stage.verifier={{type: judge, self_test: false, client: {client}}}"
    assert outcome(tmp_path, server, config) == "verifier_error"
    asked = server.count
    assert outcome(tmp_path, server, config) == "kept" and (server.count, judge.count) == (asked, 2)
