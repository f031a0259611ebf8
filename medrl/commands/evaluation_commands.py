"""Commands that measure: eval, compare. What is heavy is imported when a command needs it."""

import argparse
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from medrl.commands.terminal import (
    FAILED,
    Commands,
    chat_of,
    console_of,
    judge_of,
    judge_within,
    policy_path,
    verifier_of,
    write_json,
)
from medrl.errors import DataError

TOKENIZERS = ("words", "characters", "mixed")


def add(commands: Commands) -> None:
    """Declare these commands."""
    evaluate = commands.add_parser(
        "eval", help="evaluate a policy on a recipe's held-out problems, or anybody's answers",
        description="Evaluate a policy on a recipe's held-out problems (RUN_OR_RECIPE), a model on files of problems "
        "(--model or --chat, with --problems), or answers in a file (--answers).",
    )  # fmt: skip
    evaluate.add_argument("what", metavar="RUN_OR_RECIPE", nargs="?", help="a run folder, or a recipe")
    evaluate.add_argument("overrides", nargs="*", metavar="KNOB=VALUE")
    evaluate.add_argument("--policy", default="best", help="best, latest or sft of a run, or a folder or hub id")
    evaluate.add_argument(
        "--answers", metavar="FILE", help="answers: medrl's, a run's rollouts, lm-evaluation-harness samples"
    )
    evaluate.add_argument("--response", metavar="COLUMN", help="of --answers: which column holds the replies")
    evaluate.add_argument("--model", metavar="FOLDER", help="folder or hub id of a policy that answers --problems")
    evaluate.add_argument(
        "--chat", metavar="CONFIG", help="chat model that answers: '{type: openai, model: M, base_url: URL}'"
    )
    _asking(evaluate, "--problems")
    evaluate.add_argument(
        "--tasks", nargs="+", default=[], metavar="TASK", help="of lm-evaluation-harness, for --model to answer"
    )
    evaluate.add_argument("--tasks-from", metavar="FOLDER", help="where tasks of your own are described")
    evaluate.add_argument("--verifier", help="who says what is right; default typed (rules)")
    evaluate.add_argument(
        "--grader", "--judge", metavar="CONFIG", dest="judge",
        help="who grades by rubrics (HealthBench, K-QA): a chat model, or '{type: rubric, client: ..., at_once: 20}'",
    )  # fmt: skip
    evaluate.add_argument(
        "--metrics", nargs="+", choices=TOKENIZERS, default=[], metavar="TOKENIZER",
        help="BLEU, GLEU, ROUGE, Distinct against reference texts, by words, characters or mixed",
    )  # fmt: skip
    evaluate.add_argument("--no-audit", action="store_true", help="do not look for flaws of the problems")
    evaluate.add_argument("--name", help="what the model is called in the report")
    evaluate.add_argument("--out", metavar="FOLDER", help="answers, scores and report; default evaluations/NAME")
    evaluate.add_argument("--json", metavar="FILE", help="write the figures here too")
    evaluate.set_defaults(command=_eval)

    pair = commands.add_parser(
        "compare", help="two models side by side, blinded, with paired tests",
        description="Compare two models on the same problems. A and B are files of answers, runs, folders or hub ids of "
        "models, or chat models ('{type: openai, model: M, base_url: URL}').",
    )  # fmt: skip
    pair.add_argument("a", metavar="A")
    pair.add_argument("b", metavar="B")
    _asking(pair, "--prompts")
    pair.add_argument("--policy", default="best", help="which policy of a run: best, latest or sft")
    pair.add_argument("--verifier", help="who says what is right; default typed (rules)")
    pair.add_argument("--judge", metavar="CONFIG", help="a chat model that judges each pair in both orders")
    pair.add_argument("--grader", metavar="CONFIG", help="who grades by rubrics, as of `medrl eval`")
    pair.add_argument(
        "--metrics", nargs="+", choices=TOKENIZERS, default=[], metavar="TOKENIZER", help="as of `medrl eval`"
    )
    pair.add_argument("--out", metavar="FOLDER", default="comparison", help="default ./comparison")
    pair.add_argument("--json", metavar="FILE", help="write the figures here too")
    pair.set_defaults(command=_compare)


def _asking(parser: argparse.ArgumentParser, problems: str) -> None:
    """What says which problems are asked, and how."""
    parser.add_argument(
        problems, metavar="FILE", nargs="+", dest="problems", default=[], help="problems in published schemas"
    )
    parser.add_argument("--schema", default="auto", help="see `medrl.data.schemas`; told by the columns when left out")
    parser.add_argument("--limit", type=int, help="only so many rows of each file")
    parser.add_argument("--samples", type=int, default=1, help="replies to each problem; default 1")
    parser.add_argument("--temperature", type=float, help="default 0 for one sample, 0.7 for several")
    parser.add_argument("--max-tokens", type=int, default=1024, help="longest reply; default 1024")
    parser.add_argument("--seed", type=int, default=0)


def _how(options: argparse.Namespace) -> Any:
    from medrl.evaluation.asking import Asking

    temperature = options.temperature
    if temperature is None:
        temperature = 0.0 if options.samples == 1 else 0.7
    try:
        return Asking(options.samples, temperature, max_tokens=options.max_tokens, seed=options.seed)
    except ValueError as error:
        raise DataError(str(error)) from error


def _eval(options: argparse.Namespace) -> int:
    given = [name for name in ("what", "answers", "model", "chat") if getattr(options, name)]
    if len(given) != 1:
        raise DataError(
            "name one thing to evaluate: a run or recipe, --answers FILE, --model FOLDER or --chat CONFIG"
            + (f"; here are {' and '.join(given)}" if given else "")
        )
    return _eval_recipe(options) if options.what else _eval_answers(options)


def _eval_answers(options: argparse.Namespace) -> int:
    from medrl.commands.evaluate_answers import ask, evaluate_answers
    from medrl.evaluation.answer_files import load_answers, load_sets

    console = console_of(130)
    judge = judge_of(options.judge) if options.judge else None
    verifier = verifier_of(options.verifier) if options.verifier else None
    problems = load_sets(options.problems, schema=options.schema, limit=options.limit)
    if options.answers:
        answers = load_answers(
            options.answers, problems, name=options.name, schema=options.schema, response=options.response,
            limit=None if problems else options.limit,
        )  # fmt: skip
        out = Path(options.out or _folder(answers.name))
    elif options.model and options.tasks:
        from medrl.evaluation.harness_run import run_tasks

        out = Path(options.out or _folder(options.name or options.model))
        answers = run_tasks(
            options.model, options.tasks, include=options.tasks_from, limit=options.limit, name=options.name
        )
    elif not problems:
        raise DataError("name the problems that are to be answered: --problems FILE ...")
    else:
        chat = chat_of(options.chat) if options.chat else None
        called = options.name or options.model or (chat["model"] if chat else "model")
        out = Path(options.out or _folder(called))
        answers = ask(
            problems, _how(options), model=options.model, chat=chat, name=options.name,
            cache=out / "replies.sqlite", say=console.print,
        )  # fmt: skip
    found = evaluate_answers(
        answers, out, verifier=verifier, audit=not options.no_audit, metrics=options.metrics, judge=judge,
        say=console.print,
    )  # fmt: skip
    if options.json:
        write_json(options.json, found)
    return _told(console.print, found, out)


def _eval_recipe(options: argparse.Namespace) -> int:
    from medrl.commands.evaluate_answers import evaluate_answers
    from medrl.evaluation.answers import Answered, Answers, Reply
    from medrl.models import Policy
    from medrl.recipes import load_recipe
    from medrl.recipes.evaluate import evaluate_policy
    from medrl.recipes.process import quiet_libraries
    from medrl.rewards import build, verified_leaf
    from medrl.tracking import RunConsole

    what = Path(options.what)
    recipe = load_recipe(what / "recipe.yaml" if what.is_dir() else what, options.overrides)
    tree = build(recipe.reward)
    verifier = verifier_of(options.verifier) if options.verifier else getattr(verified_leaf(tree), "verifier", None)
    judge = judge_of(options.judge) if options.judge else judge_within(tree)
    quiet_libraries()
    policy = Policy.load(policy_path(what, options.policy), recipe.policy)
    console = RunConsole()
    row, sampled = evaluate_policy(recipe, policy, console)
    console.show(_figures(f"{options.policy} on {row['name']}", row))
    items = tuple(
        Answered(
            one.group.problem,
            tuple(Reply(each.text, each.finish_reason, each.token_count) for each in one.group.rollouts),
            row["name"],
        )
        for one in sampled
    )
    name = options.name or f"{recipe.name}-{options.policy}".replace("/", "-")
    made = {"recipe": recipe.name, "policy": options.policy, "samples": recipe.evaluation.samples}
    answers, out = Answers(name, items, made), Path(options.out or _folder(name))
    found = evaluate_answers(
        answers, out, verifier=verifier, audit=not options.no_audit, metrics=options.metrics, judge=judge,
        say=console.say,
    )  # fmt: skip
    if options.json:
        write_json(options.json, {"policy": options.policy, **row, "report": found})
    status = _told(console.show, found, out, accuracy=bool(options.verifier))  # else the accuracy is the run's own
    if row["accuracy"] is None and row["unscored"]:
        print(f"medrl: no accuracy: the judge failed on {row['unscored']:.0%} of what it was asked", file=sys.stderr)
        return FAILED
    return status


def _compare(options: argparse.Namespace) -> int:
    from medrl.commands.compare_models import answers_of, compare_models
    from medrl.commands.rubric_table import uncompared
    from medrl.evaluation.answer_files import load_sets
    from medrl.evaluation.comparing import judged_verdict, lacking, main_of, verdict, without_verdict

    console, out = console_of(120), Path(options.out)
    grader = judge_of(options.grader) if options.grader else None
    prompts = load_sets(options.problems, schema=options.schema, limit=options.limit)
    sides = [
        answers_of(
            what, prompts, _how(options), policy=options.policy, schema=options.schema, cache=out / "replies.sqlite",
            say=console.print,
        )
        for what in (options.a, options.b)
    ]  # fmt: skip
    found = compare_models(
        sides[0], sides[1], out, seed=options.seed, metrics=options.metrics, say=console.print,
        verifier=verifier_of(options.verifier) if options.verifier else None,
        judge=chat_of(options.judge) if options.judge else None, grader=grader,
    )  # fmt: skip
    for line in lacking(found):
        print(f"medrl: {line}", file=sys.stderr)
    names = (found["A"]["name"], found["B"]["name"])
    for name, row in found["sets"].items():
        main = row.get(main_of(row) or "")
        tested = main is not None and main["p"] is not None
        figures = f"{100 * main['first']:.1f} and {100 * main['second']:.1f} %; " if tested else ""
        console.print(f"{name}: {row['problems']} problems; {figures}{verdict(row, names)}")
    if "judged" in found:
        said = found["judged"]
        console.print(f"{said['judge']}: {judged_verdict(said, names[0])}")
    for line in uncompared(found):
        console.print(line)
    console.print(f"blinded: {out / 'page.html'}   key: {out / 'key.json'}   tests: {out / 'compare.html'}")
    if options.json:
        write_json(options.json, found)
    lost = without_verdict(found)
    if lost:
        print(f"medrl: no verdict of {', '.join(lost)}: too much of it has no score", file=sys.stderr)
        return FAILED
    return 0


def _told(show: Callable[[Any], None], found: dict[str, Any], out: Path, *, accuracy: bool = True) -> int:
    """Show a report; returns the exit status: 1 where a set has no figure by rubrics, or, if `accuracy`, no accuracy."""
    from rich.text import Text

    from medrl.commands.evaluate_answers import PAGE, shown
    from medrl.commands.rubric_table import rubric_tables, ungraded, waiting

    tables = rubric_tables(found)
    if accuracy and any(row["problems"] or row["not_checked"] for row in found["sets"]):
        tables.insert(0, shown(found))
    for item in (*tables, *waiting(found), f"report: {out / PAGE}"):
        show(Text(item) if isinstance(item, str) else item)
    without = ungraded(found)
    for line in without:
        print(f"medrl: {line}", file=sys.stderr)
    lost = [row["set"] for row in found["sets"] if row["problems"] and row["accuracy"]["strict"]["value"] is None]
    lost = lost if accuracy else []
    if lost:
        print(f"medrl: no accuracy of {', '.join(lost)}: too many replies have no score", file=sys.stderr)
    return FAILED if lost or without else 0


def _folder(name: str) -> Path:
    from medrl.evaluation.answers import set_name

    return Path("evaluations") / set_name(name)


def _figures(title: str, row: dict[str, Any]) -> Any:
    from rich import box
    from rich.table import Table

    table = Table("figure", "value", title=title, title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False)
    table.columns[1].justify = "right"
    for name, value in row.items():
        if name != "name" and value is not None:
            table.add_row(name, f"{value:.4g}" if isinstance(value, float) else str(value))
    return table
