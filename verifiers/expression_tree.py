"""The tree of a formula, kept in a normal form by the functions that make it.

Sums and products are flat, sorted and hold one number; equal terms are gathered, powers of one base too, and a number
before a bracket is multiplied in. So formulas that differ in order, brackets or the way in which a division is written
are equal trees. Nothing else is done: (a+b)^2 stays as it is.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property
from math import factorial as whole_factorial

from medrl.errors import MedrlError

HALF = Fraction(1, 2)
LARGEST_BITS = 400  # of a number's numerator and denominator
LARGEST_EXPONENT = 100  # of a variable, above and below the line
LARGEST_FACTORIAL = 60


class Unreadable(MedrlError, ValueError):
    """A text is no formula that the parser reads."""


class TooLarge(MedrlError, ValueError):
    """A formula is past the bounds within which it can be worked with."""


@dataclass(frozen=True, eq=False)
class Node:
    """A part of a formula.

    Attributes:
        kind: "number", "name", "sum", "product", "power" (base, exponent) or "call" of `name` ("ln", "log", "exp").
        args: Its parts.
        value: Of a number.
        name: Of a variable or function.
        places: Decimal places of a number that was written with three or more digits, so that it may be rounded.
    """

    kind: str
    args: tuple["Node", ...] = ()
    value: Fraction = Fraction(0)
    name: str = ""
    places: int | None = None

    @cached_property
    def key(self) -> str:
        """Equal for equal formulas."""
        if self.kind == "number":
            return str(self.value)
        inside = ",".join(arg.key for arg in self.args)
        return f"{self.kind}:{self.name}({inside})" if self.args else self.name

    @cached_property
    def names(self) -> frozenset[str]:
        """The variables in it."""
        return frozenset({self.name}) if self.kind == "name" else frozenset().union(*(arg.names for arg in self.args))

    @cached_property
    def calls(self) -> frozenset[str]:
        """The functions in it."""
        own = {self.name} if self.kind == "call" else set()
        return frozenset(own).union(*(arg.calls for arg in self.args))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Node) and self.key == other.key

    def __hash__(self) -> int:
        return hash(self.key)


def number(value: int | Fraction, places: int | None = None) -> Node:
    value = Fraction(value)
    if max(value.numerator.bit_length(), value.denominator.bit_length()) > LARGEST_BITS:
        raise TooLarge("a number in the formula is too large")
    return Node("number", value=value, places=places)


def name(text: str) -> Node:
    return Node("name", name=text)


def call(function: str, inside: Node) -> Node:
    return Node("call", (inside,), name=function)


def factorial(node: Node) -> Node:
    if node.kind != "number" or node.value.denominator != 1 or node.value < 0:
        raise Unreadable("a factorial of what is no whole number")
    if node.value > LARGEST_FACTORIAL:
        raise TooLarge(f"the factorial of more than {LARGEST_FACTORIAL}")
    return number(whole_factorial(int(node.value)))


def total(terms: Iterable[Node]) -> Node:
    """The sum of `terms`."""
    flat = [part for term in terms for part in (term.args if term.kind == "sum" else (term,))]
    numbers = [term for term in flat if term.kind == "number"]
    gathered: dict[str, tuple[Node, list[Node]]] = {}
    for term in flat:
        if term.kind != "number":
            times, rest = _coefficient(term)
            gathered.setdefault(rest.key, (rest, []))[1].append(times)
    parts = [_times(_add(times), rest) for rest, times in gathered.values()]
    parts = sorted((part for part in parts if part != number(0)), key=lambda part: part.key)
    constant = _add(numbers)
    if constant.value or not parts:
        parts.append(constant)
    return parts[0] if len(parts) == 1 else Node("sum", tuple(parts))


def product(factors: Iterable[Node]) -> Node:
    """The product of `factors`."""
    flat = [part for factor in factors for part in (factor.args if factor.kind == "product" else (factor,))]
    constant = _multiply([factor for factor in flat if factor.kind == "number"])
    if constant.value == 0:
        return constant
    gathered: dict[str, tuple[Node, list[Node]]] = {}
    for factor in flat:
        if factor.kind != "number":
            base, exponent = factor.args if factor.kind == "power" else (factor, number(1))
            gathered.setdefault(base.key, (base, []))[1].append(exponent)
    parts = []
    for base, exponents in gathered.values():
        part = power(base, total(exponents))
        inside = part.args if part.kind == "product" else (part,)
        constant = _multiply([constant, *(one for one in inside if one.kind == "number")])
        parts += [one for one in inside if one.kind != "number"]
    parts.sort(key=lambda part: part.key)
    if not parts:
        return constant
    return _times(constant, parts[0] if len(parts) == 1 else Node("product", tuple(parts)))


def power(base: Node, exponent: Node) -> Node:
    """`base` to the `exponent`."""
    if exponent.kind == "number":
        p, q = exponent.value.numerator, exponent.value.denominator
        if max(abs(p), q) > LARGEST_EXPONENT and base != number(1):
            raise TooLarge("an exponent in the formula is too large")
        if exponent.value == 1:
            return base
        if exponent.value == 0 and base != number(0):
            return number(1)
        if q == 1 and base.kind == "number":
            return _number_power(base, p)
        if q == 1 and base.kind == "product":
            return product([power(part, exponent) for part in base.args])
        if q == 1 and base.kind == "power" and base.args[1].kind == "number":
            return power(base.args[0], number(base.args[1].value * p))
    return Node("power", (base, exponent))


def decimals(node: Node) -> list[Node]:
    """The numbers in it that may have been rounded."""
    own = [node] if node.kind == "number" and node.places is not None else []
    return own + [one for arg in node.args for one in decimals(arg)]


def _number_power(base: Node, exponent: int) -> Node:
    if base.value == 0 and exponent < 0:
        raise Unreadable("a division by zero")
    size = max(base.value.numerator.bit_length(), base.value.denominator.bit_length())
    if size * abs(exponent) > LARGEST_BITS and abs(base.value) != 1:
        raise TooLarge("a number in the formula is too large")
    return number(base.value**exponent, base.places if abs(exponent) == 1 else None)


def _coefficient(term: Node) -> tuple[Node, Node]:
    """A term as a number times the rest."""
    if term.kind == "product" and term.args[-1].kind == "number":
        rest = term.args[:-1]
        return term.args[-1], rest[0] if len(rest) == 1 else Node("product", rest)
    return number(1), term


def _times(constant: Node, rest: Node) -> Node:
    """A number times what holds none; a sum takes it into its bracket."""
    if (constant.value == 1 and constant.places is None) or constant.value == 0:
        return rest if constant.value else number(0)
    if rest.kind == "sum":
        return total(product([constant, part]) for part in rest.args)
    return Node("product", (*(rest.args if rest.kind == "product" else (rest,)), constant))


def _add(numbers: Sequence[Node]) -> Node:
    return _folded(sum((one.value for one in numbers), Fraction(0)), numbers)


def _multiply(numbers: Sequence[Node]) -> Node:
    value = Fraction(1)
    for one in numbers:
        value = number(value * one.value).value
    return _folded(value, numbers)


def _folded(value: Fraction, numbers: Sequence[Node]) -> Node:
    """A number made of others: rounded where one of them is, and no more than times a power of ten or minus one was."""
    rounded = [one for one in numbers if one.places is not None]
    others = [one for one in numbers if one.places is None and abs(one.value) != 1]
    return number(value, rounded[0].places if len(rounded) == 1 and not others else None)
