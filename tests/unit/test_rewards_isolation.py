"""A reward tree keeps nothing between calls, and shares nothing with another tree of its process."""

import asyncio
import pickle
import sys
from collections.abc import Iterator, Mapping
from typing import Any

import pytest

from medrl.rewards import Reward, RewardContext, Scores, build
from medrl.types import Group, Problem, Response, ask

OPTIONS = {"A": "gout", "B": "lupus"}
PROBLEMS = (
    Problem("p", ask("Which drug?"), "aspirin"),
    Problem("q", ask("How many mg?"), "5 mg"),
    Problem("r", ask("Which?"), "B", kind="choice", options=OPTIONS),
    Problem("z", ask("诊断？"), "痛风", language="zh"),
)
TEXTS = (
    "aspirin",
    "5 mg",
    "The answer is B. Confidence: 80%",
    "痛风",
    "## Thinking\n\nx\n\n## Final Response\n\naspirin",
    "",
)
GROUPS = tuple(Group(one, tuple(Response(text) for text in TEXTS)) for one in PROBLEMS)
CORRECT: dict[str, Any] = {"type": "verified", "verifier": {"type": "typed"}, "otherwise": 0.0}
FIRST: dict[str, Any] = {
    "type": "weighted_sum",
    "parts": [CORRECT, {"type": "format"}, {"type": "normalise", "of": {"type": "format", "name": "form"}}],
    "weights": [1.0, 0.1, 0.1],
}
SECOND: dict[str, Any] = {"type": "levels", "correct": CORRECT, "format": {"type": "format"}}
TREES = {"sum": FIRST, "levels": SECOND, "confidence": {"type": "confidence", "correct": CORRECT}}
PAIRS = [("sum", "levels"), ("levels", "sum"), ("sum", "sum"), ("confidence", "sum"), ("levels", "confidence")]


def alone(tree: Reward) -> Scores:
    return tree.score_sync(GROUPS)


@pytest.mark.parametrize(("one", "other"), PAIRS)
def test_two_trees_of_one_process_score_as_each_does_alone(one: str, other: str) -> None:
    expected = {name: alone(build(TREES[name])) for name in (one, other)}
    first, second = build(TREES[one]), build(TREES[other])
    for _ in range(2):  # one after the other, and again
        assert alone(first) == expected[one] and alone(second) == expected[other]

    async def together() -> list[Scores]:
        jobs = [tree.score([group]) for group in GROUPS for tree in (first, second)]
        return list(await asyncio.gather(*jobs))

    found = asyncio.run(together())
    for tree, name in ((0, one), (1, other)):
        assert [rows[0] for rows in found[tree::2]] == expected[name], name


def test_problems_of_another_batch_change_no_score() -> None:
    tree = build(FIRST)
    whole = alone(tree)
    for group, row in zip(reversed(GROUPS), reversed(whole), strict=True):
        assert tree.score_sync([group]) == [row]


def containers() -> Iterator[tuple[str, int]]:
    """Every list, dict, set and deque that a module of medrl holds, itself or as a class attribute, and its length."""
    for name, module in list(sys.modules.items()):
        if name.split(".")[0] != "medrl" or module is None:
            continue
        for key, value in list(vars(module).items()):
            if isinstance(value, type) and value.__module__ == name:
                inner: Mapping[str, Any] = vars(value)
                yield from (
                    (f"{name}.{key}.{k}", len(v)) for k, v in list(inner.items()) if _grows(v) and k[:2] != "__"
                )
            elif _grows(value):
                yield f"{name}.{key}", len(value)


def _grows(value: Any) -> bool:
    return hasattr(value, "__len__") and type(value).__name__ in (
        "list",
        "dict",
        "set",
        "deque",
        "defaultdict",
        "OrderedDict",
    )


@pytest.mark.parametrize("name", TREES)
def test_nothing_grows_by_scoring_the_same_again(name: str) -> None:
    tree, context = build(TREES[name]), RewardContext()
    first = tree.score_sync(GROUPS, context)
    before, state, kept = dict(containers()), pickle.dumps(context.state), pickle.dumps(tree)
    for _ in range(5):
        assert tree.score_sync(GROUPS, context) == first
    assert dict(containers()) == before
    assert pickle.dumps(context.state) == state and pickle.dumps(tree) == kept
