"""Log-probabilities of tokens, without ever holding the logits of a whole batch.

The logits of B x T positions over a vocabulary of 152k take 0.6 MB a position in fp32; for PPO-like losses only one number
a position is needed. The head is applied to the positions that count, a chunk at a time; the backward pass makes each
chunk's logits again. When everything fits into one chunk its probabilities are kept and nothing is computed twice.
"""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from medrl.algorithms import Batch, Outputs
from medrl.errors import UnsupportedModel
from medrl.learners.entropy import token_logprobs_and_entropy
from medrl.learners.head import HeadGradients, chunk_logits
from medrl.learners.trees import tree_states


class _TokenLogprobs(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        hidden_ND: Tensor,
        weight_VD: Tensor,
        bias_V: Tensor | None,
        targets_N: Tensor,
        scale: float,
        rows: int,
    ) -> Tensor:
        logprobs_N = torch.empty(len(targets_N), dtype=torch.float32, device=hidden_ND.device)
        normalizer_N = torch.empty_like(logprobs_N)
        one_chunk = len(targets_N) <= rows
        probs_NV: Tensor | None = None
        for part in torch.arange(len(targets_N), device=hidden_ND.device).split(rows):
            logits_CV = chunk_logits(hidden_ND[part], weight_VD, bias_V, scale)
            normalizer_N[part] = logits_CV.logsumexp(-1)
            logprobs_N[part] = logits_CV.gather(-1, targets_N[part, None])[:, 0] - normalizer_N[part]
            if one_chunk and any(ctx.needs_input_grad[:3]):
                probs_NV = logits_CV.sub_(normalizer_N[:, None]).exp_()
        ctx.save_for_backward(hidden_ND, weight_VD, bias_V, targets_N, normalizer_N, probs_NV)
        ctx.scale, ctx.rows = scale, rows
        return logprobs_N

    @staticmethod
    def backward(ctx: Any, grad_N: Tensor) -> tuple[Tensor | None, ...]:
        hidden_ND, weight_VD, bias_V, targets_N, normalizer_N, kept_NV = ctx.saved_tensors
        found = HeadGradients(hidden_ND, weight_VD, bias_V, ctx.scale, ctx.needs_input_grad[:3])
        for part in torch.arange(len(targets_N), device=hidden_ND.device).split(ctx.rows):
            # d logp / d logits = one_hot(target) - softmax, times the incoming gradient and the logits' scale
            if kept_NV is not None:
                d_logits_CV = kept_NV
            else:
                d_logits_CV = chunk_logits(hidden_ND[part], weight_VD, bias_V, ctx.scale)
                d_logits_CV.sub_(normalizer_N[part, None]).exp_()
            d_logits_CV = (
                d_logits_CV * -grad_N[part, None] if kept_NV is not None else d_logits_CV.mul_(-grad_N[part, None])
            )
            d_logits_CV.scatter_add_(-1, targets_N[part, None], grad_N[part, None])
            found.add(part, d_logits_CV)
        return found.hidden_ND, found.weight_VD, found.bias_V, None, None, None


def token_logprobs(
    hidden_ND: Tensor,
    weight_VD: Tensor,
    targets_N: Tensor,
    *,
    bias_V: Tensor | None = None,
    scale: float = 1.0,
    logits_mib: int = 64,
) -> Tensor:
    """log softmax(scale * (hidden @ weight^T + bias)) at the targets, in chunks.

    Args:
        hidden_ND: Hidden states before the head, (N, D).
        weight_VD: The head's weight, (V, D).
        targets_N: Token ids, (N,).
        bias_V: The head's bias, (V,).
        scale: One over the sampling temperature.
        logits_mib: MiB of fp32 logits that may exist at once.

    Returns:
        (N,) float32, differentiable in the hidden states, the weight and the bias.
    """
    rows = max(1, logits_mib * 2**20 // (4 * weight_VD.shape[0]))
    result: Tensor = _TokenLogprobs.apply(hidden_ND, weight_VD, bias_V, targets_N, scale, rows)  # type: ignore[no-untyped-call]
    return result


def backbone_and_head(model: PreTrainedModel) -> tuple[nn.Module, nn.Linear]:
    """The module that gives hidden states, and the linear layer that makes logits of them.

    Raises:
        UnsupportedModel: The model does something else to its logits (soft capping, scaling), or has no plain head.
    """
    text = model.config.get_text_config()
    for knob in ("final_logit_softcapping", "logit_scale", "logits_scaling"):
        if getattr(text, knob, None) not in (None, 1.0):
            raise UnsupportedModel(
                f"{type(model).__name__} changes its logits ({knob}={getattr(text, knob)}), which chunked "
                "log-probabilities do not follow; choose another architecture"
            )
    head, backbone = model.get_output_embeddings(), model.base_model
    if not isinstance(head, nn.Linear) or backbone is model:
        raise UnsupportedModel(
            f"{type(model).__name__} has no plain linear head over a backbone; choose another architecture"
        )
    return backbone, head


def head_outputs(
    head: nn.Linear,
    hidden_ND: Tensor,
    targets_N: Tensor,
    *,
    barred: Sequence[int] = (),
    scale: float = 1.0,
    logits_mib: int = 64,
    entropy: bool = False,
) -> tuple[Tensor, Tensor | None]:
    """`token_logprobs` under a head, (N,), with token ids that have no share of the probability; and the entropy, (N,)."""
    bias_V: Tensor | None = head.bias
    if barred:
        bias_V = head.weight.new_zeros(len(head.weight)) if bias_V is None else bias_V
        bias_V = bias_V.index_fill(0, torch.tensor(barred, device=head.weight.device), -torch.inf)
    known: dict[str, Any] = {"bias_V": bias_V, "scale": scale, "logits_mib": logits_mib}
    if entropy:
        return token_logprobs_and_entropy(hidden_ND, head.weight, targets_N, **known)
    return token_logprobs(hidden_ND, head.weight, targets_N, **known), None


def trained_states(trunk: nn.Module, batch: Batch, *, pack: bool = False) -> Tensor:
    """The hidden states before the trained tokens of a micro-batch, in the order of its loss mask.

    Args:
        trunk: Gives `last_hidden_state`.
        batch: Right-padded rows. The causal mask keeps real tokens from seeing the padding, so none is passed. With a
            `tree_B`, rows with one prompt go through as a tree.
        pack: Put all rows into one without padding; positions that start again at 0 keep them apart.

    Returns:
        (N, D), N the number of trained tokens: the state before token t predicts token t.
    """
    if batch.tree_B is not None:
        return tree_states(trunk, batch)
    device = next(trunk.parameters()).device
    tokens_BT, mask_BT = batch.tokens_BT.to(device), batch.loss_mask_BT.to(device)
    extra = {} if batch.multimodal is None else {k: v.to(device) for k, v in batch.multimodal.tensors.items()}
    if pack:
        real_BT = torch.arange(tokens_BT.shape[1], device=device) < batch.lengths_B.to(device)[:, None]
        positions_BT = torch.arange(tokens_BT.shape[1], device=device).expand_as(tokens_BT)
        packed = trunk(
            input_ids=tokens_BT[real_BT][None], position_ids=positions_BT[real_BT][None], use_cache=False, **extra
        ).last_hidden_state[0]
        hidden_BTD = packed.new_zeros(*tokens_BT.shape, packed.shape[-1]).masked_scatter(real_BT[..., None], packed)
    else:
        hidden_BTD = trunk(input_ids=tokens_BT, use_cache=False, **extra).last_hidden_state
    hidden_ND: Tensor = hidden_BTD[:, :-1][mask_BT[:, 1:]]
    return hidden_ND


def response_logprobs(
    model: PreTrainedModel, batch: Batch, *, logits_mib: int = 64, pack: bool = False, barred: Sequence[int] = ()
) -> Tensor:
    """Log-probabilities of the trained tokens of a micro-batch, at its sampling temperature.

    Args:
        model: Its head is applied only where `batch.loss_mask_BT` is True.
        batch: See `trained_states`.
        logits_mib: See `token_logprobs`.
        pack: See `trained_states`.
        barred: Token ids that the policy cannot write, so that they have no share of the probability.

    Returns:
        (B, T) float32, 0 where the loss mask is False.
    """
    return response_outputs(model, batch, logits_mib=logits_mib, pack=pack, barred=barred).logprobs_BT


def response_outputs(
    model: PreTrainedModel,
    batch: Batch,
    *,
    entropy: bool = False,
    values: Callable[[Batch, Tensor], Tensor] | None = None,
    logits_mib: int = 64,
    pack: bool = False,
    barred: Sequence[int] = (),
    apply_head: Callable[..., tuple[Tensor, Tensor | None]] | None = None,
) -> Outputs:
    """What one pass over a micro-batch says of its trained tokens.

    Args:
        model: See `response_logprobs`.
        batch: See `trained_states`.
        entropy: Also the entropy in nats of the distribution that each token was drawn from.
        values: Also a critic's values: called with the micro-batch and the states of `trained_states`.
        logits_mib: See `token_logprobs`.
        pack: See `trained_states`.
        barred: See `response_logprobs`.
        apply_head: `head_outputs` in another coat: a sharded model's makes the head's weight whole meanwhile.
    """
    backbone, head = backbone_and_head(model)
    hidden_ND = trained_states(backbone, batch, pack=pack)
    device = head.weight.device
    mask_BT = batch.loss_mask_BT.to(device)
    logprobs_N, entropy_N = (apply_head or head_outputs)(
        head,
        hidden_ND,
        batch.tokens_BT.to(device)[mask_BT],
        barred=barred,
        scale=1.0 / batch.temperature if batch.temperature else 1.0,
        logits_mib=logits_mib,
        entropy=entropy,
    )

    def laid_out(found_N: Tensor) -> Tensor:
        return found_N.new_zeros(mask_BT.shape).masked_scatter(mask_BT, found_N)

    return Outputs(
        laid_out(logprobs_N),
        None if values is None else values(batch, hidden_ND),
        None if entropy_N is None else laid_out(entropy_N),
    )
