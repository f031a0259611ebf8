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


def deal(lengths_B: Tensor, rows: list[int], token_budget: int, ranks: int) -> list[list[list[int]]]:
    """Micro-batches of each rank: as many on every rank, with tokens in balance.

    The longest rows go first, each to the rank with the fewest tokens so far, so that two ranks differ by less than the
    longest row. Sharded ranks must pass through the model equally often: where one has fewer micro-batches its largest are
    halved, and where it has too few rows for that it gets empty ones.
    """
    shares: list[list[int]] = [[] for _ in range(ranks)]
    loads = [0] * ranks
    for row in sorted(rows, key=lambda r: (-int(lengths_B[r]), r)):
        rank = loads.index(min(loads))
        shares[rank].append(row)
        loads[rank] += int(lengths_B[row])
    dealt = [list(microbatches(lengths_B, share, token_budget)) for share in shares]
    passes = max(map(len, dealt))
    for share in dealt:
        while len(share) < passes:
            largest = max(share, key=len, default=[])
            if len(largest) < 2:
                share.append([])
                continue
            at, half = share.index(largest), len(largest) // 2
            share[at : at + 1] = [largest[:half], largest[half:]]
    return dealt
