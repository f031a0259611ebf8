"""What it saves a learner that the prompt of a group passes through the model once.

    python benchmarks/shared_prompts.py [--sizes 1M 10M] [--prompts 20 66 300] [--rounds N] [--threads N] [--json FILE]

A GRPO update of `TorchLearner` (forward, backward, AdamW) over 64 rollouts, 8 of each of 8 prompts, responses of geometric
lengths with mean 45 and at most 128 tokens, is made with `share_prompts: auto` and with `off` (rows of similar length
together), in turns, from the same weights at a learning rate of 0. Printed for each size and prompt length: how many times
fewer tokens pass (1.0 where "auto" leaves rows apart), the median over the rounds of seconds apart over seconds shared, and
by how much the two gradients differ, over the gradient's norm.
"""

import argparse
import random
import statistics
import time
from pathlib import Path
from typing import Any

from common import machine, print_machine, print_table, write_json

GROUPS, SAMPLES, LIMIT, MEAN = 8, 8, 128, 45
SHAPES: dict[str, dict[str, int]] = {
    "1M": {},
    "10M": {"hidden_size": 384, "heads": 6, "key_value_heads": 2, "layers": 6, "intermediate_size": 1152},
}


def make_batch(vocabulary: int, prompt: int) -> Any:
    """Random tokens, with advantages that are not zero."""
    import torch

    from medrl.algorithms import GRPO, Batch

    draw = random.Random(prompt)
    rows, starts = [], []
    for _ in range(GROUPS):
        begin = [draw.randrange(5, vocabulary) for _ in range(prompt + draw.randrange(-prompt // 10, prompt // 10 + 1))]
        for _ in range(SAMPLES):
            length = min(LIMIT, 1 + int(draw.expovariate(1 / MEAN)))
            rows.append(begin + [draw.randrange(5, vocabulary) for _ in range(length)])
            starts.append(len(begin))
    tokens_BT = torch.zeros(len(rows), max(map(len, rows)), dtype=torch.long)
    for row, ids in enumerate(rows):
        tokens_BT[row, : len(ids)] = torch.tensor(ids)
    lengths_B, starts_B = torch.tensor([len(ids) for ids in rows]), torch.tensor(starts)
    place_T = torch.arange(tokens_BT.shape[1])
    mask_BT = (place_T >= starts_B[:, None]) & (place_T < lengths_B[:, None])
    rewards_B = torch.tensor([draw.random() for _ in rows])
    batch = Batch(tokens_BT, lengths_B, starts_B, mask_BT, rewards_B, SAMPLES, LIMIT)
    batch = batch.with_(rollout_logprobs_BT=torch.where(mask_BT, -7.0, 0.0))
    return GRPO().advantages(batch, {})


def measure(size: str, prompt: int, rounds: int) -> dict[str, float]:
    import torch

    from medrl.algorithms import GRPO
    from medrl.learners import Optimization, TorchLearner
    from medrl.models import ModelShape, Policy

    torch.manual_seed(0)
    policy = Policy.new(["fever, cough and chest pain"], ModelShape(vocab_size=1536, context=1024, **SHAPES[size]))
    batch, algorithm = make_batch(len(policy.tokenizer), prompt), GRPO()
    learners = {share: TorchLearner(policy, Optimization(lr=1e-30, share_prompts=share)) for share in ("auto", "off")}  # type: ignore[arg-type]
    seconds: dict[str, list[float]] = {share: [] for share in learners}
    gradients: dict[str, torch.Tensor] = {}
    passed: dict[str, float] = {}
    for share, learner in learners.items():

        def keep(*_: Any, share: str = share) -> None:
            gradients[share] = torch.cat([p.grad.flatten() for p in policy.model.parameters() if p.grad is not None])

        learner.optimizer.register_step_pre_hook(keep)
    for _ in range(rounds + 1):
        for share, learner in learners.items():
            ready = learner.forward(batch, {"old_logprobs"})
            begun = time.perf_counter()
            told = learner.update(ready, algorithm, 0)
            seconds[share].append(time.perf_counter() - begun)
            passed[share] = 1.0 - told.get("time/learner/shared_tokens", 0.0)
    ratios = [apart / shared for shared, apart in zip(seconds["auto"][1:], seconds["off"][1:], strict=True)]
    difference = (gradients["auto"] - gradients["off"]).norm() / gradients["off"].norm()
    return {
        "parameters": policy.parameters,
        "fewer_tokens": 1.0 / passed["auto"],
        "faster": statistics.median(ratios),
        "gradient_difference": difference.item(),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", nargs="+", choices=SHAPES, default=list(SHAPES), help="parameters of the model")
    parser.add_argument(
        "--prompts", nargs="+", type=int, default=[20, 66, 300], help="tokens of a prompt, more or less"
    )
    parser.add_argument("--rounds", type=int, default=5, help="rounds that count, after one that warms up")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--json", type=Path, help="also write the figures here")
    options = parser.parse_args()

    import torch

    torch.set_num_threads(options.threads)
    found = {
        f"{size}/{prompt}": measure(size, prompt, options.rounds)
        for size in options.sizes
        for prompt in options.prompts
    }
    print_machine(machine())
    rows = [
        [key, f"{one['fewer_tokens']:.1f}", f"{one['faster']:.2f}", f"{one['gradient_difference']:.0e}"]
        for key, one in found.items()
    ]
    print_table(["size / prompt", "fewer tokens", "faster", "gradients differ by"], rows)
    write_json(options.json, {**found, **machine()})


if __name__ == "__main__":
    main()
