"""Train a reward model from a recipe: fit the members, bring them to one scale, calibrate, measure, write the folder.

What is written can be used at once: `{type: preference, model: FOLDER}`.
"""

import json
import statistics
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from medrl import __version__
from medrl.commands.reward_figures import Judged, figures, judge_pairs, report, temperature_of
from medrl.data.preferences import PreferencePair, load_preferences
from medrl.errors import DataError, FolderTaken, TrainingDiverged
from medrl.files import atomic_folder, json_line, write_atomic
from medrl.recipes.process import quiet_libraries
from medrl.recipes.reward_model import PairSets, RewardRecipe, load_pair_sets, to_yaml
from medrl.rewards.reward_model import SETTINGS, RewardModel, Scale, loaded, source_of
from medrl.rewards.reward_model_layout import token_rows, visible
from medrl.seeds import seed_of
from medrl.verifiers.classifier_model import context_of
from medrl.verifiers.protocol import digest


@dataclass(frozen=True)
class TrainedReward:
    """What the training of a reward model came to.

    Attributes:
        folder: Weights, tokenizer, reward_model.json, recipe.yaml and test.jsonl.
        settings: The content of reward_model.json.
        model: The reward model itself.
        test: What it made of each test pair.
    """

    folder: Path
    settings: dict[str, Any]
    model: RewardModel
    test: tuple[Judged, ...]


def train_reward(recipe: RewardRecipe, say: Callable[[str], None] = print) -> TrainedReward:
    """Carry out a recipe.

    Args:
        recipe: What to train, on what.
        say: Gets each line of the report.

    Raises:
        DataError: Pairs cannot be read or used.
        FolderTaken: There is something in the folder, and `overwrite` is false.
        TrainingDiverged: A loss is no finite number, or a member gives all replies one reward; nothing is written.
    """
    import torch

    if not recipe.overwrite and recipe.target.is_dir() and any(recipe.target.iterdir()):
        raise FolderTaken(f"{recipe.target} holds something; name another folder=, or say overwrite=true to replace it")
    quiet_libraries()
    if recipe.threads:
        torch.set_num_threads(recipe.threads)
    sets = load_pair_sets(recipe)
    say("pairs: " + ", ".join(f"{len(pairs)} {name}" for name, pairs in sets.named().items()))
    for name, why in sets.left_out.items():
        say(f"left out of {name}: " + ", ".join(f"{count} {reason}" for reason, count in why.items()))
    model, fitted = _fitted(recipe, sets.train, say)
    model.scales = _scales(model, sets.held_out)
    held_out = judge_pairs(model, sets.held_out)
    test = judge_pairs(model, sets.test)
    settings = _settings(recipe, sets, model, fitted, held_out, test)
    for name in ("held_out", "test"):
        for line in report(name, settings[name]) if name in settings else ():
            say(line)
    _write(recipe, model, sets, settings)
    say(f"wrote {recipe.target}; use it as {{type: preference, model: {recipe.target}}}")
    return TrainedReward(recipe.target, settings, model, tuple(test))


def evaluate_reward(
    folder: str, pairs: str, device: str = "auto", say: Callable[[str], None] = print
) -> dict[str, Any]:
    """The figures of a trained reward model (folder or hub id) on a file of pairs or feedback records."""
    quiet_libraries()
    found = load_preferences(pairs)
    if not found.pairs:
        raise DataError(f"{pairs} gives no pairs; left out: {dict(found.left_out)}")
    model = loaded(source_of(folder, device=device))
    judged = judge_pairs(model, found.pairs)
    measured = figures(judged, float(model.settings.get("temperature", 1.0)))
    for line in report(pairs, measured):
        say(line)
    if not model.settings:
        say("  the model has no reward_model.json: its rewards are raw, and no temperature was fitted")
    return {"model": folder, "pairs": pairs, "left_out": dict(found.left_out), **measured}


def _fitted(
    recipe: RewardRecipe, train: Sequence[PreferencePair], say: Callable[[str], None]
) -> tuple[RewardModel, list[dict[str, float]]]:
    """The members, trained, and loss and updates of each."""
    import torch

    from medrl.models.reward_model import new_reward_model, pretrained_reward_model
    from medrl.trainers.reward_model import encode_pairs, train_reward_model

    base, members, fitted = recipe.base, [], []
    device = base.device if base.device != "auto" else "cuda" if torch.cuda.is_available() else "cpu"
    texts = [pair.problem.question for pair in train]
    texts += [visible(side.text, recipe.format) for pair in train for side in (pair.chosen, pair.rejected)]
    tokenizer, encoded = None, []
    for member in range(recipe.members):
        seed = seed_of("reward-model", recipe.seed, member) % 2**31
        if base.new is not None:
            model, reads = new_reward_model(texts, base.new, seed)
        else:
            model, reads = pretrained_reward_model(str(base.path), base.revision, base.dtype, seed)
        if tokenizer is None:
            tokenizer, context = reads, context_of(model, reads)
            limit = min(recipe.max_length or context, context)
            encoded = encode_pairs(tokenizer, train, limit, recipe.format)
        torch.nn.Module.to(model, torch.device(device))
        name = f"member {member}: " if recipe.members > 1 else ""

        def show(step: int, of: int, logs: dict[str, float], name: str = name) -> None:
            if step % 50 == 0:
                say(f"{name}update {step}/{of}: loss {logs['loss']:.3f}, accuracy {logs.get('accuracy', 0):.2f}")

        fitted.append(train_reward_model(model, tokenizer, encoded, recipe.training, seed=seed, on_update=show))
        members.append(model)
    return RewardModel(members, tokenizer, None, limit, {"format": recipe.format}), fitted


def _scales(model: RewardModel, reference: Sequence[PreferencePair]) -> tuple[Scale, ...]:
    """Mean and standard deviation of every member's rewards on the replies of the reference set, each reply once."""
    replies = {(pair.problem.id, side.text): (pair.problem, side.response)
               for pair in reference for side in (pair.chosen, pair.rejected)}  # fmt: skip
    rows = token_rows(model.tokenizer, list(replies.values()), model.format)
    scales = tuple(Scale(statistics.fmean(raw), statistics.pstdev(raw)) for raw in model.raw(rows))
    if any(not 1e-6 < scale.std < float("inf") for scale in scales):
        raise TrainingDiverged("a member gives every reply of the reference set the same reward; lower training.lr")
    return scales


def _settings(
    recipe: RewardRecipe, sets: PairSets, model: RewardModel, fitted: Sequence[dict[str, float]],
    held_out: Sequence[Judged], test: Sequence[Judged],
) -> dict[str, Any]:  # fmt: skip
    """The content of reward_model.json: how to use the model, and how good it is on pairs that it never saw."""
    temperature = temperature_of(held_out)
    settings: dict[str, Any] = {
        "medrl_version": __version__,
        "name": recipe.name,
        "layout": "chat_template",
        "format": recipe.format,
        "max_length": model.context,
        "members": [{**asdict(scale), **fit} for scale, fit in zip(model.scales or (), fitted, strict=True)],
        "temperature": temperature,
        "base": asdict(recipe.base),
        "length_bias": recipe.training.length_bias,
        "pairs": {
            name: {"n": len(pairs), "digest": digest([pair.to_json() for pair in pairs])}
            for name, pairs in sets.named().items()
        },
        "held_out": figures(held_out, temperature),
    }
    return {**settings, "test": figures(test, temperature)} if test else settings


def _write(recipe: RewardRecipe, model: RewardModel, sets: PairSets, settings: dict[str, Any]) -> None:
    """The folder as a whole or not at all."""
    with atomic_folder(recipe.target) as folder:
        for number, member in enumerate(model.members):
            member.save_pretrained(folder / f"member_{number}" if number else folder)
        model.tokenizer.save_pretrained(folder)
        write_atomic(folder / SETTINGS, json.dumps(settings, ensure_ascii=False, indent=1) + "\n")
        write_atomic(folder / "recipe.yaml", to_yaml(recipe))
        if sets.test:
            write_atomic(folder / "test.jsonl", b"".join(json_line(pair.to_json()) for pair in sets.test))
