"""The `medrl` command. Each subcommand is one function; what is heavy is imported when a command needs it."""

import argparse
import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypeAlias

from medrl import __version__
from medrl.errors import DataError, MedrlError, MissingFile, did_you_mean
from medrl.types import Problem, Response, Verdict

FAULT, FAILED, INTERRUPTED = 2, 1, 130


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; returns the exit status: 2 for what the user can mend, 1 for a run that failed, 130 for Ctrl-C."""
    parser = _parser()
    options = parser.parse_args(arguments)
    if str(Path.cwd()) not in sys.path:
        sys.path.append(str(Path.cwd()))  # so that a recipe may name `module:attribute` of a file beside it
    try:
        status: int = options.command(options)
        return status
    except MedrlError as error:
        print(f"medrl: {error}", file=sys.stderr)
        return FAILED if isinstance(error, RuntimeError | ArithmeticError) else FAULT
    except KeyboardInterrupt:
        hint = "; `resume=true` goes on from the latest checkpoint" if options.command is _run else ""
        print(f"medrl: interrupted{hint}", file=sys.stderr)
        return INTERRUPTED
    except (
        BrokenPipeError
    ):  # the reader of our output has gone, as `| head` does; Python's last flush must not fail too
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return FAILED


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="medrl", description="Reinforcement learning of medical language models.")
    parser.add_argument("--version", action="version", version=f"medrl {__version__}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    _training_commands(commands)
    _verifier_commands(commands)
    _reward_commands(commands)
    _data_commands(commands)
    return parser


_Commands: TypeAlias = "argparse._SubParsersAction[argparse.ArgumentParser]"


def _training_commands(commands: _Commands) -> None:
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

    fit = commands.add_parser("train-verifier", help="train a model verifier from a recipe, and write its card")
    fit.add_argument("recipe", help="YAML file, for example examples/verifier/tiny.yaml")
    fit.add_argument("overrides", nargs="*", metavar="KNOB=VALUE")
    fit.set_defaults(command=_train_verifier)

    rescore = commands.add_parser("rescore", help="score a run's stored rollouts again, and list what changes")
    rescore.add_argument("run", help="run folder; nothing in it is changed")
    rescore.add_argument("--reward", metavar="FILE", help="YAML of a reward tree or a recipe; default: the run's own")
    rescore.add_argument("--phase", choices=("train", "evaluation"), help="only these rollouts; default both")
    rescore.add_argument("--limit", type=int, help="at most so many rollouts, in whole groups")
    rescore.add_argument("--json", metavar="OUT", help="write figures and changed rollouts here")
    rescore.set_defaults(command=_rescore)


def _verifier_commands(commands: _Commands) -> None:
    verify = commands.add_parser("verify", help="score the responses of a file and say why")
    verify.add_argument("file", help="rows with a question, a reference and a response (.jsonl, .json, .csv, .parquet)")
    verify.add_argument(
        "--verifier", default="rules", help="rules, NAME, module:attribute, or YAML such as '{type: number}'"
    )
    verify.add_argument("--limit", type=int, help="only so many rows")
    verify.add_argument("--json", metavar="FILE", help="write all verdicts here")
    verify.set_defaults(command=_verify)

    card = commands.add_parser("card", help="what a verifier lets through, measured on labelled answers")
    card.add_argument("verifier", help="as in `medrl verify`, or `rules`: the built-in rules with medrl's vocabulary")
    card.add_argument(
        "--cases", metavar="FILE", help="rows as of `medrl verify`, with a label: expected, true or false"
    )
    card.add_argument("--pairs", metavar="FILE", help="a table left|right|same of terms that mean the same or do not")
    card.add_argument("--json", metavar="OUT", help="write figures and verdicts here")
    card.add_argument("--markdown", metavar="OUT", help="write a page for a model hub here")
    card.add_argument("--save", action="store_true", help="keep the card where `medrl run` looks for it")
    card.set_defaults(command=_card)

    attack = commands.add_parser("attack", help="try to get paid for nothing by a reward or a verifier")
    attack.add_argument("reward", help="YAML file of a reward tree, a recipe, or what `medrl card` takes as verifier")
    attack.add_argument("--problems", metavar="FILE", help="problems to answer; default: of the simulated clinic")
    attack.add_argument("--count", type=int, help="only so many problems; default 60 of the clinic, all of a file")
    attack.add_argument("--json", metavar="OUT", help="write the figures here")
    attack.set_defaults(command=_attack)


def _reward_commands(commands: _Commands) -> None:
    likeness = commands.add_parser("doctor-likeness", help="how doctor-like replies are, with length held fast")
    likeness.add_argument(
        "file", nargs="?", help="rows with dialogue, reply and perhaps doctor and source (.jsonl), or a published file; "
        "default: the clinic's own held-out replies"
    )  # fmt: skip
    likeness.add_argument("--model", metavar="FILE", default="", help="a learned model; default: the one medrl ships")
    likeness.add_argument("--vocabulary", metavar="NAME", default="medrl", help="medrl, clinic, or a file")
    likeness.add_argument("--limit", type=int, help="only so many rows")
    likeness.add_argument("--json", metavar="OUT", help="write the figures here")
    likeness.add_argument(
        "--train", metavar="OUT", help="learn a model from the clinic's training replies, write it here"
    )
    likeness.add_argument("--seed", type=int, default=0, help="with --train: other replies of the same kind")
    likeness.set_defaults(command=_doctor_likeness)


def _data_commands(commands: _Commands) -> None:
    cache = commands.add_parser("cache", help="what the cache of chat replies holds; make it smaller")
    cache.add_argument("action", nargs="?", choices=("show", "prune", "clear"), default="show")
    cache.add_argument("--path", metavar="FILE", help="default: $MEDRL_CACHE, or ~/.cache/medrl/chat.sqlite")
    cache.add_argument("--older-than", type=float, metavar="DAYS", help="prune entries stored before")
    cache.add_argument("--model", metavar="NAME", help="prune only this model's entries")
    cache.add_argument("--max-mb", type=float, metavar="N", help="prune what was unused longest down to this size")
    cache.set_defaults(command=_cache)

    audit = commands.add_parser("audit-problems", help="what is wrong with the problems of a file")
    audit.add_argument("file", help="problems in a published schema (.jsonl, .json, .csv, .parquet), or a hub id")
    audit.add_argument(
        "--against", metavar="FILE", nargs="+", default=[], help="evaluation sets that it must not share"
    )
    audit.add_argument("--schema", default="auto", help="see `medrl.data.schemas`; told by the columns when left out")
    audit.add_argument("--limit", type=int, help="only so many rows")
    audit.add_argument("--verifier", help="who is shown each reference as an answer; default typed")
    audit.add_argument("--examples", type=int, default=3, metavar="K", help="examples of each flaw; default 3")
    audit.add_argument("--json", metavar="OUT", help="write counts and the flaws of each row here")
    audit.add_argument("--keep", metavar="OUT.jsonl", help="write the rows without flaws here, as they were read")
    audit.add_argument("--drop", metavar="KIND,KIND", default="", help="with --keep: only these kinds; default all")
    audit.set_defaults(command=_audit_problems)

    config = commands.add_parser("config", help="every knob of a recipe, with its documentation")
    config.add_argument("knob", nargs="?", default="", help="only knobs that begin so, e.g. optimization.lr")
    config.add_argument("--recipe", metavar="FILE", help="print this recipe, complete and resolved, as YAML")
    config.add_argument("--yaml", action="store_true", help="print a complete recipe with comments, to begin from")
    config.set_defaults(command=_config)

    doctor = commands.add_parser("doctor", help="what this machine can run")
    doctor.set_defaults(command=_doctor)


def _run(options: argparse.Namespace) -> int:
    from medrl.recipes import load_recipe
    from medrl.recipes.run import run_recipe

    run_recipe(load_recipe(options.recipe, options.overrides))
    return 0


def _train_verifier(options: argparse.Namespace) -> int:
    from medrl.commands.train_verifier import train_verifier
    from medrl.recipes.verifier import load_verifier_recipe

    train_verifier(load_verifier_recipe(options.recipe, options.overrides), lambda line: print(line, flush=True))
    return 0


def _eval(options: argparse.Namespace) -> int:
    from medrl.models import Policy
    from medrl.recipes import load_recipe
    from medrl.recipes.run import evaluate_policy, quiet_libraries
    from medrl.tracking import RunConsole

    what = Path(options.what)
    recipe = load_recipe(what / "recipe.yaml" if what.is_dir() else what, options.overrides)
    quiet_libraries()
    policy = Policy.load(_policy_path(what, options.policy), recipe.policy)
    console = RunConsole()
    row, _ = evaluate_policy(recipe, policy, console)
    console.show(_figures(f"{options.policy} on {row['name']}", row))
    if options.json:
        _write_json(options.json, {"policy": options.policy, **row})
    if row["accuracy"] is None:
        print(f"medrl: no accuracy: the judge failed on {row['unscored']:.0%} of what it was asked", file=sys.stderr)
        return FAILED
    return 0


def _policy_path(what: Path, policy: str) -> str:
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


def _figures(title: str, row: dict[str, Any]) -> Any:
    from rich import box
    from rich.table import Table

    table = Table("figure", "value", title=title, title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False)
    table.columns[1].justify = "right"
    for name, value in row.items():
        if name != "name" and value is not None:
            table.add_row(name, f"{value:.4g}" if isinstance(value, float) else str(value))
    return table


def _verify(options: argparse.Namespace) -> int:
    from rich.console import Console

    from medrl import verifiers
    from medrl.commands.verdict_table import report_json, show, without_label
    from medrl.data import load_responses

    verifier = _verifier(options.verifier)
    items = load_responses(options.file, limit=options.limit)
    verdicts = verifiers.run_sync(verifiers.judge(verifier, [without_label(item) for item in items]))
    width = None if sys.stdout.isatty() else 100
    show(Console(width=width, highlight=False, emoji=False), items, verdicts)
    if options.json:
        _write_json(options.json, {**report_json(items, verdicts), **_agreement(items, verdicts)})
    if verdicts and all(verdict.status in ("error", "timeout") for verdict in verdicts):
        print(f"medrl: the verifier failed on every response: {verdicts[0].reason}", file=sys.stderr)
        return FAILED
    return 0


def _verifier(text: str) -> Any:
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


def _card(options: argparse.Namespace) -> int:
    from rich.console import Console

    from medrl.commands.verifier_card import measure
    from medrl.commands.verifier_card_page import markdown, show
    from medrl.files import write_atomic

    verifier = _verifier(options.verifier)
    card = measure(verifier, options.cases, options.pairs)
    width = None if sys.stdout.isatty() else 100
    show(Console(width=width, highlight=False, emoji=False, markup=False), card)
    if options.json:
        _write_json(options.json, card.report)
    if options.markdown:
        write_atomic(options.markdown, markdown(card))
    if options.save:
        from medrl.data import verifier_cards

        print(f"card kept in {verifier_cards.save(card.report)}")
    return 0


def _attack(options: argparse.Namespace) -> int:
    from rich.console import Console

    from medrl.commands.attack_table import show
    from medrl.commands.attacks import default_problems, measure, read_reward
    from medrl.data import load_problems

    reward: Any = (read_reward if options.reward.endswith((".yaml", ".yml")) else _verifier)(options.reward)
    if options.count is not None and options.count < 1:
        raise DataError(f"--count is {options.count}; ask for at least one problem")
    if _judges_doctors(reward):
        return _attack_doctor_likeness(reward, options)
    if options.problems:
        problems = load_problems(options.problems, limit=options.count)
    else:
        problems = default_problems() if options.count is None else default_problems(options.count)
    attacked = measure(reward, problems)
    width = None if sys.stdout.isatty() else 100
    show(Console(width=width, highlight=False, emoji=False, markup=False), attacked)
    if options.json:
        _write_json(options.json, attacked.report)
    return 0


def _judges_doctors(reward: Any) -> bool:
    from medrl.commands.doctor_attacks import fits
    from medrl.rewards import Reward

    return isinstance(reward, Reward) and fits(reward)


def _attack_doctor_likeness(reward: Any, options: argparse.Namespace) -> int:
    from rich.console import Console

    from medrl.commands.doctor_attacks import COUNT, default_replies, measure
    from medrl.commands.doctor_likeness_table import show_attacks
    from medrl.data.replies import load_replies

    if options.problems:
        sound = load_replies(options.problems, limit=options.count)
    else:
        sound = default_replies(options.count or COUNT)
    attacked = measure(reward, sound)
    width = None if sys.stdout.isatty() else 120
    show_attacks(Console(width=width, highlight=False, emoji=False, markup=False), attacked)
    if options.json:
        _write_json(options.json, attacked.report)
    return 0


def _doctor_likeness(options: argparse.Namespace) -> int:
    from rich.console import Console

    from medrl.commands.doctor_likeness import clinic_replies, measure
    from medrl.commands.doctor_likeness_table import show
    from medrl.data.replies import load_replies
    from medrl.files import write_atomic
    from medrl.rewards import DoctorLikeness, doctor_model

    if options.train:
        if options.file or options.model:
            raise DataError("--train learns from the clinic; give neither a file nor --model with it")
        model = doctor_model.train(options.seed)
        write_atomic(options.train, doctor_model.dump(model))
        print(f"model {model.fingerprint} written to {options.train}")
        return 0
    if options.limit is not None and options.limit < 1:
        raise DataError(f"--limit is {options.limit}; ask for at least one row")
    replies = load_replies(options.file, limit=options.limit) if options.file else clinic_replies(options.limit or 300)
    measured = measure(DoctorLikeness(options.model, options.vocabulary), replies)
    width = None if sys.stdout.isatty() else 120
    show(Console(width=width, highlight=False, emoji=False, markup=False), measured)
    if options.json:
        _write_json(options.json, measured.report)
    return 0


def _cache(options: argparse.Namespace) -> int:
    from medrl.commands import cache_command

    limits = {"older_than": options.older_than, "model": options.model, "max_megabytes": options.max_mb}
    cache_command.run(options.action, options.path, **limits)
    return 0


def _audit_problems(options: argparse.Namespace) -> int:
    from rich.console import Console

    from medrl.commands.problem_audit import audit, check_kinds, write_kept
    from medrl.commands.problem_audit_table import show

    drop = [kind.strip() for kind in options.drop.split(",") if kind.strip()]
    check_kinds(drop)
    if drop and not options.keep:
        raise DataError("--drop says what --keep leaves out; give --keep OUT.jsonl too")
    verifier = _verifier(options.verifier) if options.verifier else None
    found = audit(options.file, options.against, schema=options.schema, limit=options.limit, verifier=verifier)
    width = None if sys.stdout.isatty() else 120
    console = Console(width=width, highlight=False, emoji=False, markup=False)
    show(console, found, options.examples)
    if options.json:
        _write_json(options.json, found.report)
    if options.keep:
        console.print(f"{write_kept(options.keep, found, drop)} rows written to {options.keep}")
    return 0


def _rescore(options: argparse.Namespace) -> int:
    from rich.console import Console

    from medrl.commands.attacks import read_reward
    from medrl.commands.rescore import rescore
    from medrl.commands.rescore_table import show

    reward = read_reward(options.reward) if options.reward else None
    found = rescore(options.run, reward, phase=options.phase, limit=options.limit)
    width = None if sys.stdout.isatty() else 120
    show(Console(width=width, highlight=False, emoji=False, markup=False), found)
    if options.json:
        _write_json(options.json, found.report)
    return 0


def _agreement(items: Sequence[tuple[Problem, Response]], verdicts: Sequence[Verdict]) -> dict[str, Any]:
    """How many labelled responses there are, and the share of the decided ones among them that is as labelled."""
    from medrl.commands.verdict_table import expected

    labels = [expected(problem) for problem, _ in items]
    pairs = [(label, v.score) for label, v in zip(labels, verdicts, strict=True) if label is not None]
    decided = [(label, score) for label, score in pairs if score is not None]
    agreed = sum((score >= 0.5) == label for label, score in decided)
    if not pairs:
        return {}
    return {"labelled": len(pairs), "accuracy": agreed / len(decided) if decided else None}


def _config(options: argparse.Namespace) -> int:
    from medrl.recipes import load_recipe, to_yaml

    if options.yaml:
        from medrl.recipes.document import template

        print(template(), end="")
        return 0
    if options.recipe:
        print(to_yaml(load_recipe(options.recipe)), end="")
        return 0
    from rich.console import Console

    from medrl.recipes.document import knobs

    found = knobs(options.knob)
    if not found:
        print(
            f"medrl: there is no knob {options.knob!r}{did_you_mean(options.knob, [k.path for k in knobs()])}",
            file=sys.stderr,
        )
        return FAULT
    console = Console(width=None if sys.stdout.isatty() else 100, highlight=False, emoji=False, markup=False)
    for knob in found:
        default = f" = {knob.default}" if knob.default else ""
        console.print(f"{knob.path}: {knob.type}{default}", style="bold", soft_wrap=True)
        console.print(f"    {knob.doc}")
    return 0


def _doctor(options: argparse.Namespace) -> int:
    from medrl.commands import doctor

    return doctor.main()


def _write_json(path: str, row: dict[str, Any]) -> None:
    from medrl.files import write_atomic

    write_atomic(path, json.dumps(row, ensure_ascii=False, indent=1, default=str) + "\n")


if __name__ == "__main__":
    raise SystemExit(main())
