"""The files around the code: licence, continuous integration, the page that names every file, and what none may say."""

import os
import re
import subprocess
from pathlib import Path

import pytest


@pytest.fixture(scope="module")
def files(repository: Path) -> list[str]:
    """Every file that git tracks or would track, from the root; links are left out."""
    command = ["git", "ls-files", "-co", "--exclude-standard", "-z"]
    listed = subprocess.run(command, cwd=repository, capture_output=True, text=True, check=True).stdout.split("\0")
    found = [name for name in listed if (repository / name).is_file() and not (repository / name).is_symlink()]
    assert "setup.cfg" in found
    return sorted(found)


def lines_with(repository: Path, files: list[str], pattern: re.Pattern[str]) -> list[str]:
    hits = []
    for name in files:
        data = (repository / name).read_bytes()
        if b"\0" in data:
            continue
        lines = data.decode("utf-8").splitlines()
        hits += [f"{name}:{n}: {line.strip()[:100]}" for n, line in enumerate(lines, 1) if pattern.search(line)]
    return hits


def test_no_file_names_the_host_of_a_package_registry(repository: Path, files: list[str]) -> None:
    """Where packages come from is pip's own setting on each machine."""
    hosts = ["py" + "pi.", "python" + "hosted", "download." + "pytorch", "ana" + "conda.", "conda" + "-forge"]
    option = r"(?:index-url|find-links|trusted-host)[ =]+['\"]?(?:https?:|file:|/|\w+\.)"
    pattern = re.compile("|".join([*map(re.escape, hosts), option]), re.IGNORECASE)
    assert not lines_with(repository, files, pattern)


def test_no_file_names_a_folder_of_one_machine(repository: Path, files: list[str]) -> None:
    pattern = re.compile(r"(?<![\w.*)}])/(?:" + "|".join(["work", "tmp", "root", "home", "Users"]) + r")/\w")
    assert not lines_with(repository, files, pattern)


def test_the_licence_is_apache_2(repository: Path) -> None:
    text = (repository / "LICENSE").read_text(encoding="utf-8")
    assert "Apache License" in text and "Version 2.0, January 2004" in text and "END OF TERMS AND CONDITIONS" in text
    assert "license = Apache-2.0" in (repository / "setup.cfg").read_text(encoding="utf-8")


def test_continuous_integration_calls_make_test_and_nothing_else(repository: Path) -> None:
    script = repository / ".ci" / "run"
    assert os.access(script, os.X_OK)
    first, *lines = script.read_text(encoding="utf-8").splitlines()
    commands = [line.strip() for line in lines if line.strip() and not line.startswith("#")]
    assert first == "#!/usr/bin/env bash"
    assert commands == ["set -euo pipefail", 'cd "$(dirname "$0")/.."', "make test"]


def test_the_rules_for_contributors_are_short(repository: Path) -> None:
    assert len((repository / "AGENTS.md").read_text(encoding="utf-8").splitlines()) <= 60


def test_architecture_page_names_every_file(repository: Path, files: list[str]) -> None:
    """The first tree in docs/architecture.md (see `tree_paths`) is the repository.

    A folder's line stands for its `__init__.py`, and for all in it where no line stands beneath it.
    """
    paths = tree_paths((repository / "docs" / "architecture.md").read_text(encoding="utf-8"))
    named = {path for path in paths if not path.endswith("/")}
    closed = {path for path in paths if path.endswith("/") and not any(p != path and p.startswith(path) for p in paths)}
    opened = {path for path in paths if path.endswith("/")} - closed
    unnamed = [
        name
        for name in files
        if name not in named
        and not any(name.startswith(folder) for folder in closed)
        and not (name.endswith("/__init__.py") and name.removesuffix("__init__.py") in opened)
    ]
    assert not unnamed, f"not in the tree of docs/architecture.md: {unnamed}"
    gone = [path for path in paths if not (repository / path).exists()]
    assert not gone, f"in the tree of docs/architecture.md, but not in the repository: {gone}"


def test_one_step_can_be_read_in_seven_files_and_650_lines(repository: Path) -> None:
    """The table of docs/architecture.md counts what is there, and keeps within bounds."""
    page = (repository / "docs" / "architecture.md").read_text(encoding="utf-8")
    _, _, section = page.partition("## Reading one GRPO step")
    row = re.compile(r"\| `(medrl/[^`]+)`(?:,)?(?: from `(\w+)`)?(?: up to `(\w+)`)? \| (\d+) \|")
    rows = row.findall(section.partition("\n## ")[0])
    counted = [part_of(repository / path, first, end) for path, first, end, _ in rows]
    assert counted == [int(lines) for *_, lines in rows]
    assert f"Seven files, {sum(counted)} lines" in section
    assert len(rows) == 7 and sum(counted) <= 650


def part_of(file: Path, first: str, end: str) -> int:
    """Lines from one definition (else the beginning) up to another (else the end), decorators with what they decorate."""
    lines = file.read_text(encoding="utf-8").splitlines()

    def place(name: str) -> int:
        found = next(i for i, line in enumerate(lines) if re.match(rf"\s*(async )?(def|class) {name}\b", line))
        while lines[found - 1].strip().startswith("@"):
            found -= 1
        return found

    return (place(end) if end else len(lines)) - (place(first) if first else 0)


def tree_paths(page: str) -> list[str]:
    """The paths in the first fenced block of a page that holds a line beginning with `medrl/`.

    One path a line, its purpose after two spaces or more; what lies deeper is indented more (spaces or ├ └ │ ─);
    folders end with "/".
    """
    blocks = re.findall(r"^```[^\n]*\n(.*?)^```", page, flags=re.MULTILINE | re.DOTALL)
    tree = next(block for block in blocks if re.search(r"^\W*medrl/", block, flags=re.MULTILINE))
    paths: list[str] = []
    above: list[tuple[int, str]] = []
    for line in filter(str.strip, tree.splitlines()):
        text = line.lstrip(" \t│├└─")
        depth, name = len(line) - len(text), text.split()[0]
        above = [(column, folder) for column, folder in above if column < depth]
        path = (above[-1][1] if above else "") + name
        paths.append(path)
        if name.endswith("/"):
            above.append((depth, path))
    return paths


def test_tree_paths_reads_both_ways_of_drawing() -> None:
    plain = (
        "text\n```\nmedrl/   library\n  data/  data\n    problems.py  loads\n  types.py  nouns\nREADME.md  start\n```\n"
    )
    drawn = "```text\n├── medrl/\n│   ├── data/\n│   │   └── problems.py  loads\n│   └── types.py\n└── README.md\n```"
    expected = ["medrl/", "medrl/data/", "medrl/data/problems.py", "medrl/types.py", "README.md"]
    assert tree_paths(plain) == expected and tree_paths(drawn) == expected
