"""Serve the annotation page, and report on what the raters said (`medrl annotate`)."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from medrl.data.annotation import Item, Mode, Session, disagreements, judgements, load_items, said
from medrl.data.feedback import Comparison, FeedbackRecord
from medrl.errors import DataError, need


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
        DataError: There is nothing to annotate or to settle.
    """
    uvicorn = need("uvicorn", "serve")
    from medrl.services.annotation_page import keys_of, make_app

    items, folder = load_items(file, limit), Path(out)
    if adjudicate:
        items, folder = disagreements(items, folder), folder / "adjudication"
        if not items:
            raise DataError(f"the raters of {out} disagree on nothing")
    sessions = sessions_of(items, folder, raters, mode, seed)
    keys = keys_of(folder, [session.rater for session in sessions])
    for session in sessions:
        print(
            f"{session.rater}: http://{host}:{port}/?key={keys[session.rater]}  ({len(session.records)} of {len(items)} done)"
        )
    print("Ctrl-C ends it; every saved answer is kept", flush=True)
    app = make_app({keys[session.rater]: session for session in sessions})
    uvicorn.run(app, host=host, port=port, log_level="warning", access_log=False)


def report(out: str) -> dict[str, Any]:
    """How far the raters are, how far they agree, and whether the place of a response sways them.

    Agreement is over items that two raters judged, the third (tie) counted as an answer of its own; kappa is Cohen's over
    the three answers. `first_shown` is the share of decided comparisons that went to the response that stood first: far
    from one half it tells of a rater who does not read the second.
    """
    by_item = judgements(out)
    own: dict[str, list[FeedbackRecord]] = {}
    for records in by_item.values():
        for record in records:
            own.setdefault(record.rater.name, []).append(record)
    if not own:
        raise DataError(f"{out} holds no judgements yet")
    settled = judgements(Path(out) / "adjudication")
    found: dict[str, Any] = {"items": len(by_item), "settled": len(settled), "raters": {}}
    for rater, records in sorted(own.items()):
        found["raters"][rater] = {
            "judged": len(records),
            "ties": sum(said(record) == "tie" for record in records),
            "first_shown": _first_shown(records),
            "median_seconds": sorted(float(r.metadata.get("seconds", 0)) for r in records)[len(records) // 2],
        }
    pairs = [(said(one), said(two)) for one, two, *_ in (rows for rows in by_item.values() if len(rows) > 1)]
    found["judged_twice"] = len(pairs)
    found["agreement"] = sum(a == b for a, b in pairs) / len(pairs) if pairs else None
    found["kappa"] = _kappa(pairs)
    return found


def _first_shown(records: Sequence[FeedbackRecord]) -> float | None:
    places = []
    for record in records:
        judgement = record.judgement
        if isinstance(judgement, Comparison) and judgement.preferred != "tie" and judgement.shown is not None:
            winner = judgement.first if judgement.preferred == "first" else judgement.second
            places.append(winner == judgement.shown[0])
    return sum(places) / len(places) if places else None


def _kappa(pairs: Sequence[tuple[str, str]]) -> float | None:
    """Cohen's kappa (1960); None where chance alone agrees."""
    if not pairs:
        return None
    n = len(pairs)
    left, right = Counter(a for a, _ in pairs), Counter(b for _, b in pairs)
    agreed, chance = sum(a == b for a, b in pairs) / n, sum(left[k] * right[k] for k in left) / n**2
    return (agreed - chance) / (1 - chance) if chance < 1 else None


def shown(found: dict[str, Any]) -> Any:
    """The report as a table."""
    from rich import box
    from rich.table import Table

    def share(value: float | None) -> str:
        return "-" if value is None else f"{value:.0%}"

    table = Table("rater", "judged", "ties", "first shown won", "median s", box=box.SIMPLE_HEAD, pad_edge=False)
    for rater, row in found["raters"].items():
        first = share(row["first_shown"])
        table.add_row(rater, str(row["judged"]), str(row["ties"]), first, f"{row['median_seconds']:.0f}")
    kappa = "-" if found["kappa"] is None else f"{found['kappa']:.2f}"
    table.caption = (
        f"{found['judged_twice']} of {found['items']} items judged twice: agreement {share(found['agreement'])}, "
        f"kappa {kappa}; {found['settled']} settled"
    )
    return table
