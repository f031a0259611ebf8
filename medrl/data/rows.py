"""Rows of a data set, from a local file or the hub, with faults that name file and row.

Reads .jsonl, .json (a list or JSON lines), .csv and .parquet; a hub data set through the `datasets` library, imported
only then.
"""

import csv
import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Any, TypeAlias, TypeVar

from medrl.errors import DataError, MedrlError, MissingFile, did_you_mean, need

Row: TypeAlias = Mapping[str, Any]
SUFFIXES = (".jsonl", ".json", ".csv", ".parquet")
SHOWN_FAULTS = 10
Item = TypeVar("Item")


class RowFault(MedrlError, ValueError):
    """What is wrong with one row; the loader adds the file and the row's number."""


def read_rows(
    source: str | Path, *, split: str = "train", config: str | None = None, limit: int | None = None
) -> tuple[str, list[Row]]:
    """The rows of a file or hub data set, and a name for it in messages.

    Raises:
        MissingFile: A path that does not exist, with the nearest name beside it.
        DataError: Wrong JSON (with its line), an unknown kind of file, no rows, a data set that cannot be had.
    """
    if limit is not None and limit < 1:
        raise DataError(f"limit is {limit}; read at least one row, or leave it out for all")
    path = Path(source).expanduser()
    if path.is_file():
        rows: Iterator[Row] = _file_rows(path)
    elif _is_hub_id(str(source), path):
        rows = _hub_rows(str(source), split, config)
    else:
        raise _missing(path)
    taken = list(islice(rows, limit))
    if not taken:
        raise DataError(f"{source} holds no rows; nothing can be trained on or checked")
    return str(source), taken


def stream_rows(source: str | Path, *, split: str = "train", config: str | None = None) -> Iterator[Row]:
    """The rows of a file or hub data set one after the other, never all in memory (a .json list is read whole).

    Raises:
        MissingFile: A path that does not exist, with the nearest name beside it.
        DataError: While it is read: wrong JSON (with its line), an unknown kind of file, a data set that cannot be had.
    """
    path = Path(source).expanduser()
    if path.is_file():
        return _file_stream(path)
    if _is_hub_id(str(source), path):
        return _hub_rows(str(source), split, config, streaming=True)
    raise _missing(path)


def count_rows(source: str | Path) -> int | None:
    """How many rows a local JSON lines or parquet file holds, without keeping them; None where only reading would tell."""
    path = Path(source).expanduser()
    if not path.is_file() or path.suffix not in (".jsonl", ".parquet"):
        return None
    if path.suffix == ".parquet":
        return int(need("pyarrow.parquet", "data").ParquetFile(path).metadata.num_rows)
    with open(path, "rb") as file:
        return sum(1 for line in file if not line.isspace())


def _file_stream(path: Path) -> Iterator[Row]:
    if path.suffix == ".parquet":
        for batch in need("pyarrow.parquet", "data").ParquetFile(path).iter_batches(batch_size=1024):
            yield from batch.to_pylist()
    elif path.suffix == ".jsonl":
        with open(path, "rb") as file:
            for number, line in enumerate(file, 1):
                if line.strip():
                    yield _json_object(path, number, line)
    elif path.suffix == ".csv":
        yield from _csv_rows(path)
    else:
        yield from _file_rows(path)


def _json_object(path: Path, number: int, line: bytes) -> Row:
    try:
        row = json.loads(line.decode("utf-8-sig"))
    except UnicodeDecodeError as error:
        raise DataError(f"{path} line {number} is not UTF-8 text ({error.reason}); save it as UTF-8") from error
    except json.JSONDecodeError as error:
        raise DataError(
            f"{path} line {number}: not JSON: {error.msg} at column {error.colno}; mend that line"
        ) from error
    except RecursionError as error:
        raise _too_deep(path, f"line {number}") from error
    return _object(path, f"line {number}", row)


def _too_deep(path: Path, where: str) -> DataError:
    return DataError(f"{path} {where}: lists or objects are nested too deeply to be read; mend that line")


def _is_hub_id(source: str, path: Path) -> bool:
    looks = re.fullmatch(r"[\w-][\w.-]*/[\w.-]+", source) is not None
    return looks and path.suffix not in SUFFIXES and not path.parent.is_dir()


def _missing(path: Path) -> DataError:
    if path.is_dir():
        inside = sorted(child.name for child in path.iterdir() if child.suffix in SUFFIXES)
        return DataError(f"{path} is a folder; name a file in it{did_you_mean('', inside)}")
    if not path.parent.is_dir():
        return MissingFile(f"{path} does not exist, nor does its folder; give a file or a hub id such as owner/name")
    beside = [child.name for child in path.parent.iterdir() if child.suffix in SUFFIXES]
    near = did_you_mean(path.name, beside[:50]) if beside else ""
    return MissingFile(f"{path} does not exist{near}")


def _file_rows(path: Path) -> Iterator[Row]:
    if path.suffix not in SUFFIXES:
        raise DataError(f"{path} is no kind of file that can be read; use one of {', '.join(SUFFIXES)}")
    if path.suffix == ".parquet":
        yield from need("pyarrow.parquet", "data").read_table(path).to_pylist()
        return
    if path.suffix == ".csv":
        yield from _csv_rows(path)
        return
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise DataError(f"{path} is not UTF-8 text ({error.reason} at byte {error.start}); save it as UTF-8") from error
    if path.suffix == ".json" and text.lstrip().startswith("["):
        yield from _json_list(path, text)
    else:
        yield from _json_lines(path, text)


def _csv_rows(path: Path) -> Iterator[Row]:
    """Rows end where CSV says so, and not at other line separators, such as U+2028, that a cell may hold."""
    with open(path, encoding="utf-8-sig", newline="") as file:
        reader = csv.DictReader(file)
        try:
            for row in reader:
                if None in row or None in row.values():
                    columns = len(reader.fieldnames or ())
                    raise DataError(
                        f"{path} line {reader.line_num}: the row does not have {columns} columns as the header; "
                        "quote texts with commas"
                    )
                yield row
        except UnicodeDecodeError as error:  # its `start` counts within a block of the file
            raise DataError(
                f"{path} is not UTF-8 text ({error.reason} after line {reader.line_num}); save it as UTF-8"
            ) from error
        except csv.Error as error:
            raise DataError(
                f"{path} is no CSV that can be read after line {reader.line_num}: {error}; mend it"
            ) from error


def _json_list(path: Path, text: str) -> Iterator[Row]:
    try:
        rows = json.loads(text)
    except json.JSONDecodeError as error:
        raise DataError(f"{path} line {error.lineno}: not JSON: {error.msg}; mend that line") from error
    except RecursionError as error:
        raise _too_deep(path, "row list") from error
    for number, row in enumerate(rows, 1):
        yield _object(path, f"row {number}", row)


def _json_lines(path: Path, text: str) -> Iterator[Row]:
    try:
        whole = json.loads(text) if path.suffix == ".json" else None
    except (json.JSONDecodeError, RecursionError):
        whole = None
    if isinstance(whole, dict):  # one object in a .json file, however many lines it takes
        yield whole
        return
    # Not str.splitlines: it also cuts at line separators that JSON allows inside a string.
    for number, line in enumerate(text.split("\n"), 1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except json.JSONDecodeError as error:
            raise DataError(
                f"{path} line {number}: not JSON: {error.msg} at column {error.colno}; mend that line"
            ) from error
        except RecursionError as error:
            raise _too_deep(path, f"line {number}") from error
        yield _object(path, f"line {number}", row)


def _object(path: Path, where: str, row: Any) -> Row:
    if not isinstance(row, dict):
        raise DataError(f"{path} {where}: expected an object with columns, found {type(row).__name__}")
    return row


def _hub_rows(source: str, split: str, config: str | None, streaming: bool = False) -> Iterator[Row]:
    datasets = need("datasets", "data")
    try:
        loaded = datasets.load_dataset(source, config, split=split, streaming=streaming)
    except (OSError, ValueError, RuntimeError) as error:
        first = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise DataError(
            f"the data set {source!r} (split {split!r}, config {config!r}) cannot be had from the hub or its cache: "
            f"{first}; check the name, split and network (HF_HUB_OFFLINE=1 uses the cache alone), or give a local file"
        ) from error
    yield from loaded


def pick_schema(name: str, rows: Sequence[Row], schema: str, known: Mapping[str, tuple[str, ...]]) -> str:
    """The schema asked for, or with "auto" the first whose columns the first row has."""
    if schema != "auto":
        if schema not in known:
            raise DataError(f"there is no schema {schema!r} for {name}{did_you_mean(schema, [*known, 'auto'])}")
        return schema
    for key, columns in known.items():
        if columns and all(column in rows[0] for column in columns):
            return key
    listed = "".join(f"\n  - {key}: {', '.join(columns)}" for key, columns in known.items() if columns)
    raise DataError(f"{name} has the columns {', '.join(rows[0])}, which fit no known schema:{listed}")


def collect(
    name: str, rows: Sequence[Row], parse: Callable[[Row, int], Item], noun: str, unique: bool = True
) -> list[Item]:
    """Every row parsed; faults of rows and double ids are raised together, the first ten spelled out."""
    items: list[Item] = []
    faults: list[str] = []
    seen: dict[str, int] = {}
    for number, row in enumerate(rows, 1):
        try:
            item = parse(row, number)
        except KeyError as error:
            faults.append(f"row {number}: column {error.args[0]!r} is missing")
            continue
        except (ValueError, TypeError) as error:
            faults.append(f"row {number}: {error}")
            continue
        key = getattr(item, "id", f"row-{number}")
        first = seen.setdefault(key, number)
        if unique and first != number:
            faults.append(f"row {number}: id {key!r} is already that of row {first}; ids must be unique")
        items.append(item)
    if faults:
        count = "1 row" if len(faults) == 1 else f"{len(faults)} rows"
        shown = "".join(f"\n  - {fault}" for fault in faults[:SHOWN_FAULTS])
        more = f"\n  and {len(faults) - SHOWN_FAULTS} more" if len(faults) > SHOWN_FAULTS else ""
        raise DataError(f"{name} has {count} that cannot become a {noun}; mend or remove them:{shown}{more}")
    return items


def required(row: Row, column: str) -> str:
    """A column as non-empty text."""
    value = row.get(column)
    if value is None or isinstance(value, list | dict) or not str(value).strip():
        raise RowFault(f"column {column!r} is {'missing' if column not in row else 'empty or no text'}")
    return str(value).strip()


_CHINESE = re.compile(r"[\u4e00-\u9fff]")


def language_of(text: str) -> str:
    """Chinese ("zh") where a tenth or more of the characters are, else English ("en")."""
    return "zh" if 10 * len(_CHINESE.findall(text)) >= len(text) > 0 else "en"
