"""Commands about verifiers and rewards: verify, card, calibrate, reward, attack, doctor-likeness, serve.

What is heavy is imported when a command needs it.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from medrl.commands.terminal import FAILED, Commands, console_of, verifier_of, write_json
from medrl.errors import DataError
from medrl.types import Problem, Response, Verdict


def add(commands: Commands) -> None:
    """Declare these commands."""
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
    card.add_argument(
        "--no-attacks",
        action="store_true",
        help="leave out attack success: some 3,000 answers more, which a judge may charge",
    )
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

    serve = commands.add_parser(
        "serve", help="serve a reward over HTTP", description="Serve a reward over HTTP; see docs/service.md."
    )
    serve.add_argument("reward", nargs="?", help="YAML file of a reward tree, or a recipe")
    serve.add_argument("settings", nargs="*", metavar="KNOB=VALUE", help="e.g. port=8480 workers=2")
    serve.add_argument("--knobs", action="store_true", help="list every knob with its documentation, and end")
    serve.set_defaults(command=_serve)


def _verify(options: argparse.Namespace) -> int:
    from medrl import verifiers
    from medrl.commands.verdict_table import report_json, show, without_label
    from medrl.data import load_responses

    verifier = verifier_of(options.verifier)
    items = load_responses(options.file, limit=options.limit)
    verdicts = verifiers.run_sync(verifiers.judge(verifier, [without_label(item) for item in items]))
    show(console_of(100, markup=True), items, verdicts)
    if options.json:
        write_json(options.json, {**report_json(items, verdicts), **_agreement(items, verdicts)})
    if verdicts and all(verdict.status in ("error", "timeout") for verdict in verdicts):
        print(f"medrl: the verifier failed on every response: {verdicts[0].reason}", file=sys.stderr)
        return FAILED
    return 0


def _card(options: argparse.Namespace) -> int:
    from medrl.commands.verifier_card import measure
    from medrl.commands.verifier_card_page import markdown, show
    from medrl.files import write_atomic

    verifier = verifier_of(options.verifier)
    card = measure(verifier, options.cases, options.pairs, attack=not options.no_attacks)
    show(console_of(100), card)
    if options.json:
        write_json(options.json, card.report)
    if options.markdown:
        write_atomic(options.markdown, markdown(card))
    if options.save:
        from medrl.data import verifier_cards

        print(f"card kept in {verifier_cards.save(card.report)}")
    return 0


def _calibrate(options: argparse.Namespace) -> int:
    from medrl.commands.calibrate import calibrate, shown

    found = calibrate(verifier_of(options.judge), options.labels, options.answers, options.method)
    console_of(100).print(shown(found.report))
    for path, row in ((options.out, found.calibration.to_json()), (options.json, found.report)):
        if path:
            write_json(path, row)
    return 0


def _reward(options: argparse.Namespace) -> int:
    from medrl.commands.reward_view import show_reward, show_run

    of_answers, of_run = options.answers, (options.step, options.problem)
    console = console_of(120)
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
        write_json(options.json, {"rows": rows})
    return 0


def _attack(options: argparse.Namespace) -> int:
    from medrl.commands.attack_table import show
    from medrl.commands.attacks import default_problems, measure
    from medrl.data import load_problems
    from medrl.interop.scoring import read_reward

    reward: Any = (read_reward if options.reward.endswith((".yaml", ".yml")) else verifier_of)(options.reward)
    if options.count is not None and options.count < 1:
        raise DataError(f"--count is {options.count}; ask for at least one problem")
    if _judges_doctors(reward):
        return _attack_doctor_likeness(reward, options)
    if options.problems:
        problems = load_problems(options.problems, limit=options.count)
    else:
        problems = default_problems() if options.count is None else default_problems(options.count)
    attacked = measure(reward, problems)
    show(console_of(100), attacked)
    if options.json:
        write_json(options.json, attacked.report)
    return 0


def _doctor_likeness(options: argparse.Namespace) -> int:
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
    show(console_of(120), measured)
    if options.json:
        write_json(options.json, measured.report)
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


def _agreement(items: Sequence[tuple[Problem, Response]], verdicts: Sequence[Verdict]) -> dict[str, Any]:
    """How many labelled responses there are, and the share of the decided ones among them that is as labelled."""
    from medrl.commands.verdict_table import expected

    labels = [expected(problem) for problem, _ in items]
    pairs = [(label, v) for label, v in zip(labels, verdicts, strict=True) if label is not None]
    decided = [(label, v) for label, v in pairs if v.decided]
    agreed = sum(v.accepted == label for label, v in decided)
    if not pairs:
        return {}
    return {"labelled": len(pairs), "accuracy": agreed / len(decided) if decided else None}


def _judges_doctors(reward: Any) -> bool:
    from medrl.commands.doctor_attacks import fits
    from medrl.rewards import Reward

    return isinstance(reward, Reward) and fits(reward)


def _attack_doctor_likeness(reward: Any, options: argparse.Namespace) -> int:
    from medrl.commands.doctor_attacks import COUNT, default_replies, measure
    from medrl.commands.doctor_likeness_table import show_attacks
    from medrl.data.replies import load_replies

    if options.problems:
        sound = load_replies(options.problems, limit=options.count)
    else:
        sound = default_replies(options.count or COUNT)
    attacked = measure(reward, sound)
    show_attacks(console_of(120), attacked)
    if options.json:
        write_json(options.json, attacked.report)
    return 0
