"""The packaging files agree with each other and with the tree."""

import configparser
import os
import re
import subprocess
import sys
import tomllib
import zipfile
from importlib.metadata import PackageNotFoundError, requires
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

from medrl.commands import doctor

LINE = re.compile(r"^([A-Za-z0-9_.-]+)==(\S+)$")


@pytest.fixture(scope="module")
def setup(repository: Path) -> configparser.ConfigParser:
    parser = configparser.ConfigParser()
    parser.read(repository / "setup.cfg", encoding="utf-8")
    return parser


@pytest.fixture(scope="module")
def pins(repository: Path) -> dict[str, Version]:
    text = (repository / "requirements" / "cpu.txt").read_text(encoding="utf-8")
    lines = [line for line in text.splitlines() if line and not line.startswith("#")]
    found = [LINE.match(line) for line in lines]
    assert all(found), f"not NAME==VERSION: {[line for line, m in zip(lines, found, strict=True) if not m]}"
    return {canonicalize_name(m[1]): Version(m[2]) for m in found if m}


def requirements(setup: configparser.ConfigParser, extra: str | None) -> list[Requirement]:
    text = setup["options.extras_require"][extra] if extra else setup["options"]["install_requires"]
    return [Requirement(line) for line in text.split("\n") if line and not line.startswith("#")]


def test_package_list_is_the_tree(repository: Path, setup: configparser.ConfigParser) -> None:
    """Every folder with Python files is a package, under the name by which it is imported."""
    paths = [path for top in ("medrl", "verifiers", "rewards") for path in (repository / top).rglob("*.py")]
    folders = {path.parent.relative_to(repository).parts for path in paths}
    linked = {("medrl", "verifiers"), ("medrl", "rewards")}
    own = {parts for parts in folders if parts[:2] not in linked}
    tree = {".".join(parts if parts[0] == "medrl" else ("medrl", *parts)) for parts in own}
    listed = setup["options"]["packages"].split()
    assert sorted(listed) == sorted(tree), "mend `packages` in setup.cfg"
    inits = [repository.joinpath(*name.split("."), "__init__.py") for name in listed]
    assert not [str(path) for path in inits if not path.is_file()]


def test_every_package_maps_to_its_folder(setup: configparser.ConfigParser) -> None:
    mapping = dict(line.split(" = ") for line in setup["options"]["package_dir"].strip().split("\n"))
    assert mapping == {"medrl": "medrl", "medrl.verifiers": "verifiers", "medrl.rewards": "rewards"}


def test_pins_fit_the_ranges(setup: configparser.ConfigParser, pins: dict[str, Version]) -> None:
    """Whatever setup.cfg asks for is pinned, within its range; only wandb (no test) and lm_eval (interop.txt) are not."""
    faults = []
    for extra in (None, *setup["options.extras_require"]):
        for need in requirements(setup, extra):
            if need.name in {"medrl", "wandb", "lm_eval"}:
                continue
            assert need.specifier, f"{need.name} has no range"
            pin = pins.get(canonicalize_name(doctor.CPU_BUILD.get(need.name, need.name)))
            if pin is None or pin not in need.specifier:
                faults.append(f"{need} ({extra or 'core'}): pinned {pin}")
    assert not faults, faults


def test_the_vllm_extra_names_vllm(setup: configparser.ConfigParser) -> None:
    assert [need.name for need in requirements(setup, "vllm")] == ["vllm"]


def test_the_light_list_is_a_part_of_the_full_one(setup: configparser.ConfigParser, pins: dict[str, Version]) -> None:
    """`make demo` takes core and medrl[train] under the pins: all that they need, down to the last, is pinned."""
    pending = [need.name for need in (*requirements(setup, None), *requirements(setup, "train"))]
    assert {"torch", "transformers", "pyyaml"} <= {canonicalize_name(name) for name in pending}
    pending += [need.name for extra in ("data", "plot") for need in requirements(setup, extra)]
    seen: set[str] = {"medrl"}
    while pending:
        name = canonicalize_name(pending.pop())
        if name in seen:
            continue
        seen.add(name)
        try:
            needs = [Requirement(line) for line in requires(name) or []]
        except PackageNotFoundError:
            continue
        pending += [need.name for need in needs if need.marker is None or need.marker.evaluate({"extra": ""})]
    assert not seen - {"medrl"} - set(pins)


def test_the_environment_of_the_pins_leaves_out_torchvision(pins: dict[str, Version]) -> None:
    assert not {"torchvision", "torchaudio", "torchcodec"} & set(pins)
    assert str(pins["torch"]) == "2.13.0"


def test_doctor_knows_the_tested_versions(pins: dict[str, Version]) -> None:
    told = {name: package.tested for name, package in doctor.PACKAGES.items() if package.tested}
    pinned = {name: str(pins[canonicalize_name(doctor.CPU_BUILD.get(name, name))]) for name in told}
    assert told == pinned


def test_doctor_knows_the_extras(setup: configparser.ConfigParser) -> None:
    named = {package.extra for package in doctor.PACKAGES.values()} - {""}
    assert named <= set(setup["options.extras_require"])


def test_pyproject_holds_the_build_system_and_ruff_and_pyright_only(repository: Path) -> None:
    tables = tomllib.loads((repository / "pyproject.toml").read_text(encoding="utf-8"))
    assert set(tables) == {"build-system", "tool"}
    assert set(tables["tool"]) == {"ruff", "pyright"}


@pytest.mark.slow
def test_the_wheel_holds_everything_once(repository: Path, tmp_path: Path) -> None:
    files = subprocess.run(
        ["git", "ls-files", "-co", "--exclude-standard", "-z"],
        cwd=repository,
        capture_output=True,
        text=True,
        check=True,
    )
    copy = tmp_path / "source"
    for name in filter(None, files.stdout.split("\0")):
        source, target = repository / name, copy / name
        target.parent.mkdir(parents=True, exist_ok=True)
        if source.is_symlink():
            os.symlink(os.readlink(source), target)
        elif source.is_file():
            target.write_bytes(source.read_bytes())
    command = f"{sys.executable} -m pip wheel --no-deps --no-build-isolation -w {tmp_path} {copy}"
    subprocess.run(command.split(), check=True, capture_output=True)
    with zipfile.ZipFile(next(tmp_path.glob("medrl-*.whl"))) as wheel:
        names = wheel.namelist()
        entry_points = wheel.read(next(n for n in names if n.endswith("entry_points.txt"))).decode()
    assert len(names) == len(set(names))
    assert {name.split("/")[0] for name in names if ".dist-info/" not in name} == {"medrl"}
    assert "medrl = medrl.cli:main" in entry_points
    expected = {
        path.relative_to(copy).as_posix()
        for top in ("medrl", "medrl/verifiers", "medrl/rewards")
        for path in (copy / top).rglob("*")
        if path.is_file() and path.suffix in {".py", ".typed", ".jsonl", ".json", ".yaml", ".md"}
    }
    assert {"medrl/py.typed", "medrl/verifiers/__init__.py", "medrl/rewards/__init__.py"} <= expected
    assert not expected - set(names)
