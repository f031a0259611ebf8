"""From problems to scored groups."""

from medrl.rollouts.collect import collect, make_requests
from medrl.rollouts.unscored import believable, unscored_share

__all__ = ["believable", "collect", "make_requests", "unscored_share"]
