"""Does reinforcement learning on a reward model make better replies, by a judge that the reward model never saw?

    python benchmarks/rlaif.py                             one core, 6.5 minutes of its time
    python benchmarks/rlaif.py --seeds 3 --json out.json   three of them
    python benchmarks/rlaif.py --data runs/rlaif           write the files of examples/huatuogpt/single_turn, and stop

HuatuoGPT's loop (arXiv 2305.15075) over the simulated clinic, in English, with the recipes of examples/huatuogpt/single_turn:

    rater         a rule that knows what each sentence of a reply was meant to be (medrl/data/clinic/intent_rater.py). No
                  language model judged. 15 % of its pairs are misjudged, and it errs towards length and first place
    reward model  learns from its feedback records alone; an encoder from scratch
    SFT           a policy from scratch, on replies that are mostly right and seldom complete (rlaif_data.py)
    RL            GRPO on the reward model, with a KL to the SFT policy and guards against endless and repeating replies
    judge         the clinic's oracle, which reads the text against the case. It trains nothing

Held out are patients and wordings; the diseases are those of training, since a model from scratch cannot know others. A
win is the oracle's `compare` in both orders, ties as halves, RL against SFT on the same patient. `win_rate`, `accuracy_*`
and `safety_*` (means of the oracle's parts) are of replies sampled at the temperature of training, 1.0; `greedy_*` and
`win_rate_greedy*` of the likeliest ones. Length-controlled as AlpacaEval 2 does (medrl/evaluation/win_rate.py), and on the
pairs within 20 % of length. `kl` is in nats a reply, by k1; per token beside it, as k1 and as k3
(medrl/evaluation/divergence.py). Exits non-zero when a run fails.

The settings were chosen on seed 100 and patients of the split "calibration"; what is printed is of other seeds and of the
split "test".
"""

import argparse
import asyncio
import statistics
import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from tempfile import TemporaryDirectory

from common import machine, print_machine, write_json
from rlaif_data import LANGUAGES, padding, world, write_data
from rlaif_figures import Look, figures, means, print_look, print_result

from medrl.commands.train_reward import TrainedReward, train_reward
from medrl.data.clinic import oracle
from medrl.data.clinic.consultations import Quality, generate_consultations, generate_reply
from medrl.evaluation.divergence import divergence
from medrl.evaluation.reward_hacking import watch
from medrl.models import Policy
from medrl.recipes import Recipe, load_recipe
from medrl.recipes.process import quiet_libraries, reproducible
from medrl.recipes.reward_model import load_reward_recipe
from medrl.recipes.run import make_trainer, prepare, run_recipe
from medrl.rewards import RewardContext
from medrl.rewards.reward_model import combined
from medrl.rewards.reward_model_layout import token_rows
from medrl.rollouts import collect
from medrl.tracking import RunConsole
from medrl.trainers import Trainer
from medrl.types import Problem, Response, ScoredGroup

EXAMPLE = Path(__file__).parents[1] / "examples" / "huatuogpt" / "single_turn"
REWARD_PLACES = ("folder=reward", "pairs.source=feedback.jsonl", "held_out.source=reference.jsonl")
PLACES = {
    "sft": ("folder=sft", "problems.source=problems.jsonl", "demonstrations.source=demonstrations.jsonl"),
    "policy": (
        "folder=policy", "policy.path=sft/sft", "problems.source=problems.jsonl", "reward.then.parts.0.model=reward",
    ),
}  # fmt: skip
HEADLINE = (
    "win_rate", "win_rate_length_controlled", "win_rate_greedy", "kl", "accuracy_before", "accuracy_after", "safety_before",
    "safety_after", "greedy_accuracy_before", "greedy_accuracy_after", "greedy_safety_before", "greedy_safety_after",
)  # fmt: skip


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=1, help="how many seeds")
    parser.add_argument("--first-seed", type=int, default=0, help="the first of them; the others follow")
    parser.add_argument("--patients", type=int, default=300, help="held-out patients")
    parser.add_argument("--looks", type=int, default=2, help="evaluations after the one of the SFT policy")
    parser.add_argument("--data", type=Path, metavar="FOLDER", help="write the files that the recipes read, and stop")
    parser.add_argument("--json", type=Path)
    for name in ("sft", "reward-model", "policy"):
        parser.add_argument(
            f"--{name}", nargs="+", default=[], metavar="KNOB=VALUE", help=f"knobs of {name.replace('-', '_')}.yaml"
        )
    options = parser.parse_args()
    quiet_libraries()
    if options.data:
        write_data(options.data, options.first_seed)
        return 0
    found = []
    for seed in range(options.first_seed, options.first_seed + options.seeds):
        with TemporaryDirectory() as folder:
            found.append(one_seed(seed, Path(folder), options))
    report: dict[str, object] = {}
    for name in found[0]:  # None where a seed has no such figure: a correlation of rewards that are all alike, for one
        values = [one[name] for one in found]
        report[name] = None if any(value is None for value in values) else statistics.fmean(values)
    for name in HEADLINE:
        values = [one[name] for one in found]
        report[f"{name}_seeds"] = values
        if len(found) > 1:
            print(f"{name}: " + ", ".join(f"{value:.3f}" for value in values) + f"; mean {report[name]:.3f}")
    print_machine(machine())
    write_json(options.json, {**report, "seeds": len(found), **machine()})
    return 0


def one_seed(seed: int, folder: Path, options: argparse.Namespace) -> dict[str, float | None]:
    """The whole loop, and its figures."""
    clock = [time.perf_counter()]
    write_data(folder, seed)
    run_recipe(recipe_of("sft", folder, seed, options.sft), RunConsole(quiet=True))
    clock.append(time.perf_counter())
    print(f"# data and SFT: {clock[-1] - clock[-2]:.0f} s", flush=True)
    trained = train_reward(
        load_reward_recipe(
            EXAMPLE / "reward_model.yaml", [*places(REWARD_PLACES, folder, seed), *options.reward_model]
        ),
        lambda line: print(f"# reward model: {line}", flush=True),
    )
    clock.append(time.perf_counter())
    recipe = recipe_of("policy", folder, seed, options.policy)
    held_out = generate_consultations(
        split="test", count=options.patients, seed=seed, known=True, languages=LANGUAGES, world=world()
    )
    with reproducible(recipe.threads, recipe.policy.torch_device()):
        trainer = make_trainer(recipe, prepare(recipe), Policy.load(str(recipe.policy.path), recipe.policy))
        looks: list[Look] = []
        for stop in stops(recipe.trainer.steps, options.looks):
            trainer.fit(stop)
            looks.append(look(trainer, held_out))
            print_look(looks)
    clock.append(time.perf_counter())
    report = figures(looks, held_out) | agreement(trained, held_out)
    print_result(report, looks, held_out)
    parts = ("data_and_sft", "reward_model", "rl_and_evaluation")
    spent = {f"seconds_{name}": b - a for name, (a, b) in zip(parts, pairwise(clock), strict=True)}
    print("seconds: " + ", ".join(f"{name.removeprefix('seconds_')} {value:.0f}" for name, value in spent.items()))
    return report | spent


def places(names: Sequence[str], folder: Path, seed: int) -> list[str]:
    """Overrides that put an example's files into this folder; `names` are KNOB=FILE."""
    moved = (name.partition("=") for name in names)
    return [f"seed={seed}", *(f"{knob}={folder}/{file}" for knob, _, file in moved)]


def recipe_of(name: str, folder: Path, seed: int, overrides: Sequence[str]) -> Recipe:
    """One of the example's two recipes of a policy."""
    return load_recipe(EXAMPLE / f"{name}.yaml", [*places(PLACES[name], folder, seed), *overrides])


def stops(steps: int, looks: int) -> list[int]:
    """Steps after which the policy is looked at: before the first, after the last, and between."""
    return sorted({round(steps * i / max(1, looks)) for i in range(looks + 1)} | {0, steps})


def look(trainer: Trainer, problems: Sequence[Problem]) -> Look:
    """Ask and judge; draws depend on the problem and the seed alone, so two looks differ by the policy alone."""
    sampled, greedy = (replies(trainer, problems, temperature) for temperature in (trainer.sampling.temperature, 0.0))
    kl = divergence(trainer.placement.learner, sampled, trainer.sampling)
    rollouts = [one.group.rollouts[0] for one in sampled]
    texts, likeliest = tuple(one.text for one in rollouts), tuple(one.group.rollouts[0].text for one in greedy)
    scores = [oracle.judge(problem, text) for problem, text in zip(problems, texts, strict=True)]
    learned = [part.value if (part := one.scores[0].parts.get("preference")) else None for one in sampled]
    watched = watch(
        texts, [one.finish_reason for one in rollouts], learned, [one.total for one in scores], padding, kl.reply
    )
    return Look(trainer.step, texts, likeliest, watched, means(problems, texts), means(problems, likeliest), kl)


def replies(trainer: Trainer, problems: Sequence[Problem], temperature: float) -> list[ScoredGroup]:
    """One reply to each problem, scored by the training reward."""
    sampling = replace(trainer.sampling, temperature=temperature, top_k=0, top_p=1.0)
    context = RewardContext(trainer.step, trainer.reward_state)
    return asyncio.run(
        collect(
            trainer.placement.engine, trainer.policy, problems, trainer.reward, samples=1, sampling=sampling,
            seed=(trainer.seed, "rlaif", "held_out"), version=trainer.step, context=context,
        )
    )  # fmt: skip


def agreement(trained: TrainedReward, problems: Sequence[Problem]) -> dict[str, float]:
    """How good the reward model is: on its rater's pairs of the reference set, and by the oracle on single faults.

    A reward for what is said shows in `absent`, one for what is right in `wrong`: share of the held-out patients whose
    faultless reply gets more than the same with a wrong diagnosis, or with none.
    """
    model, held_out = trained.model, trained.settings["held_out"]

    def rewards_of(quality: Quality) -> list[float]:
        asked = [(one, Response(generate_reply(one, quality, world=world()))) for one in problems]
        return [worth.mean for worth in combined(model.raw(token_rows(model.tokenizer, asked), 64), model.scales)]

    best, found = rewards_of(Quality()), {}
    for name, worse in (("wrong", "wrong"), ("absent", "vague")):
        pairs = zip(best, rewards_of(Quality(diagnosis=worse)), strict=True)
        found[f"reward_model_sees_diagnosis_{name}"] = statistics.fmean(a > b for a, b in pairs)
    return found | {
        "reward_model_accuracy": held_out["accuracy"],
        "reward_model_length_bias": held_out["length"]["bias"],
    }


if __name__ == "__main__":
    sys.exit(main())
