"""Find a component by name: a built-in, another package's entry point, or `module:attribute`.

Names are resolved inside each process (never registered closures), so a component works the same in a Ray actor. Only
the entry point that was asked for is imported: a broken neighbour cannot hurt.
"""

import sys
from collections.abc import Mapping
from functools import lru_cache
from importlib import import_module
from importlib.metadata import EntryPoint, EntryPoints, entry_points
from typing import Any

from medrl.errors import PluginError, did_you_mean

# The built-in components, as `module:attribute`, by entry-point group. Other packages add theirs by entry points.
BUILTIN: Mapping[str, Mapping[str, str]] = {
    "medrl.verifiers": {
        "text": "medrl.verifiers:Text",
        "choice": "medrl.verifiers:Choice",
        "number": "medrl.verifiers:Number",
        "yes_no": "medrl.verifiers:YesNo",
        "set": "medrl.verifiers:SetOf",
        "date": "medrl.verifiers:Dates",
        "dosing": "medrl.verifiers:Dosing",
        "typed": "medrl.verifiers:Typed",
        "cascade": "medrl.verifiers:Cascade",
        "symbolic": "medrl.verifiers:Symbolic",
        "isolated": "medrl.verifiers:Isolated",
        "judge": "medrl.verifiers:Judge",
        "classifier": "medrl.verifiers:Classifier",
        "similarity": "medrl.verifiers:Similarity",
    },
    "medrl.rewards": {
        "verified": "medrl.rewards:Verified",
        "format": "medrl.rewards:Format",
        "doctor_likeness": "medrl.rewards:DoctorLikeness",
        "weighted_sum": "medrl.rewards:WeightedSum",
        "gate": "medrl.rewards:Gate",
        "levels": "medrl.rewards:Levels",
        "veto": "medrl.rewards:Veto",
        "triage": "medrl.rewards.safety:Triage",
        "acuity": "medrl.rewards.safety:Acuity",
        "department": "medrl.rewards.safety:Department",
        "medication": "medrl.rewards.safety:Medication",
        "return_precautions": "medrl.rewards.safety:ReturnPrecautions",
        "harmful_request": "medrl.rewards.safety:HarmfulRequest",
        "confidence": "medrl.rewards.safety:Confidence",
        "product": "medrl.rewards:Product",
        "min": "medrl.rewards:Minimum",
        "max": "medrl.rewards:Maximum",
        "vote": "medrl.rewards:Vote",
        "first_decided": "medrl.rewards:FirstDecided",
        "where": "medrl.rewards:Where",
        "clip": "medrl.rewards:Clip",
        "anneal": "medrl.rewards:Anneal",
        "normalise": "medrl.rewards:Normalise",
        "per_group": "medrl.rewards:PerGroup",
        "calibrated": "medrl.rewards:Calibrated",
        "rubric": "medrl.rewards:RubricReward",
        "length": "medrl.rewards:Length",
        "overlong": "medrl.rewards:Overlong",
        "visible_length": "medrl.rewards:VisibleLength",
        "truncation": "medrl.rewards:Truncation",
        "cosine": "medrl.rewards:Cosine",
        "repetition": "medrl.rewards:Repetition",
        "language": "medrl.rewards:Language",
        "readability": "medrl.rewards:Readability",
        "hedging": "medrl.rewards:Hedging",
        "refusal": "medrl.rewards:Refusal",
        "citation": "medrl.rewards:Citation",
        "remote": "medrl.rewards:Remote",
        "preference": "medrl.rewards:PreferenceModel",
        "consultation": "medrl.rewards.consultation_reward:Consultation",
    },
    "medrl.chat": {
        "openai": "medrl.chat:OpenAIChat",
        "cached": "medrl.chat:CachedChat",
        "vllm": "medrl.engines.vllm_chat:VLLMChat",
        "transformers": "medrl.engines.transformers_chat:TransformersChat",
    },
    "medrl.environments": {
        "single_turn": "medrl.environments:SingleTurn",
        "patient": "medrl.environments:PatientSimulator",
        "llm_patient": "medrl.environments:LLMPatient",
    },
    "medrl.algorithms": {
        "grpo": "medrl.algorithms:GRPO",
        "dapo": "medrl.algorithms:DAPO",
        "onepo": "medrl.algorithms:OnePO",
        "dr_grpo": "medrl.algorithms:DrGRPO",
        "gspo": "medrl.algorithms:GSPO",
        "cispo": "medrl.algorithms:CISPO",
        "rloo": "medrl.algorithms:RLOO",
        "reinforce_pp": "medrl.algorithms:ReinforcePP",
        "reinforce_pp_baseline": "medrl.algorithms:ReinforcePPBaseline",
        "ppo": "medrl.algorithms:PPO",
    },
}


@lru_cache(maxsize=64)
def _installed(group: str, path: tuple[str, ...]) -> EntryPoints:
    """A group's entry points of the packages on a search path; a file of each package is read, which takes 10 ms."""
    return entry_points(group=group)


def _entry_points(group: str) -> EntryPoints:
    return _installed(group, tuple(sys.path))


def available(group: str) -> dict[str, str]:
    """Every component of a group: name to where it comes from (`module:attribute`)."""
    return {**{e.name: e.value for e in _entry_points(group)}, **BUILTIN.get(group, {})}


def load(group: str, name: str) -> Any:
    """The component called `name` in `group` (for example "medrl.verifiers"), imported now.

    Raises:
        PluginError: No such name (with the nearest one), two packages claim it, or its import fails.
    """
    if ":" in name:
        return _import(group, name, name)
    builtin = BUILTIN.get(group, {}).get(name)
    found: list[EntryPoint] = list(_entry_points(group).select(name=name))
    if not found and not builtin:  # perhaps it was installed a minute ago
        _installed.cache_clear()
        found = list(_entry_points(group).select(name=name))
    claims = [f"medrl ({builtin})"] if builtin else []
    claims += [f"{e.dist.name if e.dist else 'an unnamed package'} ({e.value})" for e in found]
    if len(claims) > 1:
        raise PluginError(
            f"{group}: {len(claims)} packages claim the name {name!r}: {', '.join(claims)}; uninstall one"
        )
    if not claims:
        raise PluginError(f"{group} has no component {name!r}{did_you_mean(name, available(group))}")
    return _import(group, name, builtin or found[0].value)


def _import(group: str, name: str, target: str) -> Any:
    module_name, _, attribute = target.partition(":")
    try:
        component: Any = import_module(module_name)
        for step in attribute.split("."):
            component = getattr(component, step)
    except Exception as error:  # a stranger's module may raise anything while it is imported
        what = f"{type(error).__name__}: {error}"
        raise PluginError(f"{group}: {name!r} points to {target}, which cannot be imported: {what}") from error
    return component
