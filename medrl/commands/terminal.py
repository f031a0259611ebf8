"""What the commands share: exit statuses, a console, JSON files, verifiers and rewards as words on the command line."""

import argparse
import json
import sys
from typing import TYPE_CHECKING, Any, TypeAlias

from medrl.errors import DataError

if TYPE_CHECKING:
    from rich.console import Console

FAULT, FAILED, INTERRUPTED = 2, 1, 130  # what the user can mend, what failed, Ctrl-C
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
