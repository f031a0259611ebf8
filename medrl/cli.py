"""The `medrl` command. Each subcommand is one function; what is heavy is imported when a command needs it."""

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import medrl
from medrl.errors import MedrlError, MissingFile, did_you_mean

FAULT, FAILED, INTERRUPTED = 2, 1, 130


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; returns the exit status: 2 for what the user can mend, 1 for a run that failed, 130 for Ctrl-C."""
    parser = _parser()
    options = parser.parse_args(arguments)
    try:
        status: int = options.command(options)
        return status
    except MedrlError as error:
        print(f"medrl: {error}", file=sys.stderr)
        return FAILED if isinstance(error, RuntimeError | ArithmeticError) else FAULT
    except KeyboardInterrupt:
        print("medrl: interrupted; `resume=true` goes on from the latest checkpoint", file=sys.stderr)
        return INTERRUPTED
    except BrokenPipeError:
        sys.stderr.close()  # the reader of our output has gone, as `| head` does
        return FAILED


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="medrl", description="Reinforcement learning of medical language models.")
    parser.add_argument("--version", action="version", version=f"medrl {medrl.__version__}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    run = commands.add_parser("run", help="train what a recipe says", description="Train what a recipe says.")
    run.add_argument("recipe", help="YAML file")
    run.add_argument("overrides", nargs="*", metavar="KNOB=VALUE", help="e.g. trainer.steps=3; see `medrl config`")
    run.set_defaults(command=_run)

    evaluate = commands.add_parser("eval", help="evaluate a policy on a recipe's held-out problems")
    evaluate.add_argument("what", metavar="RUN_OR_RECIPE", help="a run folder, or a recipe")
    evaluate.add_argument("overrides", nargs="*", metavar="KNOB=VALUE")
    evaluate.add_argument("--policy", default="best", help="best, latest or sft of a run, or a folder or hub id")
    evaluate.add_argument("--json", metavar="FILE", help="write the figures here")
    evaluate.set_defaults(command=_eval)

    verify = commands.add_parser("verify", help="score the responses of a file and say why")
    verify.add_argument("file", help="rows with a question, a reference and a response (.jsonl, .json, .csv, .parquet)")
    verify.add_argument("--verifier", default="typed", help="NAME, module:attribute, or YAML such as '{type: number}'")
    verify.add_argument("--limit", type=int, help="only so many rows")
    verify.add_argument("--json", metavar="FILE", help="write all verdicts here")
    verify.set_defaults(command=_verify)

    config = commands.add_parser("config", help="every knob of a recipe, with its documentation")
    config.add_argument("knob", nargs="?", default="", help="only knobs that begin so, e.g. optimization.lr")
    config.add_argument("--recipe", metavar="FILE", help="print this recipe, complete and resolved, as YAML")
    config.set_defaults(command=_config)

    doctor = commands.add_parser("doctor", help="what this machine can run")
    doctor.set_defaults(command=_doctor)
    return parser


def _run(options: argparse.Namespace) -> int:
    from medrl.recipes import load_recipe
    from medrl.recipes.run import run_recipe

    run_recipe(load_recipe(options.recipe, options.overrides))
    return 0


def _eval(options: argparse.Namespace) -> int:
    from medrl.models import Policy
    from medrl.recipes import load_recipe
    from medrl.recipes.run import evaluate_policy
    from medrl.tracking import RunConsole, RunFolder

    folder = Path(options.what)
    run = RunFolder(folder) if folder.is_dir() else None
    recipe = load_recipe(folder / "recipe.yaml" if run else folder, options.overrides)
    places: dict[str, Path | None] = {"best": run.best, "sft": run.sft, "latest": run.latest_checkpoint()} if run else {}
    place = places.get(options.policy, Path(options.policy)) if options.policy in places or not run else None
    named = options.policy in ("best", "sft", "latest")
    if named and run is None:
        raise MissingFile(f"{options.what} is a recipe, which has no {options.policy!r} policy; name one with --policy")
    if named and (place is None or not place.is_dir()):
        kept = ", ".join(name for name, path in places.items() if path is not None and path.is_dir()) or "none"
        raise MissingFile(f"the run {folder} has no {options.policy!r} policy; it has: {kept}")
    policy = Policy.load(str(place.resolve()) if named and place else options.policy, recipe.policy)
    row, _ = evaluate_policy(recipe, policy, RunConsole())
    if options.json:
        _write_json(options.json, {"policy": options.policy, **row})
    return 0


def _verify(options: argparse.Namespace) -> int:
    import yaml
    from rich.console import Console

    from medrl import verifiers
    from medrl.data import load_responses
    from medrl.verdict_table import report_json, show

    try:
        config = yaml.safe_load(options.verifier)
    except yaml.YAMLError:
        config = options.verifier
    if isinstance(config, str) or (isinstance(config, dict) and list(config.values()) == [None]):
        config = options.verifier  # a `module:attribute` without quotes reads as text or as a mapping
    verifier = verifiers.build(config)
    sys.path.insert(0, str(Path.cwd()))
    items = load_responses(options.file, limit=options.limit)
    verdicts = verifiers.run_sync(verifiers.judge(verifier, items))
    width = None if sys.stdout.isatty() else 100
    show(Console(width=width, highlight=False, emoji=False), items, verdicts)
    if options.json:
        _write_json(options.json, report_json(items, verdicts))
    return 0


def _config(options: argparse.Namespace) -> int:
    from medrl.recipes import load_recipe, to_yaml

    if options.recipe:
        print(to_yaml(load_recipe(options.recipe)), end="")
        return 0
    from rich.console import Console

    from medrl.recipes.document import knobs

    found = knobs(options.knob)
    if not found:
        print(f"medrl: there is no knob {options.knob!r}{did_you_mean(options.knob, [k.path for k in knobs()])}", file=sys.stderr)
        return FAULT
    console = Console(width=None if sys.stdout.isatty() else 100, highlight=False, emoji=False, markup=False)
    for knob in found:
        default = f" = {knob.default}" if knob.default else ""
        console.print(f"{knob.path}: {knob.type}{default}", style="bold", soft_wrap=True)
        console.print(f"    {knob.doc}")
    return 0


def _doctor(options: argparse.Namespace) -> int:
    from medrl import doctor

    return doctor.main()


def _write_json(path: str, row: dict[str, Any]) -> None:
    from medrl.files import write_atomic

    write_atomic(path, json.dumps(row, ensure_ascii=False, indent=1, default=str) + "\n")


if __name__ == "__main__":
    raise SystemExit(main())
