"""Problems, demonstrations and their order: published schemas from files and the hub, and the simulated clinic."""

from medrl.data.demonstrations import Demonstration, load_demonstrations, o1_text
from medrl.data.mixtures import PriorityMixture, ProblemSampler
from medrl.data.problems import load_problems, load_responses

__all__ = [
    "Demonstration",
    "PriorityMixture",
    "ProblemSampler",
    "load_demonstrations",
    "load_problems",
    "load_responses",
    "o1_text",
]
