"""A policy of a run as a folder of its own: `medrl export RUN|CHECKPOINT FOLDER`.

Checkpoints are whole Hugging Face folders with a learner's state beside; what is exported is the folder without it, read
once to see that it loads, or weights and state together as DeepSpeed's universal checkpoint. The new folder appears whole or
not at all.
"""

import json
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

from medrl.errors import FolderTaken, MissingFile
from medrl.files import atomic_folder

if TYPE_CHECKING:
    from medrl.models import Policy

# What a checkpoint holds beside the policy: the state of learner and trainer, and adapters that are added already.
STATE = ("optimizer*.safetensors", "learner.json", "trainer.json", "adapter")


def export_policy(source: str | Path, folder: str | Path, *, dtype: str | None = None) -> dict[str, object]:
    """Write the policy in `source` to `folder`.

    Args:
        source: A checkpoint of a run, or any other folder that a policy was saved in.
        folder: Where it goes; must not exist, or be empty.
        dtype: Change the weights to this type (float32, bfloat16, float16); as they are when empty.

    Returns:
        What was written: parameters, dtype, bytes.

    Raises:
        MissingFile: There is no policy in `source`, or it cannot be read.
        FolderTaken: `folder` holds something.
    """
    source, folder = Path(source), Path(folder)
    policy, kind = _read(source, folder, dtype)
    with atomic_folder(folder) as partial:
        if dtype is None:
            shutil.copytree(source, partial, dirs_exist_ok=True, ignore=shutil.ignore_patterns(*STATE))
        else:
            policy.save(partial)
    size = sum(file.stat().st_size for file in folder.glob("*.safetensors"))
    return {"parameters": policy.parameters, "dtype": kind, "bytes": size}


def export_universal(source: str | Path, folder: str | Path) -> dict[str, int]:
    """Write the checkpoint `source` to `folder` as DeepSpeed's universal checkpoint.

    Returns:
        What was written: see `medrl.learners.universal.write_universal`; and bytes.

    Raises:
        MissingFile: There is no policy in `source`, or it cannot be read, or it has no learner's state beside it.
        DataError, CheckpointError: That state is of adapters, or of something else.
        FolderTaken: `folder` holds something.
    """
    source, folder = Path(source), Path(folder)
    policy, _ = _read(source, folder, None)
    from medrl.learners.universal import write_universal

    with atomic_folder(folder) as partial:
        found = write_universal(policy, source.resolve(), partial)
    return {**found, "bytes": sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())}


def _read(source: Path, folder: Path, dtype: str | None) -> tuple["Policy", str]:
    """The policy to export, and its type, where there is one and a place for it."""
    if not (source / "config.json").is_file():
        raise MissingFile(
            f"{source} holds no policy (there is no config.json); give a run, a checkpoint of one, or best/"
        )
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise FolderTaken(f"{folder} exists and is not empty; name another folder, or empty it")
    from medrl.models import Policy, PolicySpec

    kind = dtype or str(json.loads((source / "config.json").read_text()).get("dtype", "float32"))
    return Policy.load(str(source.absolute()), PolicySpec(dtype=kind, device="cpu")), kind  # type: ignore[arg-type]
