"""Rewards that die, hang or fail where they run; actors import them."""

import os
import signal
import time
from pathlib import Path

from medrl.types import Problem, Verdict
from medrl.verifiers.protocol import verifier


def once(problem: Problem) -> bool:
    """Whether this is the first time that anybody asks about a problem, in any process."""
    try:
        Path(str(problem.metadata["mark"])).touch(exist_ok=False)
    except FileExistsError:
        return False
    return True


@verifier("vowels_of_actors", decides=True)
def vowels(problem: Problem, text: str) -> float | Verdict:
    """Share of vowels, unless the problem says how its judge fails."""
    fault = problem.metadata.get("fault")
    if fault == "dies" or (fault == "dies once" and once(problem)):
        os.kill(os.getpid(), signal.SIGKILL)
    if fault == "hangs once" and once(problem):
        time.sleep(600)
    if fault == "is down":
        return Verdict.failed("the judge is down")
    return sum(c in "aeiou" for c in text) / max(1, len(text))
