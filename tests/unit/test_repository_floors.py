"""Imports point down only, and each heavy package is imported in one place. docs/architecture.md gives the reasons."""

import ast
import configparser
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pytest

# Room (folder or module of medrl) to floor. A new room is added here and in docs/architecture.md.
FLOORS = {
    "types": 0,
    "errors": 0,
    "plugins": 0,
    "files": 0,
    "knobs": 0,
    "lazy": 0,
    "seeds": 0,
    "chat": 1,
    "data": 1,
    "sizing": 1,
    "verifiers": 1,
    "algorithms": 2,
    "environments": 2,
    "models": 2,
    "rewards": 2,
    "engines": 3,
    "learners": 3,
    "testing": 3,
    "cluster": 4,
    "rollouts": 4,
    "tracking": 4,
    "construct": 5,
    "evaluation": 5,
    "trainers": 5,
    "interop": 6,
    "recipes": 6,
    "services": 6,
    "cli": 7,
    "commands": 7,
    "__main__": 7,
}
# Rooms of one floor do not import each other, but for these (who imports, what).
BESIDE = {
    ("errors", "types"),
    ("plugins", "errors"),
    ("types", "errors"),
    ("files", "errors"),
    ("knobs", "errors"),
    ("verifiers", "data"),
    ("verifiers", "chat"),
    ("data", "chat"),
    ("environments", "rewards"),
    ("trainers", "evaluation"),
    ("construct", "evaluation"),
    ("interop", "recipes"),
    ("services", "recipes"),
    ("services", "interop"),
    ("cli", "commands"),
    ("__main__", "cli"),
}
# Package to the beginnings of the paths that may import it.
HEAVY = {
    "ray": ("medrl/cluster/",),
    "vllm": ("medrl/engines/vllm",),
    "deepspeed": ("medrl/learners/deepspeed",),
    "trl": ("medrl/trainers/",),
}
# These rooms are imported without torch; a function in them may still import what it needs.
LIGHT = {
    "types",
    "errors",
    "plugins",
    "files",
    "chat",
    "construct",  # candidates.py, which samples from a policy, brings it in by what it imports
    "data",
    "environments",
    "verifiers",
    "rewards",
    "testing",
    "knobs",
    "seeds",
    "interop",
    "sizing",
    "commands",
    "cli",
}
NOT_LIGHT = {"torch", "transformers", "datasets", "accelerate", "peft", "trl", "vllm", "ray", "deepspeed"}

ROOT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class Import:
    path: str  # from the root, e.g. "verifiers/text.py"
    line: int
    module: str  # e.g. "medrl.types"
    at_top: bool  # runs when the module is imported

    def __str__(self) -> str:
        return f"{self.path}:{self.line} imports {self.module}"


@cache
def imports_of(path: Path) -> tuple[Import, ...]:
    """Every import of a file; each file is read once for all the tests here."""
    return tuple(imports_in(path, path.read_text(encoding="utf-8")))


def imports_in(path: Path, source: str) -> Iterator[Import]:
    """Every import of a file with this text, also inside functions, and by `need("x", ...)` or `import_module("x")`."""
    name = path.relative_to(ROOT).as_posix()
    waiting: list[tuple[ast.AST, bool]] = [(ast.parse(source), True)]
    while waiting:
        node, at_top = waiting.pop()
        for module in imported(node):
            yield Import(name, getattr(node, "lineno", 0), module, at_top)
        later = isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda) or is_type_checking(node)
        children = [(child, at_top and not later) for child in ast.iter_child_nodes(node)]
        waiting.extend(reversed(children))


def is_type_checking(node: ast.AST) -> bool:
    return isinstance(node, ast.If) and ast.unparse(node.test).endswith("TYPE_CHECKING")


def imported(node: ast.AST) -> list[str]:
    match node:
        case ast.Import(names=names):
            return [alias.name for alias in names]
        case ast.ImportFrom(module=module, names=names, level=level):
            if level:
                return ["." * level + (module or "")]
            if module == "medrl":
                return [f"medrl.{alias.name}" for alias in names]
            return [module or ""]
        case ast.Call(func=ast.Name(id=name) | ast.Attribute(attr=name), args=[ast.Constant(value=str(module)), *_]):
            return [module] if name in {"need", "import_module", "__import__"} else []
    return []


def sources(*folders: str) -> list[Path]:
    """The Python files of the tree; the two links inside medrl/ are not followed."""
    found = [path for folder in folders for path in (ROOT / folder).rglob("*.py")]
    links = [ROOT / "medrl" / "verifiers", ROOT / "medrl" / "rewards"]
    return sorted(path for path in found if not any(link in path.parents for link in links))


def library() -> list[Path]:
    return [path for path in sources("medrl", "verifiers", "rewards") if path != ROOT / "medrl" / "__init__.py"]


def room_of(path: str) -> str:
    parts = Path(path).with_suffix("").parts
    return parts[1] if parts[0] == "medrl" else parts[0]


def upward(found: Import) -> str | None:
    """What is wrong with an import of the library, or None."""
    if found.module.startswith("."):
        return f"{found}: write absolute imports (medrl.…)"
    package, _, rest = found.module.partition(".")
    if package in {"verifiers", "rewards"}:
        return f"{found}: it is called medrl.{package}"
    if package in {"examples", "benchmarks", "tests"}:
        return f"{found}: the library stands below it"
    if package != "medrl":
        return None
    here, there = room_of(found.path), rest.partition(".")[0]
    if there == "__version__" or here == there:
        return None
    if there not in FLOORS:
        return f"{found}: {there or 'medrl itself'!r} is no room; import from where the name lives"
    if FLOORS[there] < FLOORS[here] or (here, there) in BESIDE:
        return None
    return f"{found}: from floor {FLOORS[here]} ({here}) to floor {FLOORS[there]} ({there})"


def test_every_room_has_a_floor() -> None:
    homeless = sorted({room_of(path.relative_to(ROOT).as_posix()) for path in library()} - set(FLOORS))
    assert not homeless, f"give these a floor in FLOORS and in docs/architecture.md: {homeless}"


def test_imports_point_down_only() -> None:
    faults = [fault for path in library() for found in imports_of(path) if (fault := upward(found))]
    assert not faults, "\n".join(faults)


def test_heavy_packages_are_imported_in_one_place() -> None:
    faults = [
        f"{found}: allowed only in {', '.join(HEAVY[package])}*"
        for path in library()
        for found in imports_of(path)
        if (package := found.module.partition(".")[0]) in HEAVY and not found.path.startswith(HEAVY[package])
    ]
    assert not faults, "\n".join(faults)


def test_light_rooms_import_nothing_heavy_at_the_top() -> None:
    faults = [
        f"{found}: import it inside the function that needs it"
        for path in library()
        for found in imports_of(path)
        if room_of(found.path) in LIGHT and found.at_top and found.module.partition(".")[0] in NOT_LIGHT
    ]
    assert not faults, "\n".join(faults)


def test_floor_0_needs_only_the_standard_library() -> None:
    ground = [path for path in library() if FLOORS.get(room_of(path.relative_to(ROOT).as_posix())) == 0]
    foreign = [
        str(found)
        for path in ground
        for found in imports_of(path)
        if (top := found.module.partition(".")[0]) not in sys.stdlib_module_names and top != "medrl"
    ]
    assert ground and not foreign, "\n".join(foreign)


def asked_for() -> dict[str, set[str]]:
    """Extra, or "" for the core, to the modules that setup.cfg asks for there."""
    setup = configparser.ConfigParser()
    setup.read(ROOT / "setup.cfg", encoding="utf-8")
    lists = {"": setup["options"]["install_requires"], **setup["options.extras_require"]}
    module = {"PyYAML": "yaml", "pillow": "PIL"}
    names = {extra: re.findall(r"^[A-Za-z][\w-]*", text, flags=re.MULTILINE) for extra, text in lists.items()}
    return {extra: {module.get(name, name) for name in found} for extra, found in names.items()}


def test_what_is_imported_is_asked_for() -> None:
    """At the top of light rooms only what the core asks for; elsewhere what the core or an extra asks for."""
    asked = asked_for()
    known = set(sys.stdlib_module_names) | {"medrl"}
    anywhere = set().union(*asked.values()) | {"numpy"}  # numpy comes with torch's neighbours
    faults = []
    for found in (found for path in library() for found in imports_of(path)):
        core_only = room_of(found.path) in LIGHT and found.at_top
        package = found.module.partition(".")[0]
        if package not in known | (asked[""] if core_only else anywhere):
            faults.append(f"{found}: {package} is not in {'install_requires' if core_only else 'setup.cfg'}")
    assert not faults, "\n".join(faults)


def test_errors_name_extras_that_exist() -> None:
    """`need(module, extra)` tells the user to install medrl[extra]."""
    wrong = [
        f"{path.name}:{call.lineno} names the extra {extra!r}"
        for path in library()
        if "need" in (source := path.read_text(encoding="utf-8"))
        for call in ast.walk(ast.parse(source))
        if isinstance(call, ast.Call) and isinstance(call.func, ast.Name) and call.func.id == "need"
        if isinstance(call.args[1], ast.Constant) and (extra := call.args[1].value) not in asked_for()
    ]
    assert not wrong, "\n".join(wrong)


def test_nothing_imports_the_folders_by_their_bare_names() -> None:
    bare = [
        str(found)
        for path in sources("examples", "benchmarks", "tests")
        if "interop" not in path.parts
        for found in imports_of(path)
        if found.module.partition(".")[0] in {"verifiers", "rewards"}
    ]
    assert not bare, "\n".join(bare)


@pytest.mark.parametrize(
    ("path", "line", "wrong"),
    [
        ("medrl/engines/base.py", "from medrl.learners.torch import Learner", True),
        ("medrl/learners/base.py", "import medrl.engines", True),
        ("medrl/data/problems.py", "from medrl.verifiers import Text", True),
        ("verifiers/text.py", "from medrl.data.problems import load_problems", False),
        ("verifiers/text.py", "from .protocol import Verifier", True),
        ("verifiers/text.py", "import verifiers.protocol", True),
        ("rewards/tree.py", "def f():\n    from medrl.trainers import Trainer", True),
        ("rewards/tree.py", "from medrl.verifiers import Verifier", False),
        ("rewards/tree.py", "from medrl import Problem", True),
        ("rewards/tree.py", "from medrl import types", False),
        ("medrl/types.py", "from importlib import import_module\nimport_module('medrl.cli')", True),
        ("medrl/evaluation/run.py", "import medrl.trainers", True),
        ("medrl/trainers/loop.py", "import medrl.evaluation", False),
        ("medrl/trainers/loop.py", "import tests.tools", True),
    ],
)
def test_the_rule_itself(path: str, line: str, wrong: bool) -> None:
    faults = [fault for found in imports_in(ROOT / path, line) if (fault := upward(found))]
    assert bool(faults) is wrong
