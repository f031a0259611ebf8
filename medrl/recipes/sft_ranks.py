"""SFT of a run with `placement: ray`: on the DeepSpeed ranks of `cluster.learners`, which end with it."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from medrl.data.demonstrations import Demonstration
from medrl.files import atomic_folder
from medrl.models import Policy
from medrl.recipes.schema import Recipe
from medrl.trainers.sft_learner import fine_tune_by, optimization_of


def fine_tune_on_ranks(
    recipe: Recipe,
    policy: Policy,
    demonstrations: Sequence[Demonstration],
    start: str,
    to: Path,
    *,
    seed: int,
    folder: Path,
    on_update: Callable[[int, int, dict[str, float]], None],
) -> dict[str, float]:
    """Fine-tune what the ranks read from `start`, and have rank 0 write the policy to the folder `to`.

    Args:
        recipe: Whose `sft` and `cluster` say how.
        policy: What renders the demonstrations; it stays as it is.
        demonstrations: See `fine_tune_by`, as for what follows.
        start: Folder that every node reads, or hub id.
        to: On a disk that the machine of rank 0 shares, as `folder` is.
        seed: Decides the order.
        folder: Where checkpoints go.
        on_update: Called after each update.

    Raises:
        ClusterUnavailable, DataError, LearnerLost: See `ray_cluster` and `fine_tune_by`.
    """
    from medrl.cluster.learners import RayLearners  # Ray is needed here only
    from medrl.cluster.ray_placement import absolute
    from medrl.cluster.ray_start import ray_cluster
    from medrl.cluster.room import check_room, resources

    settings, cluster = recipe.sft, recipe.cluster
    assert settings is not None
    with ray_cluster(cluster.address, cluster.cpus or cluster.logical_cpus) as ray:
        check_room(resources(ray), cluster, sft_only=recipe.sft_only)  # of all that follows too, before hours are spent
        source = absolute(replace(recipe.policy, path=start, new=None))
        optimization = optimization_of(settings, len(demonstrations))
        learners = RayLearners(policy, optimization, cluster.deepspeed, cluster.learners, source=source)
        try:
            figures = fine_tune_by(
                learners, policy, demonstrations, settings, seed=seed, folder=folder, on_update=on_update,
                restarts=cluster.max_learner_restarts,
            )  # fmt: skip
            with atomic_folder(to) as written:
                learners.save_policy(written)
        finally:
            learners.close()
    return figures
