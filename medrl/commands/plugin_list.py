"""What `medrl plugins` prints: every component by group, where it comes from, which version, and whether it loads.

Built-in components are tried in one process, each of another package's in a process of its own, so that one which
raises, exits, hangs or prints while it is imported costs its own row and nothing else.
"""

import json
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from importlib.metadata import entry_points
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table

from medrl import __version__
from medrl.errors import PluginError, did_you_mean
from medrl.plugins import BUILTIN

SECONDS = 60.0  # for one import; torch takes about five on a slow machine
TOGETHER = 4


@dataclass(frozen=True)
class Component:
    """One name in one group, and what came of importing it."""

    group: str
    name: str
    target: str
    package: str
    version: str
    kind: str = ""
    """What it is, in words: `verifier`, `verifier (function)`, `reward`, ..."""
    error: str = ""
    """Why it cannot be used, on one line; "" where it can."""
    clash: str = ""
    """The other packages that claim the name; "" where there are none."""


def find(group: str | None = None) -> list[Component]:
    """Every component that is installed, each tried, by group and name.

    Raises:
        PluginError: There is no such group.
    """
    if group is not None and group not in BUILTIN:
        known = group if group.startswith("medrl.") else f"medrl.{group}"
        if known not in BUILTIN:
            raise PluginError(f"there is no group {group!r}{did_you_mean(known, BUILTIN)}")
        group = known
    wanted = [group] if group else list(BUILTIN)
    own = [
        Component(one, name, target, "medrl", __version__) for one in wanted for name, target in BUILTIN[one].items()
    ]
    others = [
        Component(one, e.name, e.value, e.dist.name if e.dist else "?", e.dist.version if e.dist else "?")
        for one in wanted
        for e in entry_points(group=one)
    ]
    jobs = [own] * bool(own) + [[one] for one in others]
    with ThreadPoolExecutor(TOGETHER) as threads:
        tried = [one for done in threads.map(_try, jobs) for one in done]
    order = {name: place for place, name in enumerate(BUILTIN)}
    return sorted(_with_clashes(tried), key=lambda one: (order[one.group], one.name, one.package))


def _with_clashes(found: Sequence[Component]) -> Iterable[Component]:
    claims = Counter((one.group, one.name) for one in found)
    for one in found:
        rivals = [r for r in found if (r.group, r.name) == (one.group, one.name) and r is not one]
        if claims[one.group, one.name] == 1:
            yield one
        else:
            yield Component(**{**asdict(one), "clash": ", ".join(sorted(r.package for r in rivals))})


def _try(job: Sequence[Component]) -> list[Component]:
    """Import these components, in this order, in a process of their own."""
    path = os.pathsep.join(dict.fromkeys(os.path.abspath(entry or ".") for entry in sys.path))
    asked = json.dumps([[one.group, one.name, one.target] for one in job])
    command = [sys.executable, "-m", "medrl.commands.plugin_probe"]
    try:
        done = subprocess.run(
            command,
            input=asked,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=SECONDS,
            env={**os.environ, "PYTHONPATH": path},
        )
        lines, fault = done.stdout.splitlines(), _last(done)
    except subprocess.TimeoutExpired as late:
        said = late.stdout.decode(errors="replace") if isinstance(late.stdout, bytes) else late.stdout or ""
        lines, fault = said.splitlines(), f"its import did not end within {SECONDS:g} s"
    answers = [json.loads(line) for line in lines if line.startswith('{"kind"')]
    answers += [{"kind": "", "error": fault}] * (len(job) - len(answers))
    return [Component(**{**asdict(one), **answer}) for one, answer in zip(job, answers, strict=True)]


def _last(done: subprocess.CompletedProcess[str]) -> str:
    said = (done.stderr.strip().splitlines() or [""])[-1]
    return f"its import ended the process with status {done.returncode}" + (f": {said}" if said else "")


def broken(found: Sequence[Component]) -> list[Component]:
    """Those that cannot be used: they do not load, or another package claims the name too."""
    return [one for one in found if one.error or one.clash]


def show(console: Console, found: Sequence[Component]) -> None:
    """Print the table, then each fault on a line of its own."""
    table = Table("group", "name", "kind", "package", "version", "target", "loads", box=box.SIMPLE_HEAD, pad_edge=False)
    for column in table.columns[:5]:
        column.no_wrap = True
    table.columns[5].overflow = "fold"
    for one in found:
        loads = "NO" if one.error else "clash" if one.clash else "yes"
        style = "red" if one.error or one.clash else None
        group = one.group.removeprefix("medrl.")
        table.add_row(group, one.name, one.kind or "-", one.package, one.version, one.target, loads, style=style)
    console.print(table)
    for one in found:
        if one.error:
            console.print(f"{one.group} {one.name} of {one.package} {one.version}: {one.error}", style="red")
        if one.clash:
            console.print(
                f"{one.group} {one.name} of {one.package} {one.version}: {one.clash} claims the name too; uninstall one",
                style="red",
            )
    foreign = {one.package for one in found} - {"medrl"}
    console.print(f"{len(found)} components, {len(broken(found))} unusable; packages beside medrl: {len(foreign)}")


def report_json(found: Sequence[Component]) -> dict[str, Any]:
    """The object for --json."""
    return {"n": len(found), "unusable": len(broken(found)), "components": [asdict(one) for one in found]}
