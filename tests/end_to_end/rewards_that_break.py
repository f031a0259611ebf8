"""Rewards that end or hold up the process that they run in, as a response tells them."""

import os
import signal
import time

from medrl.rewards import reward
from medrl.types import Problem, Response


@reward("breaks")
def breaks(problem: Problem, response: Response) -> float | None:
    """`crash` kills the process, `hang` computes for a minute, `nap` for half a second; else the text's length."""
    if response.text == "crash":
        os.kill(os.getpid(), signal.SIGKILL)
    if response.text == "hang":
        end = time.monotonic() + 60
        while time.monotonic() < end:
            pass
    if response.text == "nap":
        time.sleep(0.5)
    if response.text == "raise":
        raise ValueError("secretpatient has a cough")
    return float(len(response.text))
