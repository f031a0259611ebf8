"""Whether two formulas are equal: values at seeded points, and an exact proof by bounded expansion.

Nothing here can run away: no simplification, no solving. `probe` works through the tree itself with guarded powers, and
`proven` only multiplies out two polynomials whose number of terms was counted before. Variables stand for positive
quantities, as nearly all of medicine's do; `beyond` looks at other signs.
"""

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Context, Decimal, DivisionByZero, InvalidOperation, Overflow, localcontext
from fractions import Fraction
from math import comb
from typing import Any, Literal

from medrl.errors import need
from medrl.verifiers.expression_tree import Node, decimals
from medrl.verifiers.protocol import digest

POINTS = 8
TRIES = 40
FEWEST = 4  # points at which both formulas have a value, below which nothing is said
PRECISE = Context(prec=50, traps=[DivisionByZero, InvalidOperation, Overflow])  # of its own: any thread may ask
EQUAL = Decimal("1e-30")  # relative difference up to which two values are the same
CLEAR = Decimal("0.02")  # relative difference above which they are not, whatever was rounded
LARGEST_POWER = 200  # natural logarithm of the largest value that is worked with
MOST_TERMS = 1000  # of a polynomial that is multiplied out
MOST_ROUNDED = 4  # decimals of a formula that may be rounded

FACTORS = (*(10**k for k in range(1, 10)), 24, 60, 1440, 3600)  # from cm to m, from hours to minutes

Found = Literal["equal", "rounded", "near", "scaled", "different", "unknown"]


@dataclass(frozen=True)
class Terms:
    """A fraction of two polynomials, and a bound on the terms of each once multiplied out."""

    above: Any
    below: Any
    count_above: int = 1
    count_below: int = 1


class _TooMany(ValueError):
    """More terms than are multiplied out."""


def probe(one: Node, other: Node) -> Found:
    """What the values of two formulas at positive points say."""
    names = sorted(one.names | other.names)
    draw = random.Random(digest([one.key, other.key]))
    values: list[tuple[Decimal, Decimal]] = []
    slack = True
    with localcontext(PRECISE):
        for _ in range(TRIES):
            point = {name: _drawn(draw) for name in names}
            a, b = _value(one, point), _value(other, point)
            if a is not None and b is not None:
                values.append((a, b))
                slack = slack and abs(a - b) <= _rounding(one, other, point)
            if len(values) == POINTS:
                break
        worst = max((_apart(a, b) for a, b in values), default=Decimal(0))
        if worst > CLEAR and not slack:
            return "scaled" if _is_scaled(values) else "different"
    if len(values) < FEWEST:
        return "unknown"
    if worst <= EQUAL:
        return "equal"
    return "rounded" if slack and worst <= CLEAR else "near"


def _is_scaled(values: Sequence[tuple[Decimal, Decimal]]) -> bool:
    """Whether one value is always the other times a factor between units, such as 100 or 60."""
    ratios = [
        max(abs(a), abs(b)) / min(abs(a), abs(b)) if a and b and (a > 0) == (b > 0) else Decimal(1) for a, b in values
    ]
    return all(_apart(ratio, ratios[0]) <= EQUAL for ratio in ratios) and any(
        _apart(ratios[0], Decimal(factor)) <= EQUAL for factor in FACTORS
    )


def beyond(one: Node, other: Node) -> bool:
    """Whether two formulas that agree for positive values differ where some are negative."""
    names = sorted(one.names | other.names)
    draw = random.Random(digest([other.key, one.key]))
    with localcontext(PRECISE):
        for _ in range(POINTS):
            point = {name: draw.choice((-1, 1)) * _drawn(draw) for name in names}
            a, b = _value(one, point), _value(other, point)
            if a is not None and b is not None and _apart(a, b) > CLEAR:
                return True
    return False


def proven(one: Node, other: Node) -> bool:
    """Whether the difference of two formulas multiplies out to zero; False also where that would take too long."""
    sympy = need("sympy", "symbolic")
    try:
        a, b = _terms(one, sympy), _terms(other, sympy)
        if a.count_above * b.count_below + b.count_above * a.count_below > MOST_TERMS:
            return False
        difference = sympy.expand(a.above * b.below - b.above * a.below)
    except _TooMany:
        return False
    return bool(difference == 0)


def _drawn(draw: random.Random) -> Decimal:
    return Decimal(draw.randint(11, 4999)) / draw.randint(301, 997)


def _apart(a: Decimal, b: Decimal) -> Decimal:
    """|a - b| over the larger of the two, 0 where both are 0."""
    size = max(abs(a), abs(b))
    return abs(a - b) / size if size else size


def _value(node: Node, point: Mapping[str, Decimal]) -> Decimal | None:
    """The real value at a point, or None where there is none or it is out of reach."""
    if node.kind == "number":
        return Decimal(node.value.numerator) / Decimal(node.value.denominator)
    if node.kind == "name":
        return point[node.name]
    values = []
    for arg in node.args:
        value = _value(arg, point)
        if value is None:
            return None
        values.append(value)
    if node.kind == "sum":
        return sum(values, Decimal(0))
    if node.kind == "product":
        return _product(values)
    if node.kind == "power":
        return _power(*values)
    if node.name == "exp":
        return values[0].exp() if abs(values[0]) <= LARGEST_POWER else None
    return values[0].ln() if values[0] > 0 else None


def _product(values: Sequence[Decimal]) -> Decimal | None:
    found = Decimal(1)
    for value in values:
        found *= value
        if abs(found.adjusted()) > LARGEST_POWER and found:
            return None
    return found


def _power(base: Decimal, exponent: Decimal) -> Decimal | None:
    if base == 0:
        return base if exponent > 0 else None
    if (base < 0 and exponent != exponent.to_integral_value()) or abs(exponent * abs(base).ln()) > LARGEST_POWER:
        return None
    return base**exponent


def _rounding(one: Node, other: Node, point: Mapping[str, Decimal]) -> Decimal:
    """How far rounding may have moved the value, where just one of the formulas holds decimals that may be rounded."""
    held = [(node, found) for node in (one, other) if (found := decimals(node))]
    if len(held) != 1 or len(held[0][1]) > MOST_ROUNDED:
        return Decimal(0)
    node, found = held[0]
    room = Decimal(0)
    for decimal in found:
        half = Fraction(1, 2) / Fraction(10) ** int(decimal.places or 0)
        low, high = (_value(_moved(node, decimal, decimal.value + side * half), point) for side in (-1, 1))
        if low is None or high is None:
            return Decimal(0)
        room += abs(high - low) / 2
    return room * Decimal("1.01")


def _moved(node: Node, decimal: Node, value: Fraction) -> Node:
    """The formula with one of its decimals changed."""
    if node is decimal:
        return replace(node, value=value)
    return replace(node, args=tuple(_moved(arg, decimal, value) for arg in node.args)) if node.args else node


def _terms(node: Node, sympy: Any) -> Terms:
    """A formula as a fraction of polynomials in its variables, its roots and its functions."""
    if node.kind == "number":
        return Terms(sympy.Integer(node.value.numerator), sympy.Integer(node.value.denominator))
    if node.kind == "name":
        return Terms(sympy.Symbol(node.name, positive=True), sympy.Integer(1))
    if node.kind == "call":
        inside = _single(_terms(node.args[0], sympy))
        return Terms(sympy.exp(inside) if node.name == "exp" else sympy.log(inside), sympy.Integer(1), 4)
    if node.kind == "power":
        return _power_terms(node.args, sympy)
    parts = [_terms(arg, sympy) for arg in node.args]
    found = parts[0]
    for part in parts[1:]:
        if node.kind == "product":
            found = _counted(
                found.above * part.above,
                found.below * part.below,
                found.count_above * part.count_above,
                found.count_below * part.count_below,
            )
        elif found.below == part.below:
            found = _counted(
                found.above + part.above, found.below, found.count_above + part.count_above, found.count_below
            )
        else:
            found = _counted(
                found.above * part.below + part.above * found.below,
                found.below * part.below,
                found.count_above * part.count_below + part.count_above * found.count_below,
                found.count_below * part.count_below,
            )
    return found


def _power_terms(args: Sequence[Node], sympy: Any) -> Terms:
    base, exponent = _terms(args[0], sympy), args[1]
    if exponent.kind == "number" and exponent.value.denominator == 1:
        times = abs(int(exponent.value))
        if exponent.value < 0:
            base = Terms(base.below, base.above, base.count_below, base.count_above)
        above, below = (comb(count + times - 1, times) for count in (base.count_above, base.count_below))
        return _counted(base.above**times, base.below**times, above, below)
    return Terms(_single(base) ** _single(_terms(exponent, sympy)), sympy.Integer(1), 4)


def _single(terms: Terms) -> Any:
    return terms.above / terms.below


def _counted(above: Any, below: Any, count_above: int, count_below: int) -> Terms:
    if max(count_above, count_below) > MOST_TERMS:
        raise _TooMany
    return Terms(above, below, count_above, count_below)
