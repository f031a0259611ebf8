"""Problems, demonstrations and their order: published schemas from files and the hub, and the simulated clinic."""

from medrl.data.demonstrations import Demonstration, load_demonstrations, o1_text
from medrl.data.feedback import FeedbackRecord, load_feedback
from medrl.data.mixtures import PriorityMixture, ProblemSampler
from medrl.data.preferences import PreferencePair, load_preferences, pairs_from
from medrl.data.problems import load_problems, load_responses

__all__ = [
    "Demonstration",
    "FeedbackRecord",
    "PreferencePair",
    "PriorityMixture",
    "ProblemSampler",
    "load_demonstrations",
    "load_feedback",
    "load_preferences",
    "load_problems",
    "load_responses",
    "o1_text",
    "pairs_from",
]
