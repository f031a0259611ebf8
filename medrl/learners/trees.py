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
from collections.abc import Sequence
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
    windows = [getattr(text, name, None) for name in ("sliding_window", "attention_chunk_size")]
    dropout = getattr(text, "attention_dropout", 0.0) or any(
        isinstance(m, nn.Dropout) and m.p > 0 for m in model.modules()
    )
    return (
        text is config
        and getattr(text, "_attn_implementation", None) == "sdpa"
        and bool(getattr(text, "rope_parameters", None))
        and set(getattr(text, "layer_types", None) or ["full_attention"]) == {"full_attention"}
        and not any(windows)
        and not dropout
    )


def planted(batch: Batch, width: int, token_budget: int, ranks: int = 1) -> Batch:
    """The batch with `tree_B` where that is cheaper, and as it was where it is not.

    Args:
        batch: Whole groups.
        width: Of the model (D).
        token_budget: Most tokens of a tree, if it has more than one row.
        ranks: Among whom trees are dealt out; there are at least four for each, for the sake of balance.
    """
    if batch.group_size < 2 or batch.images:
        return batch
    lengths, prompts = batch.lengths_B.tolist(), batch.prompt_lengths_B.tolist()
    trained = batch.loss_mask_BT.any(-1)
    most = math.ceil(int(trained.sum()) / (4 * ranks)) if ranks > 1 else batch.group_size
    trees: list[list[int]] = []
    for start in range(0, len(batch), batch.group_size):
        rows = [row for row in range(start, start + batch.group_size) if trained[row]]
        if not rows:
            continue
        prompt = batch.tokens_BT[rows[0], : prompts[rows[0]]]
        alike = [
            row for row in rows if prompts[row] == len(prompt) and batch.tokens_BT[row, : len(prompt)].equal(prompt)
        ]
        trees += [[row] for row in rows if row not in alike]
        room = max(1, min(int(math.sqrt(len(prompt) * (6 * width + len(prompt)))), token_budget - len(prompt)))
        trees += _split(alike, [lengths[row] - len(prompt) for row in alike], room, most)
    apart = sum(_cost(lengths[row], width) for tree in trees for row in tree)
    shared = sum(_cost(prompts[tree[0]] + sum(lengths[row] - prompts[row] for row in tree), width) for tree in trees)
    if apart <= PROFIT * shared:
        return batch
    tree_B = torch.full((len(batch),), -1)
    for number, tree in enumerate(trees):
        tree_B[tree] = number
    return batch.with_(tree_B=tree_B)


def shared_tokens(batch: Batch) -> float:
    """Share of the tokens of trained rows that need not pass through the model, since their tree has the prompt already."""
    assert batch.tree_B is not None
    trees = batch.tree_B.tolist()
    again = [row for row, tree in enumerate(trees) if tree >= 0 and tree in trees[:row]]
    return float(batch.prompt_lengths_B[again].sum() / batch.lengths_B[batch.tree_B >= 0].sum())


def _split(rows: Sequence[int], sizes: Sequence[int], room: int, most: int) -> list[list[int]]:
    """Rows in parts of about equal sizes, at most `room` tokens and `most` rows each, if they have more than one row."""
    parts = max(math.ceil(sum(sizes) / room), math.ceil(len(rows) / most))
    found: list[list[int]] = [[] for _ in range(parts)]
    loads = [0] * parts
    for size, row in sorted(
        zip(sizes, rows, strict=True), reverse=True
    ):  # the longest first, each where there is most room
        part = min((i for i in range(parts) if len(found[i]) < most), key=loads.__getitem__)
        found[part].append(row)
        loads[part] += size
    return [sorted(part) for part in found if part]


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
    hidden_UND = trunk(
        input_ids=laid_out(batch.tokens_BT, 0),
        position_ids=laid_out(token_T.expand_as(slot_BT), 0),
        attention_mask=sees_UNN[:, None],
        use_cache=False,
    ).last_hidden_state
    wanted_BT = batch.loss_mask_BT[:, 1:]
    hidden_ND: Tensor = hidden_UND[tree_BT[:, :-1][wanted_BT].to(device), slot_BT[:, :-1][wanted_BT].to(device)]
    return hidden_ND
