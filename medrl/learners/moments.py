"""The state of torch's AdamW by the names of the weights, as checkpoints have it."""

from collections.abc import Iterable, Iterator, Mapping

from torch import Tensor
from torch.nn import Parameter
from torch.optim import Optimizer

from medrl.learners.checkpoint import MOMENTS, OptimizerState


def moment_rows(optimizer: Optimizer, names: Iterable[str]) -> Iterator[tuple[str, Tensor]]:
    """Steps and moments of an optimizer whose weights have these names, in its order."""
    listed = list(names)
    for index, state in optimizer.state_dict()["state"].items():
        yield from ((f"{listed[index]}/{key}", value) for key, value in state.items())


def moments_of(saved: OptimizerState, weights: Mapping[str, Parameter]) -> dict[int, dict[str, Tensor]]:
    """What was saved, by the index of each weight; weights that never had a gradient have none.

    Raises:
        ValueError: It is the state of other weights.
    """
    saved.check({name: tuple(weight.shape) for name, weight in weights.items()})
    return {
        index: {key: saved[f"{name}/{key}"] for key in ("step", *MOMENTS)}
        for index, name in enumerate(weights)
        if f"{name}/step" in saved
    }


def put_moments(optimizer: Optimizer, state: dict[int, dict[str, Tensor]]) -> None:
    """Give an optimizer the state that was read; its knobs stay."""
    optimizer.load_state_dict({"state": state, "param_groups": optimizer.state_dict()["param_groups"]})
