"""What a recipe names and does not hold: folders, files, ids of the hub; and whether they can be had."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from medrl.recipes import Recipe
from medrl.recipes.awaited import Awaited
from medrl.recipes.schema import GENERATED

FILES = (".jsonl", ".json", ".csv", ".parquet")


@dataclass(frozen=True)
class Named:
    """Something that a recipe names and does not hold.

    Attributes:
        knob: Where.
        name: Folder, file or hub id.
        state: "here", "in the cache", "on the hub", "gated" (for those whom its owner lets in), "not reached",
            "offline" (the hub is switched off), "awaited" (of a recipe beside this one) or "missing".
    """

    knob: str
    name: str
    state: str


def references(recipe: Recipe) -> Iterator[tuple[str, str]]:
    """Every folder, file or hub id, with the knob that names it."""
    if recipe.policy.path is not None:
        yield "policy.path", recipe.policy.path
    critic = recipe.optimization.critic
    if critic is not None and critic.path is not None:
        yield "optimization.critic.path", critic.path
    sections = {"problems": recipe.problems, "held_out": recipe.held_out, "demonstrations": recipe.demonstrations}
    for name, section in sections.items():
        if section is not None and section.source not in GENERATED:
            yield f"{name}.source", section.source
    yield from _models(recipe.reward, "reward")


def _models(config: Any, path: str) -> Iterator[tuple[str, str]]:
    """Models that a reward's nodes read: the knob `model` of any node."""
    if isinstance(config, Mapping):
        for key, value in config.items():
            if key == "model" and isinstance(value, str) and config.get("type") not in ("openai", "cached"):
                yield f"{path}.model", value
            elif key == "preset" and value == "huatuo_o1" and "model" not in config:
                from medrl.verifiers.classifier import PRESETS

                yield f"{path}.preset", str(PRESETS[value]["model"])
            else:
                yield from _models(value, f"{path}.{key}")
    elif isinstance(config, Sequence) and not isinstance(config, str):
        for number, value in enumerate(config):
            yield from _models(value, f"{path}[{number}]")


class Hub:
    """The hub as one look at a recipe asks it: not again once it did not answer."""

    def __init__(self, tell: Callable[[str], None] = lambda line: None) -> None:
        self.tell, self.silent = tell, False

    def state(self, name: str, kind: str) -> str:
        """The state of an id (see `Named`), after some seconds at most."""
        from huggingface_hub import HfApi, constants
        from huggingface_hub.errors import (
            GatedRepoError,
            HfHubHTTPError,
            HFValidationError,
            RepositoryNotFoundError,
        )

        if constants.HF_HUB_OFFLINE:
            return "offline"
        if self.silent:
            return "not reached"
        self.tell(f"asking the hub for the {kind} {name} ...")
        try:
            HfApi().repo_info(name, repo_type=kind, timeout=10)
        except GatedRepoError:  # a kind of RepositoryNotFoundError
            return "gated"
        except (RepositoryNotFoundError, HFValidationError):
            return "missing"
        except HfHubHTTPError:  # too many questions, a proxy's page: none of it says that the id is wrong
            return "not reached"
        except Exception as error:  # no network
            self.silent = True
            self.tell(f"the hub does not answer ({type(error).__name__}); it is not asked again")
            return "not reached"
        return "on the hub"


def where(name: str, *, data: bool, awaited: Awaited | None = None, hub: Hub | None = None) -> str:
    """Whether a folder, file or hub id can be had; the hub is asked unless it is switched off."""
    if Path(name).expanduser().exists():
        return "here"
    if awaited is not None and name in awaited:
        return "awaited"
    if name.count("/") != 1 or name.startswith((".", "/", "~")) or Path(name).suffix in FILES:
        return "missing"
    from huggingface_hub import constants

    kind = "dataset" if data else "model"
    if (Path(constants.HF_HUB_CACHE) / f"{kind}s--{name.replace('/', '--')}").is_dir():
        return "in the cache"
    return (hub or Hub()).state(name, kind)
