"""What all adapters share: rows that carry a problem, tries after a failure, scores as flat numbers."""

import ast
import json
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import Any, ClassVar

import pytest
import yaml
from answers_everywhere import ANSWERS, ASTHMA, GOUT, LETTER, TREE, Answer, tree, verified

from medrl.cli import main, make_parser
from medrl.errors import DataError, ProblemError, RecipeError
from medrl.interop import Columns, Scorer, pack, read_reward, unpack
from medrl.interop.rows import messages_of, packed, response_of, spoken
from medrl.interop.scoring import numbers, told
from medrl.rewards import Reward, RewardContext, Scores
from medrl.types import Group, Problem, Response, Score, ask


@pytest.mark.parametrize("answer", ANSWERS, ids=lambda answer: f"{answer.problem.id}: {answer.text[-30:]!r}")
def test_the_table_says_what_the_tree_says(answer: Answer) -> None:
    score = Scorer(tree(), retries=0).one_sync(*answer.item)
    assert (score.value, score.status) == (pytest.approx(answer.value), answer.status)


def test_the_verified_part_is_what_medrl_verify_writes(tmp_path: Path) -> None:
    """The command itself, over the same answers as rows of a file."""
    rows = [{**answer.problem.to_json(), "response": answer.text} for answer in ANSWERS]
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    verifier = "{type: typed, format: o1, vocabulary: clinic}"
    assert main(["verify", str(tmp_path / "rows.jsonl"), "--verifier", verifier, "--json", str(tmp_path / "out")]) == 0
    written = [row["score"] or 0.0 for row in json.loads((tmp_path / "out").read_text(encoding="utf-8"))["rows"]]
    parts = [Scorer(tree(), retries=0).one_sync(*answer.item).parts["correct"].value for answer in ANSWERS]
    assert parts == written == verified()
    assert {0.0, 1.0} <= set(written)


def test_a_problem_travels_unchanged() -> None:
    for answer in ANSWERS:
        assert unpack(pack(answer.problem)) == answer.problem
        assert unpack(json.loads(pack(answer.problem))) == answer.problem


@pytest.mark.parametrize("value", ["", "asthma", "[1]", '{"id": "x"}', "null", 3])
def test_what_is_no_problem_is_refused(value: Any) -> None:
    with pytest.raises(ProblemError, match="no problem"):
        unpack(value)


def test_bytes_and_images_do_not_travel() -> None:
    seen = Problem("x", ({"role": "user", "content": [{"type": "image", "path": "a.png"}]},), "y")
    with pytest.raises(DataError, match="1 problems have images"):
        packed([seen, ASTHMA], "TRL")
    with pytest.raises(DataError, match="name images by path"):
        pack(Problem("x", ask("?"), "y", metadata={"image": b"\0"}))


def test_columns_make_the_problem_of_plain_rows() -> None:
    options = {"A": "aspirin", "B": "metformin", "C": None}  # as Arrow fills a struct up
    row = {"reference": "B", "options": options, "metadata": {"topic": "drug", "limit": None}}
    problem = Columns().problem_of(row, messages_of("Which drug?"))
    assert (problem.kind, dict(problem.options)) == ("choice", {"A": "aspirin", "B": "metformin"})
    assert problem.metadata == {"topic": "drug"}
    assert problem.question == "Which drug?"
    chinese = Columns(reference="答案").problem_of({"答案": "痛风", "aliases": ["gout"]}, messages_of("最可能的诊断？"))
    assert (chinese.language, chinese.aliases, chinese.kind) == ("zh", ("gout",), "open")
    assert problem.id != chinese.id
    assert Columns().problem_of({**row, "problem": pack(GOUT)}, messages_of("Which drug?")) == GOUT


def test_columns_take_arrays_and_prompts_with_images() -> None:
    import numpy

    picture = [{"type": "image", "image": object()}, {"type": "text", "text": "Which finding?"}]
    row = {"reference": "B", "options": numpy.array(["a nodule", "a fracture"]), "aliases": numpy.array(["break"])}
    problem = Columns().problem_of(row, messages_of([{"role": "user", "content": picture}]))
    assert (problem.question, dict(problem.options)) == ("Which finding?", {"A": "a nodule", "B": "a fracture"})
    assert problem.aliases == ("break",)
    assert problem.messages[0]["content"] == [{"type": "image"}, {"type": "text", "text": "Which finding?"}]


@pytest.mark.parametrize(
    ("row", "prompt", "message"),
    [
        ({}, "Which?", "'reference'"),
        ({"reference": " "}, "Which?", "'reference'"),
        ({"reference": "D", "options": ["a", "b"]}, "Which?", "none of the options A, B"),
        ({"reference": "x", "kind": "essay"}, "Which?", "'essay'"),
        ({"reference": "x"}, "", "no text"),
        ({"reference": "x", "aliases": "gout"}, "Which?", "a list of texts"),
        ({"reference": "x", "metadata": "topic"}, "Which?", "a mapping"),
        ({"problem": "x"}, "Which?", "no problem"),
    ],
)
def test_rows_that_cannot_be_judged_say_why(row: dict[str, Any], prompt: str, message: str) -> None:
    with pytest.raises(ProblemError, match=message):
        Columns().problem_of(row, messages_of(prompt))


def test_reasoning_that_a_parser_split_off_is_put_back() -> None:
    for name in ("reasoning_content", "thinking", "reasoning"):
        text = spoken({"role": "assistant", "content": "asthma", name: " wheeze "})
        assert text == "<think>\nwheeze\n</think>\n\nasthma"
    again = spoken({"content": "<think>a</think>asthma", "reasoning_content": "wheeze"})
    assert again.count("<think>") == 2  # as the policy wrote it, so that no format takes it for well formed
    assert spoken({"content": None, "reasoning_content": None}) == ""
    tools = [{"role": "assistant", "content": "let me look"}, {"role": "tool", "content": "38.5"},
             {"role": "assistant", "content": [{"type": "text", "text": "fever"}]}]  # fmt: skip
    response = response_of(tools)
    assert response.text == "fever"
    assert [turn["role"] for turn in response.turns] == ["assistant", "tool", "assistant"]


@dataclass(frozen=True)
class Flaky(Reward):
    """Fails as often as told, then gives 1; counts what it was asked."""

    type_name: ClassVar[str] = ""
    failures: int
    name: str = "flaky"
    status: str = "error"
    asked: list[int] = field(default_factory=list)

    async def assess(self, groups: Sequence[Group], context: RewardContext) -> Scores:
        self.asked.append(sum(map(len, groups)))
        broken = len(self.asked) <= self.failures
        failed: Any = Score(None, self.status, reason="down")  # type: ignore[arg-type]
        return [[failed if broken and "bad" in r.text else Score(1.0) for r in group.rollouts] for group in groups]


def test_only_failures_are_asked_again_and_only_so_often() -> None:
    mended = Flaky(2)
    assert Scorer(mended, retries=2, wait=0.0).one_sync(ASTHMA, Response("bad")).value == 1.0
    assert mended.asked == [1, 1, 1]
    lost = Flaky(3)
    assert Scorer(lost, retries=2, wait=0.0).one_sync(ASTHMA, Response("bad")).status == "error"
    assert lost.asked == [1, 1, 1]
    for status in ("abstain", "invalid"):
        meant = Flaky(9, status=status)
        assert Scorer(meant, retries=5, wait=0.0).one_sync(ASTHMA, Response("bad")).status == status
        assert meant.asked == [1]


@dataclass(frozen=True)
class Ranked(Flaky):
    compares: ClassVar[bool] = True


def test_trees_that_compare_rollouts_are_refused_where_one_is_shown_at_a_time() -> None:
    with pytest.raises(RecipeError, match="'flaky' compares the rollouts of a problem"):
        Scorer(Ranked(0))


def test_numbers_have_the_same_keys_for_every_response() -> None:
    reward, keys = tree(), set()
    for answer in ANSWERS:
        score = Scorer(reward, retries=0).one_sync(*answer.item)
        found = numbers(reward, score)
        keys.add(tuple(found))
        assert all(isinstance(value, float) for value in found.values())
        assert math.isnan(found["score"]) == (answer.value is None)
        assert found[f"status/{answer.status}"] == 1.0
        assert sum(value for key, value in found.items() if key.startswith("status/")) == 1.0
        assert found["scored/mood"] == float(answer.value is not None)
    assert len(keys) == 1


def test_told_says_status_answer_and_reason() -> None:
    reward = tree()
    words = told(reward, Scorer(reward, retries=0).one_sync(*ANSWERS[2].item))
    assert words["answer"] == "pneumonia" and words["status"] == "ok" and words["reason"]
    failed = told(reward, Scorer(reward, retries=0).one_sync(*ANSWERS[-2].item))
    assert failed["status"] == "error" and "the judge is down" in failed["reason"]


def test_a_reward_is_read_from_its_yaml(tmp_path: Path) -> None:
    (tmp_path / "reward.yaml").write_text(yaml.safe_dump(TREE), encoding="utf-8")
    assert read_reward(tmp_path / "reward.yaml").to_config() == tree().to_config()
    with pytest.raises(DataError, match="no file"):
        read_reward(tmp_path / "other.yaml")
    assert LETTER.options  # a choice travels with its options, see above


def test_the_page_tells_the_truth(repository: Path) -> None:
    """Its first block runs; all names of medrl in the others exist; its commands are commands."""
    page = (repository / "docs" / "interop.md").read_text(encoding="utf-8")
    first, *others = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    exec(compile(first, "docs/interop.md", "exec"), {})
    assert len(others) == 2
    for block in others:
        for node in ast.walk(ast.parse(block)):
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("medrl"):
                assert all(hasattr(import_module(node.module or ""), alias.name) for alias in node.names)
    commands = [line.split("#")[0].split() for line in re.findall(r"^medrl (.*)$", page, re.MULTILINE)]
    assert len(commands) == 3
    for words in commands:
        assert make_parser().parse_args(words).framework in ("openrlhf", "verl")
    assert f"One table of {len(ANSWERS)}\nanswers" in page
