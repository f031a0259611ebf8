"""A learner's checkpoint as DeepSpeed's universal checkpoint (arXiv 2406.18820), which any number of its ranks reads.

    FOLDER/latest_universal                             the name of the next
    FOLDER/TAG/mp_rank_00_model_states.pt               counters, for ZeRO 1 and 2
    FOLDER/TAG/zero_pp_rank_0_mp_rank_00_model_states.pt    the same, for ZeRO 3
    FOLDER/TAG/zero/optimizer_state.pt                  the step of AdamW
    FOLDER/TAG/zero/NAME/fp32.pt, exp_avg.pt, exp_avg_sq.pt, step.pt    of each weight, whole

It is what DeepSpeed's `ds_to_universal.py` makes of DeepSpeed's own checkpoints, and what an engine reads that has
`"checkpoint": {"load_universal": true}`. NAME is that of `named_parameters()` of the Hugging Face model, so that model,
unwrapped, is what DeepSpeed must be given. Three things are other than in the converter's folders:

- Knobs of the optimizer (learning rate, betas) are left out, so that the reader's configuration decides them.
- DeepSpeed pairs its parameter groups with those of the file and passes over, without a word, groups that have no partner.
  The file has `GROUPS` empty ones, so that a reader may group its weights as it likes.
- Weights are not in the counters' files: DeepSpeed takes them from zero/, but never those that its model does not train,
  nor buffers. The reader's model has these from the Hugging Face folder.

The files are pickles, since that is the format; they hold tensors, numbers and strings alone, which
`torch.load(weights_only=True)` reads.
"""

from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from torch import Tensor

from medrl.errors import CheckpointError, DataError, MissingFile
from medrl.learners.checkpoint import ADAPTER_FOLDER, MOMENTS, OptimizerState
from medrl.models import Policy

GROUPS = 256
WRITTEN_FOR = "0.19.8"  # the DeepSpeed whose reading of these files is tested; its loaders ask for a version


def write_universal(policy: Policy, checkpoint: Path, folder: Path) -> dict[str, int]:
    """Write the policy of a checkpoint, with AdamW's state, as a universal checkpoint into an existing folder.

    Weights that did not train have moments of 0, as they have for a learner that goes on from the checkpoint. One step
    counts for all weights: the greatest. A critic is left out, as it is a model of its own.

    Args:
        policy: That of the checkpoint, in the type that it is kept in.
        checkpoint: What `Learner.save` wrote.
        folder: Where it goes.

    Returns:
        How many `weights` were written, the `step` of AdamW, and the `updates` of the learner.

    Raises:
        MissingFile: There is no state of a learner.
        DataError: It is that of adapters.
        CheckpointError: It is not whole, or not of this policy.
    """
    if (checkpoint / ADAPTER_FOLDER).exists():
        raise DataError(
            f"{checkpoint} was trained with adapters, whose moments are not those of the policy's weights; take its "
            f"{ADAPTER_FOLDER}/ folder, which PEFT reads, or export in the format huggingface"
        )
    weights = dict(policy.model.named_parameters())
    try:
        state = OptimizerState(checkpoint)
        state.check({name: tuple(weight.shape) for name, weight in weights.items()})
    except FileNotFoundError as error:
        raise MissingFile(
            f"{checkpoint} is a policy without the state of a learner ({error}); give one of a run's checkpoints, or a run "
            "with --policy latest"
        ) from error
    except (OSError, ValueError, LookupError, SafetensorError) as error:
        raise CheckpointError(
            f"{checkpoint} is no whole checkpoint of its policy: {error}; use an older one"
        ) from error
    step = max((float(state[key]) for key in state if key.endswith("/step")), default=0.0)
    zero = folder / checkpoint.name / "zero"
    for name, weight in weights.items():
        _write_weight(zero / name, weight, name, state, step)
    counters = {
        "global_steps": state.updates, "skipped_steps": 0, "dp_world_size": 1, "mp_world_size": 1, "ds_version": WRITTEN_FOR
    }  # fmt: skip
    for file in ("mp_rank_00_model_states.pt", "zero_pp_rank_0_mp_rank_00_model_states.pt"):
        torch.save(counters, folder / checkpoint.name / file)
    groups: list[dict[str, Any]] = [{} for _ in range(GROUPS)]
    stepped = {"state": {0: {"step": torch.tensor(step)}}, "param_groups": groups}  # where ZeRO 3 looks
    optimizer = {"ds_version": WRITTEN_FOR, "param_groups": groups, "optimizer_state_dict": stepped}
    torch.save(optimizer, zero / "optimizer_state.pt")
    (folder / "latest_universal").write_text(checkpoint.name)
    return {"weights": len(weights), "step": int(step), "updates": state.updates}


def _write_weight(place: Path, weight: Tensor, name: str, state: OptimizerState, step: float) -> None:
    master = state.get(f"{name}/master")
    tensors = {"fp32": weight.detach() if master is None else master}
    for key in MOMENTS:
        moment = state.get(f"{name}/{key}")
        tensors[key] = torch.zeros(weight.shape) if moment is None else moment
    place.mkdir(parents=True)
    for key, tensor in tensors.items():
        # a copy, since torch saves the whole storage that a tensor looks into
        whole = tensor.to("cpu", torch.float32, copy=True, memory_format=torch.contiguous_format)
        torch.save({"param": whole, "cat_dim": 0}, place / f"{key}.pt")
    torch.save(torch.tensor(step), place / "step.pt")
