"""What a killed run goes on from: the learner's weights and moments, and the loop's own counters.

Nothing random has a state to save: every draw is seeded by what it is for. A kill in the middle of `save` leaves the
previous checkpoint as the latest, since a folder is written beside and renamed.
"""

import json
from typing import TYPE_CHECKING

from medrl.errors import CheckpointError
from medrl.tracking import RunFolder
from medrl.tracking.run import step_of

if TYPE_CHECKING:
    from medrl.trainers.rl import Trainer


def save(trainer: "Trainer", run: RunFolder) -> None:
    """Write a checkpoint of the present step, and remove those past `keep_checkpoints`."""
    state = {
        "step": trainer.step,
        "sampler": trainer.sampler.state_dict(),
        "algorithm": trainer.algorithm_state,
        "reward": trainer.reward_state,
        "alarm": trainer.alarm_state,
        "unscored": trainer.unscored,
        "best": trainer.best,
        "evaluations_since_best": trainer.evaluations_since_best,
        "evaluated_step": trainer.evaluated_step,
    }
    with run.checkpoint(trainer.step) as folder:
        trainer.placement.learner.save(folder)
        (folder / "trainer.json").write_text(json.dumps(state, indent=1))
    run.prune(trainer.settings.keep_checkpoints)


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
        trainer.sampler.load_state_dict(state["sampler"])
        trainer.step, trainer.best = state["step"], state["best"]
        trainer.algorithm_state, trainer.reward_state = state["algorithm"], state["reward"]
        trainer.alarm_state = state.get("alarm", {})  # checkpoints from before there was an alarm have none
        trainer.unscored = state.get("unscored", [])
        trainer.evaluations_since_best = state["evaluations_since_best"]
        trainer.evaluated_step = state["evaluated_step"]
    except (OSError, ValueError, LookupError, TypeError, CheckpointError) as error:
        raise CheckpointError(
            f"{checkpoint} is not a whole checkpoint ({error}); remove it to use an older one"
        ) from error
    trainer.placement.sync.publish(trainer.step)
    run.cut_back(trainer.step)
    return True
