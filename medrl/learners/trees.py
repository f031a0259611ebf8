"""Rows of a group begin with one prompt: as a tree, it goes through the model once for all of them.

A tree is one sequence: the prompt, then the responses one after another. Each response sees the prompt and itself, and has
the positions of its own row. Hidden states and gradients are those of the rows apart, to rounding, as in Prefix Grouper (Liu
et al., arXiv 2506.05433), which splits attention in two where here a mask says who sees whom.

    tokens  P + S in place of G P + S, for a prompt of P tokens and G responses of S tokens in all
    cost    (P + S) (6 D + P + S): a token takes 24 D^2 operations a layer in matrices, and 4 D for each slot of attention,
            masked ones too; D is the width of the model

A response costs least in a tree with S = sqrt(P (6 D + P)), and no tree is made larger.
"""

import math
from collections.abc import Mapping, Sequence
from itertools import groupby
from typing import Any

import torch
from torch import Tensor, nn

from medrl.algorithms import Batch

PROFIT = 1.1  # trees must be cheaper by so much than rows apart: what the estimate leaves out


def can_share(model: Any) -> bool:
    """Whether a mask and positions alone say what a token of this model sees.

    True for decoders of text with rotary positions and full attention by torch's SDPA, without dropout in training.
    """
    config: Any = model.config
    text: Any = config.get_text_config()
    others = ("sliding_window", "attention_chunk_size", "keep_window_size", "alibi", "attention_dropout")
    return (
        text is config
        and getattr(text, "_attn_implementation", None) == "sdpa"
        and bool(getattr(text, "rope_parameters", None))
        and set(getattr(text, "layer_types", None) or ["full_attention"]) == {"full_attention"}
        and not any(getattr(text, name, None) for name in others)
        and not any(isinstance(module, nn.Dropout) and module.p > 0 for module in model.modules())
    )


def planted(batch: Batch, rows: Sequence[int], width: int, token_budget: int, ranks: int = 1) -> Batch:
    """The batch with a `tree_B` that has these rows in trees, where that is cheaper; as it was where it is not.

    Args:
        batch: Whole groups.
        rows: Those that will pass through the model.
        width: Of the model (D).
        token_budget: Most tokens of a tree, if it has more than one row.
        ranks: Among whom trees are dealt out; no tree has more than half of a rank's share of the rows.
    """
    if batch.group_size < 2 or batch.images or not rows:
        return batch
    lengths, prompts = batch.lengths_B.tolist(), batch.prompt_lengths_B.tolist()
    most = math.ceil(len(rows) / (2 * ranks)) if ranks > 1 else batch.group_size
    trees: list[list[int]] = []
    for _, members in groupby(sorted(rows), key=lambda row: row // batch.group_size):
        group = list(members)
        prompt = batch.tokens_BT[group[0], : prompts[group[0]]]
        size = len(prompt)
        alike = [row for row in group if prompts[row] == size and batch.tokens_BT[row, :size].equal(prompt)]
        trees += [[row] for row in group if row not in alike]
        room = min(math.isqrt(size * (6 * width + size)), token_budget - size)
        trees += _split({row: lengths[row] - size for row in alike}, room, most)
    sizes = [prompts[tree[0]] + sum(lengths[row] - prompts[row] for row in tree) for tree in trees]
    apart, together = [_cost(lengths[row], width) for row in rows], [_cost(size, width) for size in sizes]
    if _longest(apart, ranks) <= PROFIT * _longest(together, ranks):
        return batch
    tree_B = torch.full((len(batch),), -1)
    for number, tree in enumerate(trees):
        tree_B[tree] = number
    return batch.with_(tree_B=tree_B)


def _split(sizes: Mapping[int, int], room: int, most: int) -> list[list[int]]:
    """Rows in parts of about equal sizes, each of at most `room` tokens and `most` rows unless it is a single row."""
    count = max(math.ceil(sum(sizes.values()) / max(room, 1)), math.ceil(len(sizes) / most))
    found: list[list[int]] = [[] for _ in range(count)]
    loads = [0] * len(found)
    for row in sorted(sizes, key=lambda row: (-sizes[row], row)):  # the longest first, each where there is most room
        fits = [i for i, part in enumerate(found) if not part or (len(part) < most and loads[i] + sizes[row] <= room)]
        if not fits:
            fits = [len(found)]
            found.append([])
            loads.append(0)
        part = min(fits, key=loads.__getitem__)
        found[part].append(row)
        loads[part] += sizes[row]
    return [sorted(part) for part in found if part]


def _longest(costs: Sequence[int], ranks: int) -> int:
    """What the busiest rank has to do, when what is dear is dealt out first."""
    loads = [0] * ranks
    for cost in sorted(costs, reverse=True):
        loads[loads.index(min(loads))] += cost
    return max(loads)


def _cost(tokens: int, width: int) -> int:
    return tokens * (6 * width + tokens)


def tree_states(trunk: nn.Module, batch: Batch) -> Tensor:
    """`trained_states` of rows with a `tree_B`; the rows of a tree have the same prompt.

    Shape letters: U trees, N slots of the largest.
    """
    assert batch.tree_B is not None
    device = next(trunk.parameters()).device
    trees, of_B = batch.tree_B.unique(return_inverse=True)
    written_B = batch.lengths_B - batch.prompt_lengths_B
    before_B = torch.stack([written_B[:row][of_B[:row] == of_B[row]].sum() for row in range(len(batch))])
    sizes_U = torch.zeros_like(trees).index_add_(0, of_B, written_B)
    slots = int((sizes_U[of_B] + batch.prompt_lengths_B).max())

    token_T = torch.arange(batch.tokens_BT.shape[1], device=of_B.device)
    in_prompt_BT = token_T < batch.prompt_lengths_B[:, None]
    slot_BT = torch.where(in_prompt_BT, token_T, token_T + before_B[:, None])
    real_BT = token_T < batch.lengths_B[:, None]
    tree_BT = of_B[:, None].expand_as(slot_BT)
    row_BT = torch.arange(len(batch), device=of_B.device)[:, None].expand_as(slot_BT)
    places = tree_BT[real_BT], slot_BT[real_BT]

    def laid_out(values_BT: Tensor, empty: int) -> Tensor:
        table_UN = torch.full((len(trees), slots), empty, device=of_B.device)
        table_UN[places] = values_BT[real_BT]
        return table_UN.to(device)

    owner_UN = laid_out(torch.where(in_prompt_BT, -1, row_BT), -2)
    causal_NN = torch.ones(slots, slots, dtype=torch.bool, device=device).tril()
    sees_UNN = causal_NN & ((owner_UN[:, None] == -1) | (owner_UN[:, None] == owner_UN[..., None]))
    # As numbers, in the type of the layers: each would make its own of a mask of truths, and keep it for the backward pass.
    half = torch.is_autocast_enabled(device.type)
    dtype = torch.get_autocast_dtype(device.type) if half else next(trunk.parameters()).dtype
    mask_UNN = torch.zeros(sees_UNN.shape, dtype=dtype, device=device).masked_fill(~sees_UNN, -torch.inf)
    hidden_UND = trunk(
        input_ids=laid_out(batch.tokens_BT, 0),
        position_ids=laid_out(token_T.expand_as(slot_BT), 0),
        attention_mask=mask_UNN[:, None],
        use_cache=False,
    ).last_hidden_state
    wanted_BT = batch.loss_mask_BT[:, 1:]
    hidden_ND: Tensor = hidden_UND[tree_BT[:, :-1][wanted_BT].to(device), slot_BT[:, :-1][wanted_BT].to(device)]
    return hidden_ND
