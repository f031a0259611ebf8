"""Every knob with its type, default and documentation, read from the dataclasses that use it (`medrl config`)."""

import ast
import inspect
import textwrap
from collections.abc import Iterator, Mapping
from dataclasses import MISSING, Field, dataclass, fields, is_dataclass
from functools import cache
from typing import Any, get_args, get_type_hints

from medrl import plugins
from medrl.models.policy import ModelShape, PolicySpec
from medrl.recipes.schema import DemonstrationSource, ProblemSource, Recipe
from medrl.recipes.tree import yaml_value
from medrl.trainers.sft import SFTSettings


@dataclass(frozen=True)
class Knob:
    """One knob: its dotted path, what it may hold, its default as text, and what it does."""

    path: str
    type: str
    default: str
    doc: str


def knobs(prefix: str = "") -> list[Knob]:
    """Every knob of a recipe and of medrl's components, or of the plugin that `prefix` names, whose path begins with it."""
    found = [*_knobs(Recipe, ""), *_components(prefix)]
    return [knob for knob in found if knob.path == prefix or knob.path.startswith(prefix)]


def template() -> str:
    """A recipe with every section and every knob at its default, each below its documentation; it can be run."""
    verified = {"type": "verified", "verifier": {"type": "typed", "format": "o1"}, "otherwise": 0.0}
    recipe = Recipe(
        name="my-run",
        reward={"type": "levels", "correct": verified, "format": {"type": "format", "preset": "o1"}},
        problems=ProblemSource(),
        policy=PolicySpec(new=ModelShape()),
        held_out=ProblemSource(split="held_out"),
        demonstrations=DemonstrationSource(),
        sft=SFTSettings(),
    )
    return "\n".join(_template(recipe, "")) + "\n"


def _template(section: Any, indent: str) -> Iterator[str]:
    kind: Any = type(section)
    docs = docstrings(kind)
    for field in fields(section):
        value = getattr(section, field.name)
        below = is_dataclass(value) or isinstance(value, Mapping)
        if below and not indent:
            yield ""
        yield from textwrap.wrap(
            docs.get(field.name, ""), 110, initial_indent=f"{indent}# ", subsequent_indent=f"{indent}# "
        )
        if is_dataclass(value):
            yield f"{indent}{field.name}:"
            yield from _template(value, f"{indent}  ")
            yield ""
        else:
            yield f"{indent}{field.name}: {yaml_value(value)}"


@cache
def docstrings(cls: type) -> Mapping[str, str]:
    """The string below each field of a class and of its bases, on one line."""
    docs: dict[str, str] = {}
    for base in reversed(cls.__mro__):
        if not is_dataclass(base):
            continue
        body = ast.parse(textwrap.dedent(inspect.getsource(base))).body[0]
        assert isinstance(body, ast.ClassDef)
        for field, below in zip(body.body, body.body[1:], strict=False):
            if (
                isinstance(field, ast.AnnAssign)
                and isinstance(field.target, ast.Name)
                and isinstance(below, ast.Expr)
                and isinstance(below.value, ast.Constant)
                and isinstance(below.value.value, str)
            ):
                docs[field.target.id] = " ".join(below.value.value.split())
    return docs


def _knobs(cls: Any, prefix: str) -> Iterator[Knob]:
    docs, hints = docstrings(cls), get_type_hints(cls)
    for field in (f for f in fields(cls) if f.init):
        path, hint = f"{prefix}{field.name}", hints[field.name]
        section = next((h for h in (hint, *get_args(hint)) if is_dataclass(h)), None)
        yield Knob(path, _type(hint), _default(field), docs.get(field.name, ""))
        if section is not None:
            yield from _knobs(section, f"{path}.")


def _components(prefix: str) -> Iterator[Knob]:
    """Knobs of algorithms, environments, rewards and verifiers, as `algorithm(grpo).clip`.

    Of plugins only the one that `prefix` names is imported, so that a broken one hurts nobody else.
    """
    sections = {
        "algorithms": "algorithm", "environments": "environment", "rewards": "reward", "verifiers": "verifier",
    }  # fmt: skip
    for group, section in sections.items():
        for name in sorted(plugins.available(f"medrl.{group}")):
            path = f"{section}({name})"
            if name not in plugins.BUILTIN[f"medrl.{group}"] and not prefix.startswith(path):
                continue
            cls = plugins.load(f"medrl.{group}", name)
            if isinstance(cls, type) and is_dataclass(cls):
                yield from _knobs(cls, f"{path}.")


def _type(hint: Any) -> str:
    text = hint.__name__ if isinstance(hint, type) and not get_args(hint) else str(hint)
    for noise in ("typing.", "collections.abc.", "NoneType"):
        text = text.replace(noise, "None" if noise == "NoneType" else "")
    words = [part.rsplit(".", 1)[-1] if part.startswith("medrl.") else part for part in text.split(" ")]
    return " ".join(words)


def _default(field: "Field[Any]") -> str:
    if field.default is not MISSING:
        return "" if field.default is None else str(field.default)
    if field.default_factory is not MISSING:
        made = field.default_factory()
        return "see below" if is_dataclass(made) else str(made)
    return "required"
