"""Several responses of a policy to each problem, drawn at different settings, as candidates for feedback."""

from collections.abc import Sequence
from itertools import combinations

from medrl.construct.feedback_judge import Task
from medrl.data.feedback import Candidate, Consent
from medrl.data.preferences import plain_text
from medrl.engines import Engine, Request, Sampling
from medrl.models import Policy
from medrl.models.policy import images_of
from medrl.seeds import seed_of
from medrl.types import Problem
from medrl.verifiers.extract import sections


async def sample_candidates(
    engine: Engine, policy: Policy, problems: Sequence[Problem], settings: Sequence[Sampling], *, seed: int = 0,
    name: str = "", version: str = "",
) -> list[list[Candidate]]:  # fmt: skip
    """One response per problem and setting, in order: HuatuoGPT draws at different settings so that responses differ.

    A candidate's text is the visible answer; with its reasoning it is kept as `metadata["raw"]`.

    Args:
        engine: What samples.
        policy: What renders the prompts.
        problems: What is answered.
        settings: How each response of a problem is drawn.
        seed: Decides the draws.
        name: The policy's name, kept with each candidate.
        version: Its version or revision.
    """
    requests = [
        Request(p.id, k, seed_of("candidates", seed, p.id, k), policy.prompt_ids(p), sampling, images_of(p.messages))
        for k, sampling in enumerate(settings)
        for p in problems
    ]
    found: dict[tuple[str, int], Candidate] = {}
    seeds = {(request.problem_id, request.index): request.seed for request in requests}
    async for rollout in engine.generate(requests, 0):
        key, drawn = (rollout.problem_id, rollout.index), settings[rollout.index]
        how = {"temperature": drawn.temperature, "top_p": drawn.top_p, "top_k": drawn.top_k}
        shown = sections(rollout.text).answer.strip()  # what judges, people and reward models see
        raw = {"raw": rollout.text} if shown != rollout.text else {}
        found[key] = Candidate(
            shown, "policy", name, version, seeds[key], how, finish_reason=rollout.finish_reason, metadata=raw
        )
    return [[found[problem.id, k] for k in range(len(settings))] for problem in problems]


def pair_tasks(
    problems: Sequence[Problem], candidates: Sequence[Sequence[Candidate]], *, per_problem: int, seed: int = 0,
    consent: Consent = "unknown",
) -> list[Task]:  # fmt: skip
    """At most `per_problem` pairs of different responses to each problem, drawn at random.

    A response that was cut off at the token limit, is empty, or reads like another is in no pair: what it would teach a
    reward model is its length.
    """
    tasks = []
    for problem, given in zip(problems, candidates, strict=True):
        distinct = {plain_text(one.text): one for one in given if one.finish_reason == "stop" and one.text.strip()}
        pairs = list(combinations(distinct.values(), 2))
        order = sorted(range(len(pairs)), key=lambda i: seed_of("pairs", seed, problem.id, i))
        tasks += [Task(problem, pairs[i], consent) for i in sorted(order[:per_problem])]
    return tasks


def rating_tasks(
    problems: Sequence[Problem], candidates: Sequence[Sequence[Candidate]], consent: Consent = "unknown"
) -> list[Task]:
    """All different, whole responses to each problem together, to be rated one by one."""
    tasks = []
    for problem, given in zip(problems, candidates, strict=True):
        distinct = {plain_text(one.text): one for one in given if one.finish_reason == "stop" and one.text.strip()}
        if len(distinct) > 1:
            tasks.append(Task(problem, tuple(distinct.values()), consent))
    return tasks
