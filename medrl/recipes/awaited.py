"""What the recipes beside a recipe are to write: folders that are not there yet, and of which base their models will be."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from medrl.errors import MedrlError
from medrl.recipes.tree import read_tree


class Awaited:
    """Folders that other recipes name as theirs."""

    def __init__(self, recipe: str | Path | None = None) -> None:
        """Read the YAML files beside a recipe; without one nothing is awaited."""
        self._trees = dict[Path, Mapping[str, Any]]()
        if recipe is None:
            return
        file = Path(recipe)
        for other in sorted(file.parent.glob("*.yaml")):
            if other.name == file.name:
                continue
            try:
                tree = read_tree(other, ())
            except MedrlError:
                continue  # no recipe, or a faulty one, whose own command will say so
            if isinstance(tree.get("folder"), str):
                self._trees[Path(tree["folder"])] = tree

    def __contains__(self, path: str) -> bool:
        return self._writer(path) is not None

    def excuses(self, fault: str) -> bool:
        """Whether a fault only says that such a folder is not there."""
        folder = missing_folder(fault)
        return folder is not None and folder in self

    def base(self, path: str) -> str:
        """What a model that is not there yet will have been trained from, as far back as the recipes say."""
        for _ in range(1 + len(self._trees)):
            writer = None if Path(path).exists() else self._writer(path)
            start = (writer.get("policy") or writer.get("base")) if writer is not None else None
            if not (isinstance(start, Mapping) and isinstance(start.get("path"), str)):
                break
            path = start["path"]
        return path

    def _writer(self, path: str) -> Mapping[str, Any] | None:
        place = Path(path)
        return next((tree for folder, tree in self._trees.items() if folder in (place, *place.parents)), None)


def missing_folder(fault: str) -> str | None:
    """The folder of which a recipe's fault says that it is not there; None for any other fault."""
    _, found, rest = fault.partition("there is no folder ")
    return rest.partition(";")[0] if found else None  # behind it, what else it might be called
