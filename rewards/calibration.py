"""What a judge's number is worth: from its value to the probability that the answer is right, learnt from labelled answers.

Two fits. *Isotonic* (Zadrozny and Elkan 2002, by pooling adjacent violators): the best non-decreasing map, for a few hundred
labels or a judge with few distinct values. *Platt* (Platt 1999): sigmoid(a x + b) on targets that are kept off 0 and 1, for a
few dozen. `medrl calibrate` makes the file that the node `calibrated` reads.
"""

import json
import math
from bisect import bisect_left
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar, Literal

from medrl.errors import DataError, MissingFile, RecipeError
from medrl.rewards.shaping import Shaped
from medrl.rewards.tree import Reward, RewardContext, not_a, one_number, settle
from medrl.types import Part, Score

Method = Literal["isotonic", "platt"]
VERSION = 1


@dataclass(frozen=True)
class Calibration:
    """A map from a judge's value to the probability that the answer is right.

    Attributes:
        xs: Values, ascending.
        ps: The probability at each; between two of them on the line, beyond the ends as at the ends.
        method: How it was fitted.
        judge: Fingerprint of the verifier that it is of.
        labels: How many labelled answers it was fitted to.
    """

    xs: tuple[float, ...]
    ps: tuple[float, ...]
    method: str = "isotonic"
    judge: str = ""
    labels: int = 0

    def __post_init__(self) -> None:
        if not self.xs or len(self.xs) != len(self.ps):
            raise DataError(f"a calibration has {len(self.xs)} values and {len(self.ps)} probabilities; give as many")
        if any(b <= a for a, b in zip(self.xs, self.xs[1:], strict=False)) or not all(map(math.isfinite, self.xs)):
            raise DataError("the values of a calibration must be finite and ascend")
        if not all(0.0 <= p <= 1.0 for p in self.ps) or any(b < a for a, b in zip(self.ps, self.ps[1:], strict=False)):
            raise DataError("the probabilities of a calibration must be from 0 to 1 and never go down")

    def __call__(self, x: float) -> float:
        """The probability at `x`."""
        at = bisect_left(self.xs, x)
        if at == 0 or at == len(self.xs):
            return self.ps[min(at, len(self.ps) - 1)]
        (x0, x1), (p0, p1) = self.xs[at - 1 : at + 1], self.ps[at - 1 : at + 1]
        return p0 + (p1 - p0) * (x - x0) / (x1 - x0)

    def to_json(self) -> dict[str, Any]:
        return {"version": VERSION, **vars(self), "xs": list(self.xs), "ps": list(self.ps)}

    @classmethod
    def from_json(cls, row: Mapping[str, Any], source: str = "the calibration") -> "Calibration":
        """Read back what `to_json` made.

        Raises:
            DataError: It is something else, or of another version.
        """
        if row.get("version") != VERSION:
            raise DataError(
                f"{source} has version {row.get('version')!r}, not {VERSION}; make it anew: medrl calibrate"
            )
        try:
            xs, ps = tuple(map(float, row["xs"])), tuple(map(float, row["ps"]))
            return cls(xs, ps, str(row["method"]), str(row["judge"]), int(row["labels"]))
        except (KeyError, TypeError, ValueError) as error:
            raise DataError(f"{source} is no calibration that medrl wrote: {error!r}") from error

    @classmethod
    def load(cls, path: str | Path) -> "Calibration":
        """Read the file of `medrl calibrate`."""
        try:
            row = json.loads(Path(path).read_text(encoding="utf-8"))
        except FileNotFoundError:
            raise MissingFile(
                f"there is no file {path}; `medrl calibrate JUDGE --labels FILE --out {path}` makes it"
            ) from None
        except (OSError, ValueError) as error:
            raise DataError(f"{path} cannot be read: {error}") from error
        return cls.from_json(row if isinstance(row, dict) else {}, str(path))


def fit_isotonic(xs: Sequence[float], right: Sequence[bool]) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """The non-decreasing p that minimises the sum of (p(x) - right)^2, as values and probabilities; inputs (N,)."""
    blocks: list[list[float]] = []  # sum of labels, count, lowest x, highest x
    for x, label in sorted(zip(xs, right, strict=True)):
        if blocks and blocks[-1][3] == x:
            blocks[-1][0] += label
            blocks[-1][1] += 1
        else:
            blocks.append([float(label), 1.0, x, x])
    pooled: list[list[float]] = []
    for block in blocks:
        pooled.append(block)
        while len(pooled) > 1 and pooled[-2][0] * pooled[-1][1] >= pooled[-1][0] * pooled[-2][1]:
            last = pooled.pop()
            pooled[-1] = [pooled[-1][0] + last[0], pooled[-1][1] + last[1], pooled[-1][2], last[3]]
    knots: dict[float, float] = {}
    for total, count, low, high in pooled:
        knots[low] = knots[high] = total / count
    return tuple(knots), tuple(knots.values())


def fit_platt(xs: Sequence[float], right: Sequence[bool]) -> tuple[float, float]:
    """a, b of p = sigmoid(a x + b) by Newton's method; targets (N+ + 1) / (N+ + 2) and 1 / (N- + 2) as in Platt 1999."""
    good, bad = sum(right), len(right) - sum(right)
    middle = math.fsum(xs) / len(xs)
    spread = math.sqrt(math.fsum((x - middle) ** 2 for x in xs) / len(xs))
    if spread == 0.0:  # a judge that always says the same tells nothing: the share of right answers
        return 0.0, math.log((good + 1) / (bad + 1))
    xs = [(x - middle) / spread for x in xs]
    targets = [(good + 1) / (good + 2) if label else 1 / (bad + 2) for label in right]
    a, b = 0.0, math.log((good + 1) / (bad + 1))
    for _ in range(100):
        ps = [_sigmoid(a * x + b) for x in xs]
        errors = [p - t for p, t in zip(ps, targets, strict=True)]
        curves = [max(p * (1 - p), 1e-12) for p in ps]
        ga, gb = sum(e * x for e, x in zip(errors, xs, strict=True)), sum(errors)
        haa = sum(c * x * x for c, x in zip(curves, xs, strict=True)) + 1e-9
        hab, hbb = sum(c * x for c, x in zip(curves, xs, strict=True)), sum(curves) + 1e-9
        det = haa * hbb - hab * hab
        da, db = (hbb * ga - hab * gb) / det, (haa * gb - hab * ga) / det
        step = min(1.0, 10.0 / max(abs(da), abs(db), 1e-12))
        a, b = a - step * da, b - step * db
        if abs(da) + abs(db) < 1e-10:
            break
    return a / spread, b - a * middle / spread


def _sigmoid(z: float) -> float:
    return 1 / (1 + math.exp(-z)) if z >= 0 else math.exp(z) / (1 + math.exp(z))


def fit(xs: Sequence[float], right: Sequence[bool], method: Method = "isotonic", judge: str = "") -> Calibration:
    """A calibration fitted to a judge's values and the labels of the same answers.

    Raises:
        DataError: There are no labels of one kind, or a Platt fit goes down: the judge prefers wrong answers.
    """
    if len(xs) != len(right) or len(set(right)) < 2:
        raise DataError(
            f"{len(xs)} values and {len(right)} labels, {sum(right)} of them right; there must be both kinds"
        )
    if method == "isotonic":
        knots, ps = fit_isotonic(xs, right)
        return Calibration(knots, ps, method, judge, len(xs))
    a, b = fit_platt(xs, right)
    if a < 0:
        raise DataError(f"the judge prefers wrong answers (slope {a:.3g}), so no calibration can mend it")
    low, high = min(xs), max(xs)
    knots = tuple(dict.fromkeys(low + (high - low) * i / 64 for i in range(65)))
    return Calibration(knots, tuple(_sigmoid(a * x + b) for x in knots), method, judge, len(xs))


@dataclass(frozen=True)
class Calibrated(Shaped):
    """The probability that the answer is right, by a judge's value and a calibration of that judge."""

    type_name: ClassVar[str] = "calibrated"
    limits: ClassVar[tuple[float, float]] = (0.0, 1.0)

    of: Reward
    """The judge whose values are mapped, mostly `verified`."""
    file: str
    """The calibration, made by `medrl calibrate JUDGE --labels FILE --out THIS`."""
    weigh: bool = False
    """Whether a rollout's advantage counts by |2p - 1|: fully where the judge is sure, not at all where it cannot tell."""
    name: str = ""
    """Name of this part in metrics and traces; unique in the tree. Default `calibrated`."""

    def __post_init__(self) -> None:
        faults = not_a(Reward, of=self.of)
        if not faults and not self.of.verifies:
            faults.append(
                f"`of` is {self.of.name!r}, which is no verdict of a judge as it is; give the `verified` itself"
            )
        settle(self, "calibrated", faults)
        try:
            kept = self.calibration.judge
        except DataError as error:
            raise RecipeError(f"reward {self.name!r}", [f"`file`: {error}"]) from error
        asked = [verifier.fingerprint() for _, verifier in self.of.verifiers()]
        if kept and asked and kept not in asked:
            stale = f"`file`: {self.file} is of a judge with the fingerprint {kept}, not of {', '.join(asked)}; make it anew"
            raise RecipeError(f"reward {self.name!r}", [stale])

    @cached_property
    def calibration(self) -> Calibration:
        return Calibration.load(self.file)

    def reshape(self, score: Score, context: RewardContext) -> Score:
        verdict = score.parts[self.of.name].verdict
        if verdict is None or verdict.score is None:  # malformed, or what `otherwise` says: no judge stands behind it
            return Score(score.value, parts={self.name: Part(score.value, reason=score.reason)}, reason=score.reason)
        p = self.calibration(one_number(score, self.name))
        confidence = abs(2 * p - 1) if self.weigh else 1.0
        return Score(p, parts={self.name: Part(p, reason=score.reason, confidence=confidence)}, reason=score.reason)
