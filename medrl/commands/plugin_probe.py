"""Import components and say what each is: `python -m medrl.commands.plugin_probe`, asked by `medrl plugins` in JSON."""

import inspect
import json
import os
import sys
from typing import Any

from medrl import plugins
from medrl.errors import MedrlError


def main() -> None:
    """Read `[[group, name, target], ...]`, print a line `{"kind", "error"}` for each as soon as it is known."""
    asked = json.load(sys.stdin)
    out = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # what a plugin prints while it is imported is no answer
    for group, _, target in asked:
        out.write(json.dumps(probe(group, target)) + "\n")
        out.flush()


def probe(group: str, target: str) -> dict[str, str]:
    """What a target of a group is in words, or why it cannot be used."""
    if ":" not in target:
        return {"kind": "", "error": f"it points to {target!r}; an entry point names `module:attribute`"}
    try:
        found = plugins.load(group, target)
        kind = kind_of(group, found)
    except MedrlError as error:
        return {"kind": "", "error": " ".join(str(error).split())[:400]}
    except SystemExit as end:
        return {"kind": "", "error": f"its import ended the process with status {end.code}"}
    if not kind:
        return {"kind": "", "error": f"{target} is {found!r:.120}, which is no component of {group}"}
    return {"kind": kind, "error": ""}


def kind_of(group: str, found: Any) -> str:
    """What a component is in words; "" where it does not belong into its group."""
    noun = group.removeprefix("medrl.").removesuffix("s")
    if group == "medrl.verifiers":
        from medrl.verifiers import FunctionVerifier, Verifier

        if isinstance(found, FunctionVerifier):
            return "verifier (function)"
        return _of(found, Verifier, noun)
    if group == "medrl.rewards":
        from medrl.rewards import FunctionReward, Reward

        if isinstance(found, FunctionReward):
            return "reward (function)"
        return _of(found, Reward, noun)
    if group == "medrl.algorithms":
        from medrl.algorithms.base import Algorithm

        return _of(found, Algorithm, noun)
    if group == "medrl.environments":
        from medrl.environments import Environment

        return _of(found, Environment, noun)
    return noun if isinstance(found, type) else f"{noun} (function)" if callable(found) else ""


def _of(found: Any, base: type, noun: str) -> str:
    if isinstance(found, type):
        if not issubclass(found, base):
            return ""
        return f"{noun} (abstract)" if inspect.isabstract(found) else noun
    return f"{noun} (object)" if isinstance(found, base) else ""


if __name__ == "__main__":
    main()
