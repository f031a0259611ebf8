"""From a recipe's sections to the objects they name: problems, demonstrations, the start policy."""

import random
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence, Set
from dataclasses import replace
from typing import Any

import torch

from medrl import rewards
from medrl.data.clinic import generate_demonstrations, generate_problems
from medrl.data.clinic.consulting import generate_patients
from medrl.data.demonstrations import Demonstration, load_demonstrations
from medrl.data.problems import load_problems
from medrl.engines import Sampling
from medrl.environments import Environment, PatientSimulator
from medrl.environments.scripted import demonstrations
from medrl.errors import DataError
from medrl.models import Policy
from medrl.models.policy import DTYPES
from medrl.recipes.schema import CLINIC, PATIENTS, DemonstrationSource, ProblemSource, Recipe
from medrl.seeds import seed_of
from medrl.types import Message, Problem


def needs_reference(recipe: Recipe) -> bool:
    """Whether a problem must say what is right: where the reward verifies nothing it need not."""
    return bool(rewards.build(recipe.reward).verifiers())


def problems_of(source: ProblemSource, needs_reference: bool = True) -> list[Problem]:
    """The problems that a section of a recipe names."""
    if source.source == PATIENTS:
        problems = generate_patients(
            split=source.split,
            count=source.count,
            seed=source.seed,
            languages=source.languages,
            diseases=source.diseases,
        )
    elif source.source == CLINIC:
        problems = generate_problems(
            split=source.split,
            count=source.count,
            seed=source.seed,
            kinds=source.kinds,
            languages=source.languages,
            topics=source.topics,
            diseases=source.diseases,
            findings_shown=source.findings_shown,
            heldout_templates=source.heldout_templates,
        )
        if source.instruction:
            problems = [replace(p, messages=_instructed(p.messages, source.instruction)) for p in problems]
    else:
        problems = load_problems(
            source.source,
            split=source.split,
            config=source.config,
            schema=source.schema,
            limit=source.limit,
            instruction=source.instruction,
            language=source.language,
            prompt=source.prompt,
            reference=source.reference,
            options=source.options,
            needs_reference=needs_reference,
        )[source.skip :]
    if not problems:
        raise DataError(f"{source.source} gives no problem after skipping {source.skip}; lower `skip`")
    return shuffled_references(problems, source.seed) if source.shuffle_references else problems


def demonstrations_of(source: DemonstrationSource, problems: ProblemSource) -> list[Demonstration]:
    """The demonstrations that a recipe names. Those of the clinic are of the same kind as its problems."""
    if source.source == PATIENTS:
        return _consultations(source, problems)
    if source.source != CLINIC:
        found = load_demonstrations(
            source.source, split=source.split, config=source.config, schema=source.schema, limit=source.limit
        )
        if not source.instruction:
            return found
        return [replace(d, messages=(*_instructed(d.messages[:-1], source.instruction), d.messages[-1])) for d in found]
    if problems.source != CLINIC:
        raise DataError("demonstrations of the clinic go with problems of the clinic; name a file or hub id for both")
    shown = replace(
        problems,
        count=source.count,
        seed=source.seed,
        split="train",
        shuffle_references=False,
        instruction=source.instruction or problems.instruction,
    )
    asked = problems_of(shown)
    return generate_demonstrations(asked, wrong_share=source.wrong_share, chain=source.chain, seed=source.seed)


def data_of(
    recipe: Recipe, tell: Callable[[str], object] = lambda line: None
) -> tuple[list[Problem], list[Demonstration]]:
    """The problems and demonstrations that a recipe trains on.

    Args:
        recipe: The recipe.
        tell: Takes a line on what `problems.undemonstrated` leaves out.

    Raises:
        DataError: `problems.undemonstrated` leaves none, or leaves none out.
    """
    problems = problems_of(recipe.problems, needs_reference(recipe))
    shown = demonstrations_of(recipe.demonstrations, recipe.problems) if recipe.demonstrations else []
    if not recipe.problems.undemonstrated:
        return problems, shown
    left = _undemonstrated(recipe, problems, shown)
    where = f"the {len(problems)} problems of {recipe.problems.source}"
    if not left:
        raise DataError(f"all of {where} are demonstrated; none is left for RL")
    if len(left) == len(problems):
        raise DataError(
            f"none of {where} is demonstrated word for word, so problems.undemonstrated leaves nothing out; see that "
            "demonstrations and problems ask the same questions, or set it to false"
        )
    tell(f"{len(problems) - len(left)} of {where} are demonstrated and left out")
    return left, shown


def _undemonstrated(recipe: Recipe, problems: Sequence[Problem], shown: Sequence[Demonstration]) -> list[Problem]:
    """The problems whose whole prompt, instructions aside, no assistant turn of a demonstration answers."""
    sources = (recipe.problems, recipe.demonstrations)
    instructions = [one.instruction for one in sources if one is not None and one.instruction]

    def prompt(messages: Sequence[Message]) -> tuple[tuple[str, str], ...]:
        return _prompt(_bare(messages, instructions))

    lengths = {len(p.messages) for p in problems}
    asked = {prompt(d.messages[:at]) for d in shown for at in _answers(d.messages, lengths)}
    return [one for one in problems if prompt(one.messages) not in asked]


def _consultations(source: DemonstrationSource, problems: ProblemSource) -> list[Demonstration]:
    """`count` consultations of a scripted doctor, one demonstration a turn; `wrong_share` of them by one who only guesses."""
    if problems.source != PATIENTS:
        raise DataError("demonstrations of `patients` go with problems of `patients`; name a file or hub id for both")
    patients = problems_of(replace(problems, count=source.count, seed=source.seed, split="train"))
    guessed = round(source.wrong_share * len(patients))
    return [
        *demonstrations(PatientSimulator(), patients[guessed:], seed=source.seed),
        *demonstrations(PatientSimulator(), patients[:guessed], doctor="random", seed=source.seed),
    ]


def start_policy(recipe: Recipe, problems: Sequence[Problem], demonstrations: Sequence[Demonstration]) -> Policy:
    """The policy before any training: loaded, or made from scratch with a tokenizer of the training texts."""
    if recipe.policy.new is None:
        assert recipe.policy.path is not None
        return Policy.load(recipe.policy.path, recipe.policy, weights=recipe.placement == "local")
    texts = [p.question for p in problems] + [str(m["content"]) for d in demonstrations for m in d.messages]
    seed = seed_of(recipe.seed, "weights")
    policy = Policy.new(texts, recipe.policy.new, seed, recipe.policy.chat_format)
    if recipe.policy.attention is not None:
        policy.model.set_attn_implementation(recipe.policy.attention)
    torch.nn.Module.to(policy.model, DTYPES[recipe.policy.dtype])
    policy.move(recipe.policy.torch_device())
    return policy


def whole_response(sampling: Sampling, environment: Environment | None) -> tuple[Sampling, str]:
    """The limit on all that comes after a prompt, and the knob that sets it."""
    if environment is None:
        return sampling, "sampling.max_tokens"
    return replace(sampling, max_tokens=environment.longest(sampling.max_tokens)), "environment.max_tokens"


def shuffled_references(problems: Sequence[Problem], seed: int) -> list[Problem]:
    """A control: references dealt out by chance among problems that ask for the same sort of answer.

    A few get their own back, and must: a reference that is never the right one would still say something.
    """
    by_kind: dict[tuple[Any, ...], list[int]] = defaultdict(list)
    for index, problem in enumerate(problems):
        sort = tuple(problem.metadata.get(name) for name in ("answer_type", "topic"))
        by_kind[problem.kind, problem.language, tuple(problem.options), sort].append(index)
    shuffled = list(problems)
    for indices in by_kind.values():
        dealt = list(indices)
        random.Random(seed_of(seed, "shuffled references")).shuffle(dealt)
        for index, donor in zip(indices, dealt, strict=True):
            shuffled[index] = replace(
                problems[index], reference=problems[donor].reference, aliases=problems[donor].aliases
            )
    return shuffled


def check_held_out(
    recipe: Recipe, problems: Sequence[Problem], held_out: Sequence[Problem], demonstrations: Sequence[Demonstration]
) -> None:
    """Refuse held-out problems that are trained on: accuracy on them would measure memory.

    Two are the same where their prompts are, or where they are the same row of the same source (an instruction may
    make the prompts differ). Each assistant turn of a demonstration answers a prompt of its own, all that stands before it:
    `sft.loss_on: assistant` learns from all of them, and a prompt that another setting only reads is refused too.
    """
    lengths = {len(p.messages) for p in held_out}
    trained = {_prompt(d.messages[:at]): d.id for d in demonstrations for at in _answers(d.messages, lengths)}
    trained |= {_prompt(p.messages): p.id for p in problems}
    one_source = recipe.held_out is not None and _origin(recipe.held_out) == _origin(recipe.problems)
    rows = {p.id: p.id for p in problems} if one_source else {}
    found = [(p.id, trained.get(_prompt(p.messages), rows.get(p.id))) for p in held_out]
    both = [f"{held} (trained on as {other})" for held, other in found if other is not None]
    if both:
        named = ", ".join(both[:5]) + (", ..." if len(both) > 5 else "")
        raise DataError(
            f"{len(both)} of {len(held_out)} held-out problems are also trained on: {named}; keep them apart, e.g. by "
            "another `split`, or by `limit` on the one and `skip` on the other"
        )


def _origin(source: ProblemSource) -> tuple[str, str, str | None]:
    return source.source, source.split, source.config


def _prompt(messages: Sequence[Message]) -> tuple[tuple[str, str], ...]:
    return tuple((m["role"], m["content"] if isinstance(m["content"], str) else repr(m["content"])) for m in messages)


def _answers(messages: Sequence[Message], lengths: Set[int]) -> Iterator[int]:
    """Where the assistant's turns are that answer a prompt of one of these lengths."""
    return (at for at, message in enumerate(messages) if message["role"] == "assistant" and at in lengths)


def _instructed(messages: Sequence[Message], instruction: str) -> tuple[Message, ...]:
    """The chat with the instruction below its last message, which is the question."""
    *before, asked = messages
    content = asked["content"]
    if isinstance(content, str):
        return (*before, {**asked, "content": f"{content}\n\n{instruction}"})
    return (*before, {**asked, "content": [*content, {"type": "text", "text": instruction}]})


def _bare(messages: Sequence[Message], instructions: Sequence[str]) -> Sequence[Message]:
    """The chat as it was before `_instructed`, or a reader of rows, put one of these below its last message."""
    *before, asked = messages
    content = asked["content"]
    for instruction in instructions:
        if isinstance(content, str) and content.endswith(f"\n\n{instruction}"):
            return (*before, {**asked, "content": content.removesuffix(f"\n\n{instruction}")})
        if not isinstance(content, str) and content[-1:] == [{"type": "text", "text": instruction}]:
            return (*before, {**asked, "content": content[:-1]})
    return messages
