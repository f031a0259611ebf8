"""The learner's side of vLLM's own weight transfers: what its trainer engines read, and how one is opened."""

from collections.abc import Callable, Iterator
from math import prod
from typing import Any

from torch import Tensor
from vllm.distributed.weight_transfer.base import ParamMeta, WeightSource
from vllm.distributed.weight_transfer.factory import WeightTransferTrainerFactory
from vllm.distributed.weight_transfer.ipc_engine import IPCTrainerInitInfo
from vllm.distributed.weight_transfer.nccl_engine import NCCLTrainerInitInfo

BUFFER = 256 * 2**20  # bytes of weights that travel at once; NCCL has two such buffers on either side


class Weights(WeightSource):  # type: ignore[misc]
    """A learner's weights. All ranks go through them alike, since those of a sharded model are gathered one by one."""

    def __init__(self, rows: Callable[[], Iterator[tuple[str, Tensor]]]) -> None:
        """Bind to `rows`, which begins a pass over names of the Hugging Face state and whole weights, tied ones once."""
        self._rows, self._metadata = rows, list[Any]()
        self._pass: Iterator[Any] = iter(())

    def metadata(self) -> list[Any]:
        """Names, types and shapes, from one pass over the weights: they never change. Collective, the first time."""
        if not self._metadata:
            self._metadata = [ParamMeta(name, weight.dtype, tuple(weight.shape)) for name, weight in self._rows()]
        return self._metadata

    def begin(self) -> None:
        """The next pass, for all ranks."""
        self._pass = self._rows()

    def __iter__(self) -> Iterator[tuple[str, Tensor]]:
        return self._pass

    def finish(self) -> None:
        """Go through what is left of a pass, for the ranks that gather with this one."""
        for _ in self._pass:
            pass

    def sizes(self) -> list[int]:
        """Bytes of each; collective, the first time."""
        return [prod(one.shape) * one.dtype.itemsize for one in self.metadata()]


def open_trainer(transfer: str, source: Weights, client: Any, rank: int, address: tuple[str, int], world: int) -> Any:
    """vLLM's trainer engine, on each rank; on rank 0 it meets the engines.

    Args:
        transfer: "nccl" or "ipc".
        source: What is sent.
        client: Carries vLLM's steps to the engines (`VLLMWeightSyncClient`); asked on rank 0 alone.
        rank: Of the learner.
        address: Where NCCL's group meets: a host and a free port of rank 0's machine.
        world: Size of that group: rank 0, and all GPUs of all engines.
    """
    if transfer == "nccl":
        host, port = address
        info = NCCLTrainerInitInfo(
            rank=rank, master_address=host, master_port=port, world_size=world, packed_buffer_size_bytes=BUFFER
        )
    else:  # its buffer must hold the largest weight
        info = IPCTrainerInitInfo(rank=rank, packed=True, packed_buffer_size_bytes=max(BUFFER, *source.sizes()))
    return WeightTransferTrainerFactory.trainer_init(info, client=client, source=source)
