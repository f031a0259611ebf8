"""Verifiable problems out of multiple-choice questions: HuatuoGPT-o1's stage 0 (arXiv 2412.18925, section 2.1).

What costs nothing comes first: length, wording, decontamination by 64 characters in a row; then small models try the
question, which is dropped when all of them are right; then a judge grades whether it can stand without its options; then
a writer asks it openly, and what was written is audited. Each row that is dropped says why.

Beyond the paper: a small model that gave no reply is evidence of nothing; the new answer is held against the old option by a
verifier, since a rewriter may change what is right; the new question is decontaminated and audited too.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial
from pathlib import Path
from typing import Any, ClassVar, Literal

from medrl.chat.base import BudgetSpent, ChatError
from medrl.chat.strict import read_reply
from medrl.construct import problem_prompt as prompt
from medrl.construct.pipeline import Dropped, Kept, RowFailed, Stage, Work
from medrl.construct.problem_flaws import KINDS, Flaw, flaws, stem
from medrl.construct.problem_overlap import HeldOut
from medrl.construct.roles import Role, cached_clients
from medrl.construct.rows import read_problem
from medrl.data import load_problems
from medrl.data.rows import RowFault, language_of
from medrl.data.schemas import SCHEMAS
from medrl.errors import MedrlError, RecipeError, did_you_mean
from medrl.knobs import out_of_range
from medrl.types import Problem, ask
from medrl.verifiers import Verifier, build
from medrl.verifiers.judge_prompt import prompt_language

# What is wrong with a question before it is rewritten, and with what was written.
BEFORE = (
    "no_reference", "reference_no_option", "several_keys", "reference_names_options", "equal_options", "negated",
    "lost_figure",
)  # fmt: skip
AFTER = (
    "negated", "lost_figure", "lost_options", "not_unique", "leaked", "reference_names_options", "several_keys",
    "several_sentences", "general_reference"
)  # fmt: skip
_WORD = re.compile(r"[^\W_\u4e00-\u9fff]+")
_CHINESE = re.compile(r"[\u4e00-\u9fff]")


@dataclass(frozen=True)
class VerifiableStage(Stage):
    """Turns a multiple-choice question into an open one whose answer can be checked, or says why not."""

    grader: Role
    """Who says whether a question can stand without its options. Paper: GPT-4o."""
    rewriter: Role
    """Who asks it openly. Paper: GPT-4o."""
    small_models: tuple[Role, ...] = ()
    """Who tries the question first; it is dropped as too easy where all are right. Paper: Gemma2-9B, Llama-3.1-8B and
    Qwen2.5-7B. Empty: no such filter."""
    quorum: int | None = None
    """How many of them must have answered before "all were right" counts; empty: all. One that failed is no evidence, and
    a row with too little of it is tried again by the next start, unless somebody was wrong."""
    min_words: int = 10
    """Fewest words of a question; two Chinese characters count as a word. Typical 5 to 30."""
    held_out: tuple[str, ...] = ()
    """Evaluation sets (files or hub ids as `load_problems` takes them): what shares 64 characters in a row is dropped."""
    verifier: Verifier | Mapping[str, Any] | str = "typed"
    """Who holds the rewritten answer against the option that it comes from; where it says wrong the row is dropped."""
    before: tuple[str, ...] = BEFORE
    """Flaws (`medrl audit-problems` lists the kinds) for which a question is dropped before anybody is asked."""
    after: tuple[str, ...] = AFTER
    """Flaws for which a rewritten problem is dropped."""
    language: Literal["auto", "en", "zh"] = "auto"
    """Language of prompts and problems; auto is the question's own."""
    schema: str = "auto"
    """Published schema of the rows; auto tells it by the columns of each."""
    name: ClassVar[str] = "problems"

    def __post_init__(self) -> None:
        faults = out_of_range(self, from_0=("min_words",))
        if self.quorum is not None and not 1 <= self.quorum <= len(self.small_models):
            faults.append(f"quorum is {self.quorum}; it is from 1 to the number of small models")
        for kind in (*self.before, *self.after):
            if kind not in KINDS:
                faults.append(f"there is no kind of flaw {kind!r}{did_you_mean(kind, KINDS)}")
        known = ("auto", *SCHEMAS)
        if self.schema not in known:
            faults.append(f"there is no schema {self.schema!r}{did_you_mean(self.schema, known)}")
        try:
            self.judge.fingerprint()
        except MedrlError as error:
            faults.append(f"verifier: {error}")
        if faults:
            raise RecipeError("the problem stage", faults)

    @property
    def reasons(self) -> Sequence[str]:
        audited = [f"rewritten_{kind}" for kind in self.after]
        grades = [grade for grade in prompt.GRADES if grade != "pass"]
        head = ["broken_row", "no_choice", *self.before, "too_short", "overlap", "too_easy", *grades]
        return [*head, "rewritten_language", *audited, "rewritten_overlap", "answer_changed"]

    @cached_property
    def judge(self) -> Verifier:
        """The verifier itself."""
        return build(self.verifier)

    @cached_property
    def contamination(self) -> HeldOut:
        """The evaluation sets."""
        return HeldOut([problem for source in self.held_out for problem in load_problems(source)])

    def cached(self, path: Path) -> "VerifiableStage":
        found = replace(
            self,
            grader=self.grader.cached(path),
            rewriter=self.rewriter.cached(path),
            small_models=tuple(one.cached(path) for one in self.small_models),
            verifier=cached_clients(self.verifier, path),
        )
        vars(found)["contamination"] = self.contamination  # hundreds of megabytes for large sets: read them once
        return found

    def identity(self) -> Mapping[str, Any]:
        models = {
            "grader": self.grader.identity(),
            "rewriter": self.rewriter.identity(),
            "small_models": [one.identity() for one in self.small_models],
        }
        knobs = ("quorum", "min_words", "held_out", "before", "after", "language", "schema")
        return {
            "models": models,
            "verifier": {"name": self.judge.name, "fingerprint": self.judge.fingerprint()},
            "prompts": prompt.VERSION,
            "held_out": self.contamination.digest,
            "knobs": {name: getattr(self, name) for name in knobs},
        }

    async def run(self, work: Work) -> Kept | Dropped:
        try:
            problem = read_problem(work.item, self.schema)
        except RowFault as error:
            return Dropped("broken_row", str(error))
        return self._flawed(problem) or await _Question(self, work, problem).run()

    def _flawed(self, problem: Problem) -> Dropped | None:
        """What can be told without asking anybody."""
        reference = (problem.reference or "").strip()
        if problem.kind != "choice" or not problem.options:
            return Dropped("no_choice", "it is no multiple-choice question")
        found = {flaw.kind: flaw for flaw in [*self._several(problem), *flaws(problem), *flaws(opened(problem))]}
        for kind in self.before:
            if kind in found:
                return Dropped(kind, found[kind].words)
        if reference not in problem.options:
            return Dropped("several_keys", reference)
        text = stem(problem)
        if length(text) < self.min_words:
            return Dropped("too_short", f"{length(text):g} words")
        words, other = self.contamination.shared(problem)
        return Dropped("overlap", f"{words:.200} (of {other})") if words else None

    def _several(self, problem: Problem) -> list[Flaw]:
        reference = (problem.reference or "").strip()
        letters = [one for one in reference if one in problem.options]
        several = reference not in problem.options and len(letters) > 1 and len(letters) == len(reference)
        return [Flaw("several_keys", reference)] if several else []


class _Question:
    """One question on its way."""

    def __init__(self, stage: VerifiableStage, work: Work, problem: Problem) -> None:
        self.stage, self.work, self.problem = stage, work, problem
        self.language = prompt_language(stage.language, problem.language)
        self.text = stem(problem)
        self.answer = problem.options[str(problem.reference)]

    async def run(self) -> Kept | Dropped:
        solved = await self._solved()
        if solved == "all":
            return Dropped("too_easy", "all small models that answered are right")
        options, seed = self.problem.options, self.work.seed
        messages = prompt.grade_messages(self.text, options, self.answer, self.language, seed)
        grade, reason = await self.work.ask(self.stage.grader, messages, prompt.GRADE_SCHEMA, prompt.read_grade)
        if grade != "pass":
            return Dropped(grade, reason)
        messages = prompt.rewrite_messages(self.text, options, self.answer, self.language, seed)
        question, answer = await self.work.ask(
            self.stage.rewriter, messages, prompt.REWRITE_SCHEMA, prompt.read_rewritten
        )
        written = Problem(self.work.item.id, ask(question), answer, language=self.language)
        about = {"small_models": solved, "grade_reason": reason}
        return self._audited(written) or await self._checked(written, about)

    async def _solved(self) -> str:
        """What the small models made of it: "all" right, "not all", or "not asked".

        Raises:
            RowFailed: Too few of them answered, and none of these was wrong.
        """
        models = self.stage.small_models
        if not models:
            return "not asked"
        right, silent = 0, ""
        for role in models:  # one after the other: the first that is wrong settles it, and the others cost nothing
            found = await self._takes(role)
            if found is False:
                return "not all"
            right += found is True
            silent = found if isinstance(found, str) else silent
        if right < (self.stage.quorum or len(models)):
            raise RowFailed("small_models", f"{right} of {len(models)} small models answered; {silent}")
        return "all"

    async def _takes(self, role: Role) -> bool | str:
        """Whether a small model is right, or why nobody knows."""
        schema = prompt.take_schema(self.problem.options)
        messages = prompt.take_messages(self.text, self.problem.options, self.language, self.work.seed)
        try:
            said = await self.work.ask(role, messages, schema, partial(_read_label, schema))
        except BudgetSpent:
            raise
        except ChatError as error:
            return f"{role.chat.model}: {error.kind}: {error}"
        return said == self.problem.reference

    def _audited(self, written: Problem) -> Dropped | None:
        """What is wrong with the rewritten problem by its own words."""
        if language_of(written.question) != self.language:
            return Dropped("rewritten_language", written.question[:200])
        found = {flaw.kind: flaw for flaw in flaws(written)}
        for kind in self.stage.after:
            if kind in found:
                return Dropped(f"rewritten_{kind}", found[kind].words, {"question": written.question})
        words, other = self.stage.contamination.shared(written)
        return Dropped("rewritten_overlap", f"{words:.200} (of {other})") if words else None

    async def _checked(self, written: Problem, about: Mapping[str, Any]) -> Kept | Dropped:
        """The row, unless the new answer is another than the old option.

        Raises:
            RowFailed: The verifier failed, which says nothing of the answer.
        """
        old = replace(written, reference=self.answer)
        verdict = await self.work.verdict(self.stage.judge, old, str(written.reference))
        if verdict.decided and not verdict.accepted:
            return Dropped("answer_changed", f"{self.answer!r} became {written.reference!r}: {verdict.reason}")
        row = {
            "Open-ended Verifiable Question": written.question,
            "Ground-True Answer": written.reference,
            "language": self.language,
        }
        source = {"question": self.text, "options": dict(self.problem.options), "answer": self.problem.reference}
        checked = "undecided" if verdict.score is None else "same"
        return Kept(row, {**about, "answer_check": checked, "source": source})


def _read_label(schema: Mapping[str, Any], text: str) -> str:
    return str(read_reply(text, schema, "the small model")["answer"])


def opened(problem: Problem) -> Problem:
    """The question as if it had been asked without options, to see whether its answer speaks of them."""
    reference = (problem.reference or "").strip()
    return Problem(problem.id, ask(stem(problem) or "?"), problem.options.get(reference, reference))


def length(text: str) -> float:
    """Words of a text; two Chinese characters count as one."""
    return len(_WORD.findall(text)) + len(_CHINESE.findall(text)) / 2
