"""What a good writer says to each prompt of stages 0 and 1, for patients of the simulated clinic whose disease it knows.

It reads what it is shown as any writer must (the slots of the prompt, the chain so far), tries an idea, names what
that idea does and does not explain by the clinic's tables, and goes on in the way that it is asked to. A share of its
ideas is wrong on purpose: another disease with findings in common. `exchanges` has both stages ask it, and records
what it was asked and what it said: the lessons of `clinic_writer.py`.
"""

import asyncio
import json
import random
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from medrl.chat.base import ChatClient, ChatReply, ChatRequest
from medrl.construct import problem_prompt, reasoning_prompt
from medrl.construct.pipeline import Item, Work
from medrl.construct.reasoning import ReasoningStage
from medrl.construct.roles import Role
from medrl.construct.verifiable import VerifiableStage
from medrl.data.clinic.concepts import Disease
from medrl.data.clinic.patients import possible
from medrl.data.clinic.problems import combination, generate_problems
from medrl.data.clinic.templates import listing
from medrl.data.clinic.vignettes import rivals
from medrl.data.clinic.world import World, load_world
from medrl.data.demonstrations import Demonstration
from medrl.errors import DataError
from medrl.seeds import seed_of
from medrl.types import Problem
from medrl.verifiers.judge_prompt import harmless

DISEASES = 20
VERIFIER = {"type": "typed", "vocabulary": "clinic"}
LETTER = " Answer with one letter."
NEAREST = 3  # diseases that a wrong idea is drawn from
FEW = 4  # findings of a case that is graded as too simple
SLOT = re.compile(r"=== (?P<code>[0-9a-f]{16}) (?P<name>[A-Z]+) ===\n(?P<text>(?:\| .*\n)*?)=== (?P=code) END ===")
STEP = re.compile(r"^\[\d+\] (?P<action>[A-Z][a-z]+ ?[A-Za-z]*)[^\n]*\n(?P<content>[^\n]*)", re.MULTILINE)
# How each way to go on begins: the title of its step, and what it says of the idea that failed.
TURNS: Mapping[str, tuple[str, str]] = {
    "backtracking": ("back to the findings", "Back to the findings: {failed} leaves {left} unexplained."),
    "exploring_new_paths": ("another side", "Something else, then, that begins with {left} and not with {failed}."),
    "verification": ("checking", "Checking again, {failed} explains {explained}, but not {left}."),
    "correction": ("correction", "The error was {failed}: {left} cannot be explained by it."),
}


def cases(count: int, seed: int, *, taught: bool, diseases: int = DISEASES) -> list[Problem]:
    """Patients with four diseases to choose from. No combination of findings that is `taught` occurs among the others."""
    for times in (4, 8, 16):
        drawn = generate_problems(
            split="train", count=times * count, seed=seed, kinds=["choice"], topics=["diagnosis"], languages=["en"],
            diseases=diseases,
        )  # fmt: skip
        found = [one for one in drawn if (seed_of("taught", combination(one)) % 4 < 3) == taught]
        if len(found) >= count:
            return found[:count]
    raise DataError(f"{diseases} diseases have too few combinations of findings for {count} cases; take more diseases")


def stem(problem: Problem) -> str:
    return problem.question.partition("\nA. ")[0].strip()


def opened(problem: Problem) -> str:
    """The question as it is asked without options."""
    return stem(problem).replace(LETTER, "")


def problem_row(problem: Problem) -> dict[str, Any]:
    """A case as stage 0 reads it."""
    return {
        "id": problem.id,
        "question": stem(problem),
        "options": dict(problem.options),
        "answer_idx": problem.reference,
    }


def reasoning_row(problem: Problem) -> dict[str, Any]:
    """A case as stage 1 reads it."""
    answer = problem.options[str(problem.reference)]
    return {"id": problem.id, "Open-ended Verifiable Question": opened(problem), "Ground-True Answer": answer}


def slots(request: ChatRequest) -> dict[str, str]:
    text = request.messages[-1].content + "\n"
    return {m["name"]: "\n".join(line[2:] for line in m["text"].splitlines()) for m in SLOT.finditer(text)}


@dataclass(frozen=True)
class Teacher(ChatClient):
    """Knows some cases; `wrong_share` of its ideas are wrong on purpose, half as many once it was told of an error."""

    known: Mapping[str, Problem]
    wrong_share: float = 0.4
    model: str = "teacher"
    said: list[tuple[ChatRequest, str]] = field(default_factory=list, compare=False)
    world: World = field(default_factory=load_world, compare=False, repr=False)

    @classmethod
    def of(cls, problems: Sequence[Problem], wrong_share: float = 0.4) -> "Teacher":
        return cls({harmless(text(one)): one for one in problems for text in (stem, opened)}, wrong_share)

    def fingerprint(self) -> str:
        return "0" * 16

    async def complete(self, request: ChatRequest) -> ChatReply:
        text = self.reply(request)
        self.said.append((request, text))
        return ChatReply(text, self.model, len(request.messages[-1].content) // 4, len(text) // 4)

    def reply(self, request: ChatRequest) -> str:
        """The reply to a prompt of either stage; equal requests get equal replies."""
        shown, task = slots(request), request.messages[0].content
        problem, chance = self.known[shown["QUESTION"]], random.Random(f"{shown}{request.seed}")
        if task.startswith(problem_prompt.TAKE["en"]):
            return json.dumps(self._take(problem, chance))
        if task.startswith(problem_prompt.GRADE["en"]):
            return json.dumps(_grade(problem))
        if task.startswith(problem_prompt.REWRITE["en"]):
            return json.dumps({"question": opened(problem), "answer": shown["ANSWER"]})
        if '"monologue"' in task:
            return json.dumps({"monologue": _monologue(shown["CHAIN"])})
        if '"response"' in task:
            return json.dumps({"response": self._response(problem, shown)})
        return json.dumps({"chain": self._chain(problem, shown.get("CHAIN", ""), task, chance)})

    def _take(self, problem: Problem, chance: random.Random) -> dict[str, str]:
        label = str(problem.reference)
        if chance.random() < self.wrong_share:
            label = chance.choice([one for one in problem.options if one != label])
        explained, _ = self._split(problem, self._named(problem.options[label]))
        what = f"explains {explained}" if explained else "is as likely as any"
        return {"reason": f"{problem.options[label]} {what}", "answer": label}

    def _chain(self, problem: Problem, before: str, task: str, chance: random.Random) -> list[dict[str, str]]:
        """An idea, the conclusion, and what speaks for and against it."""
        steps = _steps(before)
        tried = [content for action, content in steps if action == reasoning_prompt.CONCLUDE]
        wrong = chance.random() < (self.wrong_share / 2 if tried else self.wrong_share)
        idea = self._idea(problem, tried, wrong, chance)
        explained, left = self._split(problem, idea)
        title, words = "first idea", ""
        if tried:
            (way,) = (name for name, said in reasoning_prompt.STRATEGIES.items() if said["en"] in task)
            title, turn = TURNS[way]
            good, bad = self._split(problem, self._named(tried[-1]))
            words = turn.format(failed=tried[-1], explained=good or "little", left=bad or "nothing") + " "
        name = idea.name.en
        words += f"Is it {name}? It explains {explained}." if explained else f"Is it {name}?"
        check = f"It does not explain {left}." if left else "It explains every finding."
        return [
            {"action": reasoning_prompt.THINK, "title": title, "content": words},
            {"action": reasoning_prompt.CONCLUDE, "title": "", "content": name},
            {"action": reasoning_prompt.CHECK, "title": "", "content": check},
        ]

    def _idea(self, problem: Problem, tried: Sequence[str], wrong: bool, chance: random.Random) -> Disease:
        """The patient's disease, or one that shares findings with it, could be this patient's, and was not tried."""
        truth, who = self.world.diseases[problem.metadata["disease"]], problem.metadata["patient"]
        near = [self.world.diseases[key] for key in rivals(self.world, truth.id, problem.metadata["findings"])]
        near = [one for one in near if possible(one, who["age"], who["sex"]) and one.name.en not in tried]
        return chance.choice(near[:NEAREST]) if wrong and near else truth

    def _named(self, name: str) -> Disease:
        return next(one for one in self.world.diseases.values() if one.name.en == name)

    def _split(self, problem: Problem, idea: Disease) -> tuple[str, str]:
        """The patient's findings that a disease explains and those that it does not, in words and in the patient's order."""
        shown = problem.metadata["findings"]
        names = {one: self.world.findings[one].name.en for one in shown}
        explained = [names[one] for one in shown if one in idea.findings]
        left = [names[one] for one in shown if one not in idea.findings]
        return (listing(explained, "en") if explained else ""), (listing(left, "en") if left else "")

    def _response(self, problem: Problem, shown: Mapping[str, str]) -> str:
        thoughts = shown.get("THOUGHTS", "")
        name = thoughts.rpartition("So it is ")[2].removesuffix(".") or problem.options[str(problem.reference)]
        explained, _ = self._split(problem, self._named(name))
        return f"The diagnosis is {name}. It explains {explained}."


def _grade(problem: Problem) -> dict[str, str]:
    """Whoever is given few findings has little to reason about."""
    few = len(problem.metadata["findings"]) <= FEW
    return {
        "reason": "few findings" if few else "several findings, one disease",
        "grade": "too_simple" if few else "pass",
    }


def _steps(chain: str) -> list[tuple[str, str]]:
    return [(found["action"].strip(), found["content"]) for found in STEP.finditer(chain)]


def _monologue(chain: str) -> str:
    """Each idea, what it left unexplained, and the next; then the last conclusion."""
    steps = _steps(chain)
    said = [content for action, content in steps[:-2] if action in (reasoning_prompt.THINK, reasoning_prompt.CHECK)]
    return f"{' '.join(said)} So it is {steps[-2][1]}."


def exchanges(problems: Sequence[Problem], seed: int) -> list[Demonstration]:
    """What the teacher was asked by both stages about these cases, and what it said."""
    teacher = Teacher.of(problems)
    role = Role(teacher, temperature=0.7)
    reasoning = ReasoningStage(writer=role, verifier=VERIFIER)
    verifiable = VerifiableStage(grader=role, rewriter=role, small_models=(role,), verifier=VERIFIER)

    async def all_of_them() -> None:
        for number, problem in enumerate(problems, 1):
            await verifiable.run(Work(Item(problem.id, number, problem_row(problem)), seed))
            await reasoning.run(Work(Item(problem.id, number, reasoning_row(problem)), seed))

    asyncio.run(all_of_them())
    return [_lesson(number, request, text) for number, (request, text) in enumerate(teacher.said)]


def _lesson(number: int, request: ChatRequest, text: str) -> Demonstration:
    asked = tuple({"role": one.role, "content": one.content} for one in request.messages)
    return Demonstration(str(number), (*asked, {"role": "assistant", "content": text}), "", text)
