"""Folders that another framework runs from: `medrl interop openrlhf|verl SOURCE --out FOLDER`.

SOURCE is the YAML of a reward tree, or a recipe; a recipe also gives the rows, and for OpenRLHF the command line. The
written Python files are a few lines long: they name the reward's YAML beside them and the peer's own base class.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import yaml

from medrl.errors import FolderTaken, RecipeError
from medrl.files import write_atomic
from medrl.interop import openrlhf, verl
from medrl.interop.openrlhf_command import Command, Launch, command
from medrl.interop.scoring import Scorer
from medrl.rewards import Reward
from medrl.types import Problem

AGENT = '''"""OpenRLHF agent of medrl (--train.agent_func_path): samples as OpenRLHF does, judges by reward.yaml beside it."""

from pathlib import Path

from openrlhf.utils.agent import SingleTurnAgentExecutor

from medrl.interop.openrlhf import agent_executor, reward_function

AgentExecutor = agent_executor(SingleTurnAgentExecutor, reward_function(Path(__file__).with_name("reward.yaml")))
'''

REWARD_FUNC = '''"""OpenRLHF reward file of medrl (--reward.remote_url); needs --algo.dynamic_filtering_enable."""

from pathlib import Path

from medrl.interop.openrlhf import reward_function

{knobs}reward_func = reward_function(Path(__file__).with_name("reward.yaml"){arguments})
'''

COMPUTE_SCORE = '''"""verl reward function of medrl (reward.custom_reward_function.path); judges by reward.yaml beside it."""

from pathlib import Path

from medrl.interop.verl import score_function

_score = score_function(Path(__file__).with_name("reward.yaml"))


async def compute_score(data_source, solution_str, ground_truth, extra_info=None, **more):
    return await _score(data_source, solution_str, ground_truth, extra_info, **more)
'''

MANAGER = '''"""verl reward manager of medrl (reward.reward_manager.module.path); judges by reward.yaml beside it."""

from pathlib import Path

from verl.experimental.reward_loop.reward_manager.base import RewardManagerBase

from medrl.interop.verl import reward_manager, score_function

MedrlRewardManager = reward_manager(RewardManagerBase, score_function(Path(__file__).with_name("reward.yaml")))
'''

VERL_OVERRIDES = """# Put these behind `python -m verl.trainer.main_ppo`, with your own data, model, batch sizes and GPUs.
reward.reward_manager.source=importlib
reward.reward_manager.name=MedrlRewardManager
reward.reward_manager.module.path={folder}/manager.py
trainer.use_v1=True
trainer.v1.sampler.sync_refill_failed_groups=True
"""


@dataclass(frozen=True)
class Exported:
    """What was written, and the command line where there is one."""

    folder: Path
    files: tuple[str, ...]
    command: Command | None = None


def export_openrlhf(reward: Reward, recipe: Any, folder: str | Path, launch: Launch) -> Exported:
    """Write what OpenRLHF runs from: agent, reward file and reward; of a recipe also rows and train.sh."""
    Scorer(reward)  # refuses a tree that this framework cannot serve
    place = _new(folder)
    if set(str(place)) & set(",@"):
        raise RecipeError(
            "the folder", [f"{place} has a comma or an @ in its name, which OpenRLHF takes for something else"]
        )
    tokens = special_tokens(launch.model or (recipe.policy.path if recipe else None))
    files = {"reward.yaml": _yaml(reward), "agent.py": AGENT, "reward_func.py": _reward_func(tokens)}
    made = None
    if recipe is not None:
        rows, held_out = _rows(recipe, openrlhf.rows)
        files |= {"prompts.jsonl": _lines(rows)} | ({"held_out.jsonl": _lines(held_out)} if held_out else {})
        made = command(recipe, launch, len(rows), str(place))
        files["train.sh"] = _script(made)
    return _write(place, files, made)


def export_verl(reward: Reward, recipe: Any, folder: str | Path) -> Exported:
    """Write what verl runs from: reward function, manager and reward; of a recipe also rows."""
    Scorer(reward)
    place = _new(folder)
    files = {"reward.yaml": _yaml(reward), "compute_score.py": COMPUTE_SCORE, "manager.py": MANAGER}
    overrides = VERL_OVERRIDES.format(folder=place)
    if recipe is not None:
        rows, held_out = _rows(recipe, verl.rows)
        files |= {"prompts.jsonl": _lines(rows)} | ({"held_out.jsonl": _lines(held_out)} if held_out else {})
        overrides += f"data.train_files={place}/prompts.jsonl\n"
        overrides += f"data.val_files={place}/held_out.jsonl\n" if held_out else ""
    files["overrides.txt"] = overrides
    return _write(place, files)


def _new(folder: str | Path) -> Path:
    place = Path(folder).expanduser().resolve()
    if place.exists() and (not place.is_dir() or any(place.iterdir())):
        raise FolderTaken(f"{place} exists and is not empty; name another folder, or empty it")
    return place


def _rows(recipe: Any, to_rows: Callable[[Sequence[Problem]], list[dict[str, Any]]]) -> tuple[list[Any], list[Any]]:
    from medrl.recipes.build import check_held_out, data_of, needs_reference, problems_of

    needs = needs_reference(recipe)
    problems = data_of(recipe)[0] if recipe.problems.undemonstrated else problems_of(recipe.problems, needs)
    held_out = problems_of(recipe.held_out, needs)[: recipe.evaluation.limit] if recipe.held_out is not None else []
    check_held_out(recipe, problems, held_out, [])
    return to_rows(problems), to_rows(held_out)


def special_tokens(model: str | None) -> tuple[tuple[str, ...], tuple[str, ...]] | None:
    """The tokens that end a response, and all other special ones, of a model on this disk; None for what is not here."""
    folder = Path(model).expanduser() if model is not None else None
    if folder is None or not folder.is_dir():
        return None
    from transformers import AutoTokenizer, GenerationConfig

    try:
        tokenizer = AutoTokenizer.from_pretrained(str(folder))
        config = GenerationConfig.from_pretrained(folder) if (folder / "generation_config.json").is_file() else None
    except (OSError, ValueError) as error:
        raise RecipeError("the model", [f"{model} has no tokenizer that can be read: {error}"]) from error
    ids = getattr(config, "eos_token_id", None)  # vLLM stops at these too; there may be several
    listed = ids if isinstance(ids, list) else [ids]
    ends = [tokenizer.eos_token, *(tokenizer.convert_ids_to_tokens(one) for one in listed if one is not None)]
    added = [token.content for token in tokenizer.added_tokens_decoder.values() if token.special]
    known = dict.fromkeys(filter(None, ends))
    return tuple(known), tuple(t for t in dict.fromkeys([*tokenizer.all_special_tokens, *added]) if t not in known)


def _reward_func(tokens: tuple[tuple[str, ...], tuple[str, ...]] | None) -> str:
    if tokens is None:
        return REWARD_FUNC.format(knobs="", arguments="")
    knobs = f"ENDS = {list(tokens[0])!r}  # of the model's tokenizer\nSPECIALS = {list(tokens[1])!r}\n"
    return REWARD_FUNC.format(knobs=knobs, arguments=", ends=tuple(ENDS), specials=tuple(SPECIALS)")


def _yaml(reward: Reward) -> str:
    return yaml.safe_dump(reward.to_config(), sort_keys=False, allow_unicode=True, width=120)


def _lines(rows: Sequence[Mapping[str, Any]]) -> str:
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)


def _script(made: Command) -> str:
    notes = "".join(f"#   {knob}: {why}\n" for knob, why in made.notes.items())
    return (
        "#!/usr/bin/env bash\n# Written by `medrl interop openrlhf` for openrlhf 0.11.2; start it where both are installed.\n"
        f"# Knobs of the recipe that have no flag, and what becomes of them:\n{notes}set -euo pipefail\n\n"
        f"{made.shell()}"
    )


def _write(place: Path, files: Mapping[str, str], made: Command | None = None) -> Exported:
    place.mkdir(parents=True, exist_ok=True)
    for name, text in files.items():
        write_atomic(place / name, text)
    if "train.sh" in files:
        (place / "train.sh").chmod(0o755)
    return Exported(place, tuple(files), made)


def with_defaults(launch: Launch, **knobs: Any) -> Launch:
    """The launch with the knobs that were given on a command line; those left out (None) stay as they are."""
    return replace(launch, **{name: value for name, value in knobs.items() if value is not None})
