"""Commands that train: run, export, train-verifier, train-reward, eval-reward, rescore.

What is heavy is imported when a command needs it.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from medrl.commands.terminal import Commands, console_of, policy_path, write_json
from medrl.errors import DataError


def add(commands: Commands) -> None:
    """Declare these commands."""
    run = commands.add_parser("run", help="train what a recipe says", description="Train what a recipe says.")
    run.add_argument("recipe", help="YAML file")
    run.add_argument("overrides", nargs="*", metavar="KNOB=VALUE", help="e.g. trainer.steps=3; see `medrl config`")
    run.add_argument(
        "--dry-run", action="store_true", help="only look: names, batches, memory and GPU hours; nothing is written"
    )
    run.add_argument("--gpu", default="H100", help="GPUs that --dry-run reckons with: A100, H100 or H200")
    run.set_defaults(command=train)

    export = commands.add_parser("export", help="write a policy of a run as a Hugging Face folder, or for DeepSpeed")
    export.add_argument("what", metavar="RUN_OR_CHECKPOINT", help="a run folder, or one of its checkpoints")
    export.add_argument("folder", help="where the policy goes; must not exist, or be empty")
    export.add_argument(
        "--policy",
        choices=("best", "latest", "sft"),
        help="which of a run's policies; default best, and latest with --format universal",
    )
    export.add_argument(
        "--format",
        default="huggingface",
        choices=("huggingface", "universal"),
        help="a Hugging Face folder, or DeepSpeed's universal checkpoint: fp32 weights and moments",
    )
    export.add_argument(
        "--dtype", choices=("float32", "bfloat16", "float16"), help="type of the weights; default as is"
    )
    export.set_defaults(command=_export)

    fit = commands.add_parser("train-verifier", help="train a model verifier from a recipe, and write its card")
    fit.add_argument("recipe", help="YAML file, for example examples/verifier/tiny.yaml")
    fit.add_argument("overrides", nargs="*", metavar="KNOB=VALUE")
    fit.set_defaults(command=_train_verifier)

    prefer = commands.add_parser("train-reward", help="train a reward model on preference pairs from a recipe")
    prefer.add_argument("recipe", help="YAML file, for example examples/reward_model/tiny.yaml")
    prefer.add_argument("overrides", nargs="*", metavar="KNOB=VALUE")
    prefer.set_defaults(command=_train_reward)

    dpo = commands.add_parser("train-dpo", help="train a policy on preference pairs by DPO, from a recipe")
    dpo.add_argument("recipe", help="YAML file, for example examples/dpo/paper.yaml")
    dpo.add_argument("overrides", nargs="*", metavar="KNOB=VALUE")
    dpo.set_defaults(command=_train_dpo)

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


def train(options: argparse.Namespace) -> int:
    from medrl.recipes import load_recipe

    if options.dry_run:
        return _dry_run(options.recipe, options.overrides, options.gpu)
    recipe = load_recipe(options.recipe, options.overrides)
    from medrl.recipes.run import run_recipe

    run_recipe(recipe)
    return 0


def _dry_run(file: str, overrides: Sequence[str], gpu: str) -> int:
    from medrl.commands.dry_run import dry_run
    from medrl.recipes import load_recipe
    from medrl.recipes.awaited import Awaited

    awaited = Awaited(file)
    recipe = load_recipe(file, overrides, excused=awaited.excuses)
    found = dry_run(recipe, gpu, awaited, tell=lambda line: print(line, file=sys.stderr, flush=True))
    lines = [(one.knob, f"{one.name}: {one.state}") for one in found.names] + list(found.lines)
    width = max(len(title) for title, _ in lines)
    print(f"{recipe.name}: the recipe is sound; nothing was run")
    for title, text in lines:
        print(f"  {title.ljust(width)}  {text}")
    for fault in found.faults:
        print(f"fault: {fault}", file=sys.stderr)
    return 1 if found.faults else 0


def _export(options: argparse.Namespace) -> int:
    from medrl.commands.export_policy import export_policy, export_universal

    what, universal = Path(options.what), options.format == "universal"
    if universal and options.dtype:
        raise DataError("--dtype does not go with --format universal, whose weights are fp32; leave it out")
    policy = options.policy or ("latest" if universal else "best")
    source = policy_path(what, policy) if (what / "recipe.yaml").is_file() else what
    if universal:
        wrote = export_universal(source, options.folder)
        print(
            f"{source} -> {options.folder}: {wrote['weights']:,} weights and their moments at step {wrote['step']} of "
            f"AdamW, {wrote['bytes']:,} bytes"
        )
        return 0
    found = export_policy(source, options.folder, dtype=options.dtype)
    print(
        f"{source} -> {options.folder}: {found['parameters']:,} parameters, {found['dtype']}, {found['bytes']:,} bytes"
    )
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


def _train_dpo(options: argparse.Namespace) -> int:
    from medrl.commands.train_dpo import train_dpo
    from medrl.recipes.dpo import load_dpo_recipe

    train_dpo(load_dpo_recipe(options.recipe, options.overrides), lambda line: print(line, flush=True))
    return 0


def _eval_reward(options: argparse.Namespace) -> int:
    from medrl.commands.train_reward import evaluate_reward

    found = evaluate_reward(options.model, options.pairs, options.device)
    if options.json:
        write_json(options.json, found)
    return 0


def _rescore(options: argparse.Namespace) -> int:
    from medrl.commands.rescore import rescore
    from medrl.commands.rescore_table import show
    from medrl.interop.scoring import read_reward

    reward = read_reward(options.reward) if options.reward else None
    found = rescore(options.run, reward, phase=options.phase, limit=options.limit)
    show(console_of(120), found)
    if options.json:
        write_json(options.json, found.report)
    return 0
