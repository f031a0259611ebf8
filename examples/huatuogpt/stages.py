"""The stages of HuatuoGPT at tiny scale, each from files to files; `reproduce.py` runs them, in processes of their own.

data             four sources of dialogues from the clinic, visits to train on, visits of held-out patients
sft-ARM          a policy from scratch on real, distilled or both
feedback         replies of the SFT policy, rated with the doctor's reference and without
reward[-blind]   reward models of the two, from the SFT policy
ppo, ...         PPO with a critic on the reward model, and variants
answers-POLICY   replies of a policy to the held-out visits, with what every judge says of them

Each fills a folder of its own and reads those of others beside it; what makes them stages is `medrl/recipes/stages.py`.
"""

import asyncio
import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from functools import lru_cache, partial
from itertools import islice
from pathlib import Path
from typing import Any

from medrl.commands.train_reward import train_reward
from medrl.construct.candidates import sample_candidates
from medrl.construct.reference_rater import ReferenceRater
from medrl.data.clinic.hybrid import ARMS, PAPER_ROWS, generate_source, generate_visits
from medrl.data.clinic.world import World, load_world
from medrl.data.demonstrations import Demonstration
from medrl.data.feedback import Candidate, FeedbackRecord, write_feedback
from medrl.data.mixtures import PriorityMixture
from medrl.data.preferences import PreferencePair, pairs_from, plain_text, write_pairs
from medrl.data.problems import load_problems
from medrl.engines import Sampling
from medrl.engines.in_process import InProcessEngine
from medrl.evaluation import visit_oracle
from medrl.files import json_line, write_atomic
from medrl.models import Policy, PolicySpec
from medrl.recipes import load_recipe
from medrl.recipes.process import quiet_libraries, reproducible
from medrl.recipes.reward_model import load_reward_recipe
from medrl.recipes.run import run_recipe
from medrl.recipes.stages import Stage
from medrl.recipes.tree import read_tree
from medrl.rewards import RewardContext
from medrl.rewards.config import build
from medrl.rewards.reward_model import combined, loaded, source_of
from medrl.rewards.reward_model_layout import token_rows
from medrl.seeds import seed_of
from medrl.tracking import RunConsole
from medrl.types import Group, Problem, Response

TINY = Path(__file__).parent / "tiny"
RATERS = {"reward": True, "reward-blind": False}  # whether the rater behind a reward model sees the doctor's reply
ANSWER_TOKENS = 128
# Variants of the last stage: overrides of ppo.yaml, and the reward model.
VARIANTS: dict[str, tuple[str, Sequence[str]]] = {
    "ppo": ("reward", ()),
    "ppo-blind": ("reward-blind", ()),
    "grpo": ("reward", ("algorithm={type: grpo, kl_coef: 0.05, epochs: 2, minibatches: 2}", "optimization.critic=null")),
    "ppo-kl-0": ("reward", ("algorithm.kl_coef=0.0",)),
    "ppo-kl-0.2": ("reward", ("algorithm.kl_coef=0.2",)),
    "ppo-all-layers": ("reward", ("optimization.last_layers=null",)),
    "ppo-lora": ("reward", ("optimization.last_layers=null", "optimization.lora={rank: 8, alpha: 16.0}")),
}  # fmt: skip
MAIN, ABLATIONS = ("ppo", "ppo-blind"), tuple(name for name in VARIANTS if name not in ("ppo", "ppo-blind"))


@dataclass(frozen=True)
class Sizes:
    """How much of everything."""

    rows: int = 2000
    """Dialogues of all four sources together; the arms real and distilled have their part of them."""
    visits: int = 600
    """Visits to train the last stage on; the first of them get feedback."""
    rated: int = 160
    """Visits with feedback."""
    replies: int = 4
    """Replies of the SFT policy to each of them."""
    held_out: int = 200
    """Visits of patients that no stage has seen."""
    diseases: int = 30
    """The first so many diseases of the clinic; 14 of them are training's."""
    sft: tuple[str, ...] = ()
    """Overrides of sft.yaml."""
    reward: tuple[str, ...] = ()
    """Overrides of reward_model.yaml."""
    rl: tuple[str, ...] = ()
    """Overrides of ppo.yaml."""


@lru_cache(maxsize=2)
def world(diseases: int) -> World:
    """The clinic with its first diseases only; judges read by the names of the whole clinic."""
    whole = load_world()
    return replace(whole, diseases=dict(islice(whole.diseases.items(), diseases)))


def write_rows(path: Path, rows: Sequence[Demonstration | Problem]) -> None:
    write_atomic(path, b"".join(json_line(row.to_json()) for row in rows))


def make_data(seed: int, sizes: Sizes, folder: Path) -> None:
    """Dialogues of each arm, mixed, and the visits."""
    known, total = world(sizes.diseases), sum(PAPER_ROWS.values())
    counts = {source: max(1, round(sizes.rows * rows / total)) for source, rows in PAPER_ROWS.items()}
    made = {source: generate_source(source, count=count, seed=seed, world=known) for source, count in counts.items()}
    for arm, sources in ARMS.items():
        mixture = PriorityMixture({one: made[one] for one in sources}, dict.fromkeys(sources, 1.0), seed=seed)
        write_rows(folder / f"{arm}.jsonl", mixture.next(len(mixture)))
    for name, split, count in (("visits", "train", sizes.visits), ("held_out", "held_out", sizes.held_out)):
        write_rows(folder / f"{name}.jsonl", generate_visits(split=split, count=count, seed=seed, world=known))


def fine_tune(arm: str, seed: int, sizes: Sizes, folder: Path) -> None:
    """SFT on one arm."""
    data = folder.parent / "data"
    places = (f"problems.source={data}/visits.jsonl", f"demonstrations.source={data}/{arm}.jsonl")
    knobs = (f"seed={seed}", f"folder={folder}/run", "resume=true", *places, *sizes.sft)
    run_recipe(load_recipe(TINY / "sft.yaml", knobs), RunConsole(quiet=True))


def policy_of(stage: Path) -> Path:
    """The policy that a finished stage made."""
    if stage.name.startswith("sft-"):
        return stage / "run" / "sft"
    return max((stage / "run" / "checkpoints").glob("step-*"))


def give_feedback(seed: int, sizes: Sizes, folder: Path) -> None:
    """Replies of the SFT policy at several temperatures, rated with and without the doctor's reference, and pairs of them.

    The last fifth of the visits is the reference set of the reward models.
    """
    asked = load_problems(folder.parent / "data" / "visits.jsonl")
    visits = list({json.dumps(one.messages): one for one in asked}.values())[: sizes.rated]  # no prompt twice
    temperatures = [0.7 + 0.6 * k / max(1, sizes.replies - 1) for k in range(sizes.replies)]
    settings = [Sampling(temperature=one, max_tokens=ANSWER_TOKENS) for one in temperatures]
    drawn = draw(folder.parent / "sft-both", visits, settings, seed)
    for name, show in RATERS.items():
        rater = ReferenceRater(show_reference=show, seed=seed)
        records = [
            rater.rate(visit, given) for visit, given in zip(visits, map(_distinct, drawn), strict=True) if given
        ]
        write_feedback(folder / f"{name}.jsonl", records)
        write_pair_sets(folder, name, rater, records)


def _distinct(replies: Sequence[Candidate]) -> list[Candidate]:
    """Whole replies that differ; nothing where fewer than two do."""
    found = list({one.text: one for one in replies if one.finish_reason == "stop" and one.text.strip()}.values())
    return found if len(found) > 1 else []


def write_pair_sets(folder: Path, name: str, rater: ReferenceRater, records: Sequence[FeedbackRecord]) -> None:
    """Pairs of the first four fifths to train on; of the rest, those of which no reply to the same question is among them."""
    weights = {"informativeness": 1.0, "coherence": 1.0, "adherence": 1.0, "accuracy": rater.accuracy}
    cut = 4 * len(records) // 5
    train, rest = (pairs_from(some, weights=weights, tie_margin=0.08).pairs for some in (records[:cut], records[cut:]))
    seen = {reply for pair in train for reply in _replies(pair)}
    write_pairs(folder / f"{name}-pairs.jsonl", train)
    kept = [pair for pair in rest if seen.isdisjoint(_replies(pair))]
    write_pairs(folder / f"{name}-reference.jsonl", kept)


def _replies(pair: PreferencePair) -> set[tuple[str, str]]:
    asked = plain_text(pair.problem.question)
    return {(asked, plain_text(one.text)) for one in (pair.chosen, pair.rejected)}


def draw(stage: Path, problems: Sequence[Problem], settings: Sequence[Sampling], seed: int) -> list[list[Candidate]]:
    """Replies of a stage's policy, one for each setting."""
    quiet_libraries()
    path = policy_of(stage)
    policy = Policy.load(str(path.absolute()), PolicySpec(path=str(path), device="cpu"))
    with reproducible(1, policy.device):
        engine = InProcessEngine(policy, 128)
        return asyncio.run(sample_candidates(engine, policy, problems, settings, seed=seed, name=stage.name))


def train_judge(name: str, seed: int, sizes: Sizes, folder: Path) -> None:
    """One reward model, and what it says of the clinic's doctor and assistant at the held-out visits."""
    home = folder.parent
    knobs = (
        f"seed={seed}", f"folder={folder}/model", "overwrite=true", f"base.path={home}/sft-both/run/sft",
        f"pairs.source={home}/feedback/{name}-pairs.jsonl", f"held_out.source={home}/feedback/{name}-reference.jsonl",
        *sizes.reward,
    )  # fmt: skip
    train_reward(load_reward_recipe(TINY / "reward_model.yaml", knobs), lambda line: None)
    model = loaded(source_of(str(folder / "model"), device="cpu"))
    visits = load_problems(home / "data" / "held_out.jsonl")
    worth = []
    for said in ([str(visit.reference) for visit in visits], [str(visit.metadata["assistant"]) for visit in visits]):
        rows = token_rows(model.tokenizer, [(v, Response(text)) for v, text in zip(visits, said, strict=True)])
        worth.append([one.mean for one in combined(model.raw(rows, 32), model.scales)])
    preferences = [
        {"id": visit.id, "case": case_of(visit), "decidable": visit.metadata["decidable"], "doctor": doctor,
         "assistant": assistant}
        for visit, doctor, assistant in zip(visits, *worth, strict=True)
    ]  # fmt: skip
    write_atomic(folder / "preferences.jsonl", b"".join(map(json_line, preferences)))


def reinforce(name: str, seed: int, sizes: Sizes, folder: Path) -> None:
    """The last stage, or a variant of it."""
    home = folder.parent
    judge, overrides = VARIANTS[name]
    knobs = (
        f"seed={seed}", f"folder={folder}/run", "resume=true", f"policy.path={home}/sft-both/run/sft",
        f"problems.source={home}/data/visits.jsonl", f"reward.then.model={home}/{judge}/model", *overrides, *sizes.rl,
    )  # fmt: skip
    run_recipe(load_recipe(TINY / "ppo.yaml", knobs), RunConsole(quiet=True))


def answer(name: str, seed: int, folder: Path) -> None:
    """Replies of a policy to the held-out visits, sampled as in training and likeliest, one row a reply, judged."""
    visits = load_problems(folder.parent / "data" / "held_out.jsonl")
    settings = [Sampling(temperature=one, max_tokens=ANSWER_TOKENS) for one in (1.0, 0.0)]
    drawn = draw(folder.parent / name, visits, settings, seed_of(seed, "held out") % 2**31)
    rows = []
    for way, replies in zip(("sampled", "greedy"), zip(*drawn, strict=True), strict=True):
        likeness = asyncio.run(doctor_likeness(visits, replies))
        for visit, reply, like in zip(visits, replies, likeness, strict=True):
            found = visit_oracle.judge(visit, reply.text, reply.finish_reason)
            rows.append({
                "policy": name, "way": way, "id": visit.id, "case": case_of(visit), "stage": visit.metadata["stage"],
                "decidable": visit.metadata["decidable"], "text": reply.text, "finish_reason": reply.finish_reason,
                "total": found.total, **found.parts, "asks": bool(found.notes["asks"]),
                "right": bool(found.notes.get("right")), "listed": len(found.notes["listed"]),
                "unsafe": bool(found.notes.get("unsafe")), "doctor_likeness": like,
            })  # fmt: skip
    write_atomic(folder / "answers.jsonl", b"".join(map(json_line, rows)))


def case_of(visit: Problem) -> str:
    """What visits have in common that are not independent: the disease, and the findings told."""
    return "/".join((str(visit.metadata["disease"]), *sorted(visit.metadata["findings"])))


async def doctor_likeness(visits: Sequence[Problem], replies: Sequence[Candidate]) -> list[float | None]:
    """The leaf `doctor_likeness` on each reply; -1 where a drug is given before the questions that it needs."""
    leaf = build({"type": "doctor_likeness", "vocabulary": "clinic"})
    groups = [Group(visit, [reply.response]) for visit, reply in zip(visits, replies, strict=True)]  # type: ignore[list-item]
    return [scores[0].value for scores in await leaf.assess(groups, RewardContext(0))]


def stages(seed: int, sizes: Sizes, ablations: bool) -> list[Stage]:
    """Every stage of one seed, each after those that it reads, with the settings that its result depends on."""
    found: dict[str, Stage] = {}
    given = asdict(sizes)

    def add(name: str, work: Callable[[Path], None], after: Sequence[str], **settings: Any) -> None:
        home = f"seed{seed}"
        found[name] = Stage(f"{home}/{name}", work, {"seed": seed, **settings}, tuple(f"{home}/{one}" for one in after))

    def recipe(name: str) -> dict[str, Any]:
        return read_tree(TINY / f"{name}.yaml", ())

    data = {name: given[name] for name in ("rows", "visits", "held_out", "diseases")}
    add("data", partial(make_data, seed, sizes), (), **data)
    for arm in ("both", "real", "distilled"):
        work = partial(fine_tune, arm, seed, sizes)
        add(f"sft-{arm}", work, ("data",), recipe=recipe("sft"), knobs=given["sft"])
    rated = {"rated": sizes.rated, "replies": sizes.replies, "tokens": ANSWER_TOKENS}
    add("feedback", partial(give_feedback, seed, sizes), ("data", "sft-both"), **rated)
    for name in RATERS:
        reads = ("data", "sft-both", "feedback")
        add(name, partial(train_judge, name, seed, sizes), reads, recipe=recipe("reward_model"), knobs=given["reward"])
    for name in (*MAIN, *(ABLATIONS if ablations else ())):
        judge, overrides = VARIANTS[name]
        reads, knobs = ("data", "sft-both", judge), [*overrides, *sizes.rl]
        add(name, partial(reinforce, name, seed, sizes), reads, recipe=recipe("ppo"), knobs=knobs)
    for name in [one for one in found if one.startswith("sft-") or one in VARIANTS]:
        add(f"answers-{name}", partial(answer, name, seed), ("data", name), tokens=ANSWER_TOKENS)
    return list(found.values())
