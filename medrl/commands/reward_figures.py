"""The figures of a reward model on preference pairs: accuracy, calibration, length bias, all of it by topic.

Length is that of the reply alone, in tokens. Singhal et al. (arXiv 2310.03716) show that what reward models gain is to a
large part length, so accuracy alone says little: see `length`.
"""

import math
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from medrl.commands.verifier_figures import wilson
from medrl.data.preferences import PreferencePair
from medrl.errors import DataError
from medrl.rewards.reward_model import RewardModel, Worth, combined
from medrl.rewards.reward_model_layout import reply_tokens, token_rows, visible
from medrl.trainers.calibration import fit_temperature
from medrl.verifiers.classifier import sigmoid
from medrl.verifiers.reliability import reliability

BATCH = 64


@dataclass(frozen=True)
class Judged:
    """What a reward model made of a pair, on the scale of its reference set."""

    pair: PreferencePair
    chosen: Worth
    rejected: Worth
    longer: int  # tokens that the chosen reply is longer

    @property
    def difference(self) -> float:
        return self.chosen.mean - self.rejected.mean

    @property
    def right(self) -> bool:
        return self.difference > 0


def judge_pairs(model: RewardModel, pairs: Sequence[PreferencePair]) -> list[Judged]:
    """Every pair with the model's rewards.

    Raises:
        DataError: A pair does not fit into the model, or a reward is no finite number.
    """
    asked = [(pair.problem, side.response) for pair in pairs for side in (pair.chosen, pair.rejected)]
    rows = token_rows(model.tokenizer, asked, model.format)
    long = [i for i, row in enumerate(rows) if len(row["input_ids"]) > model.context]
    if long:
        name = pairs[long[0] // 2].id
        raise DataError(
            f"{len(long)} replies have more than {model.context} tokens with their prompt, the first in {name!r}"
        )
    worths = combined(model.raw(rows, BATCH), model.scales)
    if not all(math.isfinite(worth.mean) for worth in worths):
        raise DataError("the reward model gives some pairs no finite number")
    lengths = [reply_tokens(model.tokenizer, visible(response.text, model.format)) for _, response in asked]
    return [
        Judged(pair, worths[2 * i], worths[2 * i + 1], lengths[2 * i] - lengths[2 * i + 1])
        for i, pair in enumerate(pairs)
    ]


def temperature_of(judged: Sequence[Judged]) -> float:
    """The temperature that makes sigmoid(difference / T) the probability of the label (arXiv 1706.04599)."""
    return fit_temperature([one.difference for one in judged], [True] * len(judged))


def figures(judged: Sequence[Judged], temperature: float) -> dict[str, Any]:
    """Everything that is known of a reward model on some pairs; a share of nothing is None."""
    sure = [sigmoid(abs(one.difference) / temperature) for one in judged]
    right = [one.right for one in judged]
    after, before = reliability(sure, right), reliability([sigmoid(abs(one.difference)) for one in judged], right)
    topics: dict[str, list[Judged]] = defaultdict(list)
    for one in judged:
        topics[one.pair.topic].append(one)
    unsure = {name: [one.chosen.std + one.rejected.std for one in judged if one.right == kind] for name, kind in SIDES}
    return {
        **accuracy(judged),
        "calibration_error": after.ece,
        "calibration_error_before": before.ece,
        "brier": after.brier,
        "nll": after.nll,
        "reliability": after.to_json()["bins"],
        "disagreement": {name: sum(values) / (2 * len(values)) if values else None for name, values in unsure.items()},
        "length": length_bias(judged),
        "topics": {name: accuracy(inside) for name, inside in sorted(topics.items())},
    }


SIDES = (("where_right", True), ("where_wrong", False))


def accuracy(judged: Sequence[Judged]) -> dict[str, Any]:
    """Share of pairs whose better reply has the higher reward, with its 95 % Wilson interval; a tie is wrong."""
    hits = sum(one.right for one in judged)
    return {"n": len(judged), "accuracy": hits / len(judged) if judged else None, "interval": wilson(hits, len(judged))}


def length_bias(judged: Sequence[Judged]) -> dict[str, Any]:
    """How much the rewards follow length beyond what the truth does.

    - `longer_better`, `longer_preferred`: share of pairs of unequal length whose longer reply is better, and has the higher
      reward; `bias` is the second less the first.
    - `correlation`: of reward and length differences within a problem (without means, so it does not matter which reply
      comes first); `correlation_true` is that of the labels.
    - `shorter_better`, `longer_better_pairs`: accuracy on the pairs of either kind; `gap` is the second less the first.
    """
    unequal = [one for one in judged if one.longer]
    shorter = accuracy([one for one in unequal if one.longer < 0])
    longer = accuracy([one for one in unequal if one.longer > 0])
    truth = sum(one.longer > 0 for one in unequal)
    preferred = sum((one.longer > 0) == one.right for one in unequal)
    known = shorter["accuracy"] is not None and longer["accuracy"] is not None
    return {
        "n": len(unequal),
        "longer_better": truth / len(unequal) if unequal else None,
        "longer_preferred": preferred / len(unequal) if unequal else None,
        "bias": (preferred - truth) / len(unequal) if unequal else None,
        "correlation": _cosine([one.difference for one in unequal], [one.longer for one in unequal]),
        "correlation_true": _cosine([1.0] * len(unequal), [one.longer for one in unequal]),
        "shorter_better": shorter,
        "longer_better_pairs": longer,
        "gap": longer["accuracy"] - shorter["accuracy"] if known else None,
    }


def _cosine(left: Sequence[float], right: Sequence[float]) -> float | None:
    size = math.sqrt(sum(a * a for a in left) * sum(b * b for b in right))
    return sum(a * b for a, b in zip(left, right, strict=True)) / size if size else None


def report(name: str, found: dict[str, Any]) -> list[str]:
    """The figures as lines for the console."""
    length, (low, high) = found["length"], found["interval"]
    lines = [
        f"{name}: {found['n']} pairs, accuracy {found['accuracy']:.1%} (95 % from {low:.1%} to {high:.1%}), ECE "
        f"{found['calibration_error_before']:.3f} before and {found['calibration_error']:.3f} after the temperature",
    ]
    if length["gap"] is not None:
        shorter, longer = length["shorter_better"]["accuracy"], length["longer_better_pairs"]["accuracy"]
        lines.append(
            f"  length: the longer is better in {length['longer_better']:.1%}, preferred in "
            f"{length['longer_preferred']:.1%}; "
            f"accuracy {shorter:.1%} where the shorter is better, {longer:.1%} where the longer is; correlation "
            f"{length['correlation']:+.2f}, of the labels {length['correlation_true']:+.2f}"
        )
    shown = sorted(found["topics"].items(), key=lambda one: one[1]["accuracy"])
    lines.append("  by topic: " + ", ".join(f"{topic} {one['accuracy']:.0%} of {one['n']}" for topic, one in shown))
    return lines
