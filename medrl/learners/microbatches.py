"""Deal rows out: whole groups to minibatches by chance, rows of similar length to micro-batches by a token budget."""

import random
from collections.abc import Iterator

from torch import Tensor

from medrl.algorithms import Batch


def minibatches(batch: Batch, count: int, seed: int) -> list[list[int]]:
    """Rows of each of `count` minibatches. Groups stay whole (a group's advantages sum to zero) and are shuffled."""
    groups = list(range(len(batch) // batch.group_size))
    random.Random(seed).shuffle(groups)
    count = min(count, len(groups))
    size = batch.group_size
    return [[g * size + i for g in sorted(groups[m::count]) for i in range(size)] for m in range(count)]


def microbatches(lengths_B: Tensor, rows: list[int], token_budget: int) -> Iterator[list[int]]:
    """Split `rows` so that rows x longest length stays within the budget; a longer single row goes alone."""
    current: list[int] = []
    for row in sorted(rows, key=lambda r: (int(lengths_B[r]), r)):
        if current and (len(current) + 1) * int(lengths_B[row]) > token_budget:
            yield current
            current = []
        current.append(row)
    if current:
        yield current
