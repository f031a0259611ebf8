"""A small closed medical world and checkable problems from it. Written for tests and training of small models.

Nothing in it has been reviewed by a clinician, and nothing in it is medical advice.
"""

from medrl.data.clinic.demonstrations import generate_demonstrations
from medrl.data.clinic.problems import combination, generate_problems
from medrl.data.clinic.world import World, load_world

__all__ = ["World", "combination", "generate_demonstrations", "generate_problems", "load_world"]
