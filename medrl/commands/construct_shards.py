"""`medrl construct` with `placement: ray`: all shards of a construction at once, on a cluster, and their rows in one file."""

import time
from collections.abc import Mapping

from medrl.commands.construct_rows import construct_rows, report
from medrl.construct.progress import Progress
from medrl.construct.shards import begin_together, join, refuse_other_shards, together
from medrl.construct.store import KEPT, ROWS
from medrl.construct.tally import Tally
from medrl.recipes.construction import Construction
from medrl.tracking.lock import RunLock

EVERY = 1.0  # seconds between two reports of a shard


def construct_shards(recipe: Construction, progress: Progress | None = None) -> Tally:
    """Do what is left of a construction on a Ray cluster; what it came to, over all starts, is in report.json too.

    Raises:
        DataError: The folder is of another recipe or of another number of shards, or the source cannot be read.
        ClusterUnavailable: There is no cluster, a node does not see the folder, or a shard was lost too often.
        ChatError, ConstructionStopped: As in one process; the other shards were done first.
    """
    from medrl.cluster.shards import run_shards

    whole, shards, stage = recipe.whole, recipe.shards, recipe.work
    refuse_other_shards(whole, shards)
    recipe.rows.stream()  # a wrong name is told before all else
    whole.mkdir(parents=True, exist_ok=True)
    lock = RunLock(whole)
    try:
        began, before = time.monotonic(), begin_together(whole, shards).outcomes.total()

        def now() -> tuple[Tally, Mapping[str, str]]:
            tally, lines = together(whole, shards)
            tally.before, tally.finished, tally.started = before, tally.outcomes.total() - before, began
            return tally, lines

        with progress or Progress(stage.name) as shown:
            try:
                parts = [recipe.part(place) for place in range(shards)]
                run_shards(construct_shard, parts, whole, recipe.cluster, lambda: shown.show(*now()))
                join(whole, shards)
            except KeyboardInterrupt:
                shown.say(f"{stage.name}: stopped; the same command goes on from here")
                raise
            finally:
                tally, _ = now()
                report(whole, tally)
                shown.end(tally, tuple(stage.reasons))
            if tally.outcomes[KEPT]:
                shown.say(f"{tally.outcomes[KEPT]:,} rows are in {whole / ROWS}")
        return tally
    finally:
        lock.release()


def construct_shard(part: Construction) -> None:
    """One shard, in a process of the cluster."""
    construct_rows(part, Reports(part))


class Reports(Progress):
    """Tells where a shard stands by its report.json, which the driver reads; lines that stay go to the log of its process."""

    def __init__(self, part: Construction) -> None:
        super().__init__(part.shard)
        self._folder, self._told = part.target, 0.0

    def show(self, tally: Tally, parts: Mapping[str, str] | None = None) -> None:
        if time.monotonic() - self._told >= EVERY:
            self._told = time.monotonic()
            report(self._folder, tally)
