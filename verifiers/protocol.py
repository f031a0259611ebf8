"""What a verifier is, and the guard that keeps one bad item from hurting its neighbours.

A verifier reads a response against its problem's reference and gives a `Verdict`. Whatever goes wrong inside it becomes
the status of that item, never a score: `judge` is the one way in which the rest of medrl calls a verifier.
"""

import asyncio
import contextvars
import hashlib
import inspect
import json
import math
import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Coroutine, Mapping, Sequence
from dataclasses import MISSING, Field, fields, is_dataclass
from functools import update_wrapper
from typing import Any, ClassVar, Literal, Self, TypeAlias, TypeVar

from medrl import plugins
from medrl.errors import InvalidScore, MedrlError, PluginError, RecipeError, did_you_mean
from medrl.types import Judged, Problem, Response, Verdict

GROUP = "medrl.verifiers"
T = TypeVar("T")


class Verifier(ABC):
    """Checks answers. Concrete verifiers are frozen dataclasses: their fields are their knobs."""

    name: ClassVar[str]
    version: ClassVar[str] = "1"

    @property
    def decides(self) -> bool:
        """True when it never abstains; a reward tree must end in such a verifier or state `otherwise`."""
        return False

    @property
    def can_accept(self) -> bool:
        """False when it never says that an answer is right; a reward tree must not pay for what it leaves open."""
        return True

    @abstractmethod
    async def verify_batch(self, items: Judged) -> list[Verdict]:
        """One verdict per item, in their order. Callers go through `judge`, which guards it."""

    def verify(self, problem: Problem, response: Response | str) -> Verdict:
        """The verdict on one answer. Works in plain code, in threads and inside a running event loop."""
        given = Response(response) if isinstance(response, str) else response
        return run_sync(judge(self, [(problem, given)]))[0]

    def knobs(self) -> dict[str, Any]:
        """The fields by name, nested verifiers kept as objects."""
        return {f.name: getattr(self, f.name) for f in fields(self) if f.init} if is_dataclass(self) else {}

    def to_config(self) -> dict[str, Any]:
        """`{"type": ..., knob: value}`, which JSON and YAML can hold and `build` reads back."""
        return {"type": type_name(self), **{name: _plain(value) for name, value in self.knobs().items()}}

    @classmethod
    def from_config(cls, config: "Config") -> Self:
        """The verifier that `config` describes; it must be a `cls`."""
        built = build(config)
        if not isinstance(built, cls):
            raise PluginError(f"{config!r} makes a {type(built).__name__}, where a {cls.__name__} is wanted")
        return built

    def data_digest(self) -> str:
        """Digest of the tables beside the knobs that verdicts depend on; "" when there are none."""
        return ""

    def fingerprint(self) -> str:
        """16 hex digits over name, version, knobs and data: equal in every process, different when verdicts may be."""
        return digest([self.name, self.version, _prints(self.knobs()), self.data_digest()])


Config: TypeAlias = Verifier | str | Mapping[str, Any]


class RuleVerifier(Verifier):
    """A verifier that needs no waiting: subclasses write `check` for one item."""

    @abstractmethod
    def check(self, problem: Problem, response: Response) -> Verdict:
        """The verdict on one answer; an exception becomes this item's `error`."""

    async def verify_batch(self, items: Judged) -> list[Verdict]:
        return [self.check_safely(problem, response) for problem, response in items]

    def check_safely(self, problem: Problem, response: Response) -> Verdict:
        try:
            verdict = self.check(problem, response)
        except Exception as error:
            return failure(error, self.name)
        return signed(verdict, self.name)


async def judge(verifier: Verifier, items: Judged, timeout: float | None = None) -> list[Verdict]:
    """`verifier.verify_batch` under guard: always one signed `Verdict` per item, in order.

    An exception, or an answer that is not one verdict per item, is an `error` (`timeout` for a TimeoutError) on every
    item of the call: a short list is never lined up with the wrong answers.

    Args:
        verifier: Who judges.
        items: What.
        timeout: Seconds after which a verifier that waits is cancelled and every item is a `timeout`.
    """
    if not items:
        return []
    aborted = [response.finish_reason == "abort" for _, response in items]
    if any(aborted):  # its engine's fault, so nobody judges it
        rest = iter(
            await judge(verifier, [item for item, lost in zip(items, aborted, strict=True) if not lost], timeout)
        )
        broken = Verdict.failed("the response was aborted by its engine, not ended by the policy", stage=verifier.name)
        return [broken if lost else next(rest) for lost in aborted]
    count = len(items)  # counted before a verifier can take anything off the list
    try:
        verdicts = await asyncio.wait_for(verifier.verify_batch(items), timeout)
    except Exception as error:
        return [failure(error, verifier.name)] * count
    if not isinstance(verdicts, list | tuple) or len(verdicts) != count:
        returned = len(verdicts) if isinstance(verdicts, list | tuple) else f"a {type(verdicts).__name__}"
        reason = f"{verifier.name} was given {count} answers and returned {returned}; it must give one verdict for each"
        return [Verdict.failed(reason, stage=verifier.name)] * count
    return [signed(verdict, verifier.name) for verdict in verdicts]


def made_of(verifier: Verifier) -> list[Verifier]:
    """The verifiers among its knobs: the stages of a cascade, what runs isolated."""
    held = [one for knob in verifier.knobs().values() for one in (knob if isinstance(knob, list | tuple) else (knob,))]
    return [one for one in held if isinstance(one, Verifier)]


def signed(verdict: object, stage: str) -> Verdict:
    """`verdict` with its stage named; anything but a Verdict is an error of the stage."""
    if not isinstance(verdict, Verdict):
        return Verdict.failed(f"{stage} returned {verdict!r:.80}, which is not a Verdict", stage=stage)
    return verdict.by(stage)


def failure(error: Exception, stage: str) -> Verdict:
    """The verdict on an item whose judge raised `error`."""
    status: Literal["error", "timeout"] = "timeout" if isinstance(error, TimeoutError) else "error"
    message = " ".join(str(error).split()) or "no answer in time" * (status == "timeout")
    return Verdict.failed(f"{type(error).__name__}: {message}"[:500], status, stage=stage)


def run_sync(work: Coroutine[Any, Any, T]) -> T:
    """Run `work` to its end from plain code; inside a running event loop it gets a thread with a loop of its own."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return asyncio.run(work)
    results: list[T] = []
    faults: list[BaseException] = []

    def target() -> None:
        try:
            results.append(asyncio.run(work))
        except BaseException as error:  # handed to the caller below
            faults.append(error)

    thread = threading.Thread(target=contextvars.copy_context().run, args=(target,), name="medrl-run-sync")
    thread.start()
    thread.join()
    if faults:
        raise faults[0]
    return results[0]


def build(config: Config) -> Verifier:
    """The verifier that a config names: `"text"`, `{"type": "number", "relative_tolerance": 0.05}`, `"module:name"`.

    Raises:
        PluginError: Nothing is called that, or it is no verifier.
        RecipeError: The config has no type, or knobs that do not exist or are refused; all faults at once.
    """
    if isinstance(config, Verifier):
        return config
    knobs = {"type": config} if isinstance(config, str) else dict(config)
    kind = knobs.pop("type", None)
    if not isinstance(kind, str):
        raise RecipeError("a verifier", [f"{config!r} has no `type`; name a verifier, for example type: text"])
    found = plugins.load(GROUP, kind)
    if isinstance(found, Verifier):
        if knobs:
            raise RecipeError(f"verifier {kind!r}", [f"it has no knobs, but {', '.join(sorted(knobs))} was given"])
        return found
    if not (isinstance(found, type) and issubclass(found, Verifier)):
        hint = "; put @verifier('name') above the function" if callable(found) else ""
        raise PluginError(f"{GROUP}: {kind!r} is {found!r}, which is not a verifier{hint}")
    settable: list[Field[Any]] = [f for f in fields(found) if f.init] if is_dataclass(found) else []
    known = [f.name for f in settable]
    faults = [f"it has no knob {name!r}{did_you_mean(name, known)}" for name in knobs if name not in known]
    required = [f.name for f in settable if f.default is MISSING and f.default_factory is MISSING]
    faults += [f"it needs the knob {name!r}" for name in required if name not in knobs]
    if faults:
        raise RecipeError(f"verifier {kind!r}", faults)
    try:
        return found(**knobs)
    except MedrlError:
        raise
    except (TypeError, ValueError) as error:
        raise RecipeError(f"verifier {kind!r}", [str(error)]) from error


def type_name(verifier: Verifier) -> str:
    """What `build` calls this verifier: its registered name, else `module:attribute`."""
    target: object = verifier if isinstance(verifier, FunctionVerifier) else type(verifier)
    if verifier.name in plugins.available(GROUP) and plugins.load(GROUP, verifier.name) is target:
        return verifier.name
    place = verifier if isinstance(verifier, FunctionVerifier) else type(verifier)
    if "<locals>" in place.__qualname__:
        raise PluginError(f"verifier {verifier.name!r} is defined inside a function; move it to a module's top level")
    return f"{place.__module__}:{place.__qualname__}"


def digest(value: Any) -> str:
    """16 hex digits of a JSON-able value."""
    text = value if isinstance(value, str) else json.dumps(value, sort_keys=True, ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _plain(value: Any) -> Any:
    if isinstance(value, Verifier):
        return value.to_config()
    if isinstance(value, list | tuple):
        return [_plain(one) for one in value]
    if isinstance(value, Mapping):
        return {key: _plain(one) for key, one in value.items()}
    return value


def _prints(value: Any) -> Any:
    if isinstance(value, Verifier):
        return value.fingerprint()
    if isinstance(value, list | tuple):
        return [_prints(one) for one in value]
    if isinstance(value, Mapping):
        return {key: _prints(one) for key, one in value.items()}
    return value


Answer: TypeAlias = bool | float | Verdict | None


class FunctionVerifier(RuleVerifier):
    """A plain function as a verifier; made by `@verifier`. It pickles as the name it is found under."""

    function: Callable[[Problem, str], Answer]
    __name__: str
    __qualname__: str

    def __init__(self, function: Callable[[Problem, str], Answer], decides: bool) -> None:
        update_wrapper(self, function)
        self.function = function
        self._decides = decides

    def __call__(self, problem: Problem, text: str) -> Answer:
        return self.function(problem, text)

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        return plugins.load, (GROUP, type_name(self))

    @property
    def decides(self) -> bool:
        return self._decides

    def check(self, problem: Problem, response: Response) -> Verdict:
        return as_verdict(self.function(problem, response.text))

    def data_digest(self) -> str:
        try:
            return digest(inspect.getsource(self.function))
        except (OSError, TypeError):  # typed into a prompt
            return digest(self.function.__code__.co_code.hex())


def as_verdict(answer: object) -> Verdict:
    """What a plain function returned, as a verdict: None abstains; a number that is no score from 0 to 1 raises."""
    if isinstance(answer, Verdict):
        return answer
    if answer is None:
        return Verdict.abstain("the function returned None")
    if isinstance(answer, bool):
        return Verdict.right() if answer else Verdict.wrong()
    if isinstance(answer, int | float):
        if not math.isfinite(answer) or not 0.0 <= answer <= 1.0:
            raise InvalidScore(f"the function returned {answer!r}; a score is a number from 0 to 1")
        return Verdict(float(answer))
    raise InvalidScore(f"the function returned {answer!r:.80}; return a bool, a number from 0 to 1, a Verdict or None")


def verifier(
    name: str, *, version: str = "1", decides: bool | None = None
) -> Callable[[Callable[[Problem, str], Answer]], FunctionVerifier]:
    """Make a verifier of a module-level function `(problem, text) -> bool | float | Verdict | None` (None abstains).

    Nothing interrupts the function: it must end for any text, in a time that grows no faster than the text.

    Args:
        name: What signs its verdicts, and what a recipe calls it once an entry point registers it.
        version: Change it when verdicts change for a reason outside the function's own source.
        decides: Whether it never returns None; by default so when it is annotated `-> bool` or `-> float`.
    """

    def wrap(function: Callable[[Problem, str], Answer]) -> FunctionVerifier:
        if inspect.iscoroutinefunction(function):
            raise TypeError(f"@verifier({name!r}): {function.__qualname__} is async; subclass Verifier instead")
        returns = function.__annotations__.get("return")
        sure = returns in (bool, float, int, "bool", "float", "int") if decides is None else decides
        kind: Any = type(function.__name__, (FunctionVerifier,), {"name": name, "version": version})
        made: FunctionVerifier = kind(function, sure)
        return made

    return wrap


def verify_all(verifier: Verifier, problems: Sequence[Problem], texts: Sequence[str]) -> list[Verdict]:
    """Verdicts on many answers from plain code, one text per problem."""
    return run_sync(judge(verifier, [(p, Response(t)) for p, t in zip(problems, texts, strict=True)]))
