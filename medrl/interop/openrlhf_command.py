"""The command line of OpenRLHF's `train_ppo_ray` that does what a recipe says, and what of the recipe it cannot say.

Every knob of the recipe comes out on one of two lists: flags, or notes that name it and say what happens instead. Nothing is
dropped in silence; a knob that this file does not know is a note too. Flags are those of openrlhf 0.11.2; `make test-interop`
holds them against its real parser and its checks of arguments.
"""

import math
import shlex
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from medrl.errors import RecipeError
from medrl.knobs import out_of_range

Via = Literal["agent", "file", "url"]
FAMILY = ("grpo", "dapo", "dr_grpo")  # one loss and one baseline, by other knobs
EVERYTHING = ("-1000000000.0", "1000000000.0")  # a range that only NaN is outside of
DTYPES = {"bfloat16": "bf16", "float16": "fp16"}
SCHEDULES = {"constant": "constant_with_warmup", "linear": "linear", "cosine": "cosine"}  # of transformers
ROOM = 1024  # tokens for the prompt, where nobody says


@dataclass(frozen=True)
class Launch:
    """What a recipe does not say, because medrl has no such thing."""

    model: str | None = None
    """Folder or hub id of the policy to train, where the recipe's is made or fine-tuned by medrl first."""
    gpus: int = 8
    """GPUs of the one machine; models and vLLM engines share them."""
    tensor_parallel: int = 1
    """GPUs for one vLLM engine."""
    max_len: int | None = None
    """Longest prompt and response together, in tokens. Default: the recipe's max_tokens and 1,024 for the prompt."""
    via: Via = "agent"
    """How medrl is attached: `agent`, `file` (a reward file) or `url` (a running `medrl serve`)."""
    url: str | None = None
    """With `url`: where it listens, for example http://127.0.0.1:8000/get_reward."""

    def __post_init__(self) -> None:
        faults = out_of_range(self, above_0=("gpus", "tensor_parallel"))
        if not faults and self.gpus % self.tensor_parallel:
            faults.append(f"tensor_parallel {self.tensor_parallel} does not divide the {self.gpus} GPUs")
        if (self.via == "url") != bool(self.url):
            faults.append("`url` goes with `via: url`; give both or neither")
        if faults:
            raise RecipeError("the launch of OpenRLHF", faults)


@dataclass
class Command:
    """A command line in the making."""

    flags: dict[str, tuple[str, ...]] = field(default_factory=dict)
    notes: dict[str, str] = field(default_factory=dict)
    mapped: set[str] = field(default_factory=set)

    def set(self, flag: str, *values: object, knob: str = "") -> None:
        """Give a flag, and mark the knob that it says."""
        self.flags[flag] = tuple(_text(value) for value in values)
        if knob:
            self.mapped.add(knob)

    def note(self, knob: str, why: str) -> None:
        """Say what becomes of a knob that no flag says."""
        self.notes[knob] = why
        self.mapped.discard(knob)

    def arguments(self) -> list[str]:
        """What follows `python -m openrlhf.cli.train_ppo_ray`."""
        return [word for flag, values in self.flags.items() for word in (f"--{flag}", *values)]

    def shell(self) -> str:
        """The command as a shell reads it, a flag a line."""
        lines = ["python -m openrlhf.cli.train_ppo_ray"]
        lines += [" ".join([f"--{flag}", *map(shlex.quote, values)]) for flag, values in self.flags.items()]
        return " \\\n    ".join(lines) + "\n"


def _text(value: object) -> str:
    """A number as argparse takes it: never -1e9, which it would read as a flag."""
    if isinstance(value, float) and not value.is_integer():
        return f"{value:.12f}".rstrip("0") if abs(value) < 1e-4 else repr(value)
    return str(value)


def command(recipe: Any, launch: Launch, problems: int, folder: str = ".") -> Command:
    """The command line for a recipe.

    Args:
        recipe: A `medrl.recipes.schema.Recipe`.
        launch: What it does not say.
        problems: How many prompts were written to `prompts.jsonl`; sets the number of episodes.
        folder: Where the written files lie.

    Raises:
        RecipeError: It cannot be done with OpenRLHF at all.
    """
    from medrl.recipes.load import read_algorithm  # brings in torch

    algorithm, faults = read_algorithm(recipe.algorithm)
    if algorithm is not None and algorithm.kind not in FAMILY:
        faults = [*faults, f"algorithm: {algorithm.kind!r} has no counterpart here; {', '.join(FAMILY)} have"]
    if launch.model is None and (recipe.policy.path is None or recipe.sft is not None):
        faults = [*faults, "policy: medrl makes or fine-tunes it first; run `medrl run` up to `sft`, and name that folder "
                  "with --model"]  # fmt: skip
    if recipe.environment is not None:
        faults = [
            *faults,
            "environment: the written agent answers in one turn; consultations are trained by `medrl run`",
        ]
    if recipe.teacher is not None:
        faults = [
            *faults,
            "teacher: OpenRLHF's groups are of the policy's own rollouts; leave it out, or use `medrl run`",
        ]
    if faults:
        raise RecipeError("the recipe for OpenRLHF", faults)
    made = Command()
    _model(made, recipe, launch)
    _algorithm(made, recipe, algorithm)
    _amounts(made, recipe, algorithm, problems)
    _sampling(made, recipe, launch)
    _optimization(made, recipe, problems)
    _places(made, recipe, launch, folder)
    for knob in sorted(set(knobs_of(recipe, algorithm)) - made.mapped - set(made.notes)):
        made.note(knob, OTHERWISE.get(knob, "OpenRLHF has no such knob"))
    return made


def knobs_of(recipe: Any, algorithm: Any) -> dict[str, Any]:
    """Every knob of a recipe by its path; those of the algorithm with their defaults; each of WHOLE is one."""
    tree = {**asdict(recipe), "algorithm": asdict(algorithm)}
    return dict(_leaves(tree))


def _leaves(tree: Mapping[str, Any], path: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in tree.items():
        if f"{path}{name}" in WHOLE:
            if value is not None:
                yield f"{path}{name}", value
        elif isinstance(value, Mapping):
            yield from _leaves(value, f"{path}{name}.")
        else:
            yield f"{path}{name}", value


# Sections that are carried out, or written into a file, as they are.
WHOLE = ("reward", "problems", "held_out", "demonstrations", "sft", "policy.new", "cluster", "environment", "teacher")
# Why the rest has no flag.
OTHERWISE = {
    "reward": "it is in reward.yaml, which the written files read",
    "problems": "they are in prompts.jsonl",
    "held_out": "they are in held_out.jsonl",
    "demonstrations": "they are for SFT, which medrl does before",
    "sft": "medrl does it before; --model names its result",
    "name": "it names medrl's run folder only",
    "policy.new": "--model names the policy that medrl made",
    "policy.revision": "OpenRLHF loads the hub's main branch; download the revision and give its folder",
    "policy.trust_remote_code": "OpenRLHF always runs code that comes with a checkpoint; train only what you trust",
    "policy.device": "OpenRLHF trains on GPUs",
    "placement": "OpenRLHF places its models on the GPUs by --*.num_gpus_per_node and --train.colocate_all",
    "cluster": "it is of medrl's placement; OpenRLHF has --vllm.num_engines and --*.num_gpus_per_node of its own",
    "max_staleness": "0 there too without --train.async_enable",
    "max_rows": "vLLM bounds its own batch, by --vllm.gpu_memory_utilization",
    "threads": "it is of medrl's CPU run",
    "policy.chat_format": "the checkpoint's own template is used; medrl writes its format into what it saves",
    "trainer.stop_grace": "OpenRLHF ends at once on Ctrl-C",
    "trainer.peak_tflops": "OpenRLHF logs no share of the peak",
    "trainer.show_machines": "it is of the table that medrl prints",
    "optimization.share_prompts": "OpenRLHF passes a prompt once for each response",
    "optimization.undo_mib": "OpenRLHF does not undo an update that was broken off",
    "trainer.max_unscored": "the agent's `resample` and the dynamic filter take its place, see docs/interop.md",
    "trainer.outage_patience": "OpenRLHF asks no judge again; give the client of the judge more retries",
    "trainer.unscored_alarm": "OpenRLHF drops what has no number; `scored/NAME` in its logs tells how much that is",
    "trainer.unscored_window": "OpenRLHF drops what has no number; `scored/NAME` in its logs tells how much that is",
    "trainer.stop_at_accuracy": "OpenRLHF does not stop by accuracy",
    "trainer.patience": "OpenRLHF does not stop by accuracy",
    "trainer.long_prompts": "OpenRLHF cuts long prompts on the left and warns; keep data.max_len large enough",
    "trainer.log_rollouts": "OpenRLHF does not keep rollouts",
    "optimization.total_updates": "OpenRLHF counts them from prompts, episodes and batch sizes",
    "optimization.microbatch_tokens": "add --train.dynamic_batch_enable and --train.max_tokens_per_gpu where flash "
    "attention is installed; it changes speed and memory only",
    "optimization.logits_mib": "OpenRLHF does not bound them",
    "optimization.last_layers": "OpenRLHF trains all layers",
    "optimization.lora": "its flags for LoRA are not mapped",
    "optimization.critic": "these algorithms have none",
    "algorithm.kl_target": "set --algo.kl.target and --algo.kl.horizon by hand; their KL is of a whole response",
    "algorithm.kl_horizon": "set --algo.kl.target and --algo.kl.horizon by hand; their KL is of a whole response",
    "algorithm.correction": "see --algo.advantage.is_correction_level and its neighbours; not mapped",
    "algorithm.correction_cap": "see --algo.advantage.is_correction_level and its neighbours; not mapped",
    "evaluation.greedy": "OpenRLHF evaluates by samples only",
    "evaluation.limit": "held_out.jsonl has been cut to it",
    "evaluation.max_unscored": "an evaluation with a missing number stops with the reward file, and draws again with "
    "the agent",
}


def _model(made: Command, recipe: Any, launch: Launch) -> None:
    made.set("actor.model_name_or_path", launch.model or recipe.policy.path, knob="policy.path")
    dtype = DTYPES.get(recipe.policy.dtype)
    made.set("ds.param_dtype", dtype or "bf16")
    if dtype:
        made.mapped.add("policy.dtype")
    else:
        made.note("policy.dtype", f"{recipe.policy.dtype} is not offered; bf16, with float32 copies in the optimizer")
    if recipe.policy.attention:
        made.set("ds.attn_implementation", recipe.policy.attention, knob="policy.attention")
    else:
        made.note("policy.attention", "OpenRLHF's default is flash_attention_2")


def _algorithm(made: Command, recipe: Any, algorithm: Any) -> None:
    if algorithm.scale == "none":
        made.set("algo.advantage.estimator", "dr_grpo", knob="algorithm.scale")
    else:
        made.set("algo.advantage.estimator", "group_norm")
        if algorithm.scale == "group":
            made.mapped.add("algorithm.scale")
        else:
            made.note("algorithm.scale", "no estimator divides by the batch's deviation alone; group_norm divides by the "
                      "group's")  # fmt: skip
    high = algorithm.clip if algorithm.clip_high is None else algorithm.clip_high
    made.set("actor.eps_clip_low_high", algorithm.clip, high, knob="algorithm.clip")
    made.mapped.add("algorithm.clip_high")
    made.set("algo.kl.init_coef", algorithm.kl_coef, knob="algorithm.kl_coef")
    made.mapped |= {"algorithm.kl_in", "algorithm.entropy_coef", "algorithm.log_entropy"}
    if algorithm.entropy_coef or algorithm.log_entropy:
        made.set("actor.entropy_coef", algorithm.entropy_coef)
    if algorithm.kl_coef:
        if algorithm.kl_in == "loss":
            made.set("algo.kl.use_loss")
        made.set("algo.kl.estimator", algorithm.kl_estimator, knob="algorithm.kl_estimator")
    else:
        made.note("algorithm.kl_estimator", "without a KL term it says nothing")
    mean = {"sequence": "seq-mean-token-mean", "token": "token-mean"}.get(algorithm.mean)
    made.set("actor.loss_agg_mode", mean or "token-mean")
    if mean:
        made.mapped.add("algorithm.mean")
    else:
        made.note("algorithm.mean", "dividing by the token limit is not offered; token-mean stands in")
    if hasattr(algorithm, "max_rounds"):
        made.note("algorithm.max_rounds", "add --algo.dynamic_filtering_enable; it asks until there are enough")
    made.set("train.max_epochs", algorithm.epochs, knob="algorithm.epochs")
    # Rewards may be anything; OpenRLHF would clip them to (-10, 10) otherwise.
    made.set("reward.clip_range", *EVERYTHING)


def _amounts(made: Command, recipe: Any, algorithm: Any, problems: int) -> None:
    trainer, minibatches = recipe.trainer, algorithm.minibatches
    rollouts = trainer.problems_per_step * trainer.rollouts_per_problem
    made.set("rollout.batch_size", trainer.problems_per_step, knob="trainer.problems_per_step")
    made.set("rollout.n_samples_per_prompt", trainer.rollouts_per_problem, knob="trainer.rollouts_per_problem")
    made.set("train.batch_size", max(1, rollouts // minibatches), knob="algorithm.minibatches")
    if rollouts % minibatches:
        made.note(
            "algorithm.minibatches", f"{minibatches} do not divide {rollouts} rollouts; the batch is rounded down"
        )
    wanted = trainer.steps * trainer.problems_per_step
    episodes = max(1, math.ceil(wanted / max(problems, 1)))
    made.set("train.num_episodes", episodes)
    if wanted <= problems:
        made.set("data.max_samples", wanted, knob="trainer.steps")
    elif wanted % problems:
        steps = episodes * problems // trainer.problems_per_step
        made.note(
            "trainer.steps", f"OpenRLHF counts whole episodes: {episodes} over {problems} prompts, about {steps} steps"
        )
    else:
        made.mapped.add("trainer.steps")
    made.set("eval.steps", trainer.evaluate_every or -1, knob="trainer.evaluate_every")
    made.set("ckpt.save_steps", trainer.save_every or -1, knob="trainer.save_every")
    made.set("ckpt.max_num", trainer.keep_checkpoints, knob="trainer.keep_checkpoints")
    made.set("train.seed", recipe.seed, knob="seed")


def _sampling(made: Command, recipe: Any, launch: Launch) -> None:
    sampling, evaluation = recipe.sampling, recipe.evaluation
    made.set("rollout.temperature", sampling.temperature, knob="sampling.temperature")
    made.set("rollout.top_p", sampling.top_p, knob="sampling.top_p")
    if sampling.top_k:
        made.note("sampling.top_k", "OpenRLHF has no flag for it and draws from all tokens")
    else:
        made.mapped.add("sampling.top_k")  # no limit, as there
    made.set("rollout.max_new_tokens", sampling.max_tokens, knob="sampling.max_tokens")
    made.set("data.max_len", launch.max_len or sampling.max_tokens + ROOM)
    if recipe.held_out is not None:
        made.set("eval.n_samples_per_prompt", evaluation.samples, knob="evaluation.samples")
        made.set("eval.temperature", evaluation.temperature, knob="evaluation.temperature")
        return
    for name in asdict(evaluation):
        made.note(f"evaluation.{name}", "there is no held_out to evaluate on")


def _optimization(made: Command, recipe: Any, problems: int) -> None:
    knobs = recipe.optimization
    made.set("actor.adam.lr", knobs.lr, knob="optimization.lr")
    made.set("actor.adam.betas", *knobs.betas, knob="optimization.betas")
    made.set("actor.adam.weight_decay", knobs.weight_decay, knob="optimization.weight_decay")
    made.set("actor.max_norm", knobs.max_grad_norm, knob="optimization.max_grad_norm")
    made.set("actor.lr_scheduler", SCHEDULES[knobs.schedule], knob="optimization.schedule")
    updates = _updates(made, problems)
    share = min(1.0, knobs.warmup_steps / max(updates, 1))
    made.set("actor.lr_warmup_ratio", round(share, 6), knob="optimization.warmup_steps")
    if knobs.gradient_checkpointing:
        made.set("actor.gradient_checkpointing_enable")
    made.mapped.add("optimization.gradient_checkpointing")
    if knobs.packing == "on":
        made.set("ds.packing_samples", knob="optimization.packing")
    else:
        made.note("optimization.packing", "off, as OpenRLHF's default; add --ds.packing_samples with flash attention")


def _updates(made: Command, problems: int) -> int:
    """Optimizer updates of the whole run, as OpenRLHF counts them (`max_steps`)."""
    flags = {name: float(made.flags[name][0]) for name in (
        "rollout.n_samples_per_prompt", "train.batch_size", "train.num_episodes", "train.max_epochs")}  # fmt: skip
    prompts = min(float(made.flags.get("data.max_samples", ("inf",))[0]), problems)
    each = prompts * flags["rollout.n_samples_per_prompt"] // flags["train.batch_size"]
    return int(each * flags["train.num_episodes"] * flags["train.max_epochs"])


def _places(made: Command, recipe: Any, launch: Launch, folder: str) -> None:
    made.set("data.prompt_dataset", f"{folder}/prompts.jsonl")
    made.set("data.input_key", "input")
    made.set("data.label_key", "label")
    made.set("data.apply_chat_template")
    if recipe.held_out is not None:
        made.set("eval.dataset", f"{folder}/held_out.jsonl")
    if launch.via == "agent":
        made.set("train.agent_func_path", f"{folder}/agent.py")
    elif launch.via == "file":
        made.set("reward.remote_url", f"{folder}/reward_func.py")
    else:
        made.set("reward.remote_url", launch.url or "")
    if launch.via != "agent":  # a group with a missing number has a NaN mean, which is in no range
        made.set("algo.dynamic_filtering_enable")
        made.set("algo.dynamic_filtering_range", *EVERYTHING)
    output = recipe.folder or f"runs/{recipe.name}-openrlhf"
    made.set("ckpt.output_dir", output, knob="folder")
    made.set("ckpt.path", f"{output}/checkpoints")
    made.set("ckpt.save_hf")
    if recipe.resume:
        made.set("ckpt.load_enable")
    made.mapped.add("resume")
    if "tensorboard" in recipe.trackers:
        made.set("logger.tensorboard_dir", f"{output}/tensorboard")
    if "wandb" in recipe.trackers:
        made.note("trackers", "for W&B add --logger.wandb.key yourself; no key is written into a file")
    else:
        made.mapped.add("trackers")
    for name in ("actor.num_gpus_per_node", "ref.num_gpus_per_node"):
        made.set(name, launch.gpus)
    made.set("vllm.num_engines", launch.gpus // launch.tensor_parallel)
    made.set("vllm.tensor_parallel_size", launch.tensor_parallel)
    made.set("vllm.gpu_memory_utilization", 0.5)
    for name in ("train.colocate_all", "vllm.enable_sleep", "ds.enable_sleep"):
        made.set(name)
