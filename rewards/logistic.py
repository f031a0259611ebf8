"""Logistic regression in plain Python, for models of a few named features: small, exact, the same on every machine.

    minimise  sum_n c_n log(1 + exp(-y_n (b + w.x_n))) + (l2 / 2) |w - w0|^2    with  sign_j w_j >= 0

by cyclic coordinate descent with Newton steps (Hsieh et al., ICML 2008, for the primal); the objective is convex and its
minimum unique for l2 > 0. x (N, D), y in {-1, 1}, c (N,) the counts of equal rows, w0 (D,) what is believed before: a feature
of which the rows say nothing keeps it.
"""

import math
from collections import Counter
from collections.abc import Sequence

ROUNDS = 400
CLOSE = 1e-7  # largest step of a round at which it has converged


def sigmoid(value: float) -> float:
    if value >= 0:
        return 1.0 / (1.0 + math.exp(-value))
    power = math.exp(value)
    return power / (1.0 + power)


def fit(
    rows: Sequence[Sequence[float]],
    labels: Sequence[bool],
    signs: Sequence[int],
    *,
    prior: float = 0.0,
    l2: float = 1.0,
) -> tuple[list[float], float]:
    """Weights (D,) and bias of the regression of `labels` on `rows`.

    Args:
        rows: (N, D) features.
        labels: (N,).
        signs: (D,) of +1, -1 or 0: the sign that a weight must not leave; 0 for any.
        prior: Size of the weights believed before, each with its sign; 0 to 2.
        l2: Strength of the pull towards the prior, in rows; 0.1 to 10.
    """
    counted = Counter((tuple(row), label) for row, label in zip(rows, labels, strict=True))
    examples = [(row, 1.0 if label else -1.0, float(count)) for (row, label), count in counted.items()]
    columns = [
        [(n, row[j]) for n, (row, _, _) in enumerate(examples) if row[j]] for j in range(len(signs))
    ]  # sparse: most features of a reply are 0
    columns.append([(n, 1.0) for n in range(len(examples))])
    before = [prior * sign for sign in signs]
    weights, values = [0.0] * len(columns), [0.0] * len(examples)
    for _ in range(ROUNDS):
        largest = 0.0
        for j, column in enumerate(columns):
            free = j == len(signs)
            slope, bend = (0.0, 1e-9) if free else (l2 * (weights[j] - before[j]), l2)
            for n, x in column:
                _, y, count = examples[n]
                wrong = sigmoid(-y * values[n])
                slope -= count * y * wrong * x
                bend += count * wrong * (1.0 - wrong) * x * x
            moved = max(-2.0, min(2.0, -slope / bend))
            if not free and signs[j] and (weights[j] + moved) * signs[j] < 0:
                moved = -weights[j]
            if moved:
                weights[j] += moved
                for n, x in column:
                    values[n] += moved * x
            largest = max(largest, abs(moved))
        if largest < CLOSE:
            break
    return weights[:-1], weights[-1]


def platt(values: Sequence[float], labels: Sequence[bool]) -> tuple[float, float]:
    """Slope and offset that turn a raw value into a probability (Platt 1999), with his smoothed targets by `l2`."""
    weights, bias = fit([[value] for value in values], labels, [1], l2=1e-3)
    return weights[0], bias


def auc(values: Sequence[float], labels: Sequence[bool]) -> float | None:
    """Area under the ROC curve, the chance that a positive has the greater value; ties count half. None without both."""
    positives = sum(labels)
    negatives = len(labels) - positives
    if not positives or not negatives:
        return None
    order = sorted(zip(values, labels, strict=True), key=lambda pair: pair[0])
    ranks = 0.0
    start = 0
    while start < len(order):
        end = start
        while end < len(order) and order[end][0] == order[start][0]:
            end += 1
        ranks += (start + 1 + end) / 2 * sum(label for _, label in order[start:end])
        start = end
    return (ranks - positives * (positives + 1) / 2) / (positives * negatives)
