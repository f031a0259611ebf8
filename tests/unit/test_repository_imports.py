"""What importing medrl brings in, and what it must not: no torch, no telemetry, no clash of names."""

import ast
import os
import subprocess
import sys
from pathlib import Path

import pytest

import medrl
import medrl.recipes
import medrl.testing

pytestmark = pytest.mark.slow  # starts processes, or waits

TELEMETRY = {"HF_HUB_DISABLE_TELEMETRY": "1", "RAY_USAGE_STATS_ENABLED": "0", "VLLM_NO_USAGE_STATS": "1"}


def run_python(code: str, folder: Path, *flags: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run `code` in a fresh interpreter, without the telemetry settings that this process has got from medrl."""
    inherited = {name: value for name, value in os.environ.items() if name not in TELEMETRY}
    command = [sys.executable, *flags, "-c", code]
    return subprocess.run(
        command, cwd=folder, env={**inherited, **environment}, capture_output=True, text=True, check=False
    )


def modules_of(repository: Path, room: str) -> list[str]:
    """Every module of a room, as it is imported."""
    folder = repository / "medrl" / room
    paths = (path.relative_to(folder).with_suffix("") for path in folder.rglob("*.py"))
    names = [".".join(("medrl", room, *path.parts)).removesuffix(".__init__") for path in paths]
    return sorted(name for name in names if not name.endswith("__main__"))


def test_a_run_begins_without_ray_vllm_and_deepspeed(repository: Path) -> None:
    """As after `make demo`, which installs none of the three."""
    hidden = "".join(f"sys.modules[{name!r}] = None\n" for name in ("ray", "vllm", "deepspeed"))
    done = run_python(f"import sys\n{hidden}import medrl.cli, medrl.cluster, medrl.recipes.run", repository)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("room", ["verifiers", "rewards", "data", "interop", "sizing"])
def test_light_rooms_import_without_torch(repository: Path, room: str) -> None:
    modules = modules_of(repository, room)
    assert f"medrl.{room}" in modules
    code = f"import sys, {', '.join(modules)}\nassert 'torch' not in sys.modules, 'torch came in'"
    done = run_python(code, repository)
    assert done.returncode == 0, done.stderr


def test_the_command_line_imports_without_torch(repository: Path) -> None:
    done = run_python("import sys, medrl.cli, medrl.commands.doctor\nassert 'torch' not in sys.modules", repository)
    assert done.returncode == 0, done.stderr


def test_constructions_begin_without_torch(repository: Path) -> None:
    """All that `medrl construct` imports for rows from chat models; feedback alone samples from a policy of ours."""
    rooms = [name for name in modules_of(repository, "construct") if name != "medrl.construct.candidates"]
    modules = [*rooms, "medrl.recipes.construction", "medrl.commands.construct_rows"]
    done = run_python(f"import sys, {', '.join(modules)}\nprint(*sys.modules)", repository)
    assert done.returncode == 0, done.stderr
    assert not {"torch", "transformers", "datasets"} & {*done.stdout.split()}


@pytest.mark.parametrize(
    "arguments",
    [
        ["construct", "--help"],
        ["construct", "problems", "examples/huatuogpt_o1/problems.yaml", "rows.source=nowhere.jsonl"],
    ],
)
def test_the_command_construct_runs_where_there_is_no_torch(arguments: list[str], repository: Path) -> None:
    code = f"import sys\nsys.modules['torch'] = None\nfrom medrl.cli import main\nsys.exit(main({arguments!r}))"
    done = run_python(code, repository)
    assert "torch" not in done.stderr
    if "--help" in arguments:
        assert done.returncode == 0 and "usage: medrl construct" in done.stdout
    else:  # the recipe was read, and its source looked for
        assert done.returncode == 2 and "nowhere.jsonl" in done.stderr


def test_names_of_recipes_load_when_they_are_used(repository: Path) -> None:
    assert all(getattr(medrl.recipes, name).__name__ == name for name in medrl.recipes.__all__)
    with pytest.raises(AttributeError, match="no attribute 'load_recipes'"):
        _ = medrl.recipes.load_recipes


def test_import_medrl_brings_in_the_standard_library_only(repository: Path) -> None:
    # compared with a bare interpreter, since hooks in site-packages load modules of their own
    show = "import sys; print(*sorted({name.partition('.')[0] for name in sys.modules}))"
    bare = set(run_python(show, repository).stdout.split())
    with_medrl = set(run_python(f"import medrl; {show}", repository).stdout.split())
    assert with_medrl - bare - set(sys.stdlib_module_names) == {"medrl"}


def test_public_names_are_all_there() -> None:
    names = {"GRPO", "Trainer", "Problem", "Response", "Rollout", "Group", "Verdict", "Score", "Verifier", "verifier"}
    assert {*names, "Reward", "load_problems", "__version__"} == set(medrl.__all__)
    assert set(medrl.__all__) <= set(dir(medrl))
    for name in medrl.__all__:
        assert getattr(medrl, name) is not None


def shown_to_type_checkers(file: Path) -> dict[str, str | None]:
    """Name to module, as a package that loads its names when they are first used says them under TYPE_CHECKING."""
    tree = ast.parse(file.read_text(encoding="utf-8"))
    block = next(node for node in tree.body if isinstance(node, ast.If))
    return {alias.name: node.module for node in block.body if isinstance(node, ast.ImportFrom) for alias in node.names}


def test_public_names_are_the_same_for_type_checkers() -> None:
    for package in (medrl, medrl.recipes, medrl.testing):
        assert package.__file__ is not None
        assert shown_to_type_checkers(Path(package.__file__)) == package._HOME
        assert all(getattr(package, name) is not None for name in package.__all__)


def test_a_program_that_tries_a_verifier_leaves_rewards_alone(repository: Path) -> None:
    done = run_python(
        "import sys, medrl.testing.fresh, medrl.verifiers\nassert 'medrl.rewards' not in sys.modules", repository
    )
    assert done.returncode == 0, done.stderr


def test_unknown_public_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'PPOO'"):
        _ = medrl.PPOO


def test_telemetry_is_off_before_anything_else_is_imported(repository: Path) -> None:
    tree = ast.parse((repository / "medrl" / "__init__.py").read_text(encoding="utf-8"))
    _, first, second = tree.body[:3]
    assert isinstance(first, ast.Import) and [alias.name for alias in first.names] == ["os"]
    assert isinstance(second, ast.For) and all(name in ast.unparse(second) for name in TELEMETRY)


def test_telemetry_settings_reach_the_environment_and_the_users_own_hold(repository: Path) -> None:
    show = f"import os, medrl; print(*(os.environ[name] for name in {sorted(TELEMETRY)}))"
    assert run_python(show, repository).stdout.split() == [TELEMETRY[name] for name in sorted(TELEMETRY)]
    assert run_python(show, repository, RAY_USAGE_STATS_ENABLED="1").stdout.split() == ["1", "1", "1"]


@pytest.mark.parametrize("folder", ["verifiers", "rewards"])
def test_bare_import_from_the_root_says_what_to_write(repository: Path, folder: str) -> None:
    done = run_python(f"import {folder}", repository)
    assert done.returncode == 1
    assert "ImportError" in done.stderr and f"medrl.{folder}" in done.stderr.splitlines()[-1]


@pytest.mark.parametrize("folder", ["verifiers", "rewards"])
def test_the_link_and_the_folder_are_one(repository: Path, folder: str) -> None:
    link = repository / "medrl" / folder
    assert link.is_symlink() and os.readlink(link) == f"../{folder}"
