"""Which weights train: all of them, the last layers alone, or low-rank adapters; and the whole model's weights by name.

HuatuoGPT (arXiv 2305.15075) moves only its last two layers in reinforcement learning: the backward pass ends there, and
the reference policy shares all else. LoRA (arXiv 2106.09685) trains B A with W + alpha / rank * B A in W's place; with
the adapter off the model is its own reference policy, so no second copy is held. Whoever reads the weights (engines,
Hugging Face folders) gets W with the adapter added, under W's name.
"""

import copy
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from medrl.errors import UnsupportedModel, need
from medrl.knobs import out_of_range

ADAPTER = "default"  # the one adapter's name inside the model, which Hugging Face's own files leave out
INNER = ".base_layer"  # where a layer with an adapter keeps W

# Makes the given parameters whole while the block lasts; what holds them whole anyway does nothing.
Gather = Callable[[Sequence[nn.Parameter]], AbstractContextManager[Any]]


@dataclass(frozen=True)
class LoRA:
    """Low-rank adapters."""

    rank: int = 16
    """Rank of B A. Typical 8 to 64; RL needs less than SFT."""

    alpha: float = 32.0
    """B A is multiplied by alpha / rank. Typical 1 to 2 times the rank."""

    dropout: float = 0.0
    """Share of the adapter's input that is dropped in updates. Above 0 the first update is not quite on-policy."""

    targets: tuple[str, ...] = ()
    """Names of linear layers that get an adapter, such as q_proj and v_proj; all but the head when empty."""

    def __post_init__(self) -> None:
        faults = out_of_range(self, above_0=("rank", "alpha"), from_0=("dropout",))
        if self.dropout >= 1:
            faults.append(f"dropout is {self.dropout}; it must be below 1")
        if faults:
            raise ValueError("lora: " + "; ".join(faults))


def check_trainable(model: PreTrainedModel, last_layers: int | None, lora: LoRA | None) -> None:
    """See that `choose_trainable` can do what it is asked; an outline without weights will do.

    Raises:
        UnsupportedModel: It has fewer layers, no list of layers, no layer of a target's name, or an adapter already.
    """
    if last_layers is not None and last_layers > (count := len(_layers(model))):
        raise UnsupportedModel(f"last_layers is {last_layers}, and the model has {count}; choose fewer")
    if lora is None:
        return
    if has_adapter(model):
        raise UnsupportedModel("the model has an adapter already; load it anew for another learner")
    named = {name: isinstance(module, nn.Linear) for name, module in model.named_modules()}
    missing = [target for target in lora.targets if not any(f".{name}".endswith(f".{target}") for name in named)]
    if missing:
        linear = sorted({name.rpartition(".")[2] for name, is_linear in named.items() if is_linear})
        raise UnsupportedModel(f"lora: no layer of the model is named {', '.join(missing)}; it has {', '.join(linear)}")


def choose_trainable(model: PreTrainedModel, last_layers: int | None, lora: LoRA | None) -> None:
    """Freeze what does not train, and put adapters in; a model without either knob stays as it is.

    Raises:
        UnsupportedModel: See `check_trainable`.
    """
    check_trainable(model, last_layers, lora)
    if last_layers is not None:
        model.requires_grad_(False)
        _layers(model)[-last_layers:].requires_grad_(True)
    if lora is not None:
        _add_adapters(model, lora)


def _layers(model: PreTrainedModel) -> nn.ModuleList:
    count = getattr(model.config.get_text_config(), "num_hidden_layers", None)
    for module in (model.get_decoder() or model).modules():
        if isinstance(module, nn.ModuleList) and len(module) == count:
            return module
    raise UnsupportedModel(f"{type(model).__name__} has no list of {count} layers; train it without last_layers")


def _add_adapters(model: PreTrainedModel, lora: LoRA) -> None:
    peft = need("peft", "train")
    config = peft.LoraConfig(
        r=lora.rank,
        lora_alpha=lora.alpha,
        lora_dropout=lora.dropout,
        target_modules=list(lora.targets) or "all-linear",
        task_type="CAUSAL_LM",
        base_model_name_or_path=model.config.name_or_path or None,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)  # A begins equal on every rank and in every process; B begins at 0
        try:
            peft.inject_adapter_in_model(config, model, adapter_name=ADAPTER)
        except ValueError as error:
            raise UnsupportedModel(f"lora: {error}") from error


def has_adapter(model: nn.Module) -> bool:
    """Whether `choose_trainable` put adapters in."""
    return bool(getattr(model, "peft_config", None))


def parameters(model: PreTrainedModel) -> dict[str, nn.Parameter]:
    """The parameters that get gradients, by their name in the model, in a fixed order."""
    return {name: weight for name, weight in model.named_parameters() if weight.requires_grad}


def frozen_copy(model: PreTrainedModel, *, share: bool = True) -> PreTrainedModel:
    """A copy that never changes. Weights that do not train are shared, not copied, unless told otherwise."""
    shared: dict[int, Any] = {id(one): one for one in model.parameters() if share and not one.requires_grad}
    frozen: PreTrainedModel = copy.deepcopy(model, shared).eval().requires_grad_(False)
    return frozen


@contextmanager
def adapter_off(model: PreTrainedModel) -> Iterator[None]:
    """The model as it was before training, while the block lasts."""
    layers: list[Any] = [module for module in model.modules() if hasattr(module, "lora_A")]
    for layer in layers:
        layer.enable_adapters(False)
    try:
        yield
    finally:
        # peft freezes an adapter that it switches off, and trains it again when it is on
        for layer in layers:
            layer.enable_adapters(True)


def whole(_: Sequence[nn.Parameter]) -> AbstractContextManager[None]:
    """The `Gather` of a model that is in one piece."""
    return nullcontext()


def whole_weights(model: PreTrainedModel, gather: Gather = whole) -> Iterator[tuple[str, Tensor]]:
    """The model's weights under the names of its Hugging Face state, adapters added, tied weights once.

    Each is whole until the next is asked for. With a sharded model all ranks must go through all of it.
    """
    for name, weight in model.named_parameters():
        if _of_adapter(name):
            continue
        owner, _, kind = name.rpartition(".")
        if not owner.endswith(INNER) or kind != "weight":
            with gather([weight]):
                yield name.replace(INNER, ""), weight.detach()
            continue
        layer: Any = model.get_submodule(owner.removesuffix(INNER))
        with gather([weight, layer.lora_A[ADAPTER].weight, layer.lora_B[ADAPTER].weight]), torch.no_grad():
            yield name.replace(INNER, ""), weight + layer.get_delta_weight(ADAPTER).to(weight.dtype)
    kept = model.state_dict().keys()
    yield from ((name, buffer) for name, buffer in model.named_buffers() if name in kept)


def adapter_weights(model: PreTrainedModel, gather: Gather = whole) -> Iterator[tuple[str, Tensor]]:
    """The adapters alone, under the names of PEFT's `adapter_model.safetensors`."""
    if not has_adapter(model):
        raise ValueError("the model has no adapter to send; ask for its weights in full, or set optimization.lora")
    for name, weight in model.named_parameters():
        if _of_adapter(name):
            with gather([weight]):
                yield saved_name(name), weight.detach()


def _of_adapter(name: str) -> bool:
    return f".lora_A.{ADAPTER}." in name or f".lora_B.{ADAPTER}." in name


def check_base(model: PreTrainedModel, saved: Mapping[str, Tensor], gather: Gather = whole) -> None:
    """See that adapters were trained on this very model: what has no adapter must be what was saved beside them.

    Raises:
        ValueError: It is not.
    """
    for name, weight in model.named_parameters():
        if _of_adapter(name) or f"{INNER}.weight" in name:
            continue
        with gather([weight]):
            same = torch.equal(weight.detach().cpu(), saved[name.replace(INNER, "")])
        if not same:
            raise ValueError(f"its adapters were trained on another model ({name} differs)")


def assign(model: nn.Module, saved: Mapping[str, Tensor], gather: Gather = whole) -> None:
    """Put weights in place, named as `whole_weights` and `adapter_weights` name them; under adapters the base stays."""
    adapters = has_adapter(model)
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if adapters and not _of_adapter(name):
                continue
            with gather([weight]):
                weight.copy_(saved[saved_name(name)])
        for name, buffer in model.named_buffers():
            if name in saved:
                buffer.copy_(saved[name])


def saved_name(name: str) -> str:
    """What files call a parameter of the model: an adapter's as PEFT does, any other's as it is."""
    return f"base_model.model.{name.replace(f'.{ADAPTER}', '')}" if _of_adapter(name) else name
