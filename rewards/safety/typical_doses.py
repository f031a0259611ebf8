"""Whether a dose is far from the clinic's typical one, where the table has no daily maximum.

Compared are the single dose and what it comes to in a day, so that a weekly drug taken daily is told. House rules; no
clinician has reviewed them.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import TypeAlias

from medrl.data.clinic.concepts import Drug
from medrl.rewards.safety.findings import Finding
from medrl.rewards.safety.patient import PatientFacts
from medrl.verifiers.frequency import frequencies
from medrl.verifiers.quantity import Quantity, plain, quantities

Dims: TypeAlias = tuple[tuple[str, int], ...]
DAY = 86400
SELDOM = 5 * DAY  # seconds between doses from which a drug is none to be taken daily: weekly methotrexate
ADULT_WEIGHT = 70.0  # kg, for typical doses by weight where the patient's is not known; WHO DDD assumption
_STATED = frozenset({(("mass", 1),), (("activity", 1),), (("amount", 1),)})


@dataclass(frozen=True)
class Typical:
    """The table's dose of a drug in base units, its most in a second, and the seconds from one dose to the next."""

    amount: Fraction
    rate: Fraction
    gap: Fraction
    dims: Dims


def absolute(dose: Quantity, patient: PatientFacts) -> tuple[Fraction, bool, Dims] | None:
    """A dose in base units, whether it is a day's total, and its dimension; None where it cannot be told."""
    dims = dict(dose.unit.dims) if dose.unit else {}
    amount = dose.base
    daily = dims.get("time") == -1
    if daily:
        amount *= DAY
        dims.pop("time")
    if dims.get("body mass") == -1:
        if patient.weight is None:
            return None
        amount *= Fraction(patient.weight).limit_denominator(10) * 1000
        dims.pop("body mass")
    left = tuple(sorted(dims.items()))
    return (amount, daily, left) if left in _STATED else None


def typical_of(drug: Drug, patient: PatientFacts) -> Typical | None:
    """The table's dose of a drug for a patient, of `ADULT_WEIGHT` where none is known; None where it is no amount."""
    found = quantities(plain(f"{drug.dose.amount:g} {drug.dose.unit}"))
    known = absolute(found[0], patient if patient.weight else replace(patient, weight=ADULT_WEIGHT)) if found else None
    if known is None:
        return None
    amount, daily, dims = known
    often = [] if daily or drug.dose.per == "day" else frequencies(plain(drug.dose.frequency.en))[0]
    gaps = [one.low for one in often if one.low] or [Fraction(DAY)]
    return Typical(amount, amount / min(gaps), max(gaps), dims)


def above(
    typical: Typical | None,
    amount: Fraction,
    rates: Sequence[Fraction],
    dims: Dims,
    factor: float,
    shown: str,
    source: str,
) -> Finding:
    """What a dose comes to against the typical one.

    Args:
        typical: The table's.
        amount: The stated dose in base units.
        rates: What it comes to in a second, by each frequency stated; empty where none is.
        dims: Its dimension.
        factor: So many times the typical dose, or the typical amount in a day, is unknown.
        shown: Drug and dose for the reason.
        source: Where the table's dose comes from.
    """
    if typical is None or typical.dims != dims:
        return Finding("safe", "", source)
    most = Fraction(factor).limit_denominator(1000)
    if amount >= typical.amount * most or any(rate >= typical.rate * most for rate in rates):
        reason = f"{shown}: {factor:g} times a typical dose or more, and the table has no maximum, escalate"
        return Finding("unknown", reason, source)
    if typical.gap >= SELDOM and any(amount / rate < SELDOM / 2 for rate in rates):
        return Finding("unknown", f"{shown}: the table's dose is not for every day, escalate", source)
    return Finding("safe", "", source)
