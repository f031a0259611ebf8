"""From a recipe's sections to the objects they name: problems, demonstrations, the start policy."""

import random
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from medrl.data.clinic import generate_demonstrations, generate_problems
from medrl.data.demonstrations import Demonstration, load_demonstrations
from medrl.data.problems import load_problems
from medrl.errors import DataError
from medrl.models import Policy
from medrl.recipes.schema import DemonstrationSource, ProblemSource, Recipe
from medrl.seeds import seed_of
from medrl.types import Problem

CLINIC = "clinic"


def problems_of(source: ProblemSource) -> list[Problem]:
    """The problems that a section of a recipe names."""
    if source.source == CLINIC:
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
        )[source.skip :]
    if not problems:
        raise DataError(f"{source.source} gives no problem after skipping {source.skip}; lower `skip`")
    return shuffled_references(problems, source.seed) if source.shuffle_references else problems


def demonstrations_of(source: DemonstrationSource, problems: ProblemSource) -> list[Demonstration]:
    """The demonstrations that a recipe names. Those of the clinic are of the same kind as its problems."""
    if source.source != CLINIC:
        found = load_demonstrations(
            source.source, split=source.split, config=source.config, schema=source.schema, limit=source.limit
        )
        return [_instructed(d, source.instruction) for d in found] if source.instruction else found
    if problems.source != CLINIC:
        raise DataError("demonstrations of the clinic go with problems of the clinic; name a file or hub data set for both")
    shown = replace(problems, count=source.count, seed=source.seed, split="train", shuffle_references=False)
    return generate_demonstrations(problems_of(shown), wrong_share=source.wrong_share, seed=source.seed)


def start_policy(recipe: Recipe, problems: Sequence[Problem], demonstrations: Sequence[Demonstration]) -> Policy:
    """The policy before any training: loaded, or made from scratch with a tokenizer of the training texts."""
    if recipe.policy.new is None:
        assert recipe.policy.path is not None
        return Policy.load(recipe.policy.path, recipe.policy)
    texts = [p.question for p in problems] + [str(m["content"]) for d in demonstrations for m in d.messages]
    return Policy.new(texts, recipe.policy.new, seed=seed_of(recipe.seed, "weights"))


def shuffled_references(problems: Sequence[Problem], seed: int) -> list[Problem]:
    """A control in which every reference belongs to another problem of the same kind, options staying as they are."""
    by_kind: dict[tuple[Any, ...], list[int]] = defaultdict(list)
    for index, problem in enumerate(problems):
        by_kind[problem.kind, problem.language, tuple(problem.options)].append(index)
    shuffled = list(problems)
    for indices in by_kind.values():
        dealt = list(indices)
        random.Random(seed_of(seed, "shuffled references")).shuffle(dealt)
        for index, donor in zip(indices, dealt, strict=True):
            shuffled[index] = replace(
                problems[index], reference=problems[donor].reference, aliases=problems[donor].aliases
            )
    return shuffled


def check_held_out(problems: Sequence[Problem], held_out: Sequence[Problem]) -> None:
    """Refuse held-out problems that are trained on: accuracy on them would measure memory."""
    trained = {problem.question: problem.id for problem in problems}
    both = [(problem.id, trained[problem.question]) for problem in held_out if problem.question in trained]
    if both:
        raise DataError(
            f"{len(both)} of {len(held_out)} held-out problems are also trained on, the first being {both[0][0]!r} (in "
            f"training: {both[0][1]!r}); split them apart, e.g. with `limit` and `skip`"
        )


def _instructed(demonstration: Demonstration, instruction: str) -> Demonstration:
    *before, asked, answer = demonstration.messages
    asked = {**asked, "content": f"{asked['content']}\n\n{instruction}"}
    return replace(demonstration, messages=(*before, asked, answer))
