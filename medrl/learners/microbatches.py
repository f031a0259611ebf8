"""Deal rows out: whole groups to minibatches by chance, sequences of similar length to micro-batches by a token budget."""

import random
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from medrl.algorithms import Batch


def minibatches(batch: Batch, count: int, seed: int) -> list[list[int]]:
    """Rows of each of `count` minibatches. Groups stay whole (a group's advantages sum to zero) and are shuffled."""
    groups = list(range(len(batch) // batch.group_size))
    random.Random(seed).shuffle(groups)
    count = min(count, len(groups))
    size = batch.group_size
    return [[g * size + i for g in sorted(groups[m::count]) for i in range(size)] for m in range(count)]


class Bundle(NamedTuple):
    """Rows that pass through the model as one sequence, and its tokens: a row, or a tree (see `trees`)."""

    rows: list[int]
    tokens: int


def bundles(batch: Batch, rows: list[int]) -> list[Bundle]:
    """The rows, those of a tree together."""
    lengths = batch.lengths_B.tolist()
    if batch.tree_B is None:
        return [Bundle([row], lengths[row]) for row in rows]
    prompts, trees = batch.prompt_lengths_B.tolist(), dict[int, list[int]]()
    for row, tree in zip(rows, batch.tree_B[rows].tolist(), strict=True):
        if tree < 0:
            raise ValueError(f"row {row} is in no tree; trees are planted for the rows that pass through the model")
        trees.setdefault(tree, []).append(row)
    return [
        Bundle(some, prompts[some[0]] + sum(lengths[row] - prompts[row] for row in some)) for some in trees.values()
    ]


def shared_tokens(batch: Batch, rows: list[int]) -> float:
    """Share of the tokens of these rows that need not pass through the model, since a tree has their prompt already."""
    return 1.0 - sum(bundle.tokens for bundle in bundles(batch, rows)) / max(1, int(batch.lengths_B[rows].sum()))


def microbatches(bundles: Iterable[Bundle], token_budget: int) -> Iterator[list[int]]:
    """Rows of each micro-batch: sequences x longest stays within the budget; a longer single one goes alone."""
    current: list[Bundle] = []
    for bundle in sorted(bundles, key=lambda b: (b.tokens, b.rows)):
        if current and (len(current) + 1) * bundle.tokens > token_budget:
            yield [row for one in current for row in one.rows]
            current = []
        current.append(bundle)
    if current:
        yield [row for one in current for row in one.rows]


def deal(bundles: Iterable[Bundle], token_budget: int, ranks: int) -> list[list[list[int]]]:
    """Micro-batches of each rank: as many on every rank, with tokens in balance.

    The longest sequences go first, each to the rank with the fewest tokens so far, so that two ranks differ by less than
    the longest. Sharded ranks must pass through the model equally often: where one has fewer micro-batches its largest are
    halved, and where it has too few rows for that it gets empty ones.
    """
    shares: list[list[Bundle]] = [[] for _ in range(ranks)]
    loads = [0] * ranks
    for bundle in sorted(bundles, key=lambda b: (-b.tokens, b.rows)):
        rank = loads.index(min(loads))
        shares[rank].append(bundle)
        loads[rank] += bundle.tokens
    dealt = [list(microbatches(share, token_budget)) for share in shares]
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
