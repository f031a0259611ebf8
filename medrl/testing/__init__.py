"""A conformance kit: the laws that verifiers and rewards keep, as tests that a plugin's author runs with pytest.

```python
from medrl.testing import Check, case, verifier_conformance

CASES = [case(problem, "1 g", "right"), case(problem, "2 g", "wrong")]

@verifier_conformance(Dosage(), CASES)
def test_laws(check: Check) -> None:
    check()
```

docs/plugins.md tells what the laws are, and why. The names load when they are first used: the programs in which a plugin
is tried anew (`medrl.testing.fresh`) need none of them.
"""

from typing import TYPE_CHECKING

from medrl.lazy import lazy_names

if TYPE_CHECKING:
    from medrl.testing.cases import Case as Case
    from medrl.testing.cases import GroupCase as GroupCase
    from medrl.testing.cases import Limits as Limits
    from medrl.testing.cases import case as case
    from medrl.testing.kit import VERIFIER_LAWS as VERIFIER_LAWS
    from medrl.testing.kit import reward_checks as reward_checks
    from medrl.testing.kit import reward_conformance as reward_conformance
    from medrl.testing.kit import verifier_checks as verifier_checks
    from medrl.testing.kit import verifier_conformance as verifier_conformance
    from medrl.testing.laws import CannotTell as CannotTell
    from medrl.testing.laws import CasesTooFew as CasesTooFew
    from medrl.testing.laws import Check as Check
    from medrl.testing.laws import LawBroken as LawBroken
    from medrl.testing.laws import broken as broken
    from medrl.testing.reward_laws import REWARD_LAWS as REWARD_LAWS

# Public name to the module it lives in.
_HOME = {
    "Case": "medrl.testing.cases",
    "case": "medrl.testing.cases",
    "GroupCase": "medrl.testing.cases",
    "Limits": "medrl.testing.cases",
    "Check": "medrl.testing.laws",
    "verifier_conformance": "medrl.testing.kit",
    "reward_conformance": "medrl.testing.kit",
    "verifier_checks": "medrl.testing.kit",
    "reward_checks": "medrl.testing.kit",
    "broken": "medrl.testing.laws",
    "LawBroken": "medrl.testing.laws",
    "CannotTell": "medrl.testing.laws",
    "CasesTooFew": "medrl.testing.laws",
    "VERIFIER_LAWS": "medrl.testing.kit",
    "REWARD_LAWS": "medrl.testing.reward_laws",
}

__all__ = [*_HOME]


__getattr__ = lazy_names(__name__, _HOME)
