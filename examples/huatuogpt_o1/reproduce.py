"""HuatuoGPT-o1 (arXiv 2412.18925), rebuilt from problems to the paper's tables: one command, which goes on where it stopped.

    python examples/huatuogpt_o1/reproduce.py --scale tiny --json OUT                    main path, one seed
    python examples/huatuogpt_o1/reproduce.py --scale tiny --ablations --seeds 3         all rows
    python examples/huatuogpt_o1/reproduce.py --scale tiny --search                      and stages 0 and 1, by a served model
    python examples/huatuogpt_o1/reproduce.py --scale laptop                             check recipes, tell their commands
    python examples/huatuogpt_o1/reproduce.py --scale laptop --run                       and carry them out: hours of GPU time

Main path: SFT on complex chains, then PPO with a critic and the verifier's reward. `--ablations` adds the other
chains of table 2, the other algorithms of table 3, and exact match in place of the verifier. `--search` adds stages 0
and 1 by a language model: a small writer is taught the clinic, `vllm serve` serves it on loopback, and it makes the
problems and the chains of one more SFT policy (search.py). Every policy answers the same held-out problems; each
answer is kept, judged by one and the same verifier, and all figures are computed from those files.
"""

import argparse
import json
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from hashlib import sha256
from importlib.util import find_spec
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE))  # exact_match.py, also where this file is imported

import paper_tables as tables  # noqa: E402
import search  # noqa: E402

from medrl.errors import MedrlError  # noqa: E402
from medrl.recipes.stages import Stage, Stages, minutes  # noqa: E402
from medrl.recipes.tree import read_tree  # noqa: E402

CHAINS = {"response": "none", "simple": "simple", "complex": "complex"}
VERIFIER = {"type": "typed", "format": "auto", "vocabulary": "clinic"}
PLAIN = {"type": "verified", "verifier": VERIFIER, "otherwise": 0.0}  # where there is no thinking part to ask for
EXACT = {
    "type": "levels", "right": 1.0, "wrong": 0.1, "malformed": 0.0, "format": {"type": "format", "preset": "o1"},
    "correct": {"type": "verified", "verifier": "exact_match:exact_match", "otherwise": 0.0},
}  # fmt: skip
ALGORITHMS: Mapping[str, Mapping[str, Any]] = {
    "ppo": {},  # that of rebuild.yaml
    "rloo": {"algorithm": {"type": "rloo", "kl_coef": 0.01, "minibatches": 4}, "optimization.critic": None},
}
# SFT on the rows of a search: long questions and chains, asked about diagnoses alone.
SEARCHED = {"policy.new.context": 512, "sft.max_length": 512, "sampling.max_tokens": 256, "trainer.steps": 0}
SIZES = {
    "lessons": "cases that the writer is taught", "epochs": "passes over its lessons",
    "rows": "multiple-choice cases that stage 0 begins with", "concurrency": "rows under way at once",
    "diseases": "how many diseases the cases are about",
}  # fmt: skip
DPO = {"problems": 600, "responses": 5, "lr": 3.0e-4, "beta": 1.0}


@dataclass(frozen=True)
class Arm:
    """One way from SFT to a policy.

    Attributes:
        name: In the tables.
        chain: Of its demonstrations: response, simple, complex.
        algorithm: ppo, rloo, dpo.
        exact: Exact match in place of the verifier.
    """

    name: str
    chain: str = "complex"
    algorithm: str = "ppo"
    exact: bool = False


MAIN = Arm("complex_ppo")
ABLATIONS = (
    Arm("simple_ppo", chain="simple"), Arm("response_ppo", chain="response"), Arm("complex_rloo", algorithm="rloo"),
    Arm("complex_dpo", algorithm="dpo"), Arm("complex_ppo_exact", exact=True),
)  # fmt: skip


class Rebuild:
    """The stages of one seed.

    Args:
        do: Gives the folder of a stage: `Stages.do`, or what lists them.
        seed: Of everything.
        knobs: Overrides of rebuild.yaml for all of them.
    """

    def __init__(self, do: Callable[[Stage], Path], seed: int, knobs: Sequence[str]) -> None:
        self.do, self.seed, self.knobs = do, seed, knobs

    def stage(self, name: str, work: Callable[[Path], object], made_of: Mapping[str, Any], *after: str) -> Path:
        """The folder of a stage, once it is done."""
        home = f"seed{self.seed}"
        before = tuple(f"{home}/{one}" for one in after)
        return self.do(Stage(f"{home}/{name}", work, {"seed": self.seed, **made_of}, before))

    def settings(self, values: Mapping[str, Any]) -> dict[str, Any]:
        """What SFT and all that follows depends on."""
        given = dict(knob.partition("=")[::2] for knob in self.knobs)
        return {"recipe": read_tree(HERE / "rebuild.yaml", ()), "knobs": given, "stage": dict(values)}

    def recipe(self, values: Mapping[str, Any]) -> Any:
        from medrl.recipes import load_recipe

        # An arm starts from what SFT made, and SFT takes no step of RL.
        others = ("policy.new.", "sft.", "demonstrations.") if "policy.path" in values else ("trainer.steps=",)
        knobs = [knob for knob in self.knobs if not knob.startswith(others)]
        return load_recipe(HERE / "rebuild.yaml", [*search.overrides({"seed": self.seed, **values}), *knobs])

    def run(self, values: Mapping[str, Any], folder: Path) -> None:
        """`medrl run` of a recipe, or the rest of it."""
        from medrl.recipes.run import run_recipe
        from medrl.tracking import RunConsole

        run_recipe(self.recipe({**values, "folder": str(folder / "run"), "resume": True}), RunConsole(quiet=True))

    def sft(self, chain: str) -> Path:
        """Supervised fine-tuning on demonstrations with this chain, and its answers to the held-out problems."""
        values = {"demonstrations.chain": CHAINS[chain], "trainer.steps": 0} | self.reward(chain)

        def work(folder: Path) -> None:
            self.run(values, folder)
            self.keep_answers(folder)

        return self.stage(f"sft_{chain}", work, self.settings(values))

    def listed(self, arms: Sequence[Arm], size: search.Size | None) -> list[Stage]:
        """The stages of these arms and of a search. That of SFT on its rows is not among them: it depends on the rows."""
        found: dict[str, Stage] = {}

        def note(stage: Stage) -> Path:
            return Path(found.setdefault(stage.name, stage).name)

        listing = Rebuild(note, self.seed, self.knobs)
        for arm in arms:
            listing.arm(arm)
        if size is not None:
            search.Search(listing.stage, self.seed, size).rows()
        return list(found.values())

    def searched(self, size: search.Size) -> tuple[Path, dict[str, Any]]:
        """SFT on rows that a served writer made: the answers of that policy, and what is to be told of the rows."""
        made = search.Search(self.stage, self.seed, size)
        rows = made.rows() / "reasoning" / "rows.jsonl"

        def work(folder: Path) -> None:
            self.run({**SEARCHED, "demonstrations": {"source": str(rows)}}, folder)
            self.keep_answers(folder)

        # What a server replies depends on more than its settings, so rows that were made again count as others.
        made_of = {**self.settings(SEARCHED), "rows": sha256(rows.read_bytes()).hexdigest()}
        return self.stage("sft_search", work, made_of, "search_rows") / "answers.jsonl", made.figures()

    def reward(self, chain: str, exact: bool = False) -> dict[str, Any]:
        return {"reward": PLAIN} if chain == "response" else {"reward": EXACT} if exact else {}

    def arm(self, arm: Arm) -> Path:
        """The policy of an arm and its answers."""
        policy = self.sft(arm.chain) / "run" / "sft"
        start = {"policy.path": str(policy), "policy.new": None, "sft": None, "demonstrations": None}

        def work(folder: Path) -> None:
            if arm.algorithm == "dpo":
                self.dpo(policy, start, folder)
                return
            self.run({**start, **how}, folder)
            self.keep_answers(folder)

        how = {"dpo": DPO} if arm.algorithm == "dpo" else ALGORITHMS[arm.algorithm] | self.reward(arm.chain, arm.exact)
        return self.stage(arm.name, work, how, f"sft_{arm.chain}")

    def keep_answers(self, folder: Path) -> None:
        """The last evaluation's answers of a run, judged by the one verifier."""
        from medrl.tracking import RunFolder

        run = RunFolder(folder / "run")
        traces = run.read_rollouts(run.rollout_steps("held_out")[-1], "held_out")
        write_answers([trace.group for trace in traces], folder / "answers.jsonl")

    def dpo(self, start: Path, knobs: Mapping[str, Any], folder: Path) -> None:
        """Offline: responses of the SFT policy, right against wrong of the same problem, and DPO on these pairs."""
        from medrl.data.feedback import Candidate
        from medrl.data.preferences import PreferencePair
        from medrl.models import Policy
        from medrl.recipes.evaluate import evaluate_policy
        from medrl.recipes.process import reproducible
        from medrl.tracking import RunConsole
        from medrl.trainers.dpo import DPOSettings, prefer

        recipe, console = self.recipe(knobs), RunConsole(quiet=True)
        policy = Policy.load(str(start))
        # Sampling is evaluation on the training problems: same engine, same judge.
        source = replace(recipe.problems, count=min(DPO["problems"], recipe.problems.count))
        asked = replace(
            recipe, held_out=source, problems=replace(recipe.problems, seed=recipe.problems.seed + 1),
            evaluation=replace(recipe.evaluation, samples=DPO["responses"]),
        )  # fmt: skip
        _, scored = evaluate_policy(asked, policy, console)
        pairs = []
        for group in scored:
            judged = judge([group.group])[0]
            sides = [
                [r for r, v in zip(group.group.rollouts, judged, strict=True) if v == value] for value in (1.0, 0.0)
            ]
            for number, (right, wrong) in enumerate(zip(*sides, strict=False)):
                chosen, rejected = (Candidate(r.text, "policy", finish_reason=r.finish_reason) for r in (right, wrong))
                pairs.append(
                    PreferencePair(f"{group.group.problem.id}-{number}", group.group.problem, chosen, rejected)
                )
        print(f"#   {len(pairs)} pairs of {len(scored)} problems", flush=True)
        settings = DPOSettings(
            epochs=1, lr=DPO["lr"], beta=DPO["beta"], batch_size=32, microbatch_size=16, max_length=256
        )
        with reproducible(recipe.threads, policy.device):
            prefer(policy, pairs, settings, seed=self.seed)
        _, held_out = evaluate_policy(recipe, policy, console)
        write_answers([group.group for group in held_out], folder / "answers.jsonl")


def judge(groups: Sequence[Any]) -> list[list[float | None]]:
    """What the one verifier says of every response: 1, 0, or None where it failed."""
    from medrl import rewards
    from medrl.rewards import RewardContext
    from medrl.verifiers import run_sync

    scores = run_sync(rewards.build(PLAIN).score(groups, RewardContext()))
    return [[score.value for score in group] for group in scores]


def write_answers(groups: Sequence[Any], path: Path) -> None:
    """Every answer with its verdict, a line each."""
    from medrl.files import json_line, write_atomic

    rows = [
        {
            "problem": group.problem.id, "topic": group.problem.metadata["topic"], "sample": number, "correct": value,
            "tokens": response.token_count, "finish_reason": response.finish_reason, "text": response.text,
        }
        for group, values in zip(groups, judge(groups), strict=True)
        for number, (response, value) in enumerate(zip(group.rollouts, values, strict=True))
    ]  # fmt: skip
    write_atomic(path, b"".join(map(json_line, rows)))


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--scale", choices=["tiny", "laptop", "paper"], default="tiny", help="larger ones tell their commands first"
    )
    parser.add_argument(
        "--run", action="store_true", help="of a larger scale: carry its commands out, or what is left of them"
    )
    parser.add_argument("--ablations", action="store_true", help="all rows of the tables")
    parser.add_argument("--seeds", type=int, default=1, help="how many, from 0 on")
    parser.add_argument("--search", action="store_true", help="stages 0 and 1 too, by a model that vLLM serves")
    for knob, what in SIZES.items():
        default = getattr(search.Size(), knob)
        parser.add_argument(
            f"--search-{knob}", type=type(default), metavar="N", help=f"of the search: {what}; default {default:g}"
        )
    parser.add_argument("--folder", type=Path, help="what is made; goes on. Default below runs/")
    parser.add_argument("--json", type=Path, help="also write the figures here")
    parser.add_argument(
        "knobs", nargs="*", metavar="KNOB=VALUE", help="of rebuild.yaml; of larger scales STEP:KNOB=VALUE"
    )
    options = parser.parse_args(arguments)
    if options.seeds < 1:
        parser.error(f"--seeds is {options.seeds}; one at least is needed")
    if options.search and find_spec("vllm") is None:
        parser.error(
            "--search serves a model by vLLM, which is not installed; `medrl doctor` says what this machine can run"
        )
    if not options.search and any(
        value is not None for name, value in vars(options).items() if name.startswith("search_")
    ):
        parser.error("--search-... are sizes of --search, which is not asked for")
    if options.run and options.scale == "tiny":
        parser.error("--run is of the larger scales, which only tell their commands without it; tiny runs at once")
    if options.scale != "tiny":
        of_tiny = [f"--{name}" for name in ("ablations", "seeds", "search", "json")
                   if getattr(options, name) != parser.get_default(name)]  # fmt: skip
        if of_tiny:
            parser.error(f"{', '.join(of_tiny)}: of --scale tiny alone; --scale {options.scale} takes STEP:KNOB=VALUE")
        import larger

        root = options.folder or Path("runs/huatuogpt_o1") / options.scale
        return larger.reproduce(options.scale, root, options.run, options.knobs)
    os.environ.setdefault("HF_HUB_OFFLINE", "1")  # before it is imported: tiny makes all it needs
    options.folder = options.folder or Path("runs/huatuogpt-o1-rebuild")
    from medrl.files import write_atomic
    from medrl.recipes.process import quiet_libraries

    quiet_libraries()
    stages, arms = Stages(options.folder), [MAIN, *(ABLATIONS if options.ablations else ())]
    size = search.size_of(options) if options.search else None
    rebuilds = [Rebuild(stages.do, seed, options.knobs) for seed in range(options.seeds)]
    stages.check([stage for rebuild in rebuilds for stage in rebuild.listed(arms, size)])
    answers: dict[str, dict[int, Path]] = {}
    searches: list[dict[str, Any]] = []
    for seed, rebuild in enumerate(rebuilds):
        for arm in arms:
            answers.setdefault(f"sft_{arm.chain}", {})[seed] = rebuild.sft(arm.chain) / "answers.jsonl"
            answers.setdefault(arm.name, {})[seed] = rebuild.arm(arm) / "answers.jsonl"
        if size is not None:
            answers.setdefault("sft_search", {})[seed], found = rebuild.searched(size)
            searches.append(found)
    figures = tables.figures(answers)
    main_path = [stages.marks[stage.name] for rebuild in rebuilds for stage in rebuild.listed([MAIN], None)]
    report = {
        "minutes": minutes(main_path) / options.seeds, "at_least": any(mark.resumed for mark in main_path),
        "seeds": options.seeds, **figures, "searches": searches,
    }  # fmt: skip
    print(tables.page(report), *map(search.page, searches), sep="\n")
    write_atomic(options.folder / "report.json", json.dumps(report, indent=1) + "\n")
    if options.json:
        write_atomic(options.json, json.dumps(report, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except MedrlError as error:
        sys.exit(f"error: {error}")
