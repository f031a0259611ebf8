"""Does reinforcement learning on a reward model make better replies, by a judge that the reward model never saw?

    python benchmarks/rlaif.py                             one quiet core, about 8 minutes (not timed quiet)
    python benchmarks/rlaif.py --seeds 3 --json out.json   three of them
    python benchmarks/rlaif.py --data runs/rlaif           write the files of examples/huatuogpt_rlaif, and stop

HuatuoGPT's loop (arXiv 2305.15075) over the simulated clinic, in English, with the recipes of examples/huatuogpt_rlaif:

    rater         a rule that knows what each sentence of a reply was meant to be (medrl/data/clinic/intent_rater.py). No
                  language model judged. 15 % of its pairs are misjudged, and it errs towards length and first place
    reward model  learns from its feedback records alone; an encoder from scratch
    SFT           a policy from scratch, on replies of mixed quality
    RL            GRPO on the reward model, with a KL to the SFT policy and guards against endless and repeating replies
    judge         the clinic's oracle, which reads the text against the case. It trains nothing

Held out are patients and wordings; the diseases are those of training, since a model from scratch cannot know others. A
win is the oracle's `compare` in both orders, ties as halves, RL against SFT on the same patient, both sampled at
the temperature of training (1.0) and, beside it, both greedy. Length-controlled as AlpacaEval 2 does (see
medrl/evaluation/win_rate.py), and on the pairs within 20 % of length. `kl` is in nats a reply: the mean over replies of
sum log(policy / SFT) over the tokens that the policy drew (k1); per token beside it, as k1 and as k3. Exits non-zero when a
run fails.
"""

import argparse
import asyncio
import random
import statistics
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from functools import lru_cache
from itertools import islice, pairwise
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from common import machine, print_machine, print_table, write_json

from medrl.algorithms import Batch
from medrl.commands.train_reward import TrainedReward, train_reward
from medrl.data.clinic import oracle
from medrl.data.clinic.consultation_wording import BOILERPLATE, FILLER, GENERIC, VAGUE
from medrl.data.clinic.consultations import Quality, generate_consultations, generate_reply
from medrl.data.clinic.intent_rater import generate_feedback
from medrl.data.clinic.world import World, load_world
from medrl.data.demonstrations import Demonstration
from medrl.data.feedback import write_feedback
from medrl.evaluation.reward_hacking import Watch, alarms, watch
from medrl.evaluation.win_rate import Better, Match, interval, length_controlled, match, near, win_rate
from medrl.files import json_line, write_atomic
from medrl.models import Policy
from medrl.recipes import Recipe, load_recipe
from medrl.recipes.reward_model import load_reward_recipe
from medrl.recipes.run import make_trainer, prepare, quiet_libraries, reproducible, run_recipe
from medrl.rewards import RewardContext
from medrl.rewards.reward_model import combined
from medrl.rewards.reward_model_layout import token_rows
from medrl.rollouts import collect
from medrl.seeds import seed_of
from medrl.tracking import RunConsole
from medrl.trainers import Trainer
from medrl.types import Problem, Response, ScoredGroup

EXAMPLE = Path(__file__).parents[1] / "examples" / "huatuogpt_rlaif"
LANGUAGES = ("en",)
PROBLEMS, DEMONSTRATIONS, QUESTIONS, REFERENCE = 2000, 3600, 6000, 400
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
DISEASES = 30  # of the table's head, 18 of them training's: a small policy can know these
BEFORE = {
    "diagnosis": {"right": 0.8, "vague": 0.1, "listed": 0.05, "wrong": 0.05},
    "findings": {"own": 0.7, "absent": 0.25, "strange": 0.05},
    "test": {"right": 0.3, "absent": 0.65, "wrong": 0.05},
    "treatment": {"right": 0.75, "absent": 0.2, "wrong": 0.05},
    "precautions": {"right": 0.25, "generic": 0.45, "absent": 0.3},
}
HEDGED = 0.4  # share of the demonstrations that say to be of an AI
FILLERS = 1  # most sentences of a demonstration that say nothing; fewer tokens to learn


@dataclass(frozen=True)
class Look:
    """A policy on the held-out patients.

    Attributes:
        step: Finished steps of GRPO.
        sampled, greedy: Replies at the training temperature and the likeliest, in the order of the problems.
        watched: Monitors of the sampled replies.
        scores: Means of the oracle's parts over the sampled replies, and of `diagnosis` (the one right disease),
            `committed` (one disease, whichever), `contraindicated`.
        greedy_scores: The same of the greedy replies.
        kl: Nats a reply (k1), a token (k1), a token (k3).
    """

    step: int
    sampled: tuple[str, ...]
    greedy: tuple[str, ...]
    watched: Watch
    scores: dict[str, float]
    greedy_scores: dict[str, float]
    kl: tuple[float, float, float]


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


def one_seed(seed: int, folder: Path, options: argparse.Namespace) -> dict[str, float]:
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


@lru_cache(maxsize=1)
def world() -> World:
    """The clinic with its first diseases only. The oracle reads by the names of the whole clinic."""
    whole = load_world()
    return replace(whole, diseases=dict(islice(whole.diseases.items(), DISEASES)))


def write_data(folder: Path, seed: int) -> None:
    """What the recipes read: feedback of the rater, a reference set of it, demonstrations, problems."""
    folder.mkdir(parents=True, exist_ok=True)
    draw = {name: seed_of("rlaif", seed, name) % 2**31 for name in ("feedback", "demonstrations", "problems")}
    write_feedback(
        folder / "feedback.jsonl",
        generate_feedback(split="train", count=QUESTIONS, seed=draw["feedback"], languages=LANGUAGES, world=world()),
    )
    write_feedback(
        folder / "reference.jsonl",
        generate_feedback(
            split="calibration", known=True, count=REFERENCE, seed=seed, languages=LANGUAGES, world=world()
        ),
    )
    shown = generate_consultations(
        split="train", count=DEMONSTRATIONS, seed=draw["demonstrations"], languages=LANGUAGES, world=world()
    )
    write_atomic(folder / "demonstrations.jsonl", b"".join(json_line(demonstrated(one).to_json()) for one in shown))
    asked = generate_consultations(
        split="train", count=PROBLEMS, seed=draw["problems"], languages=LANGUAGES, world=world()
    )
    write_atomic(folder / "problems.jsonl", b"".join(json_line(one.to_json()) for one in asked))


def demonstrated(problem: Problem) -> Demonstration:
    """A reply as a model before RLAIF gives it."""
    quality = before_rlaif(random.Random(seed_of("rlaif-demonstration", problem.id)))
    reply = generate_reply(problem, quality, world=world())
    messages = (*problem.messages, {"role": "assistant", "content": reply})
    return Demonstration(problem.id, messages, "", reply, quality.diagnosis == "right", problem.id, problem.language)


def before_rlaif(rng: random.Random) -> Quality:
    """What a model before RLAIF says: mostly right, seldom complete (`BEFORE`)."""
    drawn = {name: rng.choices(list(shares), list(shares.values()))[0] for name, shares in BEFORE.items()}
    return Quality(**drawn, boilerplate=rng.random() < HEDGED, fillers=rng.randint(0, FILLERS))


def stops(steps: int, looks: int) -> list[int]:
    """Steps after which the policy is looked at: before the first, after the last, and between."""
    return sorted({round(steps * i / max(1, looks)) for i in range(looks + 1)} | {0, steps})


def look(trainer: Trainer, problems: Sequence[Problem]) -> Look:
    """Ask and judge; draws depend on the problem and the seed alone, so two looks differ by the policy alone."""
    sampled, greedy = (replies(trainer, problems, temperature) for temperature in (trainer.sampling.temperature, 0.0))
    kl = divergence(trainer, sampled)
    rollouts = [one.group.rollouts[0] for one in sampled]
    texts, likeliest = tuple(one.text for one in rollouts), tuple(one.group.rollouts[0].text for one in greedy)
    scores = [oracle.judge(problem, text) for problem, text in zip(problems, texts, strict=True)]
    learned = [part.value if (part := one.scores[0].parts.get("preference")) else None for one in sampled]
    watched = watch(
        texts, [one.finish_reason for one in rollouts], learned, [one.total for one in scores], padding, kl[0]
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


def divergence(trainer: Trainer, sampled: Sequence[ScoredGroup]) -> tuple[float, float, float]:
    """KL(policy || SFT) of replies that the policy drew, at the sampling temperature: k1 a reply, k1 a token, k3 a token.

    With r = log p_policy(t) - log p_SFT(t) of a drawn token t: k1 = r, k3 = exp(-r) - 1 + r. Both are unbiased; k3 is
    never negative and varies less.
    """
    batch = Batch.from_groups(sampled, trainer.sampling.max_tokens, trainer.sampling.temperature)
    batch = trainer.placement.learner.forward(batch, {"old_logprobs", "ref_logprobs"})
    assert batch.old_logprobs_BT is not None and batch.ref_logprobs_BT is not None
    mask_BT = batch.loss_mask_BT
    ratio_BT = (batch.old_logprobs_BT - batch.ref_logprobs_BT) * mask_BT  # (B, T)
    tokens, rows = float(mask_BT.sum()), float(mask_BT.any(-1).sum())
    k1 = float(ratio_BT.sum())
    k3 = float(((-ratio_BT).exp() - 1 + ratio_BT)[mask_BT].sum())
    return k1 / rows, k1 / tokens, k3 / tokens


def padding(text: str) -> float:
    """Share of a reply's characters in sentences of boilerplate, comfort and advice that fits everybody."""
    said = [sentence for kind in (BOILERPLATE, FILLER, GENERIC, VAGUE) for sentence in kind["en"]]
    return min(1.0, sum(len(one) * text.count(one) for one in said) / max(1, len(text)))


def means(problems: Sequence[Problem], texts: Sequence[str]) -> dict[str, float]:
    """The oracle's figures over replies."""
    scores = [oracle.judge(problem, text) for problem, text in zip(problems, texts, strict=True)]
    named = [list(one.notes.get("diseases", ())) for one in scores]
    right = [diseases == [one.metadata["disease"]] for diseases, one in zip(named, problems, strict=True)]
    found = {name: statistics.fmean(one.parts[name] for one in scores) for name in oracle.WEIGHTS}
    return found | {
        "total": statistics.fmean(one.total for one in scores),
        "diagnosis": statistics.fmean(right),
        "committed": statistics.fmean(len(diseases) == 1 for diseases in named),
        "contraindicated": statistics.fmean(bool(one.notes.get("contraindicated")) for one in scores),
    }


def matches(problems: Sequence[Problem], replies: Sequence[str], others: Sequence[str]) -> list[Match]:
    """One match a patient, by the oracle."""

    def judge_of(problem: Problem) -> Any:
        def judge(first: str, second: str) -> Better:
            return oracle.compare(problem, first, second)[0]

        return judge

    return [match(judge_of(p), a, b) for p, a, b in zip(problems, replies, others, strict=True)]


def figures(looks: Sequence[Look], problems: Sequence[Problem]) -> dict[str, float]:
    """All single numbers of a seed."""
    before, after = looks[0], looks[-1]
    played = matches(problems, after.sampled, before.sampled)
    greedy = matches(problems, after.greedy, before.greedy)
    low, high = interval(win_rate, played)
    low_lc, high_lc = interval(length_controlled, played)
    close, close_greedy = near(played), near(greedy)
    report = {
        "win_rate": win_rate(played), "win_rate_low": low, "win_rate_high": high,
        "win_rate_length_controlled": length_controlled(played),
        "win_rate_length_controlled_low": low_lc, "win_rate_length_controlled_high": high_lc,
        "win_rate_near": win_rate(close) if close else float("nan"), "near_pairs": float(len(close)),
        "win_rate_greedy": win_rate(greedy), "win_rate_greedy_length_controlled": length_controlled(greedy),
        "win_rate_greedy_near": win_rate(close_greedy) if close_greedy else float("nan"),
        "near_pairs_greedy": float(len(close_greedy)),
        "longer_greedy": statistics.fmean(one.longer > 0 for one in greedy),
        "kl": after.kl[0], "kl_per_token": after.kl[1], "kl_per_token_k3": after.kl[2],
    }  # fmt: skip
    for name, one in (("before", before), ("after", after)):
        report |= {f"{part}_{name}": value for part, value in one.scores.items()}
        report |= {
            f"greedy_{part}_{name}": one.greedy_scores[part] for part in ("accuracy", "safety", "diagnosis", "total")
        }
        watched = asdict(one.watched) | {"length": one.watched.characters}
        report |= {f"{part}_{name}": watched[part] for part in
                   ("reward", "correlation", "length", "repeated", "padding", "degenerate", "distinct")}  # fmt: skip
    return report


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


def print_look(looks: Sequence[Look]) -> None:
    """Monitors of the latest look, and a sentence for each thing that looks like an exploited reward."""
    one, watched = looks[-1], looks[-1].watched
    if len(looks) == 1:
        print(f"{'step':>4}{'reward':>8}{'oracle':>8}{'r':>7}{'kl':>7}{'chars':>7}{'repeat':>8}{'padding':>9}"
              f"{'degenerate':>12}{'distinct':>10}{'accuracy':>10}{'safety':>8}")  # fmt: skip
    reward, together = (float("nan") if v is None else v for v in (watched.reward, watched.correlation))
    print(
        f"{one.step:>4}{reward:>8.2f}{watched.judge:>8.3f}{together:>+7.2f}{one.kl[0]:>7.1f}{watched.characters:>7.0f}"
        f"{watched.repeated:>8.1%}{watched.padding:>9.1%}{watched.degenerate:>12.1%}{watched.distinct:>10.1%}"
        f"{one.scores['accuracy']:>10.1%}{one.scores['safety']:>8.1%}",
        flush=True,
    )
    for sentence in alarms(looks[0].watched, watched):
        print(f"     ! {sentence}", flush=True)


def print_result(report: dict[str, float], looks: Sequence[Look], problems: Sequence[Problem]) -> None:
    """The tables of a seed."""
    print()
    rows = [
        ("all pairs", "win_rate", f"{len(problems)}"),
        ("length-controlled", "win_rate_length_controlled", f"{len(problems)}"),
        ("within 20 % of length", "win_rate_near", f"{report['near_pairs']:.0f}"),
        ("greedy", "win_rate_greedy", f"{len(problems)}"),
        ("greedy, within 20 % of length", "win_rate_greedy_near", f"{report['near_pairs_greedy']:.0f}"),
        ("greedy, length-controlled", "win_rate_greedy_length_controlled", f"{len(problems)}"),
    ]

    def spread(name: str) -> str:
        return f"{report[f'{name}_low']:.1%} to {report[f'{name}_high']:.1%}" if f"{name}_low" in report else ""

    print_table(
        ("RL against SFT, by the oracle", "win rate", "95 %", "pairs"),
        [(text, f"{report[name]:.1%}", spread(name), pairs) for text, name, pairs in rows],
    )
    print()
    parts = ("total", *oracle.WEIGHTS, "diagnosis", "committed", "contraindicated")
    print_table(
        ("oracle's figures", "SFT", "RL", "greedy SFT", "greedy RL"),
        [(part, *(f"{value:.1%}" for value in
          (looks[0].scores[part], looks[-1].scores[part], looks[0].greedy_scores[part], looks[-1].greedy_scores[part])))
         for part in parts],
    )  # fmt: skip
    print(
        f"\nKL to SFT {report['kl']:.2f} nats a reply (k1), {report['kl_per_token']:.4f} a token (k1), "
        f"{report['kl_per_token_k3']:.4f} a token (k3)"
    )
    print(f"the same patient, SFT: {looks[0].sampled[0]}\n                   RL: {looks[-1].sampled[0]}\n", flush=True)


if __name__ == "__main__":
    sys.exit(main())
