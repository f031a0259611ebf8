"""Commands about data: construct, annotate, audit-problems, cache.

What is heavy is imported when a command needs it.
"""

import argparse

from medrl.commands.terminal import FAILED, Commands, console_of, verifier_of, write_json
from medrl.errors import DataError


def add(commands: Commands) -> None:
    """Declare these commands."""
    make = commands.add_parser(
        "construct", help="construct data from a recipe: problems, reasoning, dialogues, feedback"
    )
    make.add_argument(
        "what", choices=("problems", "reasoning", "instructions", "conversations", "polish", "feedback"),
        help="problems: multiple-choice questions to verifiable problems; reasoning: these to worked answers for SFT; "
        "instructions: new questions with answers, by self-instruct; conversations: two models talk about a case; polish: "
        "a doctor's terse replies in whole sentences; feedback: sample responses, have them judged, make pairs",
    )  # fmt: skip
    make.add_argument(
        "recipe", help="YAML file, such as problems.yaml in examples/huatuogpt_o1, polish.yaml in examples/huatuogpt"
    )
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

    cache = commands.add_parser("cache", help="what the cache of chat replies holds; make it smaller")
    cache.add_argument("action", nargs="?", choices=("show", "prune", "clear"), default="show")
    cache.add_argument("--path", metavar="FILE", help="default: $MEDRL_CACHE, or ~/.cache/medrl/chat.sqlite")
    cache.add_argument("--older-than", type=float, metavar="DAYS", help="prune entries stored before")
    cache.add_argument("--model", metavar="NAME", help="prune only this model's entries")
    cache.add_argument("--max-mb", type=float, metavar="N", help="prune what was unused longest down to this size")
    cache.set_defaults(command=_cache)


def _construct(options: argparse.Namespace) -> int:
    if options.what != "feedback":
        from medrl.commands.construct_rows import construct_rows
        from medrl.commands.construct_shards import construct_shards
        from medrl.recipes.construction import load_construction

        recipe = load_construction(options.what, options.recipe, options.overrides)
        tally = construct_shards(recipe) if recipe.placement == "ray" else construct_rows(recipe)
        return FAILED if tally.failures else 0
    from medrl.commands.construct_feedback import construct_feedback
    from medrl.recipes.feedback import load_feedback_recipe

    construct_feedback(load_feedback_recipe(options.recipe, options.overrides), lambda line: print(line, flush=True))
    return 0


def _annotate(options: argparse.Namespace) -> int:
    from medrl.commands import annotate

    if options.report:
        found = annotate.report(options.out)
        console_of(100).print(annotate.shown(found))
        if options.json:
            write_json(options.json, found)
        return 0
    if not options.file:
        raise DataError("name the file of items: medrl annotate FILE --out FOLDER --raters NAME,NAME")
    raters = [name.strip() for name in options.raters.split(",") if name.strip()]
    where = {"port": options.port, "limit": options.limit}
    annotate.serve(options.file, options.out, raters, mode=options.mode, adjudicate=options.adjudicate, **where)
    return 0


def _audit_problems(options: argparse.Namespace) -> int:
    from medrl.commands.problem_audit import audit, check_kinds, write_kept
    from medrl.commands.problem_audit_table import show

    drop = [kind.strip() for kind in options.drop.split(",") if kind.strip()]
    check_kinds(drop)
    if drop and not options.keep:
        raise DataError("--drop says what --keep leaves out; give --keep OUT.jsonl too")
    verifier = verifier_of(options.verifier) if options.verifier else None
    found = audit(options.file, options.against, schema=options.schema, limit=options.limit, verifier=verifier)
    console = console_of(120)
    show(console, found, options.examples)
    if options.json:
        write_json(options.json, found.report)
    if options.keep:
        console.print(f"{write_kept(options.keep, found, drop)} rows written to {options.keep}")
    return 0


def _cache(options: argparse.Namespace) -> int:
    from medrl.commands import cache_command

    limits = {"older_than": options.older_than, "model": options.model, "max_megabytes": options.max_mb}
    cache_command.run(options.action, options.path, **limits)
    return 0
