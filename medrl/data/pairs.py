"""Pairs of terms labelled as the same or not: a table `left|right|same`, as lists of clinical abbreviations are published.

The left term is the reference of a problem and the right one the answer to it, so that any verifier can be asked whether
they mean the same. The label stays beside the pair and is no part of the problem, so no verifier can see it.
"""

import csv
import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from medrl.data.rows import language_of
from medrl.errors import DataError, MissingFile, did_you_mean
from medrl.types import Problem, Response, ask

QUESTION = "Name the clinical term."
COLUMNS = ("left", "right", "same")
LABELS = {"true": True, "yes": True, "y": True, "1": True, "false": False, "no": False, "n": False, "0": False}


def label_of(value: Any) -> bool | None:
    """A label as JSON, CSV and people write it (true, Y, 1, "no", ...), or None for what is none."""
    return LABELS.get(str(value).strip().lower())


def load_pairs(path: str | Path) -> tuple[list[tuple[Problem, Response, bool]], list[int]]:
    """The pairs of a file whose first line names the columns left, right and same, between "|" or ",".

    Ids are the lines of the file ("line-2"), so that a verdict can be looked up there. Published lists hold lines with
    an empty term, which are no pairs: they are left out, and the second thing returned is their line numbers.

    Raises:
        MissingFile: There is no such file.
        DataError: It is no such table, holds no pair, or one of its lines is broken; the message says which.
    """
    path = existing(path)
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise DataError(f"{path} is not UTF-8 text ({error.reason} at byte {error.start}); save it as UTF-8") from error
    header = text.partition("\n")[0].rstrip("\r")
    separator = "|" if "|" in header else ","
    columns = [name.strip().lower() for name in header.split(separator)]
    if not set(COLUMNS) <= set(columns):
        raise DataError(f"{path} begins with {header[:80]!r}; its first line must be left|right|same (or with commas)")
    pairs, left_out = [], []
    for line, cells in _rows(path, text, separator):
        left, right, same = (dict(zip(columns, cells, strict=True))[column].strip() for column in COLUMNS)
        label = label_of(same)
        if label is None:
            raise DataError(f"{path} line {line}: `same` is {same!r}; it is Y or N, true or false, 1 or 0")
        if left and right:
            problem = Problem(f"line-{line}", ask(QUESTION), left, language=language_of(left))
            pairs.append((problem, Response(right), label))
        else:
            left_out.append(line)
    if not pairs:
        raise DataError(f"{path} holds no pairs; write one a line below left{separator}right{separator}same")
    return pairs, left_out


def existing(path: str | Path) -> Path:
    """The path of a file that is there, or an error with the nearest name beside it."""
    found = Path(path).expanduser()
    if not found.is_file():
        beside = [child.name for child in found.parent.iterdir()][:50] if found.parent.is_dir() else []
        state = "is a folder; name a file in it" if found.is_dir() else "does not exist"
        raise MissingFile(f"{found} {state}{did_you_mean(found.name, beside)}")
    return found


def _rows(path: Path, text: str, separator: str) -> Iterator[tuple[int, list[str]]]:
    """Line number and cells of every row below the header; a row that spans lines has the number of its last one."""
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=separator, strict=True)
    try:
        width = len(next(reader))
        for cells in reader:
            if not cells:
                continue
            if len(cells) != width:
                raise DataError(
                    f"{path} line {reader.line_num}: {len(cells)} columns where the header has {width}; "
                    f"quote texts that hold {separator!r}"
                )
            yield reader.line_num, cells
    except csv.Error as error:
        raise DataError(f"{path} line {reader.line_num}: {error}; mend the quotation marks of that line") from error
