"""An environment from a recipe: `{type: NAME, knob: value}` or the bare NAME, with all faults at once."""

from collections.abc import Mapping
from typing import Any, TypeAlias

from medrl import plugins
from medrl.environments.base import GROUP, Environment
from medrl.errors import MedrlError, RecipeError
from medrl.knobs import read_dataclass

Config: TypeAlias = Environment | str | Mapping[str, Any]


def build(config: Config) -> Environment:
    """The environment that a config names.

    Raises:
        RecipeError: With every fault.
    """
    made, faults = read(config)
    if made is None or faults:
        raise RecipeError("the environment", faults)
    return made


def check(config: Config) -> list[str]:
    """Every fault of a config; empty for a sound one."""
    return read(config)[1]


def read(config: Config) -> tuple[Environment | None, list[str]]:
    """The environment, None where it cannot be made, and all faults."""
    if isinstance(config, Environment):
        return config, []
    if not isinstance(config, str | Mapping):
        return None, [f"environment: {config!r:.80} is none; write {{type: NAME, knob: value}} or NAME"]
    knobs = {"type": config} if isinstance(config, str) else dict(config)
    kind = knobs.pop("type", None)
    if not isinstance(kind, str):
        known = ", ".join(sorted(plugins.available(GROUP)))
        return None, [f"environment: it has no `type`; name one: {known}, or module:attribute"]
    try:
        found = plugins.load(GROUP, kind)
    except MedrlError as error:
        return None, [f"environment: {error}"]
    if not (isinstance(found, type) and issubclass(found, Environment)):
        return None, [f"environment: {kind!r} is {found!r:.80}, which is not an environment"]
    faults: list[str] = []
    return read_dataclass(found, knobs, "environment", faults), faults
