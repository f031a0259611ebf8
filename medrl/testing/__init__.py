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

from importlib import import_module
from typing import TYPE_CHECKING, Any

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
    "Case": "cases",
    "case": "cases",
    "GroupCase": "cases",
    "Limits": "cases",
    "Check": "laws",
    "verifier_conformance": "kit",
    "reward_conformance": "kit",
    "verifier_checks": "kit",
    "reward_checks": "kit",
    "broken": "laws",
    "LawBroken": "laws",
    "CannotTell": "laws",
    "CasesTooFew": "laws",
    "VERIFIER_LAWS": "kit",
    "REWARD_LAWS": "reward_laws",
}

__all__ = [*_HOME]


def __getattr__(name: str) -> Any:
    home = _HOME.get(name)
    if home is None:
        raise AttributeError(f"module 'medrl.testing' has no attribute {name!r}; it has: {', '.join(_HOME)}")
    return getattr(import_module(f"medrl.testing.{home}"), name)
