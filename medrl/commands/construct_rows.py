"""`medrl construct` of all kinds but feedback: a recipe carried out, or the rest of it."""

from pathlib import Path
from typing import Any

from medrl import __version__
from medrl.construct.pipeline import Pipeline, items_of, shard_of
from medrl.construct.progress import Progress
from medrl.construct.shards import REPORT
from medrl.construct.store import KEPT, ROWS, Store
from medrl.construct.tally import Tally
from medrl.files import json_line, write_atomic
from medrl.recipes.construction import Construction
from medrl.verifiers.protocol import run_sync


def construct_rows(recipe: Construction, progress: Progress | None = None) -> Tally:
    """Do what is left of a construction; what it came to, over all starts, is in report.json too.

    Raises:
        DataError: The folder is of another recipe, or the source cannot be read.
        ChatError: A budget is used up.
        ConstructionStopped: Nothing but failures any more.
    """
    folder, rows = recipe.target, recipe.rows
    identity = recipe.work.identity()
    source = rows.stream()  # a wrong name is told before all else
    made_of = {
        "kind": recipe.work.name,
        "rows": rows.identity(),
        "seed": recipe.seed,
        "shard": recipe.shard,
        **identity,
    }
    store = Store(folder, made_of)
    try:
        stage = recipe.work.cached(Path(recipe.cache or folder / "chat.sqlite"))
        stage.begin(store.kept())
        provenance = {"construction": stage.name, "medrl": __version__, **_short(identity), "source": rows.origin}
        pipeline = Pipeline(
            stage,
            items_of(source, column=rows.id_column, limit=rows.limit, shard=recipe.shard),
            store,
            provenance,
            seed=recipe.seed,
            concurrency=recipe.concurrency,
            stop_after=recipe.stop_after,
            tally=Tally(total=_total(recipe)),
        )
        with progress or Progress(stage.name) as shown:
            pipeline.on_change = shown.show
            if store.cut:
                shown.say(f"{stage.name}: cut {store.cut} bytes of a half-written line off")
            try:
                run_sync(pipeline.run())
            except KeyboardInterrupt:
                shown.say(f"{stage.name}: stopped; the same command goes on from here")
                raise
            finally:
                report(folder, pipeline.tally)
                shown.end(pipeline.tally, tuple(stage.reasons))
            if pipeline.tally.outcomes[KEPT]:
                shown.say(f"{pipeline.tally.outcomes[KEPT]:,} rows are in {folder / ROWS}")
        return pipeline.tally
    finally:
        store.close()


def report(folder: Path, tally: Tally) -> None:
    """Write report.json."""
    write_atomic(folder / REPORT, json_line(tally.report()))


def _short(identity: Any) -> dict[str, Any]:
    """What of a stage's identity stands in each row: who and which prompts; the knobs are in construction.json."""
    return {key: value for key, value in identity.items() if key in ("models", "verifier", "prompts")}


def _total(recipe: Construction) -> int | None:
    """How many rows there are to do, where it is known without reading them; a shard's share is an estimate."""
    total = recipe.rows.total
    return None if total is None else round(total / shard_of(recipe.shard)[1])
