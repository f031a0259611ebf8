"""Evaluate a policy on a recipe's held-out problems, as the run of that recipe does, without a run folder."""

from collections.abc import Sequence
from typing import Any

from medrl import environments, rewards
from medrl.engines import Engine, InProcessEngine
from medrl.environments import check_problems
from medrl.errors import DataError, MedrlError
from medrl.evaluation.evaluate import evaluate
from medrl.models import Policy
from medrl.recipes.build import check_held_out, data_of, needs_reference, problems_of, whole_response
from medrl.recipes.process import quiet_libraries, reproducible
from medrl.recipes.schema import Recipe
from medrl.rollouts import Episodes
from medrl.tracking import RunConsole
from medrl.trainers.checks import check_reward, fitting_problems
from medrl.types import Problem, ScoredGroup
from medrl.verifiers import run_sync


def evaluate_policy(
    recipe: Recipe, policy: Policy, console: RunConsole
) -> tuple[dict[str, Any], Sequence[ScoredGroup]]:
    """Evaluate a policy on the recipe's held-out problems, with no run folder: figures, and the scored groups.

    The draws are those of a run's own evaluations, so the figures of a kept policy come out again.
    """
    if recipe.held_out is None:
        raise DataError(f"the recipe {recipe.name!r} has no held-out problems to evaluate on; give `held_out`")
    quiet_libraries()
    with reproducible(recipe.threads, policy.device):
        problems, reward = problems_of(recipe.held_out, needs_reference(recipe)), rewards.build(recipe.reward)
        environment = environments.build(recipe.environment) if recipe.environment else None
        _check_not_trained_on(recipe, problems, console)
        check_reward(reward, problems)
        policy.check()
        whole, limit = whole_response(recipe.sampling, environment)
        problems = fitting_problems(policy, problems, whole, recipe.trainer, "held-out problems", limit)
        engine: Engine = InProcessEngine(policy, recipe.max_rows)
        if environment is not None:
            check_problems(environment, problems)
            engine = Episodes(engine, policy, environment, problems)
        asked = len(problems[: recipe.evaluation.limit]) * (recipe.evaluation.samples + recipe.evaluation.greedy)
        with console, console.phase("evaluation", total=asked) as progress:
            result = run_sync(
                evaluate(
                    engine, policy, problems, reward, settings=recipe.evaluation,
                    sampling=recipe.sampling, seed=(recipe.seed,), on_rollout=progress.advance,
                )
            )  # fmt: skip
    return {"name": result.name, **result.row()}, result.sampled


def _check_not_trained_on(recipe: Recipe, held_out: list[Problem], console: RunConsole) -> None:
    try:
        problems, shown = data_of(recipe)
    except (MedrlError, OSError) as error:  # a policy may be measured where its training data is not
        console.say(f"not checked whether held-out problems were trained on: {error}")
        return
    check_held_out(recipe, problems, held_out, shown)
