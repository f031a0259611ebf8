"""AdamW's state in safetensors, by the names of the weights, so that what is read back is bit for bit what was there."""

from collections.abc import Iterable, Mapping
from pathlib import Path

from safetensors.torch import load_file, save_file
from torch import Tensor
from torch.nn import Parameter
from torch.optim import Optimizer

KEYS = ("step", "exp_avg", "exp_avg_sq")


def save_moments(optimizer: Optimizer, names: Iterable[str], file: Path) -> None:
    """Write the state of an optimizer whose weights have these names, in its order."""
    listed = list(names)
    moments: dict[str, Tensor] = {}
    for index, state in optimizer.state_dict()["state"].items():
        moments |= {f"{listed[index]}/{key}": value.contiguous() for key, value in state.items()}
    save_file(moments, file)


def read_moments(file: Path, weights: Mapping[str, Parameter]) -> dict[int, dict[str, Tensor]]:
    """The state by the index of each weight; weights that never had a gradient have none.

    Copied: an optimizer keeps what it is given, and what `load_file` gives is mapped from the file, which a run may delete.

    Raises:
        ValueError: The file holds the state of other weights.
    """
    moments = load_file(file)
    state: dict[int, dict[str, Tensor]] = {}
    for index, (name, weight) in enumerate(weights.items()):
        if f"{name}/step" in moments:
            state[index] = {key: moments.pop(f"{name}/{key}").clone() for key in KEYS}
            if not state[index]["exp_avg"].shape == state[index]["exp_avg_sq"].shape == weight.shape:
                raise ValueError(f"the moments of {name} have another shape than the weight")
    if moments:
        raise ValueError(f"it has moments of {min(moments).rpartition('/')[0]}, which is not trained here")
    return state


def put_moments(optimizer: Optimizer, state: dict[int, dict[str, Tensor]]) -> None:
    """Give an optimizer the state that was read; its knobs stay."""
    optimizer.load_state_dict({"state": state, "param_groups": optimizer.state_dict()["param_groups"]})
