"""How new weights enter a running vLLM: weight-transfer engines of our own in vLLM's life cycle for reinforcement learning.

vLLM names this module in every worker (`worker_extension_cls`), and importing it registers the engines: one for buckets, and
vLLM's own for NCCL and CUDA IPC, watched. One update is `start_weight_update`, `update_weights` once or for each bucket,
`finish_weight_update`. vLLM's layer-wise reload gathers the
views of a layer's tensors, builds the layer anew and copies it into the old storage, so that CUDA graphs stay valid and
linear layers that the CPU keeps packed are packed again.

Two things are ours to see to. An output head that is tied to the embedding has a packing of its own, of which the reload
knows nothing: it would go on with the old weights, silently. And a model of which some tensor was not sent would go on
with a mixture of old and new: `medrl_missing` tells.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import torch
from vllm.distributed.weight_transfer.base import (
    WeightTransferEngine,
    WeightTransferInitInfo,
    WeightTransferUpdateInfo,
)
from vllm.distributed.weight_transfer.factory import WeightTransferEngineFactory
from vllm.distributed.weight_transfer.ipc_engine import IPCWeightTransferEngine
from vllm.distributed.weight_transfer.nccl_engine import NCCLWeightTransferEngine, NCCLWeightTransferInitInfo
from vllm.model_executor.model_loader.reload import finalize_layerwise_reload, initialize_layerwise_reload

from medrl.models.buckets import AnyBucket

BACKEND = "medrl_{}"  # buckets, nccl or ipc
EXTENSION = "medrl.engines.vllm_weights.Extension"


@dataclass
class NoInit(WeightTransferInitInfo):  # type: ignore[misc]
    """Nothing to agree on beforehand: buckets say what they hold."""


@dataclass
class Buckets(WeightTransferUpdateInfo):  # type: ignore[misc]
    """Buckets as they are: in one process no byte of them is copied on the way here."""

    buckets: tuple[AnyBucket, ...] = ()


class Watched:
    """Mixed into a transfer engine: counts what arrives, and packs tied weights again."""

    model: Any

    def start_weight_update(self) -> None:
        self._wanted, self._loaded = loadable(self.model), set[str]()
        super().start_weight_update()  # type: ignore[misc]

    def receive_weights(self, update_info: Any) -> None:
        """The model's own loader splits, fuses and renames, and says what it has loaded."""
        load = self.model.load_weights

        def counted(weights: Any) -> set[str]:
            loaded = set(load(weights))
            self._loaded |= loaded
            return loaded

        self.model.load_weights = counted
        try:
            super().receive_weights(update_info)  # type: ignore[misc]
        finally:
            del self.model.load_weights

    def finish_weight_update(self) -> None:
        super().finish_weight_update()  # type: ignore[misc]
        repack_tied(self.model)

    @property
    def missing(self) -> list[str]:
        """Weights that the last update did not bring."""
        return sorted(self._wanted - self._loaded)


class BucketReader(WeightTransferEngine):  # type: ignore[misc]
    """Loads buckets (`medrl.models.buckets`) into the model of this worker."""

    init_info_cls = NoInit
    update_info_cls = Buckets

    def init_transfer_engine(self, init_info: NoInit) -> None:
        """Nothing to set up."""

    def start_weight_update(self) -> None:
        initialize_layerwise_reload(self.model)

    def receive_weights(self, update_info: Buckets) -> None:
        """The views live until their layer is whole."""
        for bucket in update_info.buckets:
            self.model.load_weights(bucket.tensors())

    def finish_weight_update(self) -> None:
        finalize_layerwise_reload(self.model, self.model_config)

    def shutdown(self) -> None:
        """Nothing is held between updates."""


class BucketEngine(Watched, BucketReader):
    """Buckets, in this process or out of an object store."""


class NCCLEngine(Watched, NCCLWeightTransferEngine):  # type: ignore[misc]
    """vLLM's own, broadcast from the GPU of the learner's rank 0; its group may be made anew."""

    def init_transfer_engine(self, init_info: NCCLWeightTransferInitInfo) -> None:
        self.shutdown()  # of the group before, in which some engine may be dead
        super().init_transfer_engine(init_info)


class IPCEngine(Watched, IPCWeightTransferEngine):  # type: ignore[misc]
    """vLLM's own, read out of the memory of a rank on the same GPU."""


def loadable(model: torch.nn.Module) -> set[str]:
    """The names, as vLLM has them, of all weights that an update must bring; a tied weight once."""
    return {name for name, _ in model.named_parameters()}


def repack_tied(model: torch.nn.Module) -> None:
    """Pack again what modules made of a weight that they share: the reload has only changed the weight itself."""
    for group in sharing(model.modules()):
        for module in group:
            method = getattr(module, "quant_method", None)
            if method is not None and hasattr(module, "cpu_linear"):
                method.process_weights_after_loading(module)


def sharing(modules: Iterable[torch.nn.Module]) -> list[list[torch.nn.Module]]:
    """Modules that have one and the same parameter as their `weight`."""
    owners: dict[int, list[torch.nn.Module]] = {}
    for module in modules:
        weight: Any = module._parameters.get("weight")
        if weight is not None:
            owners.setdefault(id(weight), []).append(module)
    return [group for group in owners.values() if len(group) > 1]


class Extension:
    """Mixed into vLLM's worker class, so that each worker imports this module; calls that vLLM does not have."""

    weight_transfer_engine: Any
    _weight_update_active: bool

    def medrl_missing(self) -> list[str]:
        """Weights that the last update did not bring to this worker."""
        return list(self.weight_transfer_engine.missing)

    def medrl_break_off(self) -> None:
        """End what this worker waits for in a transfer, from another thread."""
        self.weight_transfer_engine.shutdown()

    def medrl_give_up(self) -> None:
        """End an update that failed, so that another can begin; what the model holds is a mixture."""
        if self._weight_update_active or any(p.is_meta for p in self.weight_transfer_engine.model.parameters()):
            self.weight_transfer_engine.finish_weight_update()
        self._weight_update_active = False


for name, engine in (("buckets", BucketEngine), ("nccl", NCCLEngine), ("ipc", IPCEngine)):
    if BACKEND.format(name) not in WeightTransferEngineFactory._registry:
        WeightTransferEngineFactory.register_engine(BACKEND.format(name), engine)
