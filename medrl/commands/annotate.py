"""Serve the annotation page, and report on what the raters said (`medrl annotate`)."""

from collections import Counter
from collections.abc import Sequence
from itertools import combinations
from pathlib import Path
from typing import Any

from medrl.data.agreement import cohen_kappa
from medrl.data.annotation import Item, Mode, Session, disagree, disagreements, judgements, load_items, task_of
from medrl.data.feedback import Comparison, FeedbackRecord, said
from medrl.data.preferences import TRAINABLE
from medrl.errors import CheckpointError, DataError, need


def sessions_of(
    items: Sequence[Item], folder: Path, raters: Sequence[str], mode: Mode = "compare", seed: int = 0
) -> list[Session]:
    """A session for each rater.

    Raises:
        DataError: No raters, one named twice, or a file of theirs is of another task.
    """
    double = [name for name, count in Counter(raters).items() if count > 1]
    if not raters or double:
        raise DataError(f"the raters are {', '.join(raters) or 'nobody'}; name each once, e.g. --raters anna,ben")
    return [Session(rater, items, folder, mode, seed) for rater in raters]


def serve(
    file: str, out: str, raters: Sequence[str], *, mode: Mode = "compare", adjudicate: bool = False,
    host: str = "127.0.0.1", port: int = 8490, limit: int | None = None, seed: int = 0,
) -> None:  # fmt: skip
    """Serve the page until Ctrl-C; prints a link for each rater.

    Raises:
        DataError: There is nothing to annotate or to settle, or another process serves the folder.
    """
    uvicorn = need("uvicorn", "serve")
    from medrl.services.annotation_page import keys_of, make_app
    from medrl.tracking.lock import RunLock

    items, folder = load_items(file, limit), Path(out)
    if adjudicate:
        items, folder = disagreements(items, folder), folder / "adjudication"
        if not items:
            raise DataError(f"the raters of {out} disagree on nothing")
    folder.mkdir(parents=True, exist_ok=True)
    try:
        lock = RunLock(folder)
    except CheckpointError as error:
        raise DataError(f"the task {folder} is served already, or its disk knows no locks: {error}") from error
    try:
        sessions = sessions_of(items, folder, raters, mode, seed)
        keys = keys_of(folder, [session.rater for session in sessions])
        for session in sessions:
            link = f"http://{host}:{port}/#key={keys[session.rater]}"
            print(f"{session.rater}: {link}  ({session.done} of {len(items)} done)")
        if note := cannot_train(items):
            print(note)
        print("Ctrl-C ends it; every saved answer is kept", flush=True)
        app = make_app({keys[session.rater]: session for session in sessions}, host)
        uvicorn.run(app, host=host, port=port, log_level="warning", access_log=False)
    finally:
        lock.release()


def cannot_train(items: Sequence[Item]) -> str:
    """A warning where judgements of some items can train nothing, for want of consent; "" where all can."""
    without = sum(item.consent not in TRAINABLE for item in items)
    if not without:
        return ""
    which = f"none of the {len(items)} items has" if without == len(items) else f"{without} of {len(items)} items lack"
    todo = f"a `consent` of {' or '.join(TRAINABLE)}, so that what is said of them trains nothing; write it into their rows"
    return f"warning: {which} {todo} if it is so"


def report(out: str) -> dict[str, Any]:
    """How far the raters are, how far they agree, and whether the place of a response sways them.

    Agreement is over every two judgements of one item, whoever gave them, a tie counted as an answer of its own. Kappa is
    Cohen's over the three answers, for each two raters (`couples`); over all of them it is their mean, weighted by their
    items (Light 1971). `first_shown` is the share of decided judgements that went to the response that stood first: far
    from one half it tells of a rater who does not read the second. `settled` counts adjudications of items on which the
    raters still disagree.
    """
    by_item = judgements(out)
    own: dict[str, list[FeedbackRecord]] = {}
    for records in by_item.values():
        for record in records:
            own.setdefault(record.rater.name, []).append(record)
    if not own:
        raise DataError(f"{out} holds no judgements yet")
    settled = sum(disagree(by_item.get(item, [])) for item in judgements(Path(out) / "adjudication"))
    task = task_of(out)
    found: dict[str, Any] = {"items": task["items"] if task else len(by_item), "settled": settled, "raters": {}}
    for rater, records in sorted(own.items()):
        found["raters"][rater] = {
            "judged": len(records),
            "ties": sum(said(record) == "tie" for record in records),
            "first_shown": _first_shown(records),
            "median_seconds": sorted(float(r.metadata.get("seconds", 0)) for r in records)[len(records) // 2],
        }
    found["judged_twice"] = sum(len(rows) > 1 for rows in by_item.values())
    found["open_disagreements"] = sum(map(disagree, by_item.values())) - settled
    return {**found, **_agreement(list(by_item.values()))}


def _agreement(items: Sequence[Sequence[FeedbackRecord]]) -> dict[str, Any]:
    """`agreement`, `kappa` and `couples` of judgements by item; see `report`."""
    couples: dict[tuple[str, str], list[tuple[str, str]]] = {}
    for records in items:
        for one, two in combinations(sorted(records, key=lambda record: record.rater.name), 2):
            couples.setdefault((one.rater.name, two.rater.name), []).append((said(one), said(two)))
    rows: list[dict[str, Any]] = [
        {"raters": list(names), "items": len(pairs), "agreement": _same(pairs), "kappa": cohen_kappa(pairs)}
        for names, pairs in sorted(couples.items())
    ]
    known = [row for row in rows if row["kappa"] is not None]
    weight = sum(row["items"] for row in known)
    return {
        "agreement": _same([pair for pairs in couples.values() for pair in pairs]),
        "kappa": sum(row["items"] * row["kappa"] for row in known) / weight if weight else None,
        "couples": rows,
    }


def _same(pairs: Sequence[tuple[str, str]]) -> float | None:
    return sum(a == b for a, b in pairs) / len(pairs) if pairs else None


def _first_shown(records: Sequence[FeedbackRecord]) -> float | None:
    places = []
    for record in records:
        judgement, better = record.judgement, said(record)
        order = judgement.shown if isinstance(judgement, Comparison) else record.metadata.get("shown")
        if better != "tie" and order is not None:
            first, second = (judgement.first, judgement.second) if isinstance(judgement, Comparison) else (0, 1)
            places.append((first if better == "first" else second) == order[0])
    return sum(places) / len(places) if places else None


def shown(found: dict[str, Any]) -> Any:
    """The report as a table."""
    from rich import box
    from rich.table import Table

    def share(value: float | None) -> str:
        return "-" if value is None else f"{value:.0%}"

    table = Table("rater", "judged", "ties", "first shown won", "median s", box=box.SIMPLE_HEAD, pad_edge=False)
    for rater, row in found["raters"].items():
        first = share(row["first_shown"])
        table.add_row(
            rater, f"{row['judged']} of {found['items']}", str(row["ties"]), first, f"{row['median_seconds']:.0f}"
        )
    kappa = "-" if found["kappa"] is None else f"{found['kappa']:.2f}"
    table.caption = (
        f"{found['judged_twice']} of {found['items']} items judged twice: agreement {share(found['agreement'])}, "
        f"kappa {kappa}; {found['settled']} settled, {found['open_disagreements']} disagreements open"
    )
    if len(found["couples"]) > 1:
        lines = [
            f"\n{' and '.join(row['raters'])}: {row['items']} items, agreement {share(row['agreement'])}, kappa "
            + ("-" if row["kappa"] is None else f"{row['kappa']:.2f}")
            for row in found["couples"]
        ]
        table.caption += "".join(lines)
    return table
