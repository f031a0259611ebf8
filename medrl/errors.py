"""Every error that medrl raises on purpose. Each is also a standard-library error, and each survives pickling (Ray).

A message says what happened, where, and what to do.
"""

from collections.abc import Iterable, Sequence
from difflib import get_close_matches
from typing import Any


class MedrlError(Exception):
    """The root: `except MedrlError` catches whatever the user can mend."""


class ProblemError(MedrlError, ValueError):
    """A problem, or a row that should become one, is broken."""


class DataError(MedrlError, ValueError):
    """A file or data set cannot be read as what it should be."""


class MissingFile(DataError, FileNotFoundError):
    """A file or folder that was named does not exist."""

    __str__ = Exception.__str__


class RecipeError(MedrlError, ValueError):
    """A recipe has faults; all of them are listed at once in `faults`."""

    def __init__(self, source: str, faults: Sequence[str]) -> None:
        super().__init__(source, tuple(faults))
        self.source, self.faults = source, tuple(faults)

    def __str__(self) -> str:
        count = "1 fault" if len(self.faults) == 1 else f"{len(self.faults)} faults"
        return f"{self.source} has {count}:" + "".join(f"\n  - {fault}" for fault in self.faults)


class PluginError(MedrlError, LookupError):
    """A component that was named cannot be found or loaded."""


class MissingExtra(MedrlError, ImportError):
    """A part of medrl needs a package that is not installed."""


class InvalidScore(MedrlError, ValueError):
    """A verdict, score or reward is not a number that it may be (NaN, infinite, out of range)."""


class VerifierUntrustworthy(MedrlError, RuntimeError):
    """A verifier was tried on answers of known worth, and paid for nothing or refused what is plainly right."""


class RewardFailed(MedrlError, RuntimeError):
    """So many rollouts went unscored that training on the rest would mislead."""


class TemplateError(MedrlError, ValueError):
    """A tokenizer's chat template, EOS or context length does not fit the run."""


class UnsupportedModel(MedrlError, ValueError):
    """A model is built so that medrl would compute something else than the model does."""


class CheckpointError(MedrlError, RuntimeError):
    """A checkpoint cannot be written, or is not whole, or does not belong to this run."""


class FolderTaken(MedrlError, FileExistsError):
    """The folder for a run holds another run, or something else."""

    __str__ = Exception.__str__


class StageFailed(MedrlError, RuntimeError):
    """The work of a stage failed in its own process, which said why."""


class ClusterUnavailable(MedrlError, ConnectionError):
    """A Ray cluster cannot be reached or started, or has not what a run asks of it."""


class TrainingDiverged(MedrlError, ArithmeticError):
    """A loss, gradient or weight is no longer a finite number."""


class EngineFailed(MedrlError, RuntimeError):
    """An engine died, hangs, or cannot give what was asked of it."""


class WeightDrift(MedrlError, ArithmeticError):
    """After new weights were published, an engine computes something else than the learner does."""


class LearnerLost(MedrlError, RuntimeError):
    """Ranks of a learner died or hang; the group must be restarted from a checkpoint (`restart`)."""

    def __init__(self, message: str, ranks: Sequence[int] = ()) -> None:
        super().__init__(message, tuple(ranks))
        self.ranks = tuple(ranks)

    def __str__(self) -> str:
        return str(self.args[0])


class UpdateBrokenOff(MedrlError, RuntimeError):
    """An update was broken off by `Learner.interrupt`. `whole`: weights and moments are those of before it."""

    def __init__(self, whole: bool = True) -> None:
        super().__init__(whole)
        self.whole = whole

    def __str__(self) -> str:
        left = "weights and moments are as before it" if self.whole else "half of it is done; go back to a checkpoint"
        return f"an update was broken off; {left}"


def did_you_mean(wrong: str, known: Iterable[str]) -> str:
    """`; did you mean 'dosage'?` where a known name is near, else the list of known names."""
    names = sorted(known)
    near = get_close_matches(wrong, names, n=1, cutoff=0.6)
    if near:
        return f"; did you mean {near[0]!r}?"
    return f"; known: {', '.join(names)}" if names else ""


def need(module: str, extra: str) -> Any:
    """Import `module`, or say which extra brings it."""
    from importlib import import_module

    try:
        return import_module(module)
    except ModuleNotFoundError as error:
        if error.name != module.split(".")[0]:
            raise
        raise MissingExtra(f"{module} is not installed; install it with: pip install 'medrl[{extra}]'") from error
