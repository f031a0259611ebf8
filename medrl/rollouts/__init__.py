"""From problems to scored groups."""

from medrl.rollouts.ahead import Ahead, Ordered, undisturbed
from medrl.rollouts.collect import collect, make_requests
from medrl.rollouts.episodes import Episodes
from medrl.rollouts.outage import Patient
from medrl.rollouts.teacher import Classroom, Teacher, policy_written
from medrl.rollouts.timed import Timed
from medrl.rollouts.turns import TurnTemplate
from medrl.rollouts.unscored import believable, unscored_share

__all__ = [
    "Ahead",
    "Classroom",
    "Episodes",
    "Ordered",
    "Patient",
    "Teacher",
    "Timed",
    "TurnTemplate",
    "believable",
    "collect",
    "make_requests",
    "policy_written",
    "undisturbed",
    "unscored_share",
]
