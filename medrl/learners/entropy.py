"""Log-probabilities of tokens and the entropy that they were drawn with, in chunks as in `logprobs.py`.

    H = - sum over v of p[v] log p[v],    dH / d logits[v] = - p[v] (log p[v] + H)

The backward pass makes each chunk's logits again. `logprobs.py` is apart from this one, for without the entropy one table of
logits is enough, and a batch of one chunk keeps its probabilities.
"""

from typing import Any

import torch
from torch import Tensor

from medrl.learners.head import HeadGradients, chunk_logits


class _LogprobsAndEntropy(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        hidden_ND: Tensor,
        weight_VD: Tensor,
        bias_V: Tensor | None,
        targets_N: Tensor,
        scale: float,
        rows: int,
    ) -> tuple[Tensor, Tensor]:
        logprobs_N = torch.empty(len(targets_N), dtype=torch.float32, device=hidden_ND.device)
        entropy_N = torch.empty_like(logprobs_N)
        for part in torch.arange(len(targets_N), device=hidden_ND.device).split(rows):
            table_CV = _log_softmax(hidden_ND[part], weight_VD, bias_V, scale)
            logprobs_N[part] = table_CV.gather(-1, targets_N[part, None])[:, 0]
            probs_CV = table_CV.exp()
            entropy_N[part] = -torch.xlogy(probs_CV, probs_CV).sum(-1)  # 0 log 0 is 0: barred tokens have no share
        ctx.save_for_backward(hidden_ND, weight_VD, bias_V, targets_N, entropy_N)
        ctx.scale, ctx.rows = scale, rows
        return logprobs_N, entropy_N

    @staticmethod
    def backward(ctx: Any, grad_logprobs_N: Tensor, grad_entropy_N: Tensor) -> tuple[Tensor | None, ...]:
        hidden_ND, weight_VD, bias_V, targets_N, entropy_N = ctx.saved_tensors
        found = HeadGradients(hidden_ND, weight_VD, bias_V, ctx.scale, ctx.needs_input_grad[:3])
        for part in torch.arange(len(targets_N), device=hidden_ND.device).split(ctx.rows):
            probs_CV = _log_softmax(hidden_ND[part], weight_VD, bias_V, ctx.scale).exp_()
            d_logits_CV = torch.xlogy(probs_CV, probs_CV).addcmul_(probs_CV, entropy_N[part, None])
            d_logits_CV.mul_(-grad_entropy_N[part, None]).addcmul_(probs_CV, grad_logprobs_N[part, None], value=-1.0)
            d_logits_CV.scatter_add_(-1, targets_N[part, None], grad_logprobs_N[part, None])
            found.add(part, d_logits_CV)
        return found.hidden_ND, found.weight_VD, found.bias_V, None, None, None


def _log_softmax(hidden_CD: Tensor, weight_VD: Tensor, bias_V: Tensor | None, scale: float) -> Tensor:
    logits_CV = chunk_logits(hidden_CD, weight_VD, bias_V, scale)
    return logits_CV.sub_(logits_CV.logsumexp(-1, keepdim=True))


def token_logprobs_and_entropy(
    hidden_ND: Tensor,
    weight_VD: Tensor,
    targets_N: Tensor,
    *,
    bias_V: Tensor | None = None,
    scale: float = 1.0,
    logits_mib: int = 64,
) -> tuple[Tensor, Tensor]:
    """Of softmax(scale * (hidden @ weight^T + bias)): the log-probability of each target, and the entropy in nats.

    At most three tables of `logits_mib` exist at once; arguments as of `token_logprobs`.

    Returns:
        (N,) and (N,) float32, both differentiable in the hidden states, the weight and the bias.
    """
    rows = max(1, logits_mib * 2**20 // (4 * weight_VD.shape[0]))
    found: tuple[Tensor, Tensor] = _LogprobsAndEntropy.apply(hidden_ND, weight_VD, bias_V, targets_N, scale, rows)  # type: ignore[no-untyped-call]
    return found
