"""What the commands share: exit statuses, a console, JSON files, verifiers and policies as words on the command line."""

import argparse
import json
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from medrl.errors import DataError, MissingFile

if TYPE_CHECKING:
    from rich.console import Console

    from medrl.rewards import Reward, RubricReward

FAULT, FAILED, INTERRUPTED = 2, 1, 130  # what the user can mend, what failed, Ctrl-C
LONGEST = 50_000  # characters of an answer that a judge is shown; the published graders are shown all
Commands: TypeAlias = "argparse._SubParsersAction[argparse.ArgumentParser]"


def console_of(width: int, *, markup: bool = False) -> "Console":
    """A console as wide as the terminal, or of `width` columns where the output goes to a file."""
    from rich.console import Console

    wide = None if sys.stdout.isatty() else width
    return Console(width=wide, highlight=False, emoji=False, markup=markup)


def write_json(path: str, row: dict[str, Any]) -> None:
    """Write a report, whole or not at all."""
    from medrl.files import write_atomic

    write_atomic(path, json.dumps(row, ensure_ascii=False, indent=1, default=str) + "\n")


def verifier_of(text: str) -> Any:
    """The verifier that a word or YAML on the command line describes."""
    import yaml

    from medrl import verifiers
    from medrl.commands.verifier_card import RULES

    if text == "rules":
        return verifiers.build(RULES)
    try:
        config = yaml.safe_load(text)
    except yaml.YAMLError as error:
        if text.lstrip().startswith(("{", "[")):
            raise DataError(
                f"{text!r} is no YAML: {' '.join(str(error).split())}; close its braces and quotes"
            ) from error
        config = text
    if isinstance(config, str) or (isinstance(config, dict) and list(config.values()) == [None]):
        config = text  # a `module:attribute` without quotes reads as text or as a mapping
    return verifiers.build(config)


def chat_of(text: str) -> dict[str, Any]:
    """The config of a chat client that YAML on the command line describes."""
    import yaml

    try:
        config = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise DataError(f"{text!r} is no YAML: {' '.join(str(error).split())}") from error
    if not isinstance(config, dict) or not config.get("model"):
        raise DataError(f"{text!r} describes no chat model; write {{type: openai, model: NAME, base_url: URL}}")
    return {"type": "openai", **config}


def judge_of(text: str) -> "RubricReward":
    """Who grades by rubrics: a chat model, or the whole reward `rubric` with its knobs, as YAML on the command line.

    Unless told, it is shown answers up to `LONGEST` characters, and not up to the bound of a reward in training.

    Raises:
        DataError: It describes neither.
        RecipeError: It describes one with faults.
    """
    import yaml

    from medrl.rewards import RubricReward, build

    try:
        config = yaml.safe_load(text)
    except yaml.YAMLError:
        config = None  # and `chat_of` says what is wrong
    if isinstance(config, dict) and config.get("type") == RubricReward.type_name:
        reward = build({"max_answer_chars": LONGEST, **config})
        assert isinstance(reward, RubricReward)
        return reward
    return RubricReward(chat_of(text), max_answer_chars=LONGEST)


def judge_within(tree: "Reward") -> "RubricReward | None":
    """The first `rubric` of a recipe's reward, shown longer answers than in training; None where there is none."""
    from medrl.rewards import RubricReward

    found = tree.first(RubricReward)
    return found and replace(found, max_answer_chars=max(found.max_answer_chars, LONGEST))


def policy_path(what: Path, policy: str) -> str:
    """What `--policy` names: one that the run kept, or a folder or hub id."""
    if policy not in ("best", "latest", "sft"):
        return policy
    if not what.is_dir():
        raise MissingFile(f"{what} is a recipe, which has no {policy!r} policy; name a folder or hub id with --policy")
    from medrl.tracking import RunFolder

    run = RunFolder(what)
    places = {"best": run.best, "latest": run.latest_checkpoint(), "sft": run.sft}
    kept = {name: place for name, place in places.items() if place is not None and place.is_dir()}
    if policy not in kept:
        raise MissingFile(f"the run {what} has no {policy!r} policy; it has: {', '.join(kept) or 'none'}")
    return str(kept[policy])
