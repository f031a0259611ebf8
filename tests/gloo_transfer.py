"""vLLM's classes of its NCCL transfer over gloo, in the processes of actors: all but NCCL itself, where there is no GPU."""

import os
import signal
import time
from collections.abc import Callable
from datetime import timedelta
from functools import partial
from typing import Any

import torch
import torch.distributed as dist

from medrl.cluster.carrier import Members
from medrl.cluster.engine_actor import EngineActor
from medrl.cluster.learner_actor import LearnerActor
from medrl.engines.vllm_start import prepare

GROUPS: list["Group"] = []  # of this process, in order
DEEDS: dict[int, Callable[[], None]] = {}  # what is done when the n-th tensor from now arrives in this process


class Group:
    """What vLLM asks of a `PyNcclCommunicator`. As in NCCL, who waits for a peer that hangs hears of nothing."""

    def __init__(self, host: str, port: int, rank: int, world: int) -> None:
        minute, store = timedelta(seconds=60), dist.TCPStore
        meeting = store(host, port, world, is_master=rank == 0, timeout=minute, wait_for_workers=False)
        self.port, self.rank, self.world, self.broken = port, rank, world, False
        self._gloo: Any = dist.ProcessGroupGloo(meeting, rank, world, timedelta(seconds=3600))
        GROUPS.append(self)

    def broadcast(self, tensor: torch.Tensor, src: int, stream: Any) -> None:
        if DEEDS:
            here = {count - 1: deed for count, deed in DEEDS.items()}
            DEEDS.clear()
            DEEDS.update(here)
            DEEDS.pop(0, lambda: None)()
        options = dist.BroadcastOptions()
        options.rootRank, options.rootTensor = src, 0
        work = self._gloo.broadcast([tensor], options)
        while not work.is_completed():
            if self.broken:
                raise RuntimeError("the group was broken off")
            time.sleep(1e-3)
        work.wait()

    def destroy(self) -> None:
        self.broken = True


def install() -> None:
    """In this process, gloo in NCCL's place."""
    prepare()
    import vllm.distributed.weight_transfer.nccl_engine as nccl

    import medrl.engines.vllm_sender as sender
    from medrl.engines import vllm_settings

    nccl.worker_init_process_group = lambda info, parallel: Group(
        info.master_address, info.master_port, info.rank_offset + parallel.rank, info.world_size
    )
    nccl.open_trainer_endpoint = lambda info: Group(info.master_address, info.master_port, 0, info.world_size)
    torch.cuda.current_stream = lambda *_: None  # type: ignore[assignment]
    sender.NCCLTrainerInitInfo = partial(nccl.NCCLTrainerInitInfo, packed=False)  # CUDA's streams would do it
    vllm_settings.NEED_CUDA = ()  # type: ignore[assignment]


class GlooEngine(EngineActor):
    """An engine that takes weights over gloo."""

    def __init__(self, *arguments: Any) -> None:
        install()
        super().__init__(*arguments)


class GlooRank(LearnerActor):
    """A rank that sends weights over gloo."""

    def join(self, members: Members) -> None:
        install()
        super().join(members)


def places(_: Any) -> list[tuple[int, int, int]]:
    """Port, rank and size of each group that this process was in."""
    return [(group.port, group.rank, group.world) for group in GROUPS]


def die(_: Any) -> None:
    """This process is killed when the third tensor from now arrives."""
    DEEDS[3] = lambda: os.kill(os.getpid(), signal.SIGKILL)


def hang(_: Any) -> None:
    """Its receiving thread stops when the third tensor from now arrives."""
    DEEDS[3] = lambda: time.sleep(3600)
