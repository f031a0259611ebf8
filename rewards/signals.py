"""The leaves of a reward tree: a verifier, the format of the text, a plain function.

The format rule of HuatuoGPT-o1 counts two headers. A policy under training finds what counting lets through (empty
sections, swapped or trailing headers, headers quoted in code), so `Format` checks order, place and content as well.
"""

import inspect
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from numbers import Real
from typing import Any, ClassVar, TypeAlias

from medrl import plugins
from medrl.errors import PluginError, did_you_mean
from medrl.rewards.tree import GROUP, Reward, RewardContext, Scores, failure, not_a, not_finite, number, settle
from medrl.types import Group, Part, Problem, Response, Score, Verdict
from medrl.verifiers.protocol import Verifier, judge, made_of


@dataclass(frozen=True)
class Verified(Reward):
    """The verdict of a verifier as a number. A verifier that failed gives no number, never 0."""

    type_name: ClassVar[str] = "verified"
    limits: ClassVar[tuple[float, float]] = (0.0, 1.0)

    verifier: Verifier
    """Who judges: a name, or `{type: NAME, knob: value}`."""
    name: str = "correct"
    """Name of this part in metrics and traces; unique in the tree."""
    otherwise: float | None = None
    """Value where the verifier abstains, from 0 to 1, mostly 0.0. Needed unless it always decides; errors stay errors."""
    timeout: float | None = None
    """Seconds for the answers of a group; beyond them they have no number. For verifiers that wait (servers); rules that
    compute cannot be interrupted. Empty for no limit."""

    def __post_init__(self) -> None:
        faults = not_finite(otherwise=self.otherwise) if self.otherwise is not None else []
        if not faults and self.otherwise is not None and not 0.0 <= self.otherwise <= 1.0:
            faults.append(
                f"`otherwise` is {self.otherwise}; like a verdict it must be from 0 to 1, or a failure would pay"
            )
        late = not_finite(timeout=self.timeout) if self.timeout is not None else []
        if not late and self.timeout is not None and self.timeout <= 0:
            late.append(f"`timeout` is {self.timeout}; it must be above 0, or empty for no limit")
        faults += late
        settle(self, "correct", not_a(Verifier, verifier=self.verifier) + faults)

    @property
    def verifies(self) -> bool:
        return True

    async def assess(self, groups: Sequence[Group], context: RewardContext) -> Scores:
        asked = [(g.problem, r) for g in groups for r in g.rollouts]
        verdicts = iter(await judge(self.verifier, asked, self.timeout))
        return [[self._scored(next(verdicts)) for _ in group.rollouts] for group in groups]

    def _scored(self, verdict: Verdict) -> Score:
        if verdict.score is not None:
            part = Part(verdict.score, "ok", verdict, verdict.reason)
        elif verdict.status == "abstain" and self.otherwise is not None:
            reason = f"it abstained, so {self.otherwise:g}: {verdict.reason}"
            part = Part(float(self.otherwise), "ok", verdict, reason)
        else:
            part = Part(None, verdict.status, verdict, verdict.reason)
        reason = part.reason if part.value is not None else f"{self.name}: {part.reason}"
        return Score(part.value, part.status, {self.name: part}, reason)

    def unjudged_part(self, reason: str, value: float | None) -> Part:
        # A malformed response counts as wrong, so that accuracy keeps the same denominator for every policy.
        return Part(value, "ok" if value is not None else "abstain", reason=reason)

    def may_abstain(self) -> bool:
        return bool(self.open_faults())

    def is_judged(self) -> bool:
        return self.verifier.decides or not self.otherwise  # what it pays where its verifier abstains, nobody judged

    def own_faults(self) -> list[str]:
        judges = judges_of(self.verifier)
        rejecting = [one.name for one in judges if not one.can_accept]
        if not rejecting or self.otherwise is None or self.verifier.decides:
            return []
        if len(rejecting) == len(judges):
            return [
                f"{rejecting[0]!r} never says that an answer is right, so nothing but `otherwise` would be paid; put it "
                "between rules and a judge, in a cascade"
            ]
        if self.otherwise > 0.0:
            return [
                f"`otherwise` is {self.otherwise:g}, which would pay for whatever {rejecting[0]!r} does not reject; set "
                "otherwise: 0.0, or end the cascade in a stage that always decides"
            ]
        return []

    def open_faults(self) -> list[str]:
        if self.verifier.decides or self.otherwise is not None:
            return []
        return [
            f"the verifier {self.verifier.name!r} may abstain, and nothing says what such a response is worth; set "
            "`otherwise` (for example otherwise: 0.0), or end it in a stage that always decides"
        ]


def judges_of(verifier: Verifier) -> list[Verifier]:
    """The verifiers that judge, of one that may be made of others."""
    return [judge for one in made_of(verifier) for judge in judges_of(one)] or [verifier]


def verified_leaf(tree: Reward) -> Reward | None:
    """What metrics and evaluation call correctness: the first `verified` of a tree, or the node that chooses among such."""
    return next((node for node in tree.walk() if node.verifies), None)


def left_by(part: Reward) -> str:
    """A verifier that never accepts and whose abstentions `part` hands on to its parent; "" where there is none."""
    nodes = dict(part.paths())
    leaves = [nodes[path] for path, _ in part.undecided()]
    judges = [judge for leaf in leaves if isinstance(leaf, Verified) for judge in judges_of(leaf.verifier)]
    return next((judge.name for judge in judges if not judge.can_accept), "")


def paid_unjudged(verifier: str, payers: Iterable[Reward]) -> str:
    """The fault of a node whose other parts pay for what the verifier leaves open."""
    names = ", ".join(repr(one.name) for one in payers)
    return (
        f"{names} would pay for whatever {verifier!r} does not reject, right or wrong; let a verifier that can accept "
        "decide on it, best as the last stage of its cascade"
    )


@dataclass(frozen=True)
class Sections:
    """Two headers, each on a line of its own, that part a response into thinking and answer."""

    thinking: str
    answer: str

    def fault(self, text: str) -> str:
        """Why `text` is malformed; "" when it is well formed."""
        for header in (self.thinking, self.answer):
            # Near copies ("###Thinking", "## thinking again") count too: a reader could take them for the header.
            near = re.findall(r"#[ \t]{0,8}" + re.escape(header.lstrip("# ")), text, re.IGNORECASE)
            if len(near) != 1:
                return f"{header!r} occurs {len(near)} times; it must occur once"
        lines = [line.rstrip() for line in text.strip().split("\n")]
        for header in (self.thinking, self.answer):
            if header not in lines:
                return f"{header!r} is not a line of its own"
        if lines[0] != self.thinking:
            return f"the response does not begin with {self.thinking!r}"
        at = lines.index(self.answer)
        if in_code(lines[:at]):
            return f"{self.answer!r} is inside a block of code"
        if not has_words(lines[1:at]):
            return f"nothing is written under {self.thinking!r}"
        return "" if has_words(lines[at + 1 :]) else f"nothing is written under {self.answer!r}"


@dataclass(frozen=True)
class Tags:
    """One `<think>...</think>` at the beginning, then the answer."""

    tag: str

    def fault(self, text: str) -> str:
        """Why `text` is malformed; "" when it is well formed."""
        opening, closing = f"<{self.tag}>", f"</{self.tag}>"
        found = [
            m.group()
            for m in re.finditer(rf"<[ \t]{{0,8}}/?[ \t]{{0,8}}{self.tag}\b[^<>\n]{{0,20}}>", text, re.IGNORECASE)
        ]
        if found != [opening, closing]:
            return f"the tags are {' '.join(found[:6]) or 'missing'}; one {opening} and then one {closing} is wanted"
        before, _, rest = text.partition(opening)
        thinking, _, answer = rest.partition(closing)
        if before.strip():
            return f"there is text before {opening}"
        lines = thinking.split("\n")
        if in_code(lines) or lines[-1].count("`") % 2:
            return f"{closing} is inside code"
        if not has_words(lines):
            return f"nothing is written inside {opening}"
        return "" if has_words(answer.split("\n")) else f"nothing is written after {closing}"


PRESETS: Mapping[str, Sections | Tags] = {
    "o1": Sections("## Thinking", "## Final Response"),
    "o1_zh": Sections("## 思考", "## 最终回答"),
    "think": Tags("think"),
}
FENCE = re.compile(r" {0,3}(`{3,}|~{3,})(.*)")
HEADING = re.compile(r"\s{0,3}#{1,6}(\s|$)")


def in_code(lines: Sequence[str]) -> bool:
    """True when a fenced block of code is still open after `lines` (CommonMark 4.5)."""
    fence = ""
    for line in lines:
        match = FENCE.match(line)
        if not match:
            continue
        marks, rest = match.groups()
        if not fence:
            fence = marks if not (marks[0] == "`" and "`" in rest) else ""
        elif marks[0] == fence[0] and len(marks) >= len(fence) and not rest.strip():
            fence = ""
    return bool(fence)


def has_words(lines: Sequence[str]) -> bool:
    """True when a letter or a digit, of any script, stands on a line that is not a heading."""
    return any(not HEADING.match(line) and any(map(str.isalnum, line)) for line in lines)


@dataclass(frozen=True)
class Format(Reward):
    """1.0 for a well-formed response, else 0.0. Always decides."""

    type_name: ClassVar[str] = "format"
    limits: ClassVar[tuple[float, float]] = (0.0, 1.0)
    gates: ClassVar[bool] = True

    preset: str = "o1"
    """What is well formed: `o1` (## Thinking, ## Final Response), `o1_zh` (the same in Chinese), `think` (think tags).
    Each exactly once, in order, at the beginning, outside code, and with words in both sections."""
    name: str = "format"
    """Name of this part in metrics and traces; unique in the tree."""

    def __post_init__(self) -> None:
        known = self.preset in PRESETS
        settle(self, "format", [] if known else [f"no preset {self.preset!r}{did_you_mean(str(self.preset), PRESETS)}"])

    def may_abstain(self) -> bool:
        return False

    async def assess(self, groups: Sequence[Group], context: RewardContext) -> Scores:
        return [[self._scored(rollout) for rollout in group.rollouts] for group in groups]

    def _scored(self, response: Response) -> Score:
        if response.finish_reason == "abort":
            return Score(None, "error", reason=f"{self.name}: the engine aborted this response")
        fault = PRESETS[self.preset].fault(response.text)
        return Score(0.0 if fault else 1.0, reason=fault)


Worth: TypeAlias = Callable[[Problem, Response], float | None]


@dataclass(frozen=True)
class FunctionReward(Reward):
    """A plain function as a leaf; made by `@reward`. It pickles as the name it is found under."""

    function: Worth = field(metadata={"knob": False})
    name: str = ""
    """Name of this part in metrics and traces; unique in the tree."""

    def __post_init__(self) -> None:
        settle(self, self.function.__name__, [])

    def __call__(self, problem: Problem, response: Response) -> float | None:
        return self.function(problem, response)

    def kind(self) -> str:
        return f"{self.function.__module__}:{self.function.__qualname__}"

    async def assess(self, groups: Sequence[Group], context: RewardContext) -> Scores:
        return [[self._scored(group.problem, rollout) for rollout in group.rollouts] for group in groups]

    def _scored(self, problem: Problem, response: Response) -> Score:
        if response.finish_reason == "abort":
            return Score(None, "error", reason=f"{self.name}: the engine aborted this response")
        try:
            value: Any = self.function(problem, response)
            if value is None:
                return Score(None, "abstain", reason=f"{self.name}: the function returned None")
            if not isinstance(value, Real):
                raise TypeError(f"the function returned {value!r:.80}; return a number or None")
            return number(float(value), name=self.name)
        except Exception as error:  # becomes the status of this rollout alone
            return failure(self.name, error)

    def __reduce__(self) -> tuple[Callable[..., Reward], tuple[str, str]]:
        return _found_again, (self.to_config()["type"], self.name)


def _found_again(target: str, name: str) -> Reward:
    found = plugins.load(GROUP, target)
    if not isinstance(found, FunctionReward):
        raise PluginError(
            f"{GROUP}: {target} is {found!r:.80}, not the reward {name!r}; write @reward above the function"
        )
    return found if found.name == name else type(found)(found.function, name)


@dataclass(frozen=True)
class DangerReward(FunctionReward):
    """A plain function that is below 0 where a response endangers somebody; made by `@reward(name, tells_danger=True)`."""

    tells_danger: ClassVar[bool] = True


def reward(name: str, *, tells_danger: bool = False) -> Callable[[Worth], FunctionReward]:
    """Make a reward of a module-level function `(problem, response) -> float | None`.

    Args:
        name: Name of its part in metrics and traces.
        tells_danger: Whether a value below 0 says that the response endangers somebody, so that it may guard a veto.

    None says that there is no number for this response: the rollout is masked. An exception, NaN or infinity is an
    `error` of this rollout. A recipe names it `type: module:attribute`.
    """

    def wrap(function: Worth) -> FunctionReward:
        if inspect.iscoroutinefunction(function):
            raise TypeError(f"@reward({name!r}): {function.__qualname__} is async; subclass Reward instead")
        return (DangerReward if tells_danger else FunctionReward)(function, name)

    return wrap
