"""Sample a group of rollouts for each problem and score each group the moment it is complete.

Scoring is started while the engine still samples other groups, so that a slow judge costs no time as long as it is faster
than sampling. A reward that raises costs its own group its scores (status "error"), never the run and never a 0.
"""

import asyncio
from collections import Counter
from collections.abc import AsyncGenerator, Callable, Sequence
from dataclasses import replace

from medrl.engines import Engine, Request, Sampling
from medrl.models import Policy
from medrl.models.policy import images_of
from medrl.rewards import RewardContext, Scorer
from medrl.rollouts.teacher import Classroom
from medrl.seeds import seed_of
from medrl.types import Group, Problem, Rollout, ScoredGroup


def make_requests(
    policy: Policy, problems: Sequence[Problem], samples: int, sampling: Sampling, *seed: str | int
) -> list[Request]:
    """`samples` requests per problem; the seed of each is a hash of `seed`, the problem and its place in the group.

    Where the end of one epoch and the start of the next meet in one step, a problem may occur twice: its second group
    is another attempt, with draws of its own and indices from `samples` on.
    """
    requests = []
    attempts: Counter[str] = Counter()
    for problem in problems:
        prompt_ids, images = policy.prompt_ids(problem), images_of(problem.messages)
        attempt = attempts[problem.id]
        attempts[problem.id] += 1
        for index in range(samples):
            draw = seed_of(*seed, problem.id, attempt, index, 0)  # turn 0
            requests.append(Request(problem.id, attempt * samples + index, draw, prompt_ids, sampling, images))
    return requests


async def collect(
    engine: Engine,
    policy: Policy,
    problems: Sequence[Problem],
    reward: Scorer,
    *,
    samples: int,
    sampling: Sampling,
    seed: Sequence[str | int],
    version: int,
    context: RewardContext | None = None,
    kept: dict[int, ScoredGroup] | None = None,
    classroom: Classroom | None = None,
    on_rollout: Callable[[], None] = lambda: None,
) -> list[ScoredGroup]:
    """Groups of `samples` rollouts for each problem, scored, in the order of `problems`.

    Args:
        engine: What samples.
        policy: What renders the prompts.
        problems: A problem that occurs twice gets two groups.
        reward: What scores.
        samples: G, rollouts per problem.
        sampling: How tokens are drawn.
        seed: What the draws are for, e.g. (run seed, "train", step).
        version: The policy version that samples.
        context: Step and state for the reward tree.
        kept: Scored groups by their place in `problems`. Those in it are not sampled; each new one is put there as soon as
            it has its scores, so that whoever holds it has all finished work when this is cancelled.
        classroom: The teacher, who may take a place in a group that has its scores.
        on_rollout: Called as each rollout finishes, for progress.
    """
    context, kept = context or RewardContext(), {} if kept is None else kept
    places: dict[str, list[int]] = {}
    for place, problem in enumerate(problems):
        places.setdefault(problem.id, []).append(place)
    waiting: list[dict[int, Rollout]] = [{} for _ in problems]
    scoring: list[asyncio.Task[None]] = []

    async def score(place: int) -> None:
        whole = Group(problems[place], tuple(waiting[place][i] for i in range(samples)))
        (scores,) = await reward.score([whole], context)
        scored = ScoredGroup(whole, tuple(scores))
        kept[place] = await classroom.join(scored, reward, context) if classroom is not None else scored

    requests = make_requests(policy, problems, samples, sampling, *seed)
    stream = engine.generate([r for i, r in enumerate(requests) if i // samples not in kept], version)
    try:
        async for rollout in stream:
            on_rollout()
            attempt, index = divmod(rollout.index, samples)
            place = places[rollout.problem_id][attempt]
            waiting[place][index] = replace(rollout, index=index)
            if len(waiting[place]) == samples:
                scoring.append(asyncio.create_task(score(place)))
        await asyncio.gather(*scoring)
        return [kept[place] for place in range(len(problems))]
    finally:
        for task in scoring:
            task.cancel()  # no effect on finished ones; after an error nothing is left running
        if isinstance(stream, AsyncGenerator):
            await stream.aclose()  # after an error the engine puts its model back now, not when memory is collected
