"""Weights on their way from learners to engines: named tensors packed into few large buffers.

One message a parameter costs a round trip each; a model has hundreds. A bucket is one flat buffer of bytes with a table of
what lies where, so that it travels as one object (through Ray's object store without a copy on one machine) and opens into
views of itself.
"""

import warnings
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pickle import PickleBuffer
from typing import Any, TypeAlias

import numpy as np
import torch
from torch import Tensor

ALIGNMENT = 64  # bytes; views of any dtype may begin there, and vectorised copies are at their fastest
BUCKET_MIB = 64


@dataclass(frozen=True)
class Entry:
    """One tensor of a bucket.

    Attributes:
        name: Its name in the model's state, as Hugging Face has it.
        dtype: torch's name for its type, e.g. "float32".
        shape: Its shape.
        offset: Where its bytes begin.
    """

    name: str
    dtype: str
    shape: tuple[int, ...]
    offset: int


@dataclass(frozen=True)
class Bucket:
    """Some of a model's weights in one buffer.

    Attributes:
        entries: What lies where.
        data: The bytes, uint8, one axis. Pickle protocol 5 passes it out of band, so an object store keeps it as it is.
    """

    entries: tuple[Entry, ...]
    data: np.ndarray[Any, np.dtype[np.uint8]]

    def tensors(self) -> Iterator[tuple[str, Tensor]]:
        """Each tensor as a view of the buffer; read it, never write to it: others may share the memory."""
        for entry in self.entries:
            dtype: torch.dtype = getattr(torch, entry.dtype)
            size = int(np.prod(entry.shape, dtype=np.int64)) * dtype.itemsize
            flat = _view(self.data[entry.offset : entry.offset + size])
            yield entry.name, flat.view(dtype).view(entry.shape)

    @property
    def nbytes(self) -> int:
        return int(self.data.nbytes)


@dataclass(frozen=True, eq=False)
class LentBucket:
    """Some of a model's weights where they lie: a bucket that no byte was copied into.

    For weights in this process's own memory. Pickling it (an object store does) makes the one copy; until then the weights
    must stay as they are. What comes out on the other side has its tensors as views, as those of `Bucket`.

    Attributes:
        entries: What it holds; offsets are 0, for each tensor has an array of its own.
        parts: The bytes of each, uint8, one axis.
    """

    entries: tuple[Entry, ...]
    parts: tuple[np.ndarray[Any, np.dtype[np.uint8]], ...]

    def tensors(self) -> Iterator[tuple[str, Tensor]]:
        """See `Bucket.tensors`."""
        for entry, part in zip(self.entries, self.parts, strict=True):
            dtype: torch.dtype = getattr(torch, entry.dtype)
            yield (
                entry.name,
                _view(part).view(dtype).view(entry.shape) if part.size else torch.empty(entry.shape, dtype=dtype),
            )

    @property
    def nbytes(self) -> int:
        return sum(part.nbytes for part in self.parts)

    def __reduce_ex__(self, protocol: Any) -> tuple[Any, ...]:
        whole: Any = PickleBuffer if int(protocol) >= 5 else bytes
        return _returned, (self.entries, *map(whole, self.parts))


def _returned(entries: tuple[Entry, ...], *parts: Any) -> LentBucket:
    return LentBucket(entries, tuple(np.frombuffer(part, dtype=np.uint8) for part in parts))


def lend(weights: Iterable[tuple[str, Tensor]], bucket_mib: int = 4 * BUCKET_MIB) -> Iterator[LentBucket]:
    """As `pack`, for weights that lie in this process's memory: they are not copied, and must not change meanwhile.

    A tensor on another device, or one whose elements are not in a row, is copied, for there is no other way.
    """
    limit, entries, parts, size = bucket_mib * 2**20, list[Entry](), list[Any](), 0
    for name, tensor in weights:
        flat = tensor.detach().cpu().contiguous().view(-1).view(torch.uint8).numpy()
        if entries and size + flat.nbytes > limit:
            yield LentBucket(tuple(entries), tuple(parts))
            entries, parts, size = [], [], 0
        entries.append(Entry(name, str(tensor.dtype).removeprefix("torch."), tuple(tensor.shape), 0))
        parts.append(flat)
        size += flat.nbytes
    if entries:
        yield LentBucket(tuple(entries), tuple(parts))


AnyBucket: TypeAlias = Bucket | LentBucket


def pack(weights: Iterable[tuple[str, Tensor]], bucket_mib: int = BUCKET_MIB) -> Iterator[Bucket]:
    """Pack tensors, in order, into buckets of at most so many MiB; a larger tensor has a bucket of its own.

    Each tensor is copied once, from whatever device it is on, and need not live longer than its turn of the iterator:
    ranks that gather a sharded model hold one bucket at a time.
    """
    limit, entries, size = bucket_mib * 2**20, list[Entry](), 0
    data = np.empty(limit, dtype=np.uint8)
    for name, tensor in weights:
        nbytes = tensor.numel() * tensor.element_size()
        if entries and size + nbytes > limit:
            yield Bucket(tuple(entries), data[:size])
            entries, size = [], 0
            data = np.empty(max(limit, nbytes), dtype=np.uint8)
        elif nbytes > len(data):
            data = np.empty(nbytes, dtype=np.uint8)
        entries.append(Entry(name, str(tensor.dtype).removeprefix("torch."), tuple(tensor.shape), size))
        place = torch.from_numpy(data[size : size + nbytes])
        place.view(tensor.dtype).view(tensor.shape).copy_(tensor.detach())
        size += -(-nbytes // ALIGNMENT) * ALIGNMENT
    if entries:
        yield Bucket(tuple(entries), data[: min(size, len(data))])


def _view(data: np.ndarray[Any, np.dtype[np.uint8]]) -> Tensor:
    with warnings.catch_warnings():  # memory out of an object store is read-only, which torch has no word for
        warnings.filterwarnings("ignore", message=".*not writable.*", category=UserWarning)
        return torch.from_numpy(data)
