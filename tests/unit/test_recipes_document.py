"""The documentation of knobs: complete, and a template that is itself a recipe."""

from dataclasses import fields, is_dataclass
from pathlib import Path

import pytest

from medrl import plugins
from medrl.recipes import load_recipe
from medrl.recipes.document import docstrings, knobs, template


def test_every_knob_of_a_recipe_is_documented() -> None:
    assert [knob.path for knob in knobs() if not knob.doc] == []


def test_knobs_of_components_are_among_them() -> None:
    paths = {knob.path for knob in knobs()}
    assert {"name", "policy.new.layers", "sft.lr", "sampling.max_tokens", "algorithm(grpo).clip"} <= paths
    for section, group in (("reward", "medrl.rewards"), ("verifier", "medrl.verifiers")):
        for name in plugins.BUILTIN[group]:
            cls = plugins.load(group, name)
            if is_dataclass(cls):
                assert {f"{section}({name}).{f.name}" for f in fields(cls) if f.init} <= paths


def test_a_knob_has_type_default_and_text() -> None:
    (knob,) = knobs("optimization.lr")
    assert (knob.type, knob.default) == ("float", "1e-06") and "Learning rate" in knob.doc
    assert knobs("optimization.lrr") == []


@pytest.mark.slow
def test_the_template_documents_every_section_and_is_a_recipe(tmp_path: Path) -> None:
    path, written = tmp_path / "template.yaml", template()
    path.write_text(written, encoding="utf-8")
    recipe = load_recipe(path)
    for section in (recipe, recipe.policy.new, recipe.problems, recipe.sft, recipe.trainer, recipe.optimization):
        for name, text in docstrings(type(section)).items():
            assert f"{name}:" in written and " ".join(text.split()[:3]) in written
    assert recipe.held_out is not None and recipe.demonstrations is not None
