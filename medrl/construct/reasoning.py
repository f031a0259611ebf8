"""Complex reasoning for supervised fine-tuning: HuatuoGPT-o1's stage 1 (arXiv 2412.18925, section 2.2 and Algorithm 1).

A writer thinks and concludes; a verifier holds the conclusion against the reference. While it is wrong, the writer goes on in
one of four ways, drawn by a seed (never back on the first retry, when there is nothing to go back to), at most `depth` times,
and begins anew at most `attempts` times. A chain that ends right is written as one monologue and a response.

Differs from the published code, each on purpose: a reply of a judge that merely contains "true" accepts nothing, for verdicts
are medrl's own and read strictly; a verifier that fails or abstains has not said "wrong", so its row is tried again, or set
aside as unverified; the label is shown only where asked for, such rows say so, and are verified like all others; the final
response, which is what SFT learns from, is verified once more.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar, Literal, cast

from medrl.construct import reasoning_prompt as prompt
from medrl.construct.pipeline import Dropped, Kept, Stage, Work
from medrl.construct.reasoning_prompt import Manner, Step, Strategy
from medrl.construct.roles import Role, cached_clients
from medrl.construct.rows import read_problem
from medrl.data.rows import RowFault
from medrl.errors import MedrlError, RecipeError
from medrl.knobs import out_of_range
from medrl.seeds import seed_of
from medrl.types import Problem
from medrl.verifiers import Verifier, build
from medrl.verifiers.judge_prompt import prompt_language

Arm = Literal["complex", "simple", "response"]


@dataclass(frozen=True)
class Reached:
    """Thinking that ended in a conclusion that the verifier accepted."""

    steps: tuple[Step, ...]
    attempts: int
    strategies: tuple[Strategy, ...] = ()
    label_revealed: bool = False


@dataclass(frozen=True)
class ReasoningStage(Stage):
    """Searches for reasoning that ends right, and writes it down."""

    writer: Role
    """Who thinks, goes on, rewrites and responds."""
    verifier: Verifier | Mapping[str, Any] | str = "typed"
    """Who holds conclusions and responses against the reference: any verifier of medrl, best a cascade that ends in a judge.
    Rules alone abstain on free wording, and such rows are set aside."""
    rewriter: Role | None = None
    """Who writes monologue and response, where not the writer."""
    arm: Arm = "complex"
    """`complex`: the whole search. `simple`: a first chain that is right, written straight. `response`: no reasoning. The
    last two are what the paper compares with (its Table 2)."""
    depth: int = 3
    """How often a wrong chain goes on before the writer begins anew. Paper 3."""
    attempts: int = 3
    """How often the writer begins. Paper 3."""
    response_tries: int = 3
    """How many responses are written until the verifier accepts one. Typical 1 to 3."""
    reveal_label: bool = False
    """Where every attempt failed, show the answer and ask for reasoning that leads to it. Off: a model that knows the answer
    writes what sounds right. Such rows are verified like others, and marked `label_revealed` in their provenance."""
    accept: float = 0.5
    """Least score of a verdict that counts as right, from 0 to 1. What is right in part, as half a list is, never does."""
    language: Literal["auto", "en", "zh"] = "auto"
    """Language of prompts, monologue and response; auto is the problem's own."""
    schema: str = "auto"
    """Published schema of the rows; auto tells it by the columns of each."""
    name: ClassVar[str] = "reasoning"

    def __post_init__(self) -> None:
        faults = out_of_range(self, above_0=("attempts", "response_tries", "accept"), from_0=("depth",))
        if self.accept > 1:
            faults.append(f"accept is {self.accept}; no score is above 1")
        if self.arm != "complex" and self.reveal_label:
            faults.append(f"reveal_label belongs to the search; the arm {self.arm!r} has none")
        try:
            self.judge.fingerprint()
        except MedrlError as error:
            faults.append(f"verifier: {error}")
        if faults:
            raise RecipeError("the reasoning stage", faults)

    @property
    def reasons(self) -> Sequence[str]:
        return ("broken_row", "no_reference", "no_path", "unverified", "response_wrong")

    @cached_property
    def judge(self) -> Verifier:
        """The verifier itself."""
        return build(self.verifier)

    def cached(self, path: Path) -> "ReasoningStage":
        rewriter = self.rewriter and self.rewriter.cached(path)
        return replace(
            self, writer=self.writer.cached(path), rewriter=rewriter, verifier=cached_clients(self.verifier, path)
        )

    def identity(self) -> Mapping[str, Any]:
        writers = {"writer": self.writer.identity(), "rewriter": (self.rewriter or self.writer).identity()}
        knobs = ("arm", "depth", "attempts", "response_tries", "reveal_label", "accept", "language", "schema")
        return {
            "models": writers,
            "verifier": {"name": self.judge.name, "fingerprint": self.judge.fingerprint()},
            "prompts": prompt.VERSION,
            "knobs": {name: getattr(self, name) for name in knobs},
        }

    async def run(self, work: Work) -> Kept | Dropped:
        try:
            problem = read_problem(work.item, self.schema)
        except RowFault as error:
            return Dropped("broken_row", str(error))
        if not (problem.reference or "").strip():
            return Dropped("no_reference", "nothing can be verified")
        return await _Search(self, work, problem).run()


class _Search:
    """The search on one problem."""

    def __init__(self, stage: ReasoningStage, work: Work, problem: Problem) -> None:
        self.stage, self.work, self.problem = stage, work, problem
        self.language = prompt_language(stage.language, problem.language)
        self.undecided = ""

    async def run(self) -> Kept | Dropped:
        stage = self.stage
        path = None if stage.arm == "response" else await self._path()
        if path is None and stage.arm != "response":
            if self.undecided:
                return Dropped("unverified", self.undecided)
            return Dropped("no_path", f"{stage.attempts} attempts of up to {stage.depth} retries ended wrong")
        thoughts = await self._monologue(path) if path else ""
        response = await self._response(thoughts)
        about: dict[str, Any] = {"arm": stage.arm, "label_revealed": bool(path and path.label_revealed)}
        if path:
            about |= {"attempts": path.attempts, "strategies": list(path.strategies), "steps": len(path.steps)}
        if response is None:
            reason = "unverified" if self.undecided else "response_wrong"
            return Dropped(reason, self.undecided or "no response gave the right answer", about)
        row: dict[str, Any] = {"Question": self.problem.question}
        row |= {"Complex_CoT": thoughts} if thoughts else {}
        about["reference"] = self.problem.reference
        return Kept({**row, "Response": response, "language": self.language}, about)

    async def _path(self) -> Reached | None:
        """The first chain that ends right, over all attempts; None where there is none."""
        depth = self.stage.depth if self.stage.arm == "complex" else 0
        for attempt in range(self.stage.attempts):
            steps = await self._chain(
                prompt.first_messages(self.problem.question, self.language, self.work.seed), attempt
            )
            used: list[Strategy] = []
            right = await self._right(steps[-2].content)
            while right is False and len(used) < depth:
                strategy = self._strategy(attempt, len(used))
                messages = prompt.again_messages(self.problem.question, steps, strategy, self.language, self.work.seed)
                steps += await self._chain(messages, attempt)
                used.append(strategy)
                right = await self._right(steps[-2].content)
            if right:
                return Reached(steps, attempt + 1, tuple(used))
        return await self._revealed() if self.stage.reveal_label else None

    async def _revealed(self) -> Reached | None:
        """Reasoning by somebody who knows the answer, accepted only if its conclusion is verified."""
        reference = str(self.problem.reference)
        label = self.problem.options.get(reference, reference)
        messages = prompt.revealed_messages(self.problem.question, label, self.language, self.work.seed)
        steps = await self._chain(messages, 0)
        if not await self._right(steps[-2].content):
            return None
        return Reached(steps, self.stage.attempts + 1, label_revealed=True)

    async def _chain(self, messages: Any, draw: int) -> tuple[Step, ...]:
        return await self.work.ask(self.stage.writer, messages, prompt.CHAIN_SCHEMA, prompt.read_chain, draw)

    def _strategy(self, attempt: int, retry: int) -> Strategy:
        """Drawn by the seed, the row and the place in the search; the first retry never goes back."""
        known = [one for one in prompt.STRATEGIES if retry or one != "backtracking"]
        return known[seed_of("strategy", self.work.seed, self.work.item.id, attempt, retry) % len(known)]

    async def _monologue(self, path: Reached) -> str:
        manner = cast(Manner, self.stage.arm)
        messages = prompt.rewrite_messages(self.problem.question, path.steps, manner, self.language, self.work.seed)
        return await self._text(messages, prompt.MONOLOGUE_SCHEMA, 0)

    async def _response(self, thoughts: str) -> str | None:
        """A response that is right; None where none was."""
        self.undecided = ""
        messages = prompt.response_messages(self.problem.question, thoughts, self.language, self.work.seed)
        for draw in range(self.stage.response_tries):
            text = await self._text(messages, prompt.RESPONSE_SCHEMA, draw)
            if await self._right(text):
                return text
        return None

    async def _text(self, messages: Any, schema: Mapping[str, Any], draw: int) -> str:
        role = self.stage.rewriter or self.stage.writer
        return await self.work.ask(
            role, messages, schema, lambda text: prompt.read_text(text, schema, self.language), draw
        )

    async def _right(self, text: str) -> bool | None:
        """Whether the verifier accepts a text; None where it cannot tell, which is not "wrong".

        Raises:
            RowFailed: It failed, or ran out of time; the row is tried again by the next start.
        """
        verdict = await self.work.verdict(self.stage.judge, self.problem, text)
        if verdict.score is None:
            self.undecided = f"{verdict.stage} could not decide ({verdict.status}: {verdict.reason}) on: {text:.300}"
            return None
        return verdict.score >= self.stage.accept and not verdict.partial
