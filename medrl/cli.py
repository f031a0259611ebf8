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
    _plugin_commands(commands)
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

    prefer = commands.add_parser("train-reward", help="train a reward model on preference pairs from a recipe")
    prefer.add_argument("recipe", help="YAML file, for example examples/reward_model/tiny.yaml")
    prefer.add_argument("overrides", nargs="*", metavar="KNOB=VALUE")
    prefer.set_defaults(command=_train_reward)

    figures = commands.add_parser("eval-reward", help="accuracy, calibration and length bias of a reward model")
    figures.add_argument("model", help="folder that `medrl train-reward` wrote, or folder or hub id of another")
    figures.add_argument("--pairs", metavar="FILE", required=True, help="preference pairs or feedback records (.jsonl)")
    figures.add_argument("--device", default="auto", help="cpu, cuda, cuda:1; default the first GPU where there is one")
    figures.add_argument("--json", metavar="OUT", help="write the figures here")
    figures.set_defaults(command=_eval_reward)

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

    fit = commands.add_parser("calibrate", help="what a judge's number is worth, and the pass rate without its errors")
    fit.add_argument("judge", help="as the verifier of `medrl card`")
    fit.add_argument("--labels", metavar="FILE", required=True, help="rows as of `medrl card --cases`")
    fit.add_argument("--answers", metavar="FILE", help="rows as of `medrl verify` whose pass rate is wanted")
    fit.add_argument("--method", choices=("isotonic", "platt"), default="isotonic", help="platt for a few dozen labels")
    fit.add_argument("--out", metavar="FILE", help="write the calibration here, for the reward node `calibrated`")
    fit.add_argument("--json", metavar="OUT", help="write the figures here")
    fit.set_defaults(command=_calibrate)

    tree = commands.add_parser("reward", help="show a reward tree, and what each node says of answers or of a run")
    tree.add_argument("what", metavar="REWARD_OR_RUN", help="YAML file of a reward tree or a recipe, or a run folder")
    tree.add_argument("--answers", metavar="FILE", help="score these answers, rows as of `medrl verify`")
    tree.add_argument("--step", type=int, help="of a run: rollouts of this training step; default the last")
    tree.add_argument("--problem", metavar="ID", help="of a run: only rollouts of this problem")
    tree.add_argument("--limit", type=int, default=4, help="at most so many; default 4")
    tree.add_argument("--json", metavar="OUT", help="write the scores here, whole")
    tree.set_defaults(command=_reward)

    attack = commands.add_parser("attack", help="try to get paid for nothing by a reward or a verifier")
    attack.add_argument("reward", help="YAML file of a reward tree, a recipe, or what `medrl card` takes as verifier")
    attack.add_argument("--problems", metavar="FILE", help="problems to answer; default: of the simulated clinic")
    attack.add_argument("--count", type=int, help="only so many problems; default 60 of the clinic, all of a file")
    attack.add_argument("--json", metavar="OUT", help="write the figures here")
    attack.set_defaults(command=_attack)

    serve = commands.add_parser(
        "serve", help="serve a reward over HTTP", description="Serve a reward over HTTP; see docs/service.md."
    )
    serve.add_argument("reward", nargs="?", help="YAML file of a reward tree, or a recipe")
    serve.add_argument("settings", nargs="*", metavar="KNOB=VALUE", help="e.g. port=8480 workers=2")
    serve.add_argument("--knobs", action="store_true", help="list every knob with its documentation, and end")
    serve.set_defaults(command=_serve)


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

    make = commands.add_parser("construct", help="construct data from a recipe: feedback (AI feedback on responses)")
    make.add_argument("what", choices=("feedback",), help="feedback: sample responses, have them judged, make pairs")
    make.add_argument("recipe", help="YAML file, for example examples/feedback/tiny.yaml")
    make.add_argument("overrides", nargs="*", metavar="KNOB=VALUE")
    make.set_defaults(command=_construct)

    page = commands.add_parser("annotate", help="serve a blinded page on which raters compare responses")
    page.add_argument("file", nargs="?", help="rows of a problem with two `responses`, or feedback records")
    page.add_argument("--out", metavar="FOLDER", required=True, help="where each rater's judgements are kept")
    page.add_argument("--raters", default="", metavar="NAME,NAME", help="pseudonyms, one link for each")
    page.add_argument("--mode", choices=("compare", "rate"), default="compare", help="which is better, or 1 to 5 each")
    page.add_argument("--adjudicate", action="store_true", help="a third rater settles what two disagree on")
    page.add_argument("--report", action="store_true", help="print progress, agreement and bias, and end")
    page.add_argument("--port", type=int, default=8490, help="on 127.0.0.1; default 8490")
    page.add_argument("--limit", type=int, help="only so many rows")
    page.add_argument("--json", metavar="OUT", help="with --report: write the figures here")
    page.set_defaults(command=_annotate)
    interop = commands.add_parser("interop", help="write a folder that OpenRLHF or verl trains from")
    interop.add_argument("framework", choices=("openrlhf", "verl"))
    interop.add_argument("source", help="a recipe (rows and command line too), or the YAML of a reward tree")
    interop.add_argument("overrides", nargs="*", metavar="KNOB=VALUE", help="of the recipe")
    interop.add_argument("--out", metavar="FOLDER", required=True, help="new folder to write")
    interop.add_argument("--model", help="OpenRLHF: the policy, where the recipe's is made or fine-tuned by medrl")
    interop.add_argument("--gpus", type=int, help="OpenRLHF: GPUs of the machine; default 8")
    interop.add_argument("--tensor-parallel", type=int, help="OpenRLHF: GPUs for one vLLM engine; default 1")
    interop.add_argument("--max-len", type=int, help="OpenRLHF: longest prompt and response together, in tokens")
    interop.add_argument(
        "--via", choices=("agent", "file", "url"), help="OpenRLHF: how medrl is attached; default agent"
    )
    interop.add_argument("--url", help="OpenRLHF, --via url: where `medrl serve` listens")
    interop.set_defaults(command=_interop)

    config = commands.add_parser("config", help="every knob of a recipe, with its documentation")
    config.add_argument("knob", nargs="?", default="", help="only knobs that begin so, e.g. optimization.lr")
    config.add_argument("--recipe", metavar="FILE", help="print this recipe, complete and resolved, as YAML")
    config.add_argument("--yaml", action="store_true", help="print a complete recipe with comments, to begin from")
    config.set_defaults(command=_config)

    doctor = commands.add_parser("doctor", help="what this machine can run")
    doctor.set_defaults(command=_doctor)


def _plugin_commands(commands: _Commands) -> None:
    listing = commands.add_parser(
        "plugins",
        help="every verifier, reward, algorithm, ...: from where, which version, does it load",
        description="Every component by group. Exit status 0: all can be used; 1: one does not load, or a name clashes.",
    )
    listing.add_argument("--group", help="only verifiers, rewards, environments, algorithms or chat")
    listing.add_argument("--json", metavar="OUT", help="write the list here")
    listing.set_defaults(command=_plugins)

    new = commands.add_parser("new", help="write an installable package with a verifier or reward of your own")
    new.add_argument("kind", choices=("verifier", "reward"))
    new.add_argument("name", help="what recipes will call it: small letters, digits and _")
    new.add_argument("--folder", metavar="FOLDER", help="where; default medrl-NAME in this folder")
    new.set_defaults(command=_new)


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


def _train_reward(options: argparse.Namespace) -> int:
    from medrl.commands.train_reward import train_reward
    from medrl.recipes.reward_model import load_reward_recipe

    train_reward(load_reward_recipe(options.recipe, options.overrides), lambda line: print(line, flush=True))
    return 0


def _eval_reward(options: argparse.Namespace) -> int:
    from medrl.commands.train_reward import evaluate_reward

    found = evaluate_reward(options.model, options.pairs, options.device)
    if options.json:
        _write_json(options.json, found)
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
    from medrl.commands.attacks import default_problems, measure
    from medrl.data import load_problems
    from medrl.interop.scoring import read_reward

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


def _serve(options: argparse.Namespace) -> int:
    from medrl.interop.scoring import read_reward
    from medrl.services import serve
    from medrl.services.settings import read_settings, settings_page

    if options.knobs:
        print(settings_page())
        return 0
    if options.reward is None:
        raise DataError("name the YAML file of a reward tree, or a recipe: medrl serve FILE [KNOB=VALUE ...]")
    settings = read_settings(options.settings)
    return serve(read_reward(options.reward), settings, lambda line: print(f"medrl: {line}", flush=True))


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

    from medrl.commands.rescore import rescore
    from medrl.commands.rescore_table import show
    from medrl.interop.scoring import read_reward

    reward = read_reward(options.reward) if options.reward else None
    found = rescore(options.run, reward, phase=options.phase, limit=options.limit)
    width = None if sys.stdout.isatty() else 120
    show(Console(width=width, highlight=False, emoji=False, markup=False), found)
    if options.json:
        _write_json(options.json, found.report)
    return 0


def _reward(options: argparse.Namespace) -> int:
    from rich.console import Console

    from medrl.commands.reward_view import show_reward, show_run

    of_answers, of_run = options.answers, (options.step, options.problem)
    width = None if sys.stdout.isatty() else 120
    console = Console(width=width, highlight=False, emoji=False, markup=False)
    if Path(options.what).is_dir():
        if of_answers:
            raise DataError(
                "--answers goes with the YAML of a reward; `medrl rescore` scores a run with another reward"
            )
        rows = show_run(console, options.what, *of_run, options.limit)
    elif of_run != (None, None):
        raise DataError(f"--step and --problem choose among a run's rollouts; {options.what} is no run folder")
    else:
        rows = show_reward(console, options.what, of_answers, options.limit)
    if options.json:
        _write_json(options.json, {"rows": rows})
    return 0


def _calibrate(options: argparse.Namespace) -> int:
    from rich.console import Console

    from medrl.commands.calibrate import calibrate, shown

    found = calibrate(_verifier(options.judge), options.labels, options.answers, options.method)
    width = None if sys.stdout.isatty() else 100
    Console(width=width, highlight=False, emoji=False, markup=False).print(shown(found.report))
    for path, row in ((options.out, found.calibration.to_json()), (options.json, found.report)):
        if path:
            _write_json(path, row)
    return 0


def _interop(options: argparse.Namespace) -> int:
    from medrl.interop.export import export_openrlhf, export_verl, with_defaults
    from medrl.interop.openrlhf_command import Launch
    from medrl.interop.scoring import read_source

    reward, recipe = read_source(options.source, options.overrides)
    if options.framework == "verl":
        written = export_verl(reward, recipe, options.out)
    else:
        names = ("model", "gpus", "tensor_parallel", "max_len", "via", "url")
        launch = with_defaults(Launch(), **{name: getattr(options, name) for name in names})
        written = export_openrlhf(reward, recipe, options.out, launch)
    print(f"written to {written.folder}: {', '.join(written.files)}")
    if written.command is not None:
        print("knobs of the recipe without a flag (also in train.sh):")
        for knob, why in written.command.notes.items():
            print(f"  {knob}: {why}")
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


def _construct(options: argparse.Namespace) -> int:
    from medrl.commands.construct_feedback import construct_feedback
    from medrl.recipes.feedback import load_feedback_recipe

    construct_feedback(load_feedback_recipe(options.recipe, options.overrides), lambda line: print(line, flush=True))
    return 0


def _annotate(options: argparse.Namespace) -> int:
    from medrl.commands import annotate

    if options.report:
        from rich.console import Console

        found = annotate.report(options.out)
        width = None if sys.stdout.isatty() else 100
        Console(width=width, highlight=False, emoji=False, markup=False).print(annotate.shown(found))
        if options.json:
            _write_json(options.json, found)
        return 0
    if not options.file:
        raise DataError("name the file of items: medrl annotate FILE --out FOLDER --raters NAME,NAME")
    raters = [name.strip() for name in options.raters.split(",") if name.strip()]
    where = {"port": options.port, "limit": options.limit}
    annotate.serve(options.file, options.out, raters, mode=options.mode, adjudicate=options.adjudicate, **where)
    return 0


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


def _plugins(options: argparse.Namespace) -> int:
    from rich.console import Console

    from medrl.commands import plugin_list

    found = plugin_list.find(options.group)
    width = None if sys.stdout.isatty() else 140
    plugin_list.show(Console(width=width, highlight=False, emoji=False, markup=False), found)
    if options.json:
        _write_json(options.json, plugin_list.report_json(found))
    return FAILED if plugin_list.broken(found) else 0


def _new(options: argparse.Namespace) -> int:
    from medrl.commands.new_plugin import create, next_steps

    folder = create(options.kind, options.name, options.folder)
    print(next_steps(options.kind, options.name, folder))
    return 0


def _doctor(options: argparse.Namespace) -> int:
    from medrl.commands import doctor

    return doctor.main()


def _write_json(path: str, row: dict[str, Any]) -> None:
    from medrl.files import write_atomic

    write_atomic(path, json.dumps(row, ensure_ascii=False, indent=1, default=str) + "\n")


if __name__ == "__main__":
    raise SystemExit(main())
