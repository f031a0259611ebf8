"""`medrl eval RECIPE` of held-out problems with rubrics: who grades, what is told, and what is no failure."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from chat_server import ChatServer, failing
from rubric_graders import grader

from medrl.cli import main
from medrl.evaluation.evaluate import abstained_share, accuracy_of, failed_share
from medrl.models import Policy
from medrl.rewards import Verified
from medrl.types import Group, Part, Problem, Response, Score, ScoredGroup, Verdict, ask
from medrl.verifiers import Typed

Serve = Callable[..., ChatServer]
Capture = pytest.CaptureFixture[str]
CRITERIA = [{"criterion": "Says rest", "points": 5}, {"criterion": "Says aspirin", "points": -3}]
VERIFIED = {"type": "verified", "verifier": "typed", "otherwise": 0.0}


@pytest.fixture
def held_out(tmp_path: Path, make_policy: Callable[..., Policy], monkeypatch: pytest.MonkeyPatch) -> Path:
    """A policy without training, and four problems with a rubric each, in the current folder."""
    monkeypatch.chdir(tmp_path)
    make_policy().save(tmp_path / "policy")
    rows = [
        {"prompt_id": f"p{i}", "prompt": [{"role": "user", "content": f"A fever of {i}."}], "rubrics": CRITERIA}
        for i in range(4)
    ]
    (tmp_path / "bench.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return tmp_path


def evaluated(reward: dict[str, Any], *more: str) -> tuple[int, dict[str, Any]]:
    recipe = {
        "name": "open", "threads": 1, "reward": reward, "sampling": {"max_tokens": 8},
        "problems": {"count": 4}, "held_out": {"source": "bench.jsonl"}, "evaluation": {"samples": 2, "greedy": False},
        "trainer": {"problems_per_step": 4}, "policy": {"path": "./policy"},
    }  # fmt: skip
    Path("open.yaml").write_text(yaml.safe_dump(recipe), encoding="utf-8")
    rc = main(["eval", "open.yaml", "--policy", "./policy", "--out", "out", "--json", "out.json", *more])
    return rc, json.loads(Path("out.json").read_text(encoding="utf-8")) if Path("out.json").is_file() else {}


def routed(open_reward: dict[str, Any]) -> dict[str, Any]:
    return {"type": "where", "problem": {"kind": "rubric"}, "then": open_reward, "otherwise": VERIFIED}


def client(server: ChatServer) -> dict[str, Any]:
    return {"type": "openai", "model": "grader", "base_url": server.url, "max_retries": 0}


def test_a_recipe_whose_problems_all_have_rubrics_has_no_failed_verifier(
    held_out: Path, chat_server: Serve, capsys: Capture
) -> None:
    rc, found = evaluated(routed({"type": "rubric", "client": client(chat_server(grader))}))
    told = capsys.readouterr()
    assert rc == 0 and "judge failed" not in told.err, told.err
    assert (found["accuracy"], found["unscored"]) == (None, 0.0)
    row = found["report"]["sets"][0]["rubric"]
    assert row["raw"]["n"] == 4 and row["replies"] == 8 and "graded by rubric" in told.out


def test_a_dead_judge_of_a_recipe_is_told_and_ends_with_1(held_out: Path, chat_server: Serve, capsys: Capture) -> None:
    dead = chat_server(lambda request, number: failing(503))
    rc, found = evaluated(routed({"type": "format", "preset": "o1"}), "--judge", json.dumps(client(dead)))
    assert rc == 1 and found["report"]["sets"][0]["rubric"]["score"]["value"] is None
    assert "no figure of held_out" in capsys.readouterr().err


def test_who_judges_is_read_before_anything_is_sampled(held_out: Path, capsys: Capture) -> None:
    for name, wrong, said in (("--judge", "{model", "is no YAML"), ("--verifier", "typped", "'typed'")):
        rc, found = evaluated(VERIFIED, name, wrong)
        told = capsys.readouterr()
        assert rc == 2 and not found and said in told.err and told.out == ""


def test_rubrics_of_a_recipe_that_nobody_grades_are_told(held_out: Path, capsys: Capture) -> None:
    rc, _ = evaluated(routed({"type": "format", "preset": "o1"}))
    assert rc == 0 and "4 problems have a rubric" in " ".join(capsys.readouterr().out.split())


def test_the_verifier_fails_only_on_what_it_was_to_judge() -> None:
    def scored(kind: str, parts: dict[str, Part]) -> ScoredGroup:
        problem = Problem(kind, ask("?"), kind=kind, metadata={"rubrics": CRITERIA})  # type: ignore[arg-type]
        return ScoredGroup(Group(problem, (Response("x"),)), (Score(1.0, parts=parts),))

    correct = Verified(Typed(), otherwise=0.0)
    lost = Part(None, "error", Verdict.failed("down"))
    crashed = Part(None, "timeout", reason="correct: TimeoutError")  # of a guard, which has no verdict to show
    right = Part(1.0, "ok", Verdict(1.0))
    silent = Part(None, "abstain", reason="the problem does not match")
    assert failed_share([scored("rubric", {"correct": silent}), scored("open", {"correct": right})], correct) == 0.0
    assert failed_share([scored("rubric", {}), scored("open", {"correct": right})], correct) == 0.0
    assert failed_share([scored("rubric", {"correct": lost}), scored("open", {"correct": right})], correct) == 0.5
    assert failed_share([scored("rubric", {"correct": crashed}), scored("open", {"correct": right})], correct) == 0.5
    assert failed_share([scored("open", {}), scored("rubric", {})], correct) == 1.0
    gated = Part(0.0, "ok", reason="format closed the gate")  # before a rubric or a verifier was asked
    unsure = Part(0.0, "ok", Verdict.abstain("its wording"))
    both = [scored("rubric", {"correct": gated}), scored("open", {"correct": right})]
    assert accuracy_of(both, correct, 0.1) == 1.0, "a malformed answer to a rubric is no wrong answer of the verifier's"
    assert accuracy_of(both[:1], correct, 0.1) is None
    assert accuracy_of([scored("open", {"correct": gated}), *both], correct, 0.1) == 0.5
    assert abstained_share([scored("open", {"correct": unsure}), *both], correct) == 0.5


def test_a_gate_above_the_routing_makes_no_accuracy_of_rubrics(held_out: Path, chat_server: Serve) -> None:
    tree = routed({"type": "rubric", "client": client(chat_server(grader))})
    rc, found = evaluated({"type": "gate", "gate": {"type": "format", "preset": "o1"}, "then": tree})
    assert rc == 0 and (found["accuracy"], found["unscored"]) == (None, 0.0)


def test_a_reward_whose_grader_is_down_is_not_averaged_over_the_rest(held_out: Path, chat_server: Serve) -> None:
    open_ended: dict[str, Any] = {"reference": None, "kind": "rubric", "metadata": {"rubrics": CRITERIA}}
    checkable = {"reference": "vitamin C", "kind": "open", "metadata": {}}
    rows = [
        {"id": f"p{i}", "messages": ask(f"A fever of {i}?"), **(open_ended if i % 2 else checkable)} for i in range(8)
    ]
    Path("bench.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    up, down = chat_server(grader), chat_server(lambda request, number: failing(503))
    for server, unrewarded in ((up, 0.0), (down, 0.5)):
        _, found = evaluated(routed({"type": "rubric", "client": client(server)}))
        assert (found["unrewarded"], found["unscored"], found["accuracy"]) == (unrewarded, 0.0, 0.0)
        assert (found["reward"] is None) == (server is down)
