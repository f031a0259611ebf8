"""Verifiers: they read a response against a problem's reference and give a `Verdict`.

Rules abstain rather than guess, a failure is never a score, and nothing here imports torch.
"""

if __name__ == "verifiers":
    raise ImportError(
        "this folder is medrl's: import it as medrl.verifiers (the bare name `verifiers` belongs to another package); "
        "if you meant that other package, run Python from outside the medrl repository or with -P"
    )

from medrl.verifiers.cascade import Cascade
from medrl.verifiers.chat_judge import Judge
from medrl.verifiers.choice import Choice
from medrl.verifiers.classifier import Classifier
from medrl.verifiers.dates import Dates
from medrl.verifiers.dosing import Dosing
from medrl.verifiers.extract import Extracted, Format, Sections, degenerate, final_answer, sections
from medrl.verifiers.isolated import Isolated
from medrl.verifiers.normalise import normal
from medrl.verifiers.number import Number
from medrl.verifiers.protocol import (
    Config,
    FunctionVerifier,
    RuleVerifier,
    Verifier,
    build,
    judge,
    run_sync,
    verifier,
    verify_all,
)
from medrl.verifiers.sets import SetOf
from medrl.verifiers.similarity import Similarity
from medrl.verifiers.symbolic import Symbolic
from medrl.verifiers.text import Text
from medrl.verifiers.typed import Typed
from medrl.verifiers.yes_no import YesNo

__all__ = [
    "Cascade",
    "Choice",
    "Classifier",
    "Config",
    "Dates",
    "Dosing",
    "Extracted",
    "Format",
    "FunctionVerifier",
    "Isolated",
    "Judge",
    "Number",
    "RuleVerifier",
    "Sections",
    "SetOf",
    "Similarity",
    "Symbolic",
    "Text",
    "Typed",
    "Verifier",
    "YesNo",
    "build",
    "degenerate",
    "final_answer",
    "judge",
    "normal",
    "run_sync",
    "sections",
    "verifier",
    "verify_all",
]
