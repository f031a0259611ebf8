"""What a killed run goes on from: the learner's weights and moments, the loop's counters, rollouts not yet trained on.

Nothing random has a state to save: every draw is seeded by what it is for. A kill in the middle of `save` leaves the
previous checkpoint as the latest, since a folder is written beside and renamed.

Problems that were drawn for coming steps are kept with those of their groups that have scores, `ahead-000007.jsonl` for step
7; only what was unfinished is sampled again, so that each problem is asked once an epoch and no group is trained on twice.
"""

import copy
import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from medrl.errors import CheckpointError, LearnerLost
from medrl.files import json_line, read_jsonl
from medrl.models.policy import images_of
from medrl.rewards import RewardContext
from medrl.rollouts import Ordered
from medrl.tracking import RunFolder
from medrl.tracking.run import step_of
from medrl.tracking.traces import trace_rows, traces_from_rows
from medrl.types import Group, Rollout, Score, ScoredGroup

if TYPE_CHECKING:
    from medrl.trainers.rl import Trainer

STEP_STATE = ("algorithm_state", "reward_state", "unscored")  # of a `Trainer`, changed while a step is under way


def save(trainer: "Trainer", run: RunFolder) -> None:
    """Write a checkpoint of the present step, and remove those past `keep_checkpoints`."""
    with run.checkpoint(trainer.step) as folder:
        trainer.placement.learner.save(folder)
        for one in trainer.ahead.ordered:
            groups = [one.kept[place] for place in sorted(one.kept)]
            rows = trace_rows(one.step, [g.group for g in groups], [g.scores for g in groups], tokens=True)
            (folder / f"ahead-{one.step:06d}.jsonl").write_bytes(b"".join(map(json_line, rows)))
        (folder / "trainer.json").write_text(json.dumps(state_of(trainer), indent=1))
    run.prune(trainer.settings.keep_checkpoints)


def state_of(trainer: "Trainer") -> dict[str, Any]:
    """The loop's counters, as JSON data."""
    return {
        "step": trainer.step,
        "sampler": trainer.sampler.state_dict(),
        "algorithm": trainer.algorithm_state,
        "reward": trainer.reward_state,
        "alarm": trainer.alarm_state,
        "teacher": trainer.classroom.state,
        "unscored": trainer.unscored,
        "best": trainer.best,
        "evaluations_since_best": trainer.evaluations_since_best,
        "evaluated_step": trainer.evaluated_step,
        "ahead": [
            {
                "step": one.step,
                "problems": [problem.id for problem in one.problems],
                "kept": sorted(one.kept),
                "teachers": {str(p): g.teacher.to_json() for p, g in sorted(one.kept.items()) if g.teacher is not None},
                "rounds": one.rounds,
            }
            for one in trainer.ahead.ordered
        ],
    }


def latest_step(run: RunFolder) -> int | None:
    """The step of the run's newest checkpoint."""
    checkpoint = run.latest_checkpoint()
    return None if checkpoint is None else step_of(checkpoint)


def restore(trainer: "Trainer", run: RunFolder) -> bool:
    """Put the trainer where the latest checkpoint left it, and cut the run's logs back to there.

    Returns:
        False where the run was killed before its first checkpoint: it begins anew, with empty logs.
    """
    checkpoint = run.latest_checkpoint()
    if checkpoint is None:
        run.cut_back(-1)
        return False
    try:
        state = json.loads((checkpoint / "trainer.json").read_text())
        trainer.placement.learner.load(checkpoint)
        set_state(trainer, state, checkpoint)
    except (OSError, ValueError, LookupError, TypeError, CheckpointError) as error:
        raise CheckpointError(
            f"{checkpoint} is not a whole checkpoint ({error}); remove it to use an older one"
        ) from error
    trainer.placement.sync.publish(trainer.step)
    run.cut_back(trainer.step)
    return True


def set_state(trainer: "Trainer", state: Mapping[str, Any], checkpoint: Path) -> None:
    """Put the counters where `state_of` found them; groups that are kept are read from the checkpoint's folder."""
    trainer.sampler.load_state_dict(state["sampler"])
    trainer.step, trainer.best = state["step"], dict(state["best"])
    trainer.algorithm_state, trainer.reward_state = dict(state["algorithm"]), dict(state["reward"])
    trainer.alarm_state = dict(state.get("alarm", {}))  # checkpoints from before there was an alarm have none
    trainer.classroom.state = state.get("teacher", {})
    trainer.unscored = list(state.get("unscored", []))
    trainer.evaluations_since_best = state["evaluations_since_best"]
    trainer.evaluated_step = state["evaluated_step"]
    trainer.ahead.put_back([_ordered(trainer, one, checkpoint) for one in state.get("ahead", [])])


def step_state(trainer: "Trainer") -> dict[str, Any]:
    """A copy of what a step changes before its update ends."""
    found = {name: getattr(trainer, name) for name in STEP_STATE} | {"teacher": trainer.classroom.state}
    return copy.deepcopy(found)


def take_back(trainer: "Trainer", state: Mapping[str, Any], ordered: Ordered) -> None:
    """As if the step that `ordered` was for had not begun: `state` is of before it, and its groups wait to be trained on."""
    for name in STEP_STATE:
        setattr(trainer, name, state[name])
    trainer.classroom.state = state["teacher"]
    waiting = [ordered, *trainer.ahead.ordered]
    for one in waiting:
        one.context = RewardContext(one.step, trainer.reward_state)
    trainer.ahead.put_back(waiting)


def recover(trainer: "Trainer", lost: LearnerLost) -> None:
    """After ranks of the learner were lost: a new one, and everything back to the latest checkpoint, else to the start.

    Raises:
        LearnerLost: `lost` itself, where the placement has no other learner to give.
    """
    while True:
        trainer.console.say(str(lost), style="yellow")
        trainer.placement.restart_learner(lost)  # raises `lost` where there is none left
        try:
            if trainer.run is None or not restore(trainer, trainer.run):
                set_state(trainer, copy.deepcopy(trainer.beginning), Path())
                trainer.placement.sync.publish(trainer.step)
            break
        except LearnerLost as again:
            lost = again
    trainer.console.say(f"a new learner goes on from step {trainer.step}", style="yellow")


def _ordered(trainer: "Trainer", saved: Mapping[str, Any], checkpoint: Path) -> Ordered:
    by_id = {problem.id: problem for problem in trainer.problems}
    problems = [by_id[name] for name in saved["problems"]]
    file = checkpoint / f"ahead-{saved['step']:06d}.jsonl"
    kept, taught = {}, saved.get("teachers", {})
    for place, trace in zip(saved["kept"], traces_from_rows(read_jsonl(file), str(file)), strict=True):
        images = images_of(problems[place].messages)  # JSON holds no bytes
        rollouts = tuple(
            replace(one, images=images) if isinstance(one, Rollout) else one for one in trace.group.rollouts
        )
        teacher = Score.from_json(taught[str(place)]) if str(place) in taught else None
        kept[place] = ScoredGroup(Group(problems[place], rollouts), trace.scores, teacher)
    return Ordered(saved["step"], problems, RewardContext(saved["step"], trainer.reward_state), kept, saved["rounds"])
