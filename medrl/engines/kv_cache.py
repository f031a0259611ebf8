"""A key-value cache whose rows come and go while decoding goes on.

All rows end at the same column, so that one write serves them all; shorter ones are padded on the left. Storage is
allocated ahead of need (transformers' DynamicCache copies everything at every token), finished rows are dropped, and
new prompts are laid beside the running ones.
"""

import torch
from torch import Tensor
from transformers.cache_utils import Cache, DynamicLayer

ROOM = 64  # columns allocated ahead of need


class _Layer(DynamicLayer):
    """One layer's keys and values, (rows, heads, columns, head_dim), views into storage with room to the right."""

    def __init__(self) -> None:
        super().__init__()
        self.used = 0
        self.key_storage: Tensor | None = None
        self.value_storage: Tensor | None = None

    def update(  # type: ignore[override]
        self, key_states: Tensor, value_states: Tensor, *args: object, **kwargs: object
    ) -> tuple[Tensor, Tensor]:
        end = self.used + key_states.shape[2]
        if self.key_storage is None or end > self.key_storage.shape[2]:
            self._grow(key_states, value_states, end + max(ROOM, end // 2))
        assert self.key_storage is not None and self.value_storage is not None
        self.key_storage[:, :, self.used : end] = key_states
        self.value_storage[:, :, self.used : end] = value_states
        self._show(end)
        return self.keys, self.values

    def get_seq_length(self) -> int:
        return self.used

    def keep(self, rows: Tensor, first_column: int) -> None:
        """Keep these rows, and the columns from `first_column` on."""
        self._store(self.keys[rows, :, first_column:], self.values[rows, :, first_column:])

    def append(self, other: "_Layer") -> None:
        """Lay the rows of `other` below these, both ending at the same column."""
        width = max(self.used, other.used)
        self._store(
            torch.cat([_widen(self.keys, width), _widen(other.keys, width)]),
            torch.cat([_widen(self.values, width), _widen(other.values, width)]),
        )

    def _grow(self, keys: Tensor, values: Tensor, columns: int) -> None:
        if not self.is_initialized:
            self.dtype, self.device, self.is_initialized = keys.dtype, keys.device, True
        storages = []
        for old, new in ((self.key_storage, keys), (self.value_storage, values)):
            storage = new.new_empty(new.shape[0], new.shape[1], columns, new.shape[3])
            if old is not None:
                storage[:, :, : self.used] = old[:, :, : self.used]
            storages.append(storage)
        self.key_storage, self.value_storage = storages

    def _store(self, keys: Tensor, values: Tensor) -> None:
        self.used, self.key_storage, self.value_storage = 0, None, None
        self._grow(keys, values, keys.shape[2] + ROOM)
        self.update(keys, values)

    def _show(self, end: int) -> None:
        assert self.key_storage is not None and self.value_storage is not None
        self.used = end
        self.keys, self.values = self.key_storage[:, :, :end], self.value_storage[:, :, :end]


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

    def keep(self, rows: Tensor, first_column: int) -> None:
        for layer in self.rows_layers:
            layer.keep(rows, first_column)

    def append(self, other: "RowCache") -> None:
        for mine, theirs in zip(self.rows_layers, other.rows_layers, strict=True):
            mine.append(theirs)
