"""A key-value cache whose rows come and go while decoding goes on.

All rows end at the same column, so that one write serves them all; shorter ones are padded on the left. Storage is
allocated ahead of need (transformers' DynamicCache copies everything at every token), finished rows are dropped in place,
and new prompts are laid beside the running ones.

Attention over the cache (`GROUPED`) reads keys and values where they lie. With a mask, transformers first copies them for
each of the query heads that share them, which takes longer than the attention itself.
"""

from typing import Any

import torch
from torch import Tensor, nn
from transformers import AttentionInterface, AttentionMaskInterface
from transformers.cache_utils import Cache, DynamicLayer
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import sdpa_mask

ROOM = 64  # columns allocated ahead of need
GROUPED = "medrl_grouped"  # what `config._attn_implementation` says when `_grouped_attention` is to be used


class _Layer(DynamicLayer):
    """One layer's keys and values, (rows, heads, columns, head_dim), views into storage with room to the right."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.used = 0
        self.key_storage: Tensor | None = None
        self.value_storage: Tensor | None = None

    def update(
        self, key_states: Tensor, value_states: Tensor, *args: object, **kwargs: object
    ) -> tuple[Tensor, Tensor]:
        end = self.used + key_states.shape[2]
        if self.key_storage is None or end > self.key_storage.shape[2]:
            self._grow(key_states, value_states, end + max(ROOM, end // 2))
        assert self.key_storage is not None and self.value_storage is not None
        rows = len(key_states)
        self.key_storage[:rows, :, self.used : end] = key_states
        self.value_storage[:rows, :, self.used : end] = value_states
        self._show(rows, end)
        return self.states()

    def states(self) -> tuple[Tensor, Tensor]:
        """Keys and values up to the last column in use."""
        assert self.keys is not None and self.values is not None
        return self.keys, self.values

    def get_seq_length(self) -> int:
        return self.used

    def pick(self, rows: Tensor, first_column: int) -> None:
        """Copy these rows, from `first_column` on, to new storage; a row may be picked several times."""
        keys, values = self.states()
        self._store(keys[rows, :, first_column:], values[rows, :, first_column:])

    def move(self, from_rows: Tensor, to_rows: Tensor, count: int) -> None:
        """Write rows over others, then show the first `count`."""
        if len(from_rows):
            for states in self.states():
                states[to_rows] = states[from_rows]
        self._show(count, self.used)

    def append(self, other: "_Layer") -> None:
        """Lay the rows of `other` below these, both ending at the same column."""
        width = max(self.used, other.used)
        (keys, values), (more_keys, more_values) = self.states(), other.states()
        self._store(
            torch.cat([_widen(keys, width), _widen(more_keys, width)]),
            torch.cat([_widen(values, width), _widen(more_values, width)]),
        )

    def _grow(self, keys: Tensor, values: Tensor, columns: int) -> None:
        if not self.is_initialized:
            self.dtype, self.device, self.is_initialized = keys.dtype, keys.device, True
        storages = []
        for old, new in ((self.key_storage, keys), (self.value_storage, values)):
            storage = new.new_empty(new.shape[0], new.shape[1], columns, new.shape[3])
            if old is not None:
                storage[:, :, : self.used] = old[: len(new), :, : self.used]
            storages.append(storage)
        self.key_storage, self.value_storage = storages

    def _store(self, keys: Tensor, values: Tensor) -> None:
        self.used, self.key_storage, self.value_storage = 0, None, None
        self._grow(keys, values, keys.shape[2] + ROOM)
        self.update(keys, values)

    def _show(self, rows: int, end: int) -> None:
        assert self.key_storage is not None and self.value_storage is not None
        self.used = end
        self.keys, self.values = self.key_storage[:rows, :, :end], self.value_storage[:rows, :, :end]


def _widen(states: Tensor, width: int) -> Tensor:
    """Zeros on the left; the attention mask hides them."""
    return torch.nn.functional.pad(states, (0, 0, width - states.shape[2], 0))


class RowCache(Cache):
    """The cache of all layers."""

    def __init__(self, layers: int) -> None:
        super().__init__(layers=[_Layer() for _ in range(layers)])

    @property
    def rows_layers(self) -> list[_Layer]:
        return [layer for layer in self.layers if isinstance(layer, _Layer)]

    def pick(self, rows: Tensor, first_column: int = 0) -> None:
        """Make these the rows, in this order and as often as they are named, from `first_column` on."""
        for layer in self.rows_layers:
            layer.pick(rows, first_column)

    def keep(self, rows: Tensor) -> None:
        """Make these the rows, each named once. Only those that change their place are copied."""
        to_rows = (rows != torch.arange(len(rows), device=rows.device)).nonzero()[:, 0]
        for layer in self.rows_layers:
            layer.move(rows[to_rows], to_rows, len(rows))

    def append(self, other: "RowCache") -> None:
        for mine, theirs in zip(self.rows_layers, other.rows_layers, strict=True):
            mine.append(theirs)


def _grouped_attention(
    module: nn.Module, query: Tensor, key: Tensor, value: Tensor, attention_mask: Tensor | None, **options: Any
) -> tuple[Tensor, None]:
    """transformers' sdpa, except that the heads which share keys and values stand as several queries of one head.

    Heads may stand so where there is one new token: all of them then see the same columns.
    """
    rows, heads, new, size = query.shape
    shared = key.shape[1]
    if new > 1 or heads == shared or options.get("position_bias") is not None:
        return sdpa_attention_forward(module, query, key, value, attention_mask, **options)
    out = nn.functional.scaled_dot_product_attention(
        query.reshape(rows, shared, heads // shared, size),
        key,
        value,
        attn_mask=attention_mask,
        dropout_p=options.get("dropout", 0.0),
        scale=options.get("scaling"),
    )
    return out.reshape(rows, 1, heads, size), None


AttentionInterface.register(GROUPED, _grouped_attention)
AttentionMaskInterface.register(GROUPED, sdpa_mask)
