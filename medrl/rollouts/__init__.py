"""From problems to scored groups."""

from medrl.rollouts.collect import collect, make_requests, unscored_share

__all__ = ["collect", "make_requests", "unscored_share"]
