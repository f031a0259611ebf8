"""What samples fastest on the CPU: vLLM, medrl's embedded engine or transformers' `generate`, by size of the model.

    python benchmarks/sampling.py [--sizes 1M 10M 50M] [--prompts 66 300] [--rounds N] [--threads N] [--json FILE]

Each round draws 8 responses to each of 8 prompts that no earlier round had, of at most 128 tokens and geometric lengths
(`make_work` in rl_step.py), with every side in turn, in one process, with the same threads and weights (fp32). The figures
are tokens drawn a second, medians over the rounds; ratios are taken within a round first. `generate` gets all 64 rows at
once, as TRL's GRPOTrainer gives them, left-padded, with its dynamic cache; the others get the same 64 as requests and
read a prompt once for its 8 responses. Only sampling is timed: no scoring, no learning, no start of an engine.
"""

import argparse
import asyncio
import statistics
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from common import fail, machine, print_machine, print_table, write_json
from rl_step import BATCH, LIMIT, PROBLEMS, SAMPLES, SHAPES, make_work

Draw = Callable[[Sequence[Any]], int]  # responses to these problems; how many tokens they have


def by_engine(policy: Any, engine: Any) -> Draw:
    """Draws through medrl's `Engine.generate`."""
    from medrl.engines import Request, Sampling

    sampling = Sampling(max_tokens=LIMIT)

    def draw(problems: Sequence[Any]) -> int:
        prompts = [policy.prompt_ids(problem) for problem in problems]
        requests = [
            Request(problem.id, index, place * SAMPLES + index, tuple(ids), sampling)
            for place, (problem, ids) in enumerate(zip(problems, prompts, strict=True))
            for index in range(SAMPLES)
        ]

        async def lengths() -> list[int]:
            return [len(rollout.token_ids) async for rollout in engine.generate(requests, 0)]

        found = asyncio.run(lengths())
        if len(found) != BATCH:
            fail(f"{len(found)} of {BATCH} responses came back")
        return sum(found)

    return draw


def by_generate(policy: Any) -> Draw:
    """Draws through `generate`, all rows in one batch."""
    import torch

    (eos,) = policy.stop_ids

    def draw(problems: Sequence[Any]) -> int:
        rows = [policy.prompt_ids(problem) for problem in problems for _ in range(SAMPLES)]
        width = max(map(len, rows))
        ids_BT = torch.tensor([[eos] * (width - len(row)) + list(row) for row in rows])
        mask_BT = torch.tensor([[0] * (width - len(row)) + [1] * len(row) for row in rows])
        with torch.no_grad():
            written_BT = policy.model.generate(
                input_ids=ids_BT, attention_mask=mask_BT, do_sample=True, temperature=1.0, top_k=0, top_p=1.0,
                max_new_tokens=LIMIT, eos_token_id=eos, pad_token_id=eos,
            )[:, width:]  # fmt: skip
        ended_B = (written_BT == eos).int().argmax(-1) + 1  # up to and with the first end; 1 where there may be none
        whole_B = (written_BT == eos).any(-1)
        return int(torch.where(whole_B, ended_B, written_BT.shape[1]).sum())

    return draw


def speeds(size: str, tokens: int, options: argparse.Namespace) -> tuple[int, dict[str, list[float]]]:
    """Parameters, and tokens a second by side and round."""
    from medrl.engines import InProcessEngine
    from medrl.engines.vllm_engine import VLLMEngine
    from medrl.engines.vllm_settings import EngineSettings, ServedModel

    policy, problems = make_work(SHAPES[size], tokens)
    with TemporaryDirectory(prefix="medrl-sampling-") as folder:
        served = ServedModel.of(policy, Path(folder) / "model")
        vllm = VLLMEngine(served, EngineSettings(max_num_seqs=BATCH))
        try:
            sides = {
                "vLLM": by_engine(policy, vllm),
                "embedded": by_engine(policy, InProcessEngine(policy)),
                "generate": by_generate(policy),
            }
            found: dict[str, list[float]] = {name: [] for name in sides}
            for number in range(options.warmup + options.rounds):
                asked = problems[number * PROBLEMS : (number + 1) * PROBLEMS]
                for name, draw in sides.items():
                    started = time.perf_counter()
                    drawn = draw(asked)
                    found[name].append(drawn / (time.perf_counter() - started))
        finally:
            vllm.close()
    return policy.parameters, {name: values[options.warmup :] for name, values in found.items()}


def over(mine: Sequence[float], theirs: Sequence[float]) -> float:
    """The median of the ratios of the rounds."""
    return statistics.median(a / b for a, b in zip(mine, theirs, strict=True))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", nargs="+", choices=SHAPES, default=list(SHAPES), help="parameters of the model")
    parser.add_argument("--prompts", nargs="+", type=int, default=[66, 300], help="tokens that a prompt has at least")
    parser.add_argument("--rounds", type=int, default=6, help="rounds that count")
    parser.add_argument("--warmup", type=int, default=1, help="rounds before them")
    parser.add_argument("--threads", type=int, default=2, help="threads of every side")
    parser.add_argument("--json", type=Path, help="also write the figures here")
    options = parser.parse_args()
    if min(options.rounds, options.threads) < 1 or not 0 <= options.warmup <= 50 - options.rounds:
        fail("--rounds and --threads must be at least 1, --warmup at least 0, and both kinds of rounds 50 at most")

    from medrl.engines import vllm_start

    vllm_start.prepare()
    import torch
    import transformers

    torch.set_num_threads(options.threads)
    transformers.logging.set_verbosity_error()
    rows, figures = [], dict[str, Any]()
    for size in options.sizes:
        for tokens in options.prompts:
            parameters, found = speeds(size, tokens, options)
            ratio = over(found["vLLM"], found["generate"]), over(found["embedded"], found["generate"])
            medians = {name: statistics.median(values) for name, values in found.items()}
            rows.append([f"{parameters / 1e6:.1f} M", str(tokens), *(f"{value:,.0f}" for value in medians.values()),
                         f"{ratio[0]:.2f}", f"{ratio[1]:.2f}"])  # fmt: skip
            key = f"{size}_{tokens}"
            figures |= {f"{key}_{name}_tokens_per_second": value for name, value in medians.items()}
            figures |= {f"{key}_vllm_over_generate": ratio[0], f"{key}_embedded_over_generate": ratio[1]}
    header = ["parameters", "prompt", "vLLM tokens/s", "embedded", "generate", "vLLM / generate", "embedded / generate"]
    print_table(header, rows)
    print(f"{PROBLEMS} prompts x {SAMPLES} responses of at most {LIMIT} tokens, {options.rounds} rounds")
    print_machine(machine())
    write_json(options.json, {**figures, "rounds": options.rounds, **machine()})


if __name__ == "__main__":
    main()
