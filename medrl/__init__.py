"""medrl: reinforcement learning of medical language models.

A problem goes in, rollouts come out of a sampling engine, a reward tree says what each is worth and why, an algorithm
turns worth into advantages, a learner turns advantages into weights, and the weights go back to the engine.

The names below load when they are first used, so that `import medrl` is fast and brings in no torch.
"""

import os

# medrl sends no telemetry, nor do the packages it drives. Set before any of them can be imported.
for _name, _value in (
    ("HF_HUB_DISABLE_TELEMETRY", "1"),
    ("RAY_USAGE_STATS_ENABLED", "0"),
    ("VLLM_NO_USAGE_STATS", "1"),
):
    os.environ.setdefault(_name, _value)

from typing import TYPE_CHECKING

from medrl.lazy import lazy_names

if TYPE_CHECKING:
    from medrl.algorithms import GRPO as GRPO
    from medrl.data.problems import load_problems as load_problems
    from medrl.rewards import Reward as Reward
    from medrl.trainers import Trainer as Trainer
    from medrl.types import Group as Group
    from medrl.types import Problem as Problem
    from medrl.types import Response as Response
    from medrl.types import Rollout as Rollout
    from medrl.types import Score as Score
    from medrl.types import Verdict as Verdict
    from medrl.verifiers import Verifier as Verifier
    from medrl.verifiers import verifier as verifier

__version__ = "0.1.0"

# Public name to the module it lives in.
_HOME = {
    "GRPO": "medrl.algorithms",
    "Group": "medrl.types",
    "Problem": "medrl.types",
    "Response": "medrl.types",
    "Reward": "medrl.rewards",
    "Rollout": "medrl.types",
    "Score": "medrl.types",
    "Trainer": "medrl.trainers",
    "Verdict": "medrl.types",
    "Verifier": "medrl.verifiers",
    "load_problems": "medrl.data.problems",
    "verifier": "medrl.verifiers",
}

__all__ = [*_HOME, "__version__"]


__getattr__ = lazy_names(__name__, _HOME)


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOME})
