"""A reward tree on the console: its nodes and knobs, and what each of them said of one rollout."""

from rich.text import Text
from rich.tree import Tree

from medrl.rewards.tree import Reward, knobs_of, shown
from medrl.types import Part, Score

STYLES = {"ok": "bold", "abstain": "yellow", "error": "red", "timeout": "red", "invalid": "red"}
REASON = 160  # characters of a reason that are shown


def reward_tree(reward: Reward) -> Tree:
    """The nodes of a tree, each with its place, name, type and the knobs that hold no reward."""
    return _node("", reward, None)


def score_tree(reward: Reward, score: Score) -> Tree:
    """The same nodes with the number that each gave one rollout, or why there is none, and what its verifier read."""
    return _node("", reward, score)


def _node(place: str, node: Reward, score: Score | None) -> Tree:
    tree = Tree(_label(place, node) if score is None else _said(place, node, score))
    for where, child in node.children():
        tree.children.append(_node(where, child, score))
    return tree


def _label(place: str, node: Reward) -> Text:
    inner = {where.partition("[")[0] for where, _ in node.children()} | {"name"}
    knobs = [f"{k.name} {shown(getattr(node, k.name))}" for k in knobs_of(node) if k.name not in inner]
    label = Text.assemble((f"{place}: " if place else "", "dim"), (node.name, "bold"), f"  {node.kind()}")
    return label.append(f"  {', '.join(knobs)}" if knobs else "", "dim")


def _said(place: str, node: Reward, score: Score) -> Text:
    part = score.parts.get(node.name, Part(None, "abstain", reason="this score has no part of this name"))
    value = part.status if part.value is None else f"{part.value:.4g}"
    label = Text.assemble((f"{place}: " if place else "", "dim"), (node.name, "bold"), "  ")
    label.append(value, STYLES[part.status])
    verdict = part.verdict
    if verdict is not None and verdict.answer is not None:
        at = f" at {verdict.span[0]}-{verdict.span[1]}" if verdict.span else ""
        label.append(f"  read {_line(verdict.answer)!r}{at}")
    return label.append(f"  {_line(part.reason)}" if part.reason else "", "dim")


def _line(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= REASON else f"{line[: REASON - 1]}…"
