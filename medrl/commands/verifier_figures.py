"""The figures of a verifier card: shares, counts, intervals and agreement over labelled answers that were judged.

Intervals are of E. B. Wilson (1927), "Probable inference, the law of succession, and statistical inference", Journal of
the American Statistical Association 22(158), 209-212. Kappa is of J. Cohen (1960), "A coefficient of agreement for
nominal scales", Educational and Psychological Measurement 20(1), 37-46.
"""

from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from medrl.data.agreement import cohen_kappa
from medrl.types import Problem, Verdict
from medrl.verifiers.reliability import wilson as wilson


@dataclass(frozen=True)
class Outcome:
    """A labelled answer and what the verifier made of it. `Verdict.accepted` says what accepts the answer."""

    problem: Problem
    expected: bool
    verdict: Verdict

    @property
    def decided(self) -> bool:
        return self.verdict.score is not None

    @property
    def accepted(self) -> bool:
        return self.verdict.accepted

    @property
    def rejected(self) -> bool:
        return self.decided and not self.accepted

    @property
    def right(self) -> bool:
        return self.decided and self.accepted == self.expected

    @property
    def category(self) -> str:
        about = self.problem.metadata
        return " ".join(str(about.get("topic") or about.get("category") or "none").split())


def figures(outcomes: Sequence[Outcome]) -> dict[str, Any]:
    """The shares, counts and intervals of some cases; a share of nothing is None. docs/verifiers.md defines them."""
    statuses = Counter(one.verdict.status for one in outcomes)
    decided = [one for one in outcomes if one.decided]
    right = sum(one.right for one in outcomes)
    bad, good = [one for one in outcomes if not one.expected], [one for one in outcomes if one.expected]
    let_through, turned_away = sum(one.accepted for one in bad), sum(one.rejected for one in good)
    return {
        "n": len(outcomes),
        "decided": _share(len(decided), len(outcomes)),
        "accuracy_decided": _share(right, len(decided)),
        "accuracy_decided_interval": wilson(right, len(decided)),
        "accuracy": _share(right, len(outcomes)),
        "false_accept": _share(let_through, len(bad)),
        "false_accept_interval": wilson(let_through, len(bad)),
        "false_reject": _share(turned_away, len(good)),
        "false_reject_interval": wilson(turned_away, len(good)),
        "kappa": kappa(decided),
        "n_decided": len(decided),
        "n_right": right,
        "n_should_accept": len(good),
        "n_should_reject": len(bad),
        "n_false_accept": let_through,
        "n_false_reject": turned_away,
        "abstentions": statuses["abstain"],
        "errors": statuses["error"],
        "timeouts": statuses["timeout"],
        "invalid": statuses["invalid"],
    }


def pair_figures(outcomes: Sequence[Outcome]) -> dict[str, Any]:
    """Precision and recall of the verdict "the same"; a pair that is left undecided was not found to be the same."""
    statuses = Counter(one.verdict.status for one in outcomes)
    found = sum(one.accepted for one in outcomes)
    right = sum(one.accepted and one.expected for one in outcomes)
    same = sum(one.expected for one in outcomes)
    return {
        "precision": _share(right, found),
        "recall": _share(right, same),
        "pairs": len(outcomes),
        "pairs_decided": sum(one.decided for one in outcomes),
        "pairs_same": same,
        "pairs_found_same": found,
        "pairs_found_same_right": right,
        "pairs_errors": statuses["error"],
        "pairs_timeouts": statuses["timeout"],
    }


def kappa(decided: Sequence[Outcome]) -> float | None:
    """Cohen's kappa of decisions against labels; None where chance alone agrees."""
    return cohen_kappa([(one.accepted, one.expected) for one in decided])


def by(outcomes: Sequence[Outcome], key: Callable[[Outcome], str]) -> dict[str, dict[str, Any]]:
    groups: dict[str, list[Outcome]] = defaultdict(list)
    for one in outcomes:
        groups[key(one)].append(one)
    return {name: figures(groups[name]) for name in sorted(groups)}


def _share(count: int, n: int) -> float | None:
    return count / n if n else None
