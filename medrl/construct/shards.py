"""The shards of a construction as one: their folders, how far they are together, and their rows in one file."""

import json
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from medrl.construct.roles import Bill
from medrl.construct.store import DROPPED, FAILED, ROWS
from medrl.construct.tally import Tally
from medrl.errors import DataError
from medrl.files import json_line, write_atomic
from medrl.seeds import seed_of

REPORT = "report.json"
SHARD = re.compile(r"shard-[0-9]+-of-([0-9]+)")


def shard_folder(whole: Path, place: int, shards: int) -> Path:
    """The folder of one shard."""
    return whole / f"shard-{place}-of-{shards}"


def refuse_other_shards(whole: Path, shards: int) -> None:
    """See that a folder has no rows but those of so many shards.

    Raises:
        DataError: Their rows would be made a second time.
    """
    found = (SHARD.fullmatch(one.name) for one in whole.glob("shard-*-of-*"))
    others = {int(one[1]) for one in found if one} - {shards}
    if others:
        raise DataError(
            f"{whole} has shards of {max(others)}: go on with shards={max(others)}, or name another folder="
        )
    if (whole / "construction.json").exists():
        raise DataError(
            f"{whole} holds a construction without shards: go on with placement=local, or name another folder="
        )


def belongs(id: str, place: int, shards: int) -> bool:
    """Whether a row is of this shard: told by a hash of its id."""
    return seed_of("shard", id) % shards == place


def begin_together(whole: Path, shards: int) -> Tally:
    """How far all shards are before a start. What their reports say of earlier starts alone (failures, what was asked, that
    they came to the end) is taken out of them: a shard may wait long before it writes its own.
    """
    for place in range(shards):
        path = shard_folder(whole, place, shards) / REPORT
        if path.exists():
            report = json.loads(path.read_text(encoding="utf-8"))
            tally = Tally(total=report["total"])
            tally.begin(Counter(report["outcomes"]), Bill.from_json(report["bill"]))
            write_atomic(path, json_line(tally.report()))
    return together(whole, shards)[0]


def together(whole: Path, shards: int) -> tuple[Tally, dict[str, str]]:
    """How far all shards are, by what each wrote last, and a line on each that has written anything.

    Of this start, what a shard asked before it was lost is not counted; what its rows took is.
    """
    found, lines = Tally(total=0, complete=True), dict[str, str]()
    for place in range(shards):
        path = shard_folder(whole, place, shards) / REPORT
        if not path.exists():
            found.total, found.complete = None, False
            continue
        report = json.loads(path.read_text(encoding="utf-8"))
        found.total = None if found.total is None or report["total"] is None else found.total + report["total"]
        found.outcomes += Counter(report["outcomes"])
        found.failures += Counter(report["failed"])
        found.bill.add(Bill.from_json(report["bill"]))
        found.spent.add(Bill.from_json(report["this_start"]["bill"]))
        found.repeated += report["repeated_ids"]
        found.complete &= report["complete"]
        found.last_failure = report["last_failure"] or found.last_failure
        lines[f"shard {place} of {shards}"] = report["line"]
    return found, lines


def join(whole: Path, shards: int) -> None:
    """Put the rows of all shards into one file, those that were left out and those that failed into others; each whole or
    not at all.

    Raises:
        DataError: A row stands in the folder of a shard to which it does not belong, so it may stand in another too.
    """
    folders = [shard_folder(whole, place, shards) for place in range(shards)]
    for name in (ROWS, DROPPED, FAILED):
        write_atomic(whole / name, _lines([folder / name for folder in folders]))


def _lines(paths: Sequence[Path]) -> Iterator[bytes]:
    for place, path in enumerate(paths):
        if path.exists():
            with open(path, "rb") as file:
                for line in file:
                    row: Mapping[str, Any] = json.loads(line)
                    if not belongs(str(row["id"]), place, len(paths)):
                        raise DataError(f"{path} holds the row {row['id']!r} of another shard; were files moved?")
                    yield line
