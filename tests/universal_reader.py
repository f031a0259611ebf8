"""One rank of a user of DeepSpeed, as a program: `python universal_reader.py RANK RANKS PORT FOLDER CASES.json`.

Each case gives a model of other weights than those of FOLDER/CHECKPOINT to a DeepSpeed engine, has the engine load
FOLDER/CHECKPOINT-universal, and leaves NAME.safetensors there: fp32 weights, moments, steps and the model's own weights, as
they were loaded and after one more update. medrl only makes the model.
"""

import faulthandler
import json
import os
import sys
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from safetensors.torch import save_file
from torch import Tensor

from medrl.models import Policy, PolicySpec

HANGS_S = 300  # a case; then every thread's stack is printed
TOKENS = torch.tensor([[5, 6, 7, 8, 9, 10, 11, 12]])
KNOBS: dict[str, Any] = {"lr": 1e-3, "betas": (0.9, 0.95), "weight_decay": 0.1}


def loss_of(logits: Tensor) -> Tensor:
    """The mean cross entropy of TOKENS."""
    return torch.nn.functional.cross_entropy(logits[0, :-1].float(), TOKENS[0, 1:])


def config(stage: int, bf16: bool) -> dict[str, Any]:
    """What such a user writes."""
    return {
        "train_micro_batch_size_per_gpu": 1,
        "zero_optimization": {"stage": stage},
        "zero_allow_untested_optimizer": True,
        "gradient_clipping": 0.0,  # 1.0 unless told
        "checkpoint": {"load_universal": True},
        "steps_per_print": None,
        **({"bf16": {"enabled": True}} if bf16 else {}),
    }


def state(engine: Any, model: torch.nn.Module, when: str) -> dict[str, Tensor]:
    """Everything that was loaded, whole; collective."""
    import deepspeed
    from deepspeed.utils import safe_get_full_fp32_param, safe_get_full_optimizer_state

    found: dict[str, Tensor] = {}
    for name, weight in model.named_parameters():
        found[f"{when}/{name}/fp32"] = safe_get_full_fp32_param(weight)
        for key in ("exp_avg", "exp_avg_sq"):
            found[f"{when}/{name}/{key}"] = safe_get_full_optimizer_state(weight, key)
        with deepspeed.zero.GatheredParameters([weight]):
            found[f"{when}/{name}/weight"] = weight.detach()
        found = {key: tensor.detach().clone().contiguous() for key, tensor in found.items()}
    for index, one in enumerate(engine.optimizer.optimizer.state.values()):
        found[f"{when}/step{index}"] = torch.as_tensor(one["step"]).clone()
    found[f"{when}/global_steps"] = torch.tensor(engine.global_steps)
    return found


def read(folder: Path, case: dict[str, Any]) -> dict[str, Tensor]:
    import deepspeed

    spec = PolicySpec(dtype="bfloat16" if case.get("bf16") else "float32", device="cpu")
    model = Policy.load(str(folder / case["checkpoint"]), spec).model
    with torch.no_grad():
        for weight in model.parameters():
            weight.mul_(0.5).add_(0.25)
    weights = list(model.parameters())
    groups = [{"params": [w for w in weights if w.ndim > 1]}, {"params": [w for w in weights if w.ndim < 2]}]
    optimizer = torch.optim.AdamW(groups if case.get("groups") else weights, fused=True, **KNOBS)  # type: ignore[arg-type]
    deepspeed.ops.__compatible_ops__["deepspeed_shm_comm"] = False  # or it would be compiled first, for nothing
    engine = deepspeed.initialize(
        model=model,
        optimizer=optimizer,
        config=config(case["stage"], case.get("bf16", False)),
        dist_init_required=False,
    )[0]
    path, _ = engine.load_checkpoint(str(folder / f"{case['checkpoint']}-universal"))
    assert path is not None, "DeepSpeed found nothing to load"
    found = state(engine, model, "loaded")
    engine.backward(loss_of(engine(input_ids=TOKENS).logits))
    engine.step()
    found |= state(engine, model, "after")
    engine.destroy()
    return found


def main() -> None:
    rank, ranks, port, place, cases = sys.argv[1:]
    torch.set_num_threads(1)
    os.environ.update(RANK=rank, WORLD_SIZE=ranks, LOCAL_RANK=rank, MASTER_ADDR="127.0.0.1", MASTER_PORT=port)
    dist.init_process_group("gloo", rank=int(rank), world_size=int(ranks))
    folder = Path(place)
    for case in json.loads((folder / cases).read_text()):
        faulthandler.dump_traceback_later(HANGS_S, exit=True)
        found = read(folder, case)
        if rank == "0":
            save_file(found, folder / f"{case['name']}.safetensors")
    dist.destroy_process_group()


if __name__ == "__main__":
    main()
