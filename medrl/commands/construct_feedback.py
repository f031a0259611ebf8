"""AI feedback from a recipe: sample responses, have them judged, make preference pairs (`medrl construct feedback`).

Everything is written as it comes, so that a construction that was stopped goes on where it was: responses once they are
drawn, each record the moment that the judge has given it. A task that the judge failed on has no record, and is asked again
by the next start.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from medrl.construct.candidates import pair_tasks, rating_tasks, sample_candidates
from medrl.construct.feedback_judge import FeedbackJudge, Outcome, Task, judge_all
from medrl.construct.feedback_report import agreement, report
from medrl.data import load_problems
from medrl.data.feedback import Candidate, FeedbackRecord, append_feedback
from medrl.data.preferences import TRAINABLE, Pairs, pairs_from, write_pairs
from medrl.engines import InProcessEngine
from medrl.errors import DataError
from medrl.files import json_line, read_jsonl, write_atomic
from medrl.models import Policy
from medrl.recipes.feedback import FeedbackRecipe
from medrl.recipes.process import quiet_libraries
from medrl.seeds import seed_of
from medrl.types import Problem
from medrl.verifiers.protocol import digest, run_sync


@dataclass(frozen=True)
class Constructed:
    """What a construction came to.

    Attributes:
        pairs: What a reward model or DPO is trained on, as in pairs.jsonl.
        report: The flat object in report.json.
    """

    pairs: Pairs
    report: dict[str, Any]


def construct_feedback(recipe: FeedbackRecipe, say: Callable[[str], None] = print) -> Constructed:
    """Carry out a recipe, or the rest of it.

    Writes candidates.jsonl, records.jsonl, second.jsonl, pairs.jsonl and report.json into the recipe's folder.

    Raises:
        DataError: The folder is of another recipe, or nothing could be judged.
    """
    import torch

    quiet_libraries()
    if recipe.threads:
        torch.set_num_threads(recipe.threads)
    if recipe.consent not in TRAINABLE:
        raise DataError(
            f"consent is {recipe.consent!r}: patients' words must not go to a judge, nor train anything, without it; say "
            "consent=given, or consent=not_needed for simulated or published data"
        )
    for warning in recipe.warnings():
        say(f"warning: {warning}")
    folder = recipe.target
    folder.mkdir(parents=True, exist_ok=True)
    problems = load_problems(recipe.problems.source, split=recipe.problems.split, limit=recipe.problems.limit)
    candidates = _candidates(recipe, problems, folder / "candidates.jsonl", say)
    if recipe.judge.mode == "rate":
        tasks = rating_tasks(problems, candidates, recipe.consent)
    else:
        tasks = pair_tasks(
            problems, candidates, per_problem=recipe.pairs_per_problem, seed=recipe.seed, consent=recipe.consent
        )
    records, failed = _judged(recipe.judge, tasks, folder / "records.jsonl", say)
    found: dict[str, Any] = {"problems": len(problems), "tasks": len(tasks), "failed": dict(failed.failed)}
    found["judge"] = {"name": recipe.judge.rater.name, **report(records)}
    if recipe.second_judge is not None:
        some = [
            task for task in tasks if seed_of("second", recipe.seed, task.key) % 10_000 < 10_000 * recipe.second_share
        ]
        second = replace(recipe.second_judge, mode=recipe.judge.mode)
        others, lost = _judged(second, some, folder / "second.jsonl", say)
        found["second_judge"] = {"name": second.rater.name, "failed": dict(lost.failed), **report(others)}
        found["agreement"] = agreement(records, others)
    if not records:
        first = next(iter(failed.reasons.items()), ("", "there was nothing to judge"))
        raise DataError(
            f"the judge judged none of {len(tasks)} tasks ({' '.join(first)}); start again when it is mended"
        )
    pairs = pairs_from(records)
    write_pairs(folder / "pairs.jsonl", pairs.pairs)
    found |= {"pairs": len(pairs), "left_out": dict(pairs.left_out)}
    write_atomic(folder / "report.json", json_line(found))
    for line in lines(found):
        say(line)
    say(f"wrote {folder / 'pairs.jsonl'}")
    return Constructed(pairs, found)


def _candidates(
    recipe: FeedbackRecipe, problems: Sequence[Problem], path: Path, say: Callable[[str], None]
) -> list[list[Candidate]]:
    """The responses on the disk where they are of this recipe, else newly drawn ones."""
    asked = [[p.id, p.to_json()["messages"], p.reference] for p in problems]
    made_of = digest([recipe.policy, _revision(recipe.policy), asked, [vars(s) for s in recipe.sampling], recipe.seed])
    if path.is_file():
        head, *rows = read_jsonl(path)
        if head.get("made_of") != made_of:
            raise DataError(f"{path} is of another policy, problems, sampling or seed; name another folder=")
        return [[Candidate.from_json(one) for one in row["responses"]] for row in rows]
    say(f"sampling {len(recipe.sampling)} responses to each of {len(problems)} problems")
    policy = Policy.load(recipe.policy)
    drawn = sample_candidates(
        InProcessEngine(policy), policy, problems, recipe.sampling, seed=recipe.seed, name=recipe.policy
    )
    candidates = run_sync(drawn)
    rows = [
        {"problem_id": problem.id, "responses": [one.to_json() for one in given]}
        for problem, given in zip(problems, candidates, strict=True)
    ]
    write_atomic(path, b"".join(json_line(row) for row in [{"made_of": made_of}, *rows]))
    return candidates


def _revision(policy: str) -> list[Any]:
    """What tells that a policy's folder was written anew: names, sizes and times of its weights; nothing for a hub id."""
    weights = sorted(Path(policy).glob("*.safetensors"))
    return [[one.name, one.stat().st_size, one.stat().st_mtime_ns] for one in weights]


def _judged(
    judge: FeedbackJudge, tasks: Sequence[Task], path: Path, say: Callable[[str], None]
) -> tuple[list[FeedbackRecord], Outcome]:
    """The records of all tasks, those on the disk included, and what failed just now."""
    rows = read_jsonl(path, tolerate_half_line=True) if path.is_file() else []  # a kill may have cut the last line
    kept = [FeedbackRecord.from_json(row) for row in rows]
    strange = [record for record in kept if record.rater != judge.rater]
    if strange:
        raise DataError(f"{path} holds records of {strange[0].rater.name!r} with other settings; name another folder=")
    done = {record.metadata.get("task"): record for record in kept}
    open_tasks = [task for task in tasks if task.key not in done]
    say(f"{judge.rater.name}: {len(tasks)} tasks, {len(tasks) - len(open_tasks)} judged before")
    outcome = run_sync(judge_all(judge, open_tasks, on_record=lambda record: append_feedback(path, record)))
    done |= {record.metadata["task"]: record for record in outcome.records}
    for kind, count in outcome.failed.items():
        say(f"{judge.rater.name}: {count} tasks failed, {kind}: {outcome.reasons[kind]}")
    return [done[task.key] for task in tasks if task.key in done], outcome


def lines(found: dict[str, Any]) -> list[str]:
    """The report in words."""

    def share(value: float | None) -> str:
        return "-" if value is None else f"{value:.0%}"

    said = []
    for who in ("judge", "second_judge"):
        if who in found:
            row = found[who]
            said.append(
                f"{row['name']}: {row['pairs']} pairs, ties {share(row['ties'])}, verdict changed with the order "
                f"{share(row['flipped'])}, first shown won {share(row['first_won'])}, longer won {share(row['longer_won'])}"
            )
    if "agreement" in found:
        both = found["agreement"]
        kappa = "-" if both["kappa"] is None else f"{both['kappa']:.2f}"
        opposed = share(both["opposed"])
        said.append(f"agreement on {both['pairs']} pairs: {share(both['agreement'])}, kappa {kappa}, opposed {opposed}")
    left = ", ".join(f"{count} {why}" for why, count in found["left_out"].items())
    said.append(f"{found['pairs']} preference pairs{f'; left out: {left}' if left else ''}")
    return said
