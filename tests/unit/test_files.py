"""Atomic writing, tried with real kills and really full disks."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from medrl import files
from medrl.errors import CheckpointError, DataError, MissingFile
from medrl.files import append_jsonl, atomic_folder, clean_leftovers, read_jsonl, truncate_jsonl, write_atomic

ROOT = Path(__file__).parents[2]


def start(code: str, *arguments: object) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", code, *map(str, arguments)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment)


def finish(code: str, *arguments: object) -> str:
    process = start(code, *arguments)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 0, err
    return out


def fill(path: Path, text: str) -> None:
    with atomic_folder(path) as folder:
        (folder / "deep").mkdir()
        (folder / "deep" / "weights").write_text(text)
        (folder / "config").write_text(text)


def content(path: Path) -> set[str]:
    return {file.read_text() for file in path.rglob("*") if file.is_file()}


def test_atomic_folder_replaces_a_whole_one_and_leaves_nothing_else(tmp_path: Path) -> None:
    fill(tmp_path / "best", "old")
    fill(tmp_path / "best", "new")
    assert content(tmp_path / "best") == {"new"}
    assert [entry.name for entry in tmp_path.iterdir()] == ["best"]


def test_atomic_folder_replaces_without_the_exchange_call(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "_exchange", lambda one, other: False)
    fill(tmp_path / "best", "old")
    fill(tmp_path / "best", "new")
    assert content(tmp_path / "best") == {"new"}
    assert [entry.name for entry in tmp_path.iterdir()] == ["best"]


def test_a_kill_between_the_two_renames_is_mended(tmp_path: Path) -> None:
    fill(tmp_path / "best", "old")
    dead = start("")
    dead.wait()
    os.rename(tmp_path / "best", tmp_path / f".best.old-{dead.pid}")
    clean_leftovers(tmp_path)
    assert content(tmp_path / "best") == {"old"}


@pytest.mark.skipif(sys.platform != "linux", reason="the exchange of two names is a Linux call")
def test_a_reader_always_finds_a_whole_folder(tmp_path: Path) -> None:
    writer = """
import sys
from pathlib import Path
from medrl.files import atomic_folder
for number in range(150):
    with atomic_folder(sys.argv[1]) as folder:
        (folder / "number").write_text(str(number))
    if number == 0:
        print("began", flush=True)
"""
    process = start(writer, tmp_path / "best")
    assert process.stdout is not None and process.stdout.readline() == "began\n"
    seen = set()
    while process.poll() is None:
        assert (tmp_path / "best").is_dir(), "there was a moment without the folder"
        folder = os.open(tmp_path / "best", os.O_RDONLY)
        try:
            number = os.open("number", os.O_RDONLY, dir_fd=folder)
            seen.add(os.read(number, 9))
            os.close(number)
        except FileNotFoundError:
            pass  # an old folder that was removed after it had been opened
        finally:
            os.close(folder)
    process.communicate()
    assert process.returncode == 0 and len(seen) > 1


def test_sigkill_in_the_middle_leaves_the_old_folder_whole(tmp_path: Path) -> None:
    fill(tmp_path / "best", "old")
    killed = """
import sys, time
from medrl.files import atomic_folder
with atomic_folder(sys.argv[1]) as folder:
    (folder / "config").write_text("half of the new")
    print("writing", flush=True)
    time.sleep(60)
"""
    process = start(killed, tmp_path / "best")
    assert process.stdout is not None and process.stdout.readline() == "writing\n"
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert content(tmp_path / "best") == {"old"}
    assert (tmp_path / f".best.partial-{process.pid}").is_dir()
    fill(tmp_path / "best", "newer")
    assert content(tmp_path / "best") == {"newer"}
    assert [entry.name for entry in tmp_path.iterdir()] == ["best"], "the leftover must go at the next start"


def test_leftovers_of_living_processes_stay_unless_the_caller_holds_a_lock(tmp_path: Path) -> None:
    (tmp_path / f".best.partial-{os.getppid()}").mkdir()
    assert clean_leftovers(tmp_path) == []
    assert len(clean_leftovers(tmp_path, alive=True)) == 1


def test_an_error_in_the_block_leaves_the_old_folder_and_says_where(tmp_path: Path) -> None:
    fill(tmp_path / "best", "old")
    with pytest.raises(CheckpointError, match=r"best \(RuntimeError: no weights.*older one is untouched") as caught:  # noqa: SIM117
        with atomic_folder(tmp_path / "best") as folder:
            (folder / "config").write_text("half")
            raise RuntimeError("no weights")
    assert isinstance(caught.value.__cause__, RuntimeError)
    with pytest.raises(KeyboardInterrupt), atomic_folder(tmp_path / "best"):
        raise KeyboardInterrupt
    assert content(tmp_path / "best") == {"old"}
    assert [entry.name for entry in tmp_path.iterdir()] == ["best"]


def test_a_file_is_never_replaced_by_a_folder(tmp_path: Path) -> None:
    (tmp_path / "best").write_text("mine")
    with pytest.raises(CheckpointError, match="is a file or a link"):
        fill(tmp_path / "best", "new")
    assert (tmp_path / "best").read_text() == "mine"


FILL_DISK = """
import sys
from pathlib import Path
from medrl.errors import CheckpointError
from medrl.files import append_jsonl, atomic_folder, write_atomic

root = Path(sys.argv[1])
with atomic_folder(root / "best") as folder:
    (folder / "weights").write_text("old")
write_atomic(root / "summary.json", "old")
append_jsonl(root / "metrics.jsonl", {"step": 1})
if sys.argv[2] == "limit":
    import resource
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
big = "x" * 1_000_000

def in_folder():
    with atomic_folder(root / "best") as folder:
        (folder / "config").write_text("new")
        (folder / "weights").write_text(big)

for write in (in_folder, lambda: write_atomic(root / "summary.json", big),
              lambda: append_jsonl(root / "metrics.jsonl", {"step": 2, "big": big})):
    try:
        write()
    except CheckpointError as error:
        print(error)
    else:
        sys.exit("it was written after all")
append_jsonl(root / "metrics.jsonl", {"step": 3})
"""


def check_full(root: Path, kind: str) -> None:
    said = finish(FILL_DISK, root, kind).splitlines()
    assert [line.split(" ")[2] for line in said] == [str(root / n) for n in ("best", "summary.json", "metrics.jsonl")]
    assert all("MB free" in line and "make room" in line and "older one is untouched" in line for line in said)
    assert content(root / "best") == {"old"}
    assert (root / "summary.json").read_text() == "old"
    assert read_jsonl(root / "metrics.jsonl") == [{"step": 1}, {"step": 3}]
    assert sorted(entry.name for entry in root.iterdir()) == ["best", "metrics.jsonl", "summary.json"]


def test_a_file_size_limit_leaves_the_old_ones_whole(tmp_path: Path) -> None:
    check_full(tmp_path, "limit")


def test_a_full_disk_leaves_the_old_ones_whole(tmp_path: Path) -> None:
    if not hasattr(os, "geteuid") or os.geteuid() != 0:
        pytest.skip("only root can mount a small disk")
    mount = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", tmp_path], capture_output=True, text=True
    )
    if mount.returncode:
        pytest.skip(f"cannot mount a small disk here: {mount.stderr.strip()}")
    try:
        check_full(tmp_path, "disk")
    finally:
        subprocess.run(["umount", tmp_path], check=True)


def test_write_atomic_takes_text_and_bytes_and_makes_folders(tmp_path: Path) -> None:
    write_atomic(tmp_path / "a" / "b.txt", "剂量")
    assert (tmp_path / "a" / "b.txt").read_text(encoding="utf-8") == "剂量"
    write_atomic(tmp_path / "a" / "b.txt", b"\x00\x01")
    assert (tmp_path / "a" / "b.txt").read_bytes() == b"\x00\x01"


def test_jsonl_round_trip_keeps_odd_text(tmp_path: Path) -> None:
    rows = [{"text": "剂量 5 mg\nnext"}, {"text": "half a pair \ud83d"}, {"text": "line\u2028separator\x85"}]
    for row in rows:
        append_jsonl(tmp_path / "x.jsonl", row)
    assert read_jsonl(tmp_path / "x.jsonl") == rows


def test_read_jsonl_names_the_broken_line(tmp_path: Path) -> None:
    path = tmp_path / "x.jsonl"
    path.write_text('{"a": 1}\n{"a": \n{"a": 3}\n')
    with pytest.raises(DataError, match=r"x\.jsonl:2: .*not JSON"):
        read_jsonl(path, tolerate_half_line=True)
    path.write_text('{"a": 1}\n[2]\n')
    with pytest.raises(DataError, match=r"x\.jsonl:2: .*list"):
        read_jsonl(path)
    with pytest.raises(MissingFile, match="does not exist"):
        read_jsonl(tmp_path / "none.jsonl")


def test_only_one_half_written_last_line_is_tolerated(tmp_path: Path) -> None:
    path = tmp_path / "x.jsonl"
    path.write_text('{"a": 1}\n{"a": 2')
    assert read_jsonl(path, tolerate_half_line=True) == [{"a": 1}]
    with pytest.raises(DataError, match=r"x\.jsonl:2: the last line breaks off"):
        read_jsonl(path)
    append_jsonl(path, {"a": 3})
    assert read_jsonl(path) == [{"a": 1}, {"a": 3}]
    path.write_bytes('{"a": 1}\n{"a": "剂'.encode()[:-1])  # broken inside a character
    assert read_jsonl(path, tolerate_half_line=True) == [{"a": 1}]


def test_truncate_jsonl_keeps_the_other_lines_byte_for_byte(tmp_path: Path) -> None:
    path = tmp_path / "x.jsonl"
    path.write_text('{"step":1}\n{ "step": 2 }\n{"step": 3}\n{"st')
    assert truncate_jsonl(path, lambda row: row["step"] <= 2) == 1
    assert path.read_text() == '{"step":1}\n{ "step": 2 }\n'
    assert truncate_jsonl(tmp_path / "none.jsonl", lambda row: False) == 0


def test_a_row_that_is_no_json_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="its keys: step, model"):
        append_jsonl(tmp_path / "x.jsonl", {"step": 1, "model": object()})
    assert not (tmp_path / "x.jsonl").exists()
    assert json.loads(files.json_line({"a": [1]})) == {"a": [1]}
