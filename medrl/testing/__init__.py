"""A conformance kit: the laws that verifiers and rewards keep, as tests that a plugin's author runs with pytest.

```python
from medrl.testing import Check, case, verifier_conformance

CASES = [case(problem, "1 g", "right"), case(problem, "2 g", "wrong")]

@verifier_conformance(Dosage(), CASES)
def test_laws(check: Check) -> None:
    check()
```

docs/plugins.md tells what the laws are, and why.
"""

from medrl.testing.cases import Case, GroupCase, Limits, case
from medrl.testing.kit import (
    VERIFIER_LAWS,
    reward_checks,
    reward_conformance,
    verifier_checks,
    verifier_conformance,
)
from medrl.testing.laws import CannotTell, CasesTooFew, Check, LawBroken, broken
from medrl.testing.reward_laws import REWARD_LAWS

__all__ = [
    "Case",
    "case",
    "GroupCase",
    "Limits",
    "Check",
    "verifier_conformance",
    "reward_conformance",
    "verifier_checks",
    "reward_checks",
    "broken",
    "LawBroken",
    "CannotTell",
    "CasesTooFew",
    "VERIFIER_LAWS",
    "REWARD_LAWS",
]
