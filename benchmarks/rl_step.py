"""How fast is one GRPO step: medrl's `Trainer` beside TRL's `GRPOTrainer`, on the CPU.

    python benchmarks/rl_step.py [--engine transformers|vllm] [--size 1M|10M|50M] [--prompt N] [--rounds N] [--json FILE]

A step is all of it: sample 8 rollouts of each of 8 prompts, decode and score them, take advantages, one forward and
backward pass over all 64, one AdamW step. Both sides get copies of one Qwen2-type model (fp32), the same prompts, the same
limit of 128 tokens, the same reward and the same cores.

Lengths are as a trained model makes them: they vary, and their mean is under half of the limit. The weights are
arranged so that a response ends at any token with the same small probability, hence lengths are geometric; the means of
both sides are printed and must agree. Every rollout has an advantage, so that neither side can skip any. The learning
rate is 1e-7, so that the model stays as it is.

`--engine transformers`: all in one process with `--threads` threads on both sides. A round is one step of TRL, one step of
medrl and the floor of that step, in turn; the first rounds warm up and do not count. The ratio is the median over the
rounds of TRL's seconds divided by medrl's in the same round.

`--engine vllm`: medrl is a run with `placement: ray`, one vLLM engine and one DeepSpeed rank with a thread each, that samples
`--staleness` versions ahead (1; 0 takes turns); TRL gets as many threads, 2, in one process. Steps that overlap cannot take
turns with anybody: TRL takes half of its rounds, medrl all of its, then TRL the other half. The ratio is that of the medians.

What else runs on the machine disturbs both; on a loaded machine take more rounds.

TRL's settings (`peer_settings`) are the fastest that were found on two cores: one generation batch of all 64, the loss
over `PEER_ROWS` rows at a time (8 to 32 are alike, 64 is slower), no KL term and so no reference model, no bf16
(emulated on most CPUs), no gradient checkpointing (its default is on), no logging, saving or progress bar, no worker
processes for data. Its static cache is no faster here and its continuous batching six times slower.

The floor is what the model's own arithmetic takes for the same lengths, with nothing around it (`bare_decode`,
`bare_update`), on all threads: each distinct prompt is read once, rows are sorted by length in advance so that a finished row
leaves the batch at no cost, the next token is an argmax; then one forward and backward pass over the same tokens, prompts
once where that is faster, and no optimizer. "Share of the floor" is the floor's time over a side's time.

Not measured: GPUs, large models, slow rewards.
"""

import argparse
import copy
import os
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from common import fail, machine, print_machine, print_table, write_json

PROBLEMS, SAMPLES, LIMIT, MEAN = 8, 8, 128, 50  # the mean is of lengths without the limit
BATCH = PROBLEMS * SAMPLES
PEER_ROWS = 16
LR = 1e-7
SHAPES: dict[str, dict[str, int]] = {
    "1M": {},
    "10M": {"hidden_size": 384, "heads": 6, "key_value_heads": 2, "layers": 6, "intermediate_size": 1152},
    "50M": {"hidden_size": 768, "heads": 12, "key_value_heads": 4, "layers": 7, "intermediate_size": 2304},
}
INSTRUCTION = (
    "\nThink first, then answer. Write your thoughts under the header Thinking and the answer under Final Response."
)


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--engine", choices=("transformers", "vllm"), default="transformers", help="what samples")
    parser.add_argument("--size", choices=SHAPES, default="1M", help="parameters of the model")
    parser.add_argument("--prompt", type=int, default=0, help="tokens that a prompt has at least; 0 for about 66")
    parser.add_argument("--staleness", type=int, default=1, help="with vllm: versions that sampling may be ahead by")
    parser.add_argument("--rounds", type=int, default=12, help="rounds that count")
    parser.add_argument("--warmup", type=int, default=2, help="rounds before them")
    parser.add_argument("--threads", type=int, help="torch threads of both sides; 1, and 2 with vllm")
    parser.add_argument("--json", type=Path, help="also write the figures here")
    return parser.parse_args()


@dataclass
class Side:
    """One side's rounds.

    Attributes:
        seconds: Per round.
        lengths: Response lengths per round, as its reward function saw them.
    """

    name: str
    seconds: list[float] = field(default_factory=list)
    lengths: list[list[int]] = field(default_factory=lambda: [[]])

    def end_round(self, seconds: float) -> None:
        self.seconds.append(seconds)
        self.lengths.append([])

    def forget(self, rounds: int) -> None:
        """Leave out the rounds that warmed up, and the empty one that `end_round` began."""
        del self.seconds[:rounds], self.lengths[:rounds], self.lengths[-1:]

    @property
    def median(self) -> float:
        return statistics.median(self.seconds)

    @property
    def mean_length(self) -> float:
        return statistics.mean(n for lengths in self.lengths for n in lengths)

    @property
    def tokens_per_second(self) -> float:
        """The median over rounds; rounds differ in tokens."""
        return statistics.median(sum(n) / s for n, s in zip(self.lengths, self.seconds, strict=True))


def worth(text: str) -> float:
    """The reward of both sides: share of letters that are vowels. It differs between nearly all responses."""
    return sum(c in "aeiou" for c in text) / max(len(text), 1)


def make_work(shape: dict[str, int], tokens: int) -> tuple[Any, list[Any]]:
    """A model whose responses have lengths of `MEAN` in the mean, were there no limit, and what it is asked.

    Questions are the clinic's, with other patients' notes before each until a prompt has so many tokens.
    """
    from medrl.data.clinic import generate_problems
    from medrl.models import ModelShape, Policy
    from medrl.types import ask

    drawn = generate_problems(split="train", count=400, languages=("en",))
    texts = [p.question + INSTRUCTION for p in drawn]
    policy = Policy.new(texts, ModelShape(vocab_size=1536, context=768, **shape))
    problems = []
    for index, problem in enumerate(drawn):
        asked, other = type(problem)(problem.id, ask(texts[index])), index
        while len(policy.prompt_ids(asked)) < tokens:
            other = (other + 1) % len(drawn)
            asked = type(problem)(problem.id, ask(f"{drawn[other].question}\n\n{asked.question}"))
        problems.append(asked)
    arrange_ending(policy, [policy.prompt_ids(p) for p in problems[:64]])
    return policy, problems


def arrange_ending(policy: Any, prompts: Sequence[Sequence[int]]) -> None:
    """Set weights so that the model ends a response with probability 1 / MEAN at every token.

    The last layer's value bias adds one and the same vector to every hidden state (attention weights add up to one);
    the embedding of EOS points along it, as far as `prompts` need for the wanted probability.
    """
    import torch

    model, (eos,) = policy.model.eval(), policy.stop_ids
    with torch.no_grad():
        attention = model.model.layers[-1].self_attn
        attention.v_proj.bias.normal_(0.0, 1.0, generator=torch.Generator().manual_seed(0))
        heads = attention.v_proj.bias.view(-1, attention.head_dim).repeat_interleave(attention.num_key_value_groups, 0)
        push_D = attention.o_proj(heads.reshape(-1))
        attention.v_proj.bias.mul_(4.0 / push_D.norm())
        model.lm_head.weight[eos] = push_D / push_D.norm()
        hidden_ND = torch.cat([model.model(torch.tensor([ids])).last_hidden_state[0] for ids in prompts])
        logits_NV = model.lm_head(hidden_ND)
        along_N = logits_NV[:, eos].clone()
        logits_NV[:, eos] = -torch.inf
        others_N = logits_NV.logsumexp(-1)
        low, high = 0.0, 10.0
        for _ in range(50):
            middle = (low + high) / 2
            ends = torch.sigmoid(middle * along_N - others_N).mean().item()
            low, high = (middle, high) if ends < 1 / MEAN else (low, middle)
        model.lm_head.weight[eos] *= low


def on_ray(policy: Any, folder: str) -> Any:
    """`placement: ray`: one vLLM engine and one DeepSpeed rank, a core each, that read the policy from a folder."""
    from medrl.algorithms import GRPO
    from medrl.cluster.ray_placement import RayPlacement
    from medrl.cluster.settings import ClusterSettings
    from medrl.engines.vllm_settings import EngineSettings
    from medrl.learners import Optimization
    from medrl.models import PolicySpec

    # Ray's own is 15, which loses against whatever else runs, and TRL's is 0.
    os.environ["RAY_worker_niceness"] = "0"  # noqa: SIM112
    policy.save(folder)
    settings = ClusterSettings(engine=EngineSettings(max_num_seqs=BATCH))
    optimization = Optimization(lr=LR)
    return RayPlacement(
        policy, PolicySpec(path=folder), optimization, settings, reference="ref_logprobs" in GRPO().needs
    )


class Ends:
    """A tracker that keeps when each step ended."""

    def __init__(self) -> None:
        self.seconds: list[float] = []
        self.lengths: list[float] = []

    def log(self, step: int, metrics: Mapping[str, float], *, phase: str = "rl") -> None:
        if phase == "rl":
            self.seconds.append(time.perf_counter())
            self.lengths.append(metrics["length"])

    def close(self) -> None:
        pass


def make_ours(policy: Any, problems: Sequence[Any], side: Side, **placed: Any) -> Any:
    """medrl's trainer, with its defaults where nothing is said."""
    from medrl.algorithms import GRPO
    from medrl.engines import Sampling
    from medrl.learners import Optimization
    from medrl.rewards import reward
    from medrl.trainers.rl import Trainer
    from medrl.trainers.settings import TrainerSettings
    from medrl.types import Problem, Response

    @reward("vowels")
    def vowels(problem: Problem, response: Response) -> float:
        side.lengths[-1].append(response.token_count or 0)
        return worth(response.text)

    return Trainer(
        policy,
        problems,
        vowels,
        GRPO(),
        settings=TrainerSettings(problems_per_step=PROBLEMS, rollouts_per_problem=SAMPLES),
        sampling=Sampling(max_tokens=LIMIT),
        optimization=Optimization(lr=LR),
        **placed,
    )


def peer_settings(folder: str, steps: int) -> dict[str, Any]:
    """Settings of `GRPOConfig`."""
    return {
        "output_dir": folder,
        "max_steps": steps,
        "use_cpu": True,
        "bf16": False,  # its default is True; emulated, hence slower
        "gradient_checkpointing": False,  # its default is True; computes the forward pass twice
        "num_generations": SAMPLES,
        "max_completion_length": LIMIT,
        "per_device_train_batch_size": PEER_ROWS,
        "gradient_accumulation_steps": BATCH // PEER_ROWS,  # one optimizer step for all rollouts
        # steps_per_generation is gradient_accumulation_steps when not given: all rollouts are generated in one batch
        "num_iterations": 1,
        "beta": 0.0,
        "loss_type": "grpo",
        "temperature": 1.0,
        "learning_rate": LR,
        "lr_scheduler_type": "constant",
        "max_grad_norm": 1.0,
        "optim": "adamw_torch_fused",
        "disable_tqdm": True,
        "report_to": "none",
        "logging_strategy": "no",
        "save_strategy": "no",
        "log_completions": False,
        "dataloader_num_workers": 0,
        "dataloader_pin_memory": False,
    }


def train_peer(policy: Any, problems: Sequence[Any], side: Side, rounds: int, after: Callable[[int], None]) -> None:
    """TRL's trainer runs; `after(step)` runs after each of its steps and does not count."""
    from datasets import Dataset
    from transformers import PrinterCallback, TrainerCallback
    from trl import GRPOConfig, GRPOTrainer

    class Turns(TrainerCallback):
        """Times TRL from the end of what came between to the end of its own step, data loading included."""

        started, steps = 0.0, 0

        def on_train_begin(self, *_: Any, **__: Any) -> None:
            self.started = time.perf_counter()

        def on_step_end(self, *_: Any, **__: Any) -> None:
            self.steps += 1
            side.end_round(time.perf_counter() - self.started)
            after(self.steps)
            self.started = time.perf_counter()

    def vowels(completions: list[Any], completion_ids: list[list[int]], **_: Any) -> list[float | None]:
        side.lengths[-1].extend(map(len, completion_ids))
        return [worth(completion[0]["content"]) for completion in completions]

    with TemporaryDirectory() as folder:
        trainer = GRPOTrainer(
            model=copy.deepcopy(policy.model),
            reward_funcs=vowels,
            args=GRPOConfig(**peer_settings(folder, rounds)),
            train_dataset=Dataset.from_list([{"prompt": [dict(m) for m in p.messages]} for p in problems]),
            processing_class=policy.tokenizer,
            callbacks=[Turns()],
        )
        trainer.remove_callback(PrinterCallback)
        trainer.train()


Floors = list[tuple[float, float]]


def in_turns(policy: Any, problems: Sequence[Any], sides: tuple[Side, Side], options: argparse.Namespace) -> Floors:
    """A step of TRL, a step of medrl in this process and the floor of that step, again and again.

    Returns:
        The floor's seconds of decoding and of updating in each round.
    """
    medrl, peer = sides
    own, floors = copy.deepcopy(policy), Floors()
    ours = make_ours(own, problems, medrl)

    def after(_: int) -> None:
        started = time.perf_counter()
        ours.fit(ours.step + 1)
        lengths = medrl.lengths[-1]
        medrl.end_round(time.perf_counter() - started)
        floors.append(floor(policy, problems, lengths))

    train_peer(policy, problems, peer, options.warmup + options.rounds, after)
    for side in sides:
        side.forget(options.warmup)
    return floors[options.warmup :]


def in_halves(policy: Any, problems: Sequence[Any], sides: tuple[Side, Side], options: argparse.Namespace) -> Floors:
    """Half of TRL's steps, all of medrl's on Ray, the floors of some of them, and the other half of TRL's."""
    medrl, peer = sides
    floors, ends = Floors(), Ends()

    def after(step: int) -> None:
        if step != options.warmup + options.rounds // 2:
            return
        with TemporaryDirectory(prefix="medrl-step-") as folder:
            placement = on_ray(
                copy.deepcopy(policy), folder
            )  # begun and ended here: nothing of it is beside TRL's steps
            try:
                trainer = make_ours(
                    policy, problems, medrl, placement=placement, trackers=[ends], max_staleness=options.staleness
                )
                trainer.fit(options.warmup + options.rounds + 1)  # beside the last step nothing is sampled
            finally:
                placement.close()
        medrl.lengths = [medrl.lengths[0][i : i + BATCH] for i in range(0, len(medrl.lengths[0]), BATCH)]
        floors.extend(floor(policy, problems, lengths) for lengths in medrl.lengths[-3:])

    train_peer(policy, problems, peer, options.warmup + options.rounds, after)
    peer.forget(options.warmup)
    medrl.seconds = [b - a for a, b in zip(ends.seconds, ends.seconds[1:], strict=False)][options.warmup - 1 : -1]
    medrl.lengths = medrl.lengths[options.warmup : options.warmup + options.rounds]
    return floors


def floor(policy: Any, problems: Sequence[Any], lengths: Sequence[int]) -> tuple[float, float]:
    """Seconds of bare decoding and updating after prompts of the problems' mean length."""
    prompt = round(statistics.mean(len(policy.prompt_ids(p)) for p in problems))
    return bare_decode(policy.model, prompt, lengths), bare_update(policy.model, prompt, lengths)


def bare_decode(model: Any, prompt: int, lengths: Sequence[int]) -> float:
    """Seconds of the model's forward passes alone that write responses of these lengths after prompts of one length."""
    import torch
    from transformers.cache_utils import Cache, DynamicLayer

    class Rows(DynamicLayer):
        """Room for everything in advance; shows the rows that are still being written, which come first."""

        def __init__(self) -> None:
            super().__init__()  # type: ignore[no-untyped-call]
            self.used = 0

        def update(self, key_states: Any, value_states: Any, *_: Any, **__: Any) -> Any:
            rows, heads, new, size = key_states.shape
            if not self.is_initialized:
                self.room = torch.empty(2, len(lengths), heads, prompt + LIMIT, size)
                self.is_initialized = True
                key_states, value_states = (x.repeat_interleave(SAMPLES, 0) for x in (key_states, value_states))
            start, self.used = self.used, self.used + new
            self.room[0, : len(key_states), :, start : self.used] = key_states
            self.room[1, : len(key_states), :, start : self.used] = value_states
            self.keys, self.values = self.room[:, :rows, :, : self.used]
            return self.keys, self.values

        def get_seq_length(self) -> int:
            return self.used

    order = sorted(lengths, reverse=True)
    started = time.perf_counter()
    with torch.no_grad():
        cache = Cache(layers=[Rows() for _ in range(model.config.num_hidden_layers)])
        prompts_PT = torch.randint(5, model.config.vocab_size, (PROBLEMS, prompt))
        logits = model(input_ids=prompts_PT, past_key_values=cache, logits_to_keep=1).logits
        token_B = logits[:, -1].argmax(-1).repeat_interleave(SAMPLES)
        for step in range(1, order[0]):
            going = sum(n > step for n in order)
            logits = model(input_ids=token_B[:going, None], past_key_values=cache, use_cache=True).logits
            token_B = logits[:, -1].argmax(-1)
    return time.perf_counter() - started


def bare_update(model: Any, prompt: int, lengths: Sequence[int]) -> float:
    """Seconds of one forward and backward pass over as many tokens: rows of similar length together, or groups as trees."""
    import torch

    from medrl.algorithms import Batch
    from medrl.learners.logprobs import trained_states
    from medrl.learners.microbatches import bundles, microbatches
    from medrl.learners.trees import planted

    written_B = torch.tensor(lengths)
    tokens_BT = torch.randint(5, model.config.vocab_size, (len(lengths), prompt + max(lengths)))
    tokens_BT[:, :prompt] = tokens_BT[::SAMPLES, :prompt].repeat_interleave(SAMPLES, 0)
    place_T = torch.arange(tokens_BT.shape[1])
    mask_BT = (place_T >= prompt) & (place_T < prompt + written_B[:, None])
    begins_B = torch.full_like(written_B, prompt)
    batch = Batch(tokens_BT, begins_B + written_B, begins_B, mask_BT, torch.zeros(len(lengths)), SAMPLES, LIMIT)
    budget = 2048 * torch.get_num_threads()
    started = time.perf_counter()
    rows = list(range(len(lengths)))
    batch = planted(batch, rows, model.config.hidden_size, budget)
    for some in microbatches(bundles(batch, rows), budget):
        part = batch.rows(some)
        logits_NV = model.lm_head(trained_states(model.model, part))
        torch.nn.functional.cross_entropy(logits_NV, part.tokens_BT[part.loss_mask_BT]).backward()
    seconds = time.perf_counter() - started
    model.zero_grad(set_to_none=True)
    return seconds


def measure(options: argparse.Namespace) -> dict[str, Any]:
    import torch
    import transformers

    on_cluster = options.engine == "vllm"
    torch.set_num_threads(options.threads or (2 if on_cluster else 1))
    transformers.logging.set_verbosity_error()
    policy, problems = make_work(SHAPES[options.size], options.prompt)
    about = machine()
    medrl, peer = sides = (Side("medrl"), Side(f"trl {about['trl']} GRPOTrainer"))
    floors = (in_halves if on_cluster else in_turns)(policy, problems, sides, options)
    for side in sides:
        if any(len(lengths) != BATCH for lengths in side.lengths) or len(side.seconds) != options.rounds:
            fail(f"{side.name} did not make {BATCH} rollouts in each of {options.rounds} rounds")
    # Lengths of two samples from one model: their means differ by four standard errors in one run of 16,000.
    spread = statistics.stdev(n for lengths in medrl.lengths for n in lengths)
    if abs(medrl.mean_length - peer.mean_length) > 4 * spread * (2 / (options.rounds * BATCH)) ** 0.5:
        fail(f"mean lengths differ, {medrl.mean_length:.1f} and {peer.mean_length:.1f}: the work was not the same")
    ratios = [theirs / mine for mine, theirs in zip(medrl.seconds, peer.seconds, strict=True)]
    decode, update = (statistics.median(parts) for parts in zip(*floors, strict=True))
    prompt = round(statistics.mean(len(policy.prompt_ids(p)) for p in problems))
    return {
        "samples_per_second": BATCH / medrl.median,
        "peer_samples_per_second": BATCH / peer.median,
        "ratio": peer.median / medrl.median if on_cluster else statistics.median(ratios),
        "ratio_lowest": min(ratios),
        "ratio_highest": max(ratios),
        "peer": peer.name,
        "engine": options.engine,
        "staleness": options.staleness if on_cluster else 0,
        "rounds": options.rounds,
        "seconds_per_step": medrl.median,
        "peer_seconds_per_step": peer.median,
        "tokens_per_second": medrl.tokens_per_second,
        "peer_tokens_per_second": peer.tokens_per_second,
        "mean_length": medrl.mean_length,
        "peer_mean_length": peer.mean_length,
        "prompt_length": prompt,
        "parameters": policy.parameters,
        "floor_decode_seconds": decode,
        "floor_update_seconds": update,
        "floor_share": (decode + update) / medrl.median,
        "peer_floor_share": (decode + update) / peer.median,
        **about,
    }


def report(figures: dict[str, Any]) -> None:
    print_machine({name: figures[name] for name in machine()})
    print(
        f"{figures['parameters']:,} parameters, {PROBLEMS} prompts of about {figures['prompt_length']} tokens x {SAMPLES} "
        f"rollouts of at most {LIMIT} tokens, {figures['rounds']} rounds, {figures['engine']}, k = {figures['staleness']}\n"
    )
    rows = [
        [
            name,
            f"{figures[key + 'seconds_per_step']:.3f}",
            f"{figures[key + 'samples_per_second']:.1f}",
            f"{figures[key + 'tokens_per_second']:.0f}",
            f"{figures[key + 'mean_length']:.1f}",
            f"{figures[key + 'floor_share']:.0%}",
        ]
        for name, key in (("medrl", ""), (figures["peer"], "peer_"))
    ]
    floors = figures["floor_decode_seconds"], figures["floor_update_seconds"]
    rows.append(["floor", f"{sum(floors):.3f}", f"{BATCH / sum(floors):.1f}", "", "", "100%"])
    print_table(["side", "s/step", "samples/s", "tokens/s", "mean length", "share of the floor"], rows)
    print(f"\nfloor: {floors[0]:.3f} s decoding + {floors[1]:.3f} s forward and backward")
    print(
        f"ratio: {figures['ratio']:.2f} (median of the rounds; {figures['ratio_lowest']:.2f} to "
        f"{figures['ratio_highest']:.2f})"
    )


def main() -> None:
    options = arguments()
    if min(options.rounds, options.warmup, options.threads or 1) < 1 or options.staleness < 0:
        fail("--rounds, --warmup and --threads must be at least 1, and --staleness at least 0")
    figures = measure(options)
    report(figures)
    write_json(options.json, figures)


if __name__ == "__main__":
    main()
