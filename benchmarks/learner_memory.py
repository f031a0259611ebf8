"""How much memory the learner's step takes with a vocabulary of 151,936 tokens: medrl, full logits, and TRL, on the CPU.

    python benchmarks/learner_memory.py [--peer-rows N] [--threads N] [--json FILE]

The same GRPO update is made three times, each in a process of its own, over the same model (Qwen2 type, 2 layers of
width 64, tied embeddings, fp32), the same 24 rows of 32 prompt and 128 response tokens, and the same rewards:

    medrl        `TorchLearner.update` with its default settings
    full logits  the same learner and loss the plain way: all rows at once, `model(...).logits` of the responses,
                 `log_softmax`, `gather`
    trl          a step of TRL's `GRPOTrainer`, which makes logits in tiles too; a `rollout_func` returns the same
                 responses instead of generating. The loss goes over its default of 8 rows at a time; fewer take less
                 memory and more time, as smaller `microbatch_tokens` and `logits_mib` do in medrl

Protocol, alike for all three: first a whole step, so that AdamW's two moments exist and lazy set-up is done; then free
memory goes back to the system, and resident memory is read and its high-water mark (VmHWM of /proc/self/status) reset;
then the step that counts. The figure is its high-water mark less what was resident before. Weights and moments are thus
in nobody's figure; gradients (freed after every step), activations and temporaries are in everybody's.

Not measured: GPUs, sampling, speed.
"""

import argparse
import ctypes
import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from common import fail, machine, print_machine, print_table, write_json

VOCABULARY, GROUPS, SAMPLES, PROMPT, WRITTEN = 151_936, 3, 8, 32, 128
PEER_ROWS = 8
VARIANTS = ("medrl", "full", "trl")
LR = 1e-6


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=1, help="torch threads of every variant")
    parser.add_argument("--peer-rows", type=int, default=PEER_ROWS, help="TRL's per_device_train_batch_size")
    parser.add_argument("--json", type=Path, help="also write the figures here")
    parser.add_argument("--variant", choices=VARIANTS, help=argparse.SUPPRESS)  # what a child process measures
    return parser.parse_args()


class Peak:
    """The peak of this process's resident memory between `start` and `stop`, above what it was at `start`."""

    def start(self) -> None:
        ctypes.CDLL("libc.so.6").malloc_trim(0)
        Path("/proc/self/clear_refs").write_text("5", encoding="ascii")  # sets VmHWM to VmRSS
        self.before = self.status("VmRSS")

    def stop(self) -> int:
        return self.status("VmHWM") - self.before

    @staticmethod
    def status(name: str) -> int:
        lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
        return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(f"{name}:"))


def make_model() -> Any:
    import torch
    from transformers import Qwen2Config, Qwen2ForCausalLM

    torch.manual_seed(0)
    return Qwen2ForCausalLM(
        Qwen2Config(
            vocab_size=VOCABULARY,
            hidden_size=64,
            num_hidden_layers=2,
            num_attention_heads=2,
            num_key_value_heads=2,
            intermediate_size=192,
            max_position_embeddings=512,
            tie_word_embeddings=True,
            bos_token_id=None,
            eos_token_id=2,
            pad_token_id=0,
        )
    )


def make_rows() -> tuple[list[list[int]], list[list[int]]]:
    """Prompts and responses of every row as token ids; the rows of a group have one prompt."""
    import random

    draw = random.Random(0)
    prompts = [[draw.randrange(300, VOCABULARY) for _ in range(PROMPT)] for _ in range(GROUPS)]
    responses = [[draw.randrange(300, VOCABULARY) for _ in range(WRITTEN)] for _ in range(GROUPS * SAMPLES)]
    return [prompts[row // SAMPLES] for row in range(GROUPS * SAMPLES)], responses


def worth(row: int) -> float:
    """The reward of both sides."""
    return float(row % SAMPLES)


def make_tokenizer() -> Any:
    from medrl.models import train_tokenizer

    return train_tokenizer(["fever cough pain"], 300)


def ours(full: bool) -> int:
    """Peak of `TorchLearner.update`; with `full`, log-probabilities come from full logits in one micro-batch."""
    import torch

    from medrl.algorithms import GRPO, Batch
    from medrl.learners import Optimization, TorchLearner
    from medrl.models import Policy
    from medrl.types import Group, Problem, Rollout, Score, ScoredGroup, ask

    class Plain(TorchLearner):
        """The same learner the plain way: one micro-batch, and a softmax over all logits of its responses."""

        _token_budget = 10**9

        def _micro_logprobs(self, model: Any, micro: Batch) -> Any:
            logits = model(input_ids=micro.tokens_BT, logits_to_keep=WRITTEN + 1).logits[:, :-1]
            logprobs = logits.log_softmax(-1)
            del logits
            written = logprobs.gather(-1, micro.tokens_BT[:, PROMPT:, None])[..., 0]
            return torch.nn.functional.pad(written, (PROMPT, 0))

    prompts, responses = make_rows()
    rollouts = [
        Rollout("", (), "length", WRITTEN, "", i, 0, tuple(p), tuple(r), (0.0,) * WRITTEN, (True,) * WRITTEN)
        for i, (p, r) in enumerate(zip(prompts, responses, strict=True))
    ]
    scored = [
        ScoredGroup(
            Group(Problem(f"p{start}", ask("?")), tuple(rollouts[start : start + SAMPLES])),
            tuple(Score(worth(row)) for row in range(start, start + SAMPLES)),
        )
        for start in range(0, len(rollouts), SAMPLES)
    ]
    algorithm = GRPO()
    batch = algorithm.advantages(Batch.from_groups(scored, WRITTEN), {})
    kind = Plain if full else TorchLearner
    learner = kind(Policy(make_model(), make_tokenizer()), Optimization(lr=LR))
    batch = learner.forward(batch, algorithm.needs)
    learner.update(batch, algorithm, seed=0)
    peak = Peak()
    peak.start()
    learner.update(batch, algorithm, seed=1)
    return peak.stop()


def peers(rows: int) -> int:
    """Peak of one step of `GRPOTrainer`, its generation replaced by the same responses."""
    from datasets import Dataset
    from transformers import TrainerCallback
    from trl import GRPOConfig, GRPOTrainer

    prompts, responses = make_rows()
    peak, peaks = Peak(), []

    class Watch(TrainerCallback):
        def on_step_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
            if state.global_step == 1:
                peak.start()

        def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
            if state.global_step == 2:
                peaks.append(peak.stop())

    def same_responses(*_: Any) -> dict[str, Any]:
        return {"prompt_ids": prompts, "completion_ids": responses, "logprobs": None}

    def rewards(completions: Sequence[str], **_: Any) -> list[float | None]:
        return [worth(row) for row in range(len(completions))]

    with TemporaryDirectory() as folder:
        GRPOTrainer(
            model=make_model(),
            reward_funcs=rewards,
            args=GRPOConfig(
                output_dir=folder,
                max_steps=2,
                use_cpu=True,
                bf16=False,  # fp32, as on the other side
                gradient_checkpointing=False,  # as on the other side
                num_generations=SAMPLES,
                max_completion_length=WRITTEN,
                per_device_train_batch_size=rows,
                gradient_accumulation_steps=GROUPS * SAMPLES // rows,
                beta=0.0,
                loss_type="grpo",
                learning_rate=LR,
                optim="adamw_torch_fused",
                disable_tqdm=True,
                report_to="none",
                logging_strategy="no",
                save_strategy="no",
                dataloader_pin_memory=False,
            ),
            train_dataset=Dataset.from_list([{"prompt": "?"}] * GROUPS * SAMPLES),
            processing_class=make_tokenizer(),
            callbacks=[Watch()],
            rollout_func=same_responses,
        ).train()
    return peaks[0]


def measured(options: argparse.Namespace, variant: str) -> int:
    """What a child process measures for `variant`, in bytes."""
    command = [sys.executable, __file__, "--variant", variant, "--threads", str(options.threads)]
    done = subprocess.run(
        [*command, "--peer-rows", str(options.peer_rows)], capture_output=True, text=True, check=False
    )
    lines = done.stdout.splitlines()
    if done.returncode or not lines or not lines[-1].startswith('{"peak"'):
        fail(f"the variant {variant} ended with status {done.returncode}:\n{done.stderr[-2000:]}")
    return int(json.loads(lines[-1])["peak"])


def main() -> None:
    options = arguments()
    if options.threads < 1 or options.peer_rows < 1 or GROUPS * SAMPLES % options.peer_rows:
        fail(f"--threads must be at least 1 and --peer-rows a divisor of {GROUPS * SAMPLES}")
    import torch

    torch.set_num_threads(options.threads)
    if options.variant:
        peak = peers(options.peer_rows) if options.variant == "trl" else ours(full=options.variant == "full")
        print("\n" + json.dumps({"peak": peak}))
        return
    about = machine()
    print_machine(about)
    print(
        f"{GROUPS * SAMPLES} rows of {PROMPT} + {WRITTEN} tokens, vocabulary {VOCABULARY:,}, fp32; one copy of the "
        f"logits is {GROUPS * SAMPLES * WRITTEN * VOCABULARY * 4 / 2**20:,.0f} MiB\n"
    )
    peak, full, peer = (measured(options, variant) for variant in VARIANTS)
    if min(peak, full, peer) <= 0:
        fail("a variant took no memory, which cannot be; is /proc/self/clear_refs writable?")
    name = f"trl {about['trl']} GRPOTrainer"
    rows = [("medrl", peak), ("full logits", full), (name, peer)]
    print_table(
        ["side", "peak MiB", "share of full logits", f"share of {name}"],
        [[side, f"{n / 2**20:,.0f}", f"{n / full:.2f}", f"{n / peer:.2f}"] for side, n in rows],
    )
    figures = {
        "peak_bytes": peak,
        "full_logits_bytes": full,
        "peer_peak_bytes": peer,
        "ratio_full": peak / full,
        "ratio_peer": peak / peer,
        "peer": name,
        "peer_rows": options.peer_rows,
        "logits_tensor_bytes": GROUPS * SAMPLES * WRITTEN * VOCABULARY * 4,
        "rows": GROUPS * SAMPLES,
        "response_tokens": WRITTEN,
        "vocabulary": VOCABULARY,
        **about,
    }
    write_json(options.json, figures)


if __name__ == "__main__":
    main()
