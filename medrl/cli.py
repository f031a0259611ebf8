"""The `medrl` command. Each group of subcommands is a module; what is heavy is imported when a command needs it."""

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from medrl import __version__
from medrl.commands import data_commands, evaluation_commands, judging_commands, setup_commands, training_commands
from medrl.commands.terminal import FAILED, FAULT, INTERRUPTED
from medrl.errors import MedrlError


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; returns the exit status: 2 for what the user can mend, 1 for a run that failed, 130 for Ctrl-C."""
    options = read_arguments(make_parser(), arguments)
    if str(Path.cwd()) not in sys.path:
        sys.path.append(str(Path.cwd()))  # so that a recipe may name `module:attribute` of a file beside it
    try:
        status: int = options.command(options)
        return status
    except MedrlError as error:
        print(f"medrl: {error}", file=sys.stderr)
        return FAILED if isinstance(error, RuntimeError | ArithmeticError) else FAULT
    except KeyboardInterrupt:
        hint = (
            "; `resume=true` goes on from the latest checkpoint" if options.command is training_commands.train else ""
        )
        print(f"medrl: interrupted{hint}", file=sys.stderr)
        return INTERRUPTED
    except BrokenPipeError:  # the reader has gone, as `| head` does; Python's last flush must not fail too
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return FAILED


def read_arguments(parser: argparse.ArgumentParser, arguments: Sequence[str] | None) -> argparse.Namespace:
    """The options; knobs of a recipe may stand behind a flag too, which argparse does not know how to read."""
    options, rest = parser.parse_known_args(arguments)
    if rest and all("=" in word and not word.startswith("-") for word in rest) and hasattr(options, "overrides"):
        options.overrides = [*options.overrides, *rest]
    elif rest:
        parser.error(f"unrecognized arguments: {' '.join(rest)}")
    return options


def make_parser() -> argparse.ArgumentParser:
    """The parser of the whole command line."""
    parser = argparse.ArgumentParser(prog="medrl", description="Reinforcement learning of medical language models.")
    parser.add_argument("--version", action="version", version=f"medrl {__version__}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    for group in (training_commands, evaluation_commands, judging_commands, data_commands, setup_commands):
        group.add(commands)
    return parser


if __name__ == "__main__":
    raise SystemExit(main())
