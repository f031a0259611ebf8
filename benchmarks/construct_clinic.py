"""A tiny model whose replies to the prompts of data construction mean something, for `benchmarks/construct.py`.

A teacher knows the clinic's cases and answers each prompt of stages 0 and 1 as it should be answered, some first chains being
wrong on purpose. What it is asked and says is recorded, and a model of half a million parameters is made from scratch and
fine-tuned on that. Afterwards it talks to strangers: cases that it has not seen.
"""

import asyncio
import json
import random
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from medrl.chat.base import ChatClient, ChatReply, ChatRequest
from medrl.construct import problem_prompt, reasoning_prompt
from medrl.construct.pipeline import Item, Work
from medrl.construct.reasoning import ReasoningStage
from medrl.construct.roles import Role
from medrl.construct.verifiable import VerifiableStage
from medrl.data.clinic.demonstrations import generate_demonstrations
from medrl.data.clinic.problems import generate_problems
from medrl.data.demonstrations import Demonstration
from medrl.types import Problem
from medrl.verifiers.judge_prompt import harmless

DISEASES = 10
SLOT = re.compile(r"=== (?P<code>[0-9a-f]{16}) (?P<name>[A-Z]+) ===\n(?P<text>(?:\| .*\n)*?)=== (?P=code) END ===")
VERIFIER = {"type": "typed", "vocabulary": "clinic"}


def cases(count: int, seed: int) -> list[Problem]:
    """Patients with four possible diseases each; the question reads the same with and without these options."""
    return generate_problems(
        split="train",
        count=count,
        seed=seed,
        kinds=["choice"],
        topics=["diagnosis"],
        languages=["en"],
        diseases=DISEASES,
    )


def stem(problem: Problem) -> str:
    return problem.question.partition("\nA. ")[0].strip()


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
    return {"id": problem.id, "Open-ended Verifiable Question": stem(problem), "Ground-True Answer": answer}


def slots(request: ChatRequest) -> dict[str, str]:
    text = request.messages[-1].content + "\n"
    return {m["name"]: "\n".join(line[2:] for line in m["text"].splitlines()) for m in SLOT.finditer(text)}


@dataclass(frozen=True)
class Teacher(ChatClient):
    """Knows some cases; `wrong_share` of first chains and small answers are wrong on purpose."""

    known: Mapping[str, Problem]
    wrong_share: float = 0.4
    model: str = "teacher"
    said: list[tuple[ChatRequest, str]] = field(default_factory=list, compare=False)

    @classmethod
    def of(cls, problems: Sequence[Problem], wrong_share: float = 0.4) -> "Teacher":
        return cls({harmless(stem(one)): one for one in problems}, wrong_share)

    def fingerprint(self) -> str:
        return "0" * 16

    async def complete(self, request: ChatRequest) -> ChatReply:
        text = self.reply(request)
        self.said.append((request, text))
        return ChatReply(text, self.model, len(request.messages[-1].content) // 4, len(text) // 4)

    def reply(self, request: ChatRequest) -> str:
        shown, system = slots(request), request.messages[0].content
        problem = self.known[shown["QUESTION"]]
        slips = random.Random(f"{problem.id}{request.seed}").random() < self.wrong_share
        right = problem.options[str(problem.reference)]
        if "OPTIONS" in shown and "ANSWER" not in shown:
            others = [label for label in problem.options if label != problem.reference]
            return json.dumps(
                {"reason": worked(problem, slips)[0], "answer": others[0] if slips else problem.reference}
            )
        if system.startswith(problem_prompt.GRADE["en"]):
            simple = len(problem.metadata["findings"]) <= 4
            return json.dumps(
                {"reason": "few findings" if simple else "one answer", "grade": "too_simple" if simple else "pass"}
            )
        if system.startswith(problem_prompt.REWRITE["en"]):
            return json.dumps({"question": stem(problem), "answer": right})
        if '"monologue"' in system:
            steps = re.findall(r"Inner Thinking[^\n]*\n(.*)", shown["CHAIN"])
            return json.dumps({"monologue": " Wait, that may be wrong. ".join(steps)})
        if '"response"' in system:
            return json.dumps({"response": f"{right[0].upper()}{right[1:]}."})
        chain, answer = worked(problem, slips and "CHAIN" not in shown)
        thought = {"action": reasoning_prompt.THINK, "title": "findings", "content": chain}
        conclusion = {"action": reasoning_prompt.CONCLUDE, "title": "", "content": answer}
        check = {"action": reasoning_prompt.CHECK, "title": "", "content": "The findings fit."}
        return json.dumps({"chain": [thought, conclusion, check]})


def worked(problem: Problem, wrong: bool) -> tuple[str, str]:
    """Reasoning on a case, and the disease that it comes to."""
    (one,) = generate_demonstrations([problem], wrong_share=float(wrong))
    chain = one.reasoning.rsplit(". ", 1)[0] if "option" in one.reasoning.lower() else one.reasoning
    return chain, problem.options[one.answer]


def exchanges(count: int, seed: int) -> list[Demonstration]:
    """What the teacher was asked by both stages on so many cases, and what it said."""
    problems = cases(count, seed)
    teacher = Teacher.of(problems)
    role = Role(teacher)
    reasoning = ReasoningStage(writer=role, verifier=VERIFIER)
    verifiable = VerifiableStage(grader=role, rewriter=role, small_models=(role,), verifier=VERIFIER)

    async def all_of_them() -> None:
        for number, problem in enumerate(problems, 1):
            await verifiable.run(Work(Item(problem.id, number, problem_row(problem)), seed))
            await reasoning.run(Work(Item(problem.id, number, reasoning_row(problem)), seed))

    asyncio.run(all_of_them())
    return [
        Demonstration(
            str(number),
            (
                *({"role": one.role, "content": one.content} for one in request.messages),
                {"role": "assistant", "content": text},
            ),
            "",
            text,
        )
        for number, (request, text) in enumerate(teacher.said)
    ]


def train(folder: Path, cases_seen: int, epochs: float, seed: int = 0) -> dict[str, float]:
    """Make the model and save it; `loss`, `updates`, and how much it read."""
    from medrl.models import ModelShape, Policy
    from medrl.trainers import SFTSettings, fine_tune

    learnt = exchanges(cases_seen, seed + 1)
    texts = [str(message["content"]) for one in learnt for message in one.messages]
    # Heads of 32, the least that vLLM has on a CPU.
    shape = ModelShape(
        vocab_size=1536, hidden_size=96, layers=3, heads=3, key_value_heads=1, intermediate_size=288, context=2048
    )
    policy = Policy.new(texts, shape, seed)
    settings = SFTSettings(
        epochs=epochs, lr=3e-3, batch_size=8, microbatch_size=8, betas=(0.9, 0.95), weight_decay=0.0, max_length=2048
    )

    def told(update: int, of: int, figures: dict[str, float]) -> None:
        if update % 10 == 0 or update == of:
            print(f"sft: {update}/{of}, loss {figures['loss']:.3f}", flush=True)

    found = fine_tune(policy, learnt, settings, seed=seed, on_update=told)
    folder.mkdir(parents=True, exist_ok=True)
    policy.save(folder)
    return {**found, "exchanges": len(learnt)}
