"""Train a model verifier from a recipe: fit, calibrate, choose the threshold, write the folder and its card.

What is written can be used at once: `{type: classifier, model: FOLDER}` takes layout, temperature and threshold from the
folder's verifier.json.
"""

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from medrl import __version__
from medrl.commands.verifier_card import measure
from medrl.commands.verifier_card_page import markdown
from medrl.data import verifier_cards
from medrl.data.labelled import LabelledAnswer
from medrl.errors import DataError, FolderTaken
from medrl.files import atomic_folder, json_line, write_atomic
from medrl.recipes.process import quiet_libraries
from medrl.recipes.verifier import Answers, VerifierRecipe, load_answers, to_yaml
from medrl.trainers.calibration import fit_temperature, threshold_for
from medrl.verifiers.classifier import Classifier, sigmoid
from medrl.verifiers.classifier_model import SETTINGS, LoadedClassifier, check_layout, context_of
from medrl.verifiers.protocol import digest
from medrl.verifiers.reliability import Bin, Reliability, reliability, table

if TYPE_CHECKING:
    from medrl.trainers.classifier import ClassifierSettings

TRUE = 1  # index of the label that `medrl.models.classifier` names True
MEASURE_BATCH = 64


@dataclass(frozen=True)
class Trained:
    """What the training of a verifier came to.

    Attributes:
        folder: Weights, tokenizer, verifier.json, recipe.yaml, test.jsonl and the card (README.md).
        settings: The content of verifier.json.
    """

    folder: Path
    settings: dict[str, Any]


def train_verifier(recipe: VerifierRecipe, say: Callable[[str], None] = print) -> Trained:
    """Carry out a recipe.

    Args:
        recipe: What to train, on what.
        say: Gets each line of the report.

    Raises:
        DataError: Answers cannot be read or used.
        FolderTaken: There is something in the folder, and `overwrite` is false.
        TrainingDiverged: The loss is no finite number; nothing is written.
    """
    import torch

    if not recipe.overwrite and recipe.target.is_dir() and any(recipe.target.iterdir()):
        raise FolderTaken(f"{recipe.target} holds something; name another folder=, or say overwrite=true to replace it")

    from medrl.trainers.classifier import encode

    quiet_libraries()
    if recipe.threads:
        torch.set_num_threads(recipe.threads)
    answers = load_answers(recipe)
    classifier = start(recipe, [*answers.first, *answers.train])
    say("answers: " + ", ".join(f"{len(given)} {name}" for name, given in named(answers).items()))
    limit = min(recipe.max_length or classifier.context, classifier.context)
    rows = {
        name: encode(classifier.tokenizer, recipe.filled, given, limit, recipe.format)
        for name, given in named(answers).items()
    }
    if answers.first:
        once = replace(recipe.training, epochs=1.0)
        fit(classifier, rows["first"], answers.first, once, recipe.seed, say)
    fitted = fit(classifier, rows["train"], answers.train, recipe.training, recipe.seed, say)
    margins: dict[str, list[float]] = {
        name: margins_of(classifier, rows[name]) for name in ("held_out", "test") if name in rows
    }
    settings = calibrated(recipe, answers, margins, fitted)
    for line in report(settings):
        say(line)
    write(recipe, classifier, answers, settings)
    say(f"wrote {recipe.target}; use it as {{type: classifier, model: {recipe.target}}}")
    return Trained(recipe.target, settings)


def fit(
    classifier: LoadedClassifier,
    rows: Sequence[dict[str, list[int]]],
    answers: Sequence[LabelledAnswer],
    settings: "ClassifierSettings",
    seed: int,
    say: Callable[[str], None],
) -> dict[str, float]:
    """One stage of training, with a line every 200 updates."""
    from medrl.trainers.classifier import train_classifier

    def show(step: int, of: int, logs: dict[str, float]) -> None:
        if step % 200 == 0:
            say(f"update {step}/{of}: loss {logs['loss']:.3f}")

    labels = [int(one.expected) for one in answers]
    return train_classifier(classifier.model, rows, labels, settings, seed=seed, on_update=show)


def named(answers: Answers) -> dict[str, list[LabelledAnswer]]:
    """The sets by name, empty ones left out."""
    sets = {"first": answers.first, "train": answers.train, "held_out": answers.held_out, "test": answers.test}
    return {name: given for name, given in sets.items() if given}


def start(recipe: VerifierRecipe, train: Sequence[LabelledAnswer]) -> LoadedClassifier:
    """The untrained classifier that a recipe names."""
    import torch

    from medrl.models.classifier import LABELS, new_classifier, pretrained_classifier
    from medrl.trainers.classifier import shown

    base = recipe.base
    if base.new is not None:
        texts = [recipe.filled.fill(*texts) for texts in shown(train, recipe.format)]
        model, tokenizer = new_classifier(texts, base.new, recipe.seed)
    else:
        model, tokenizer = pretrained_classifier(str(base.path), base.revision, base.dtype)
    device = base.device if base.device != "auto" else "cuda" if torch.cuda.is_available() else "cpu"
    torch.nn.Module.to(model, torch.device(device))
    classifier = LoadedClassifier(model, tokenizer, list(LABELS), context_of(model, tokenizer))
    check_layout(classifier, recipe.filled, base.path or "the model from scratch")
    return classifier


def margins_of(classifier: LoadedClassifier, rows: Sequence[dict[str, list[int]]]) -> list[float]:
    """Logit of True less that of False of each row."""
    found = classifier.margins(rows, TRUE, MEASURE_BATCH)
    failed = next((one for one in found if isinstance(one, Exception)), None)
    if failed is not None:
        raise DataError(f"the trained verifier cannot be asked: {failed}") from failed
    return [one for one in found if not isinstance(one, Exception)]


def calibrated(
    recipe: VerifierRecipe, answers: Answers, margins: dict[str, list[float]], fitted: dict[str, float]
) -> dict[str, Any]:
    """The content of verifier.json: how to use the model, and how good it is on answers that it never saw."""
    knobs = recipe.calibration
    labels = [one.expected for one in answers.held_out]
    temperature = fit_temperature(margins["held_out"], labels) if knobs.temperature else 1.0
    p = [sigmoid(m / temperature) for m in margins["held_out"]]
    threshold = knobs.threshold if knobs.threshold is not None else threshold_for(p, labels, knobs.max_false_accept)
    settings: dict[str, Any] = {
        "medrl_version": __version__,
        "name": recipe.name,
        "layout": recipe.layout,
        "show_question": recipe.show_question,
        "threshold": threshold,
        "temperature": temperature,
        "max_length": recipe.max_length,
        "true_label": "True",
        "base": asdict(recipe.base),
        "answers": {
            name: {"n": len(given), "right": sum(one.expected for one in given), "digest": fingerprint(given)}
            for name, given in named(answers).items()
        },
        "training": {"loss": fitted["loss"], "updates": fitted["updates"]},
        "max_false_accept": knobs.max_false_accept if knobs.threshold is None else None,
    }
    for name, given in (("held_out", answers.held_out), ("test", answers.test)):
        if name in margins:
            settings[name] = measured(margins[name], [one.expected for one in given], temperature, threshold)
    return settings


def measured(margins: Sequence[float], labels: Sequence[bool], temperature: float, threshold: float) -> dict[str, Any]:
    """Decisions at the threshold, and reliability before and after the temperature."""
    p = [sigmoid(m / temperature) for m in margins]
    wrong = [one > threshold for one, right in zip(p, labels, strict=True) if not right]
    right = [one > threshold for one, right in zip(p, labels, strict=True) if right]
    return {
        "accuracy": (sum(right) + len(wrong) - sum(wrong)) / len(p),
        "false_accept": sum(wrong) / len(wrong) if wrong else None,
        "false_reject": 1 - sum(right) / len(right) if right else None,
        "before": reliability([sigmoid(m) for m in margins], labels).to_json(),
        "after": reliability(p, labels).to_json(),
    }


def report(settings: dict[str, Any]) -> list[str]:
    """What the console shows: the figures on each set and the reliability table of the last."""
    lines = [f"temperature {settings['temperature']:.3f}, threshold {settings['threshold']:.3f}"]
    shown = [name for name in ("held_out", "test") if name in settings]
    for name in shown:
        of = settings[name]
        lines.append(
            f"{name}: accuracy {_share(of['accuracy'])}, false accept {_share(of['false_accept'])}, false reject "
            f"{_share(of['false_reject'])}; ECE {of['before']['ece']:.3f} before, {of['after']['ece']:.3f} after; Brier "
            f"{of['before']['brier']:.3f} before, {of['after']['brier']:.3f} after"
        )
    return [*lines, f"reliability on {shown[-1]}, after:", *reliability_lines(settings[shown[-1]]["after"])]


def reliability_lines(row: dict[str, Any]) -> list[str]:
    """The table of a `Reliability` that was written as JSON."""
    found = Reliability(**{**row, "bins": tuple(Bin(**one) if isinstance(one, dict) else one for one in row["bins"])})
    return ["  ".join(cell.rjust(8) for cell in cells) for cells in table(found)]


def write(recipe: VerifierRecipe, classifier: LoadedClassifier, answers: Answers, settings: dict[str, Any]) -> None:
    """The folder as a whole or not at all; then its card, measured through the verifier that it makes."""
    with atomic_folder(recipe.target) as folder:
        classifier.model.save_pretrained(folder)
        classifier.tokenizer.save_pretrained(folder)
        write_atomic(folder / SETTINGS, json.dumps(settings, ensure_ascii=False, indent=1) + "\n")
        write_atomic(folder / "recipe.yaml", to_yaml(recipe))
        if answers.test:
            write_atomic(folder / "test.jsonl", b"".join(json_line(one.to_json()) for one in answers.test))
    if answers.test:
        # Measured where it will be used, so that the card has the fingerprint of that verifier.
        verifier = Classifier(model=str(recipe.target), device=recipe.base.device, format=recipe.format)
        card = measure(verifier, recipe.target / "test.jsonl", attack=recipe.attacks)
        page = markdown(card) + "\n## Reliability\n\n```\n" + "\n".join(report(settings)) + "\n```\n"
        write_atomic(recipe.target / "README.md", page)
        verifier_cards.save(card.report)  # where a run looks for it, which warns of verifiers without a card


def fingerprint(answers: Sequence[LabelledAnswer]) -> str:
    """16 hex digits over the answers with their labels."""
    return digest([one.to_json() for one in answers])


def _share(value: float | None) -> str:
    return "-" if value is None else f"{value:.1%}"
