"""docs/signals.md: its table names every leaf with its knobs, and its example builds, keeps its promise and is not fooled."""

import re
from pathlib import Path

import pytest
import yaml

from medrl import plugins
from medrl.commands.attacks import default_problems, measure
from medrl.rewards import Cosine, Format, Reward, Verified, build
from medrl.rewards.textual import Signal
from medrl.rewards.tree import knobs_of
from medrl.types import FinishReason, Group, Problem, Response, ask


@pytest.fixture(scope="module")
def page(repository: Path) -> str:
    return (repository / "docs" / "signals.md").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def example(page: str) -> Reward:
    (text,) = re.findall(r"^```yaml\n(.*?)^```", page, re.MULTILINE | re.DOTALL)
    return build(yaml.safe_load(text))


def test_the_table_has_every_leaf_with_its_knobs_and_defaults(page: str) -> None:
    section = page.partition("## Every leaf")[2].partition("\n## ")[0]
    rows = {m[1]: m[2] for m in re.finditer(r"^\| `(\w+)` \|([^|]*)\|", section, re.MULTILINE)}
    leaves = {name: plugins.load("medrl.rewards", name) for name in rows}
    for name, cls in leaves.items():
        told = dict(re.findall(r"`(\w+)`(?: \(([^)]*)\))?", rows[name]))
        knobs = {knob.name: knob.default for knob in knobs_of(cls) if knob.name not in ("format", "name")}
        assert list(told) == [knob for knob in told if knob in knobs] and set(told) == set(knobs), name
        for knob, default in told.items():
            stated = yaml.safe_load(default) if default else None
            assert stated is None or stated == knobs[knob], f"{name}.{knob}"
    every = {name: plugins.load("medrl.rewards", name) for name in plugins.BUILTIN["medrl.rewards"]}
    assert set(rows) == {name for name, cls in every.items() if issubclass(cls, Signal | Cosine | Format)}


def value(tree: Reward, text: str, finish: FinishReason = "stop") -> float | None:
    problem = Problem("p", ask("What is the diagnosis?"), "gout")
    ((score,),) = tree.score_sync([Group(problem, (Response(text, finish_reason=finish),))])
    return score.value


def test_the_example_keeps_what_it_promises(example: Reward) -> None:
    best = value(example, "The diagnosis is gout.")
    ugly = value(
        example, f"<think>\n{'再想一想这个问题。' * 400}\n</think>\nPerhaps. It depends.\n\nThe diagnosis is gout."
    )
    assert best is not None and ugly is not None and 0.5 <= ugly < 0.75 < 0.95 < best <= 1.0
    assert value(example, "The diagnosis is influenza.") == 0.0
    assert value(example, "") == 0.0


def test_a_terse_refusing_or_citing_wrong_answer_earns_nothing(example: Reward) -> None:
    for text in ("ok.", "多喝水", "I can't help with that.", "Influenza [1][2][3].", "Water is good. " * 50):
        assert value(example, text) == 0.0


def test_attacks_are_paid_no_more_than_by_the_verifier_alone(example: Reward) -> None:
    problems = default_problems(6)
    alone = measure(Verified(plugins.load("medrl.verifiers", "typed")(), otherwise=0.0), problems)
    together = measure(example, problems)
    assert together.report["n"] == alone.report["n"] > 200
    assert together.report["n_paid"] <= alone.report["n_paid"]
    assert together.report["honest_right"] == alone.report["honest_right"] > 0.9
