"""What does a trained verifier see that rules do not? Exact match, rules, a classifier, and the rules before it.

    python benchmarks/classifier.py                                  two quiet cores, 6 to 8 minutes
    python benchmarks/classifier.py --json out.json answers.count=20000 training.epochs=1
    python benchmarks/classifier.py --verifier runs/verifier-tiny    an earlier one, without training

Trains examples/verifier/tiny.yaml and asks every arm about two sets of labelled answers that neither training nor
calibration saw: concepts and wordings both held out, and the wordings alone. All arms see the reference only, without
its other names. An answer that an arm leaves open counts as refused, as it does in training with `otherwise: 0.0`; so
false accepts and false rejects stand beside the accuracy, and the share that was decided at all. The rules stand with
and without the clinic's table of names, which knows every synonym of both sets: what no rule has outside a closed world.
Exits non-zero when something could not be measured.
"""

import argparse
import math
import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

from common import fail, machine, print_machine, print_table, write_json

from medrl.commands.train_verifier import reliability_lines, train_verifier
from medrl.commands.verifier_figures import Outcome, by, figures
from medrl.data.clinic.answers import generate_answers
from medrl.data.labelled import LabelledAnswer, overlap
from medrl.recipes.verifier import VerifierRecipe, load_answers, load_verifier_recipe
from medrl.types import Problem, Response, Verdict
from medrl.verifiers import Cascade, RuleVerifier, Typed, Verifier, final_answer, judge, normal, run_sync
from medrl.verifiers.classifier import Classifier, sigmoid
from medrl.verifiers.reliability import reliability

RECIPE = Path(__file__).parents[1] / "examples" / "verifier" / "tiny.yaml"


class ExactMatch(RuleVerifier):
    """The committed answer is the reference, letter for letter once both are normalised."""

    name = "exact_match"

    def check(self, problem: Problem, response: Response) -> Verdict:
        answer = final_answer(response.text)
        same = answer is not None and normal(answer.text) == normal(str(problem.reference))
        return Verdict.right() if same else Verdict.wrong()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--recipe", default=str(RECIPE))
    parser.add_argument("--verifier", help="folder of a verifier that was trained before")
    parser.add_argument("--count", type=int, default=2000, help="answers in each of the two sets")
    parser.add_argument("--json", type=Path)
    parser.add_argument("overrides", nargs="*", metavar="KNOB=VALUE")
    options = parser.parse_args()
    recipe = load_verifier_recipe(options.recipe, options.overrides)
    started = time.perf_counter()
    with TemporaryDirectory() as folder:
        if options.verifier is None:
            train_verifier(replace(recipe, folder=f"{folder}/verifier", test=None))
        where = options.verifier or f"{folder}/verifier"
        minutes = (time.perf_counter() - started) / 60
        report = {"training_minutes": minutes, **compare(recipe, where, options.count)}
    print_machine(machine())
    write_json(options.json, {**report, **machine()})
    return 0


def compare(recipe: VerifierRecipe, folder: str, count: int) -> dict[str, object]:
    """All arms on both sets."""
    seen = load_answers(replace(recipe, test=None))
    report: dict[str, object] = {}
    for title, known in (("new concepts, new wordings", False), ("known concepts, new wordings", True)):
        answers = generate_answers(count, "test", known=known, seed=1)
        shared = set(overlap([*seen.first, *seen.train, *seen.held_out], answers, with_question=recipe.show_question))
        answers = [one for one in answers if one.problem.id not in shared]
        right = sum(one.expected for one in answers)
        print(f"\n{title}: {len(answers)} answers, {right} right ({len(shared)} that training saw are left out)")
        key = "known" if known else "new"
        report |= {f"{key}_{name}": value for name, value in on_one_set(answers, folder).items()}
    return report


def on_one_set(answers: Sequence[LabelledAnswer], folder: str) -> dict[str, object]:
    """A table of arms, by category for rules and cascade, and the classifier's reliability before and after."""
    classifier = Classifier(model=folder, device="cpu")
    rules, named = Typed(), Typed(vocabulary="clinic")
    arms: dict[str, Verifier] = {
        "exact match": ExactMatch(),
        "rules": rules,
        "classifier": classifier,
        "rules, then classifier": Cascade((rules, classifier)),
        "rules with names": named,
        "rules with names, then classifier": Cascade((named, classifier)),
    }
    rows, report = [], {}
    outcomes = {name: asked(verifier, answers) for name, verifier in arms.items()}
    for name, found in outcomes.items():
        of = figures(found)
        low, high = of["false_accept_interval"]
        share = {k: of[k] for k in ("decided", "accuracy_decided", "false_accept", "false_reject")}
        accuracy = sum(one.accepted == one.expected for one in found) / len(found)
        refused = sum(one.expected and not one.accepted for one in found) / of["n_should_accept"]
        report |= {f"{name}: {k}": v for k, v in {"accuracy": accuracy, "not_accepted": refused, **share}.items()}
        rows.append([name, f"{accuracy:.1%}", f"{share['decided']:.1%}", f"{share['false_accept']:.1%}"])
        rows[-1] += [f"{low:.1%}-{high:.1%}", f"{refused:.1%}"]
    print_table(["", "accuracy", "decided", "false accept", "95 %", "right but refused"], rows)
    by_category(outcomes)
    report |= calibration(classifier, answers)
    return report


def asked(verifier: Verifier, answers: Sequence[LabelledAnswer]) -> list[Outcome]:
    """What a verifier makes of each answer; ends the benchmark when it fails on one."""
    verdicts = run_sync(judge(verifier, [one.item for one in answers]))
    failed = [v for v in verdicts if v.status not in ("ok", "abstain")]
    if failed:
        fail(f"{verifier.name} failed on {len(failed)} of {len(answers)} answers: {failed[0].reason}")
    topics = [replace(one.problem, metadata={**one.problem.metadata, "category": one.category}) for one in answers]
    return [Outcome(p, one.expected, v) for p, one, v in zip(topics, answers, verdicts, strict=True)]


def by_category(outcomes: dict[str, list[Outcome]]) -> None:
    """How many of each kind are judged as labelled, right ones first."""
    shown = ("exact match", "rules", "classifier", "rules, then classifier")
    parts = {
        name: by(outcomes[name], lambda one: f"{'wrong' if not one.expected else 'right'}: {one.category}")
        for name in shown
    }
    print()
    rows = []
    for category, first in parts["rules"].items():
        cells = [category, str(first["n"])]
        for name in shown:
            of = parts[name][category]
            accepted = of["n_should_accept"] and of["n_right"]
            refused = of["n_should_reject"] - of["n_false_accept"]
            cells.append(f"{(accepted + refused) / of['n']:.0%}")
        rows.append(cells)
    print_table(["as labelled, by kind", "n", *shown], rows)


def calibration(classifier: Classifier, answers: Sequence[LabelledAnswer]) -> dict[str, float]:
    """Reliability of p(True) with the folder's temperature, and without it."""
    raw = replace(classifier, score="probability")
    verdicts = run_sync(judge(raw, [one.item for one in answers]))
    pairs = [(v.parts["p_true"], one.expected) for v, one in zip(verdicts, answers, strict=True) if "p_true" in v.parts]
    p, labels = [one for one, _ in pairs], [label for _, label in pairs]
    temperature = classifier.settings().temperature
    plain = [sigmoid(temperature * math.log(max(one, 1e-12) / max(1 - one, 1e-12))) for one in p]
    before, after = reliability(plain, labels), reliability(p, labels)
    print(
        f"\nECE {before.ece:.3f} before, {after.ece:.3f} after the temperature {temperature:.2f}; Brier {before.brier:.3f}, "
        f"{after.brier:.3f}; {len(p)} of {len(answers)} answers were asked about. After:"
    )
    print("\n".join(reliability_lines(after.to_json())))
    names = {"ece_before": before.ece, "ece_after": after.ece, "brier_before": before.brier, "brier_after": after.brier}
    return {**names, "temperature": temperature, "threshold": classifier.settings().threshold}


if __name__ == "__main__":
    sys.exit(main())
