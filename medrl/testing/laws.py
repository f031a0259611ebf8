"""What a law is, what becomes of it, and the error that says which law a plugin breaks.

A law is a function of a stand (the plugin with its cases): it returns what it saw that breaks the law, or "" where the
law is kept. Where an earlier fault hides the answer it raises `CannotTell`, so that a plugin is blamed for what it did
and for nothing else.
"""

import unittest
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Generic, Literal, TypeVar

from medrl.errors import MedrlError, RecipeError, did_you_mean
from medrl.testing import fresh

S = TypeVar("S", bound="Stand")


class LawBroken(MedrlError, AssertionError):
    """A plugin breaks a law: what the law is, what was seen, and how to mend it."""

    def __init__(self, plugin: str, name: str, says: str, seen: str, mend: str) -> None:
        super().__init__(plugin, name, says, seen, mend)
        self.plugin, self.name, self.says, self.seen, self.mend = plugin, name, says, seen, mend

    def __str__(self) -> str:
        return (
            f"{self.plugin} breaks the law `{self.name}`\n  law:  {self.says}\n  seen: {self.seen}\n  mend: {self.mend}"
        )


class CannotTell(unittest.SkipTest):
    """Another fault, or a missing case, hides whether this law is kept. pytest and unittest report it as skipped."""


class CasesTooFew(MedrlError, ValueError):
    """With these cases some law could not be broken, so that keeping it would mean nothing."""


@dataclass(frozen=True)
class Law(Generic[S]):
    """One law, for every plugin of a kind."""

    name: str
    says: str
    mend: str
    seen: Callable[[S], str]
    """What of a plugin breaks it; "" where nothing does."""


def law(says: str, mend: str) -> Callable[[Callable[[S], str]], Law[S]]:
    """Make a law of the function below; it is called as the function is."""
    return lambda function: Law(function.__name__, says, mend, function)


@dataclass(frozen=True)
class Outcome:
    """What became of one law: kept, broken, or not to be told; `seen` says why where it is not kept."""

    name: str
    state: Literal["kept", "broken", "untold"]
    seen: str = ""
    error: Exception | None = None
    """What was raised where a law could not even be tried."""


class Stand:
    """A plugin on trial. Each law is tried once, however many checks ask for its outcome."""

    plugin: str  # what messages call it

    def __init__(self) -> None:
        self._outcomes: dict[str, Outcome] = {}
        self._fresh: list[dict[str, Any]] | fresh.NotThere | None = None
        self.excused: Mapping[str, str] = {}

    def outcome(self, of: Law[Any]) -> Outcome:
        """What became of a law."""
        if of.name not in self._outcomes:
            try:
                seen = of.seen(self)
                found = Outcome(of.name, "broken" if seen else "kept", seen)
            except CannotTell as why:
                found = Outcome(of.name, "untold", str(why))
            except Exception as error:  # a stranger's code, where no law expects it to raise
                found = Outcome(of.name, "broken", f"trying it raised {type(error).__name__}: {error}", error)
            self._outcomes[of.name] = found
        return self._outcomes[of.name]

    def in_fresh_processes(self, task: Mapping[str, Any], seconds: float) -> list[dict[str, Any]]:
        """`fresh.run`, once for all the laws that want it.

        Raises:
            fresh.NotThere: As then.
        """
        if self._fresh is None:
            try:
                self._fresh = fresh.run(task, seconds)
            except fresh.NotThere as error:
                self._fresh = error
        if isinstance(self._fresh, fresh.NotThere):
            raise self._fresh
        return self._fresh

    def require(self, *laws: Law[Any]) -> None:
        """Go on only where these laws are kept, or excused.

        Raises:
            CannotTell: One is not.
        """
        for one in laws:
            if one.name in self.excused:
                continue
            outcome = self.outcome(one)
            if outcome.state == "broken":
                raise CannotTell(f"cannot be told before the law `{one.name}` is kept")
            if outcome.state == "untold":
                raise CannotTell(outcome.seen)


@dataclass(frozen=True)
class Check:
    """One law held against one plugin; call it to try."""

    law: Law[Any]
    stand: Stand
    excuse: str = ""
    """Why this law is not tried here; the check is then skipped."""

    @property
    def name(self) -> str:
        return self.law.name

    def __repr__(self) -> str:
        return f"<the law `{self.name}` for {self.stand.plugin}>"

    def __call__(self) -> None:
        """Try the law.

        Raises:
            LawBroken: The plugin breaks it.
            CannotTell: It cannot be tried; pytest shows a skipped test.
        """
        __tracebackhide__ = True  # pytest then shows the law, not this function
        if self.excuse:
            raise CannotTell(f"excused: {self.excuse}")
        outcome = self.stand.outcome(self.law)
        if outcome.state == "broken":
            raise LawBroken(
                self.stand.plugin, self.law.name, self.law.says, outcome.seen, self.law.mend
            ) from outcome.error
        if outcome.state == "untold":
            raise CannotTell(outcome.seen)


def checks_of(laws: Sequence[Law[Any]], stand: Stand, excused: Mapping[str, str]) -> list[Check]:
    """A check for every law, in their order.

    Raises:
        RecipeError: `excused` names laws that do not exist, or gives no reason.
    """
    names = [one.name for one in laws]
    faults = [f"excused: no law {name!r}{did_you_mean(name, names)}" for name in excused if name not in names]
    faults += [f"excused: {name!r} has no reason; say why" for name, why in excused.items() if not str(why).strip()]
    if faults:
        raise RecipeError(f"the checks of {stand.plugin}", faults)
    stand.excused = excused
    return [Check(one, stand, excused.get(one.name, "")) for one in laws]


def broken(checks: Sequence[Check]) -> dict[str, str]:
    """Every broken law of these checks with what was seen; empty for a sound plugin. For use without pytest."""
    found = {}
    for check in checks:
        try:
            check()
        except LawBroken as fault:
            found[fault.name] = fault.seen
        except CannotTell:
            continue
    return found
