"""`medrl plugins` beside broken neighbours, `medrl new`, and packages that are installed and tested in a venv."""

import json
import os
import subprocess
import sys
import sysconfig
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from medrl import cli, environments, plugins
from medrl.commands import new_plugin, plugin_list
from medrl.errors import FolderTaken, PluginError

Capture = pytest.CaptureFixture[str]

# Package to its entry points and modules, as they lie in a site-packages folder.
INSTALLED: dict[str, tuple[dict[str, str], dict[str, str]]] = {
    "good": (
        {"doses": "good_doses:Doses", "shout": "good_doses:shout"},
        {
            "good_doses": "from medrl.verifiers import RuleVerifier, verifier\nfrom medrl.types import Verdict\n"
            "print('a plugin that talks while it is imported')\n"
            "class Doses(RuleVerifier):\n    name = 'doses'\n    def check(self, problem, response):\n"
            "        return Verdict.wrong()\n"
            "@verifier('shout')\ndef shout(problem, text) -> bool:\n    return text.isupper()\n"
        },
    ),
    "bad": (
        {"raises": "bad_raises:V", "exits": "bad_exits:V", "dies": "bad_dies:V", "other": "json:dumps", "bare": "json",
         "gone": "bad_raises_not:V"},
        {"bad_raises": "raise RuntimeError('no licence\\nfor this machine')", "bad_exits": "import sys; sys.exit(3)",
         "bad_dies": "import os; os._exit(4)"},
    ),
    "rival": ({"doses": "good_doses:Doses", "number": "good_doses:Doses"}, {}),
}  # fmt: skip


def install(folder: Path, package: str) -> None:
    entries, modules = INSTALLED[package]
    info = folder / f"{package}-1.{len(entries)}.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: 1.{len(entries)}\n")
    lines = "".join(f"{name} = {target}\n" for name, target in entries.items())
    (info / "entry_points.txt").write_text(f"[medrl.verifiers]\n{lines}")
    for name, text in modules.items():
        (folder / f"{name}.py").write_text(text)


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder of installed packages."""
    folder = tmp_path / "site"
    folder.mkdir()
    monkeypatch.syspath_prepend(str(folder))
    monkeypatch.chdir(tmp_path)
    yield folder
    plugins._installed.cache_clear()


def test_an_environment_of_a_plugin_is_built_and_documented_beside_a_broken_one(site: Path, capsys: Capture) -> None:
    info = site / "wards-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: wards\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[medrl.environments]\nward = ward_rounds:Ward\nexits = ward_exits:Ward\n")
    (site / "ward_exits.py").write_text("import sys; sys.exit(3)\n")
    (site / "ward_rounds.py").write_text(
        "from dataclasses import dataclass\nfrom medrl.environments import SingleTurn\n\n"
        '@dataclass(frozen=True, kw_only=True)\nclass Ward(SingleTurn):\n    """Rounds."""\n\n'
        '    beds: int = 4\n    """How many beds the ward has."""\n'
    )
    assert environments.build({"type": "ward", "beds": 2}) == environments.build({"type": "ward", "beds": 2})
    assert "beds: 'two'" in environments.check({"type": "ward", "beds": "two"})[0]
    assert cli.main(["config", "environment(ward)"]) == 0
    said = capsys.readouterr().out
    assert "environment(ward).beds: int = 4" in said and "How many beds the ward has." in said
    assert cli.main(["config", "environment("]) == 0  # medrl's own, whatever is installed beside them
    assert "environment(patient)." in capsys.readouterr().out


# The list ------------------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_broken_neighbours_cost_their_own_rows_and_nothing_else(site: Path, capsys: Capture) -> None:
    for package in INSTALLED:
        install(site, package)
    assert cli.main(["plugins", "--group", "verifiers", "--json", "list.json"]) == 1
    listed = json.loads(Path("list.json").read_text(encoding="utf-8"))["components"]
    rows = {(one["package"], one["name"]): one for one in listed}
    own = [one for one in listed if one["package"] == "medrl"]
    assert {one["name"] for one in own} == set(plugins.BUILTIN["medrl.verifiers"])
    assert all(one["kind"].startswith("verifier") and not one["error"] for one in own)
    assert rows["good", "shout"] == {
        "group": "medrl.verifiers", "name": "shout", "target": "good_doses:shout", "package": "good", "version": "1.2",
        "kind": "verifier (function)", "error": "", "clash": "",
    }  # fmt: skip
    assert (rows["good", "doses"]["clash"], rows["rival", "doses"]["clash"]) == ("rival", "good")
    assert (rows["rival", "number"]["clash"], rows["medrl", "number"]["clash"]) == ("medrl", "rival")
    errors = {name: one["error"] for (package, name), one in rows.items() if package == "bad"}
    assert "RuntimeError: no licence for this machine" in errors["raises"]
    assert errors["exits"] == "its import ended the process with status 3"
    assert errors["dies"] == "its import ended the process with status 4"
    assert "which is no component of medrl.verifiers" in errors["other"]
    assert "names `module:attribute`" in errors["bare"] and "ModuleNotFoundError" in errors["gone"]
    out, err = capsys.readouterr()
    assert "talks" not in out and err == ""
    assert "medrl.verifiers exits of bad 1.6: its import ended the process with status 3" in out
    assert f"{len(listed)} components, 10 unusable; packages beside medrl: 3" in out


def test_an_import_without_end_is_told(site: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plugin_list, "SECONDS", 0.5)
    (site / "hangs.py").write_text("import time\ntime.sleep(60)\n")
    stuck = plugin_list.Component("medrl.verifiers", "hangs", "hangs:V", "stuck", "1")
    (found,) = plugin_list._try([stuck])
    assert found.error == "its import did not end within 0.5 s"


@pytest.mark.slow
def test_all_that_medrl_brings_loads(capsys: Capture) -> None:
    found = [one for one in plugin_list.find() if one.package == "medrl"]
    assert [one for one in found if one.error or one.clash] == []
    assert {one.group for one in found} >= {"medrl.verifiers", "medrl.rewards", "medrl.algorithms", "medrl.chat"}
    kinds = {one.name: one.kind for one in found}
    assert (kinds["grpo"], kinds["gate"], kinds["text"], kinds["openai"]) == ("algorithm", "reward", "verifier", "chat")


def test_a_group_that_does_not_exist(capsys: Capture) -> None:
    assert cli.main(["plugins", "--group", "verifyers"]) == 2
    assert "did you mean 'medrl.verifiers'" in capsys.readouterr().err


# A new package -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("LastDose", "'last_dose' would do"),
        ("last-dose", "'last_dose' would do"),
        ("剂量", "cannot be the name of a verifier"),
        ("", "cannot be the name of a verifier"),
        ("../up", "'up' would do"),
        ("x" * 41, "at most 40 characters"),
        ("class", "a word of Python's own"),
        ("json", "call the verifier 'my_json'"),
        ("number", "there is a verifier 'number' already"),
    ],
)
def test_names_that_cannot_be_or_are_taken(
    name: str, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    monkeypatch.chdir(tmp_path)
    assert cli.main(["new", "verifier", name]) == 2
    assert said in capsys.readouterr().err and not list(tmp_path.iterdir())


def test_a_package_that_is_installed_is_not_written_over(site: Path) -> None:
    (site / "medrl_mine").mkdir()
    (site / "medrl_mine" / "__init__.py").write_text("")
    with pytest.raises(PluginError, match="a package medrl_mine already"):
        new_plugin.create("verifier", "mine")
    (site.parent / "medrl-own").mkdir()
    with pytest.raises(FolderTaken, match="exists already"):
        new_plugin.create("reward", "own")
    assert list((site.parent / "medrl-own").iterdir()) == []


@pytest.mark.parametrize("kind", ["verifier", "reward"])
def test_what_is_written_and_said(kind: new_plugin.Kind, tmp_path: Path, capsys: Capture) -> None:
    folder = tmp_path / "there"
    assert cli.main(["new", kind, "last_dose", "--folder", str(folder)]) == 0
    out = capsys.readouterr().out
    assert f"--editable {folder}" in out and f"medrl plugins --group {kind}s" in out
    assert ("verifier: last_dose" if kind == "verifier" else "{type: last_dose}") in out
    files = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
    module = "src/medrl_last_dose"
    wanted = {"LICENSE", "README.md", "pyproject.toml", f"{module}/__init__.py", f"{module}/py.typed"}
    assert files == wanted | {"tests/test_medrl_last_dose.py"}
    text = "".join((folder / name).read_text(encoding="utf-8") for name in files)
    assert (
        "__name__" not in text
        and "__distribution__" not in text
        and "__Class__" not in text
        and "__version__" not in text
    )
    assert f'[project.entry-points."medrl.{kind}s"]\nlast_dose = "medrl_last_dose:LastDose"' in text


# In environments of their own ----------------------------------------------------------------------------------------


class Environment:
    """A venv that sees this repository and the packages beside it, and in which packages are installed for good."""

    def __init__(self, folder: Path, repository: Path) -> None:
        subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(folder)], check=True)
        self.python = folder / "bin" / "python"
        site = next((folder / "lib").glob("python*/site-packages"))
        # Plain paths, after what is installed here: hooks of editable installs in the other folder are not run.
        (site / "medrl_and_its_needs.pth").write_text(f"{repository}\n{sysconfig.get_paths()['purelib']}\n")

    def install(self, package: Path) -> None:
        options = ["--no-index", "--no-deps", "--no-build-isolation", "--quiet", "--disable-pip-version-check"]
        command = [sys.executable, "-m", "pip", "--python", str(self.python), "install", *options, str(package)]
        done = subprocess.run(command, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr

    def run(self, *arguments: str, folder: Path) -> str:
        environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
        command = [str(self.python), *arguments]
        done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=300)
        assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-2000:]
        return done.stdout


@pytest.fixture(scope="module")
def sources(tmp_path_factory: pytest.TempPathFactory, repository: Path) -> dict[str, Path]:
    """Two packages just written, and a copy of the example (building leaves files beside the sources)."""
    folder = tmp_path_factory.mktemp("sources")
    made = {kind: new_plugin.create(kind, f"my_{kind}", folder / kind) for kind in ("verifier", "reward")}
    example = repository / "examples" / "plugin_dosage"
    listed = subprocess.run(
        ["git", "ls-files", "-co", "--exclude-standard", "-z"], cwd=example, capture_output=True, text=True, check=True
    )
    for name in filter(None, listed.stdout.split("\0")):
        target = folder / "dosage" / name
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes((example / name).read_bytes())
    return {**made, "dosage": folder / "dosage"}


@pytest.mark.slow
@pytest.mark.parametrize("name", ["verifier", "reward", "dosage"])
def test_a_package_is_installed_and_its_tests_pass(
    name: str, sources: dict[str, Path], tmp_path: Path, repository: Path
) -> None:
    environment = Environment(tmp_path / "venv", repository)
    environment.install(sources[name])
    component = {"verifier": "my_verifier", "reward": "my_reward"}.get(name, name)
    where = environment.run("-c", f"import medrl_{component} as m; print(m.__file__)", folder=tmp_path)
    assert where.startswith(str(tmp_path / "venv"))
    printed = environment.run("-m", "pytest", "-q", "-p", "no:cacheprovider", str(sources[name]), folder=tmp_path)
    assert " passed" in printed and "failed" not in printed
    group = "rewards" if name == "reward" else "verifiers"
    shown = environment.run("-m", "medrl", "plugins", "--group", group, "--json", "list.json", folder=tmp_path)
    assert component in shown and "0 unusable; packages beside medrl: 1" in shown
    listed: list[dict[str, Any]] = json.loads((tmp_path / "list.json").read_text())["components"]
    (row,) = [one for one in listed if one["name"] == component]
    assert (row["package"], row["version"], row["error"]) == (f"medrl-{component.replace('_', '-')}", "0.1.0", "")
    if name == "dosage":
        answer = '{"question": "Dose?", "reference": "1 g tid", "response": "每次1000毫克，每日3次"}\n'
        (tmp_path / "answers.jsonl").write_text(answer, encoding="utf-8")
        told = environment.run("-m", "medrl", "verify", "answers.jsonl", "--verifier", "dosage", folder=tmp_path)
        assert "1 responses: 1 right, 0 wrong" in told


@pytest.mark.slow
def test_packages_are_formatted_and_strictly_typed(sources: dict[str, Path], repository: Path) -> None:
    for package in sources.values():
        for command in (["check", "--no-cache"], ["format", "--check", "--no-cache"]):
            done = subprocess.run(
                [sys.executable, "-m", "ruff", *command, "."], cwd=package, capture_output=True, text=True
            )
            assert done.returncode == 0, done.stdout + done.stderr
    # With the settings of `make lint`, and with its cache: else this is a check of all that medrl imports once more.
    modules = [part for package in sources.values() for part in typed_modules(package)]
    folders = [folder for package in sources.values() for folder in (package / "src", package / "tests")]
    done = subprocess.run(
        [sys.executable, "-m", "mypy", "--strict", *modules],
        cwd=repository,
        env={**os.environ, "MYPYPATH": os.pathsep.join(map(str, folders))},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr
    checked = sum(
        1 for package in sources.values() for part in ("src", "tests") for _ in (package / part).rglob("*.py")
    )
    assert f"no issues found in {checked} source files" in done.stdout


def typed_modules(package: Path) -> list[str]:
    """The options that make mypy check a package and its tests."""
    tests = [option for path in sorted(package.glob("tests/*.py")) for option in ("-m", path.stem)]
    (marker,) = package.glob("src/*/py.typed")
    return ["-p", marker.parent.name, *tests]
