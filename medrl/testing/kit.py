"""The checks of a plugin, for pytest and without it."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from medrl.errors import need
from medrl.testing.cases import Case, GroupCase, Limits
from medrl.testing.laws import Check, checks_of
from medrl.testing.reward_laws import REWARD_LAWS
from medrl.testing.reward_stand import RewardStand
from medrl.testing.verifier_laws import VERDICT_LAWS
from medrl.testing.verifier_process_laws import OBJECT_LAWS
from medrl.testing.verifier_stand import VerifierStand
from medrl.verifiers import Config, Verifier

if TYPE_CHECKING:
    import pytest

    from medrl.rewards.config import Config as RewardConfig

VERIFIER_LAWS = (*VERDICT_LAWS, *OBJECT_LAWS)


def verifier_checks(
    verifier: Config,
    cases: Sequence[Case],
    *,
    failing: Verifier | None = None,
    variants: Sequence[Verifier] = (),
    limits: Limits | None = None,
    excused: Mapping[str, str] | None = None,
) -> list[Check]:
    """A check for every law of verifiers.

    Args:
        verifier: The verifier, or what a recipe calls it.
        cases: Labelled answers, one right and one wrong at least; ten to thirty are good.
        failing: The same verifier with a server behind it that is down, for one that asks a server.
        variants: Verifiers with other knobs, whose fingerprints must differ. Numbers and switches are turned anyway.
        limits: How fast and how exact.
        excused: Laws that are not tried, each with the reason; pytest shows them as skipped.

    Raises:
        CasesTooFew: With these cases a broken verifier could pass.
        RecipeError: `excused` names no law, or the verifier's config has faults.
    """
    stand = VerifierStand(verifier, cases, limits or Limits(), failing, variants)
    return checks_of(VERIFIER_LAWS, stand, excused or {})


def verifier_conformance(verifier: Config, cases: Sequence[Case], **options: Any) -> "pytest.MarkDecorator":
    """Parametrise a test with every law of verifiers; the options are those of `verifier_checks`.

    ```python
    @verifier_conformance(Dosage(), CASES)
    def test_laws(check: Check) -> None:
        check()
    ```
    """
    return _parametrised(verifier_checks(verifier, cases, **options))


def reward_checks(
    reward: "RewardConfig",
    groups: Sequence[GroupCase],
    *,
    failing: Any = None,
    limits: Limits | None = None,
    excused: Mapping[str, str] | None = None,
) -> list[Check]:
    """A check for every law of rewards; `groups` are two or more, one with two responses that earn differently."""
    return checks_of(REWARD_LAWS, RewardStand(reward, groups, limits or Limits(), failing), excused or {})


def reward_conformance(reward: "RewardConfig", groups: Sequence[GroupCase], **options: Any) -> "pytest.MarkDecorator":
    """Parametrise a test with every law of rewards; the options are those of `reward_checks`."""
    return _parametrised(reward_checks(reward, groups, **options))


def _parametrised(checks: Sequence[Check]) -> "pytest.MarkDecorator":
    need("pytest", "dev")
    import pytest

    return pytest.mark.parametrize("check", [pytest.param(one, id=one.name) for one in checks])
