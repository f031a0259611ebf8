"""`medrl new verifier NAME`: an installable package with a verifier (or reward) that works, and tests by `medrl.testing`.

The package is made of the texts in `templates/`: `__name__`, `__distribution__`, `__Class__` and `__version__` in them,
and in the names of files, are filled in; `.tmpl` is taken off, which keeps tools from reading a template as the code that
it becomes.
"""

import keyword
import re
import sys
from importlib.resources import files
from importlib.resources.abc import Traversable
from importlib.util import find_spec
from pathlib import Path
from typing import Literal

from medrl import __version__, plugins
from medrl.errors import FolderTaken, PluginError
from medrl.files import atomic_folder

Kind = Literal["verifier", "reward"]
NAME = re.compile(r"[a-z][a-z0-9]*(?:_[a-z0-9]+)*")
LONGEST = 40  # characters of a name, which is a column of tables and a part of file names


def create(kind: Kind, name: str, folder: str | Path | None = None) -> Path:
    """Write the package; returns its folder.

    Raises:
        PluginError: The name cannot be imported, or is taken.
        FolderTaken: The folder exists already; nothing in it is touched.
    """
    check_name(kind, name)
    place = Path(folder) if folder else Path(distribution(name))
    if place.exists() or place.is_symlink():
        raise FolderTaken(f"{place} exists already; name another with --folder, or move it away")
    words = {
        "__distribution__": distribution(name),
        "__name__": name,
        "__Class__": class_name(name),
        "__version__": _floor(__version__),
    }
    templates = files("medrl.commands") / "templates"
    with atomic_folder(place) as new:
        for source in (templates / "common", templates / kind):
            _fill(source, new, words)
    return place


def distribution(name: str) -> str:
    """What the package is called when it is installed: medrl-NAME."""
    return f"medrl-{name.replace('_', '-')}"


def class_name(name: str) -> str:
    """`last_dose` as `LastDose`."""
    return "".join(part.capitalize() for part in name.split("_"))


def check_name(kind: Kind, name: str) -> None:
    """Refuse a name that cannot be imported or is taken, with one that could do.

    Raises:
        PluginError: As said.
    """
    if not NAME.fullmatch(name) or len(name) > LONGEST:
        near = re.sub(r"[^a-z0-9]+", "_", re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).lower()).strip("_")[:LONGEST]
        hint = f"; {near!r} would do" if NAME.fullmatch(near) else ""
        raise PluginError(
            f"{name!r} cannot be the name of a {kind}: small letters, digits and single _ between them, a letter first, "
            f"at most {LONGEST} characters{hint}"
        )
    if keyword.iskeyword(name) or keyword.issoftkeyword(name) or name in sys.stdlib_module_names:
        raise PluginError(f"{name!r} is a word of Python's own; call the {kind} {f'my_{name}'!r}, or what it checks")
    group = f"medrl.{kind}s"
    if name in (taken := plugins.available(group)):
        raise PluginError(f"there is a {kind} {name!r} already ({taken[name]}); see `medrl plugins --group {kind}s`")
    if find_spec(f"medrl_{name}") is not None:
        raise PluginError(f"there is a package medrl_{name} already on this machine; choose another name")


def next_steps(kind: Kind, name: str, folder: Path) -> str:
    """What to type next, for the console."""
    use = f"{{type: verified, verifier: {name}, otherwise: 0.0}}" if kind == "verifier" else f"{{type: {name}}}"
    return "\n".join(
        [
            f"a {kind} {name!r} is in {folder}; next:",
            f"  pip install --no-build-isolation --editable {folder}",
            f"  python -m pytest {folder}",
            f"  medrl plugins --group {kind}s",
            f"then write your own rule into {folder / 'src' / f'medrl_{name}' / '__init__.py'}",
            f"and name it in a recipe: {use}",
        ]
    )


def _floor(version: str) -> str:
    return ".".join(version.split(".")[:2])


def _fill(source: Traversable, target: Path, words: dict[str, str]) -> None:
    for entry in sorted(source.iterdir(), key=lambda one: one.name):
        place = target / _filled(entry.name.removesuffix(".tmpl"), words)
        if entry.is_dir():
            place.mkdir(exist_ok=True)
            _fill(entry, place, words)
        else:
            place.write_text(_filled(entry.read_text(encoding="utf-8"), words), encoding="utf-8")


def _filled(text: str, words: dict[str, str]) -> str:
    for blank, word in words.items():
        text = text.replace(blank, word)
    return text
