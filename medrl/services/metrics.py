"""What is counted, in the format that Prometheus reads. Labels are names of routes, parts and statuses, never texts."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, Summary
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest

from medrl import __version__
from medrl.types import STATUSES

SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 180.0)
CONTENT_TYPE = CONTENT_TYPE_LATEST


class Metrics:
    """The figures of one service, in a registry of its own, so that two services in a process do not mix."""

    def __init__(self, fingerprint: str) -> None:
        self.registry = CollectorRegistry()
        registry: Any = {"registry": self.registry}
        self.requests = Counter("medrl_requests", "Requests by route and HTTP status", ["route", "status"], **registry)
        self.seconds = Histogram(
            "medrl_request_seconds", "Time to answer, by route", ["route"], buckets=SECONDS, **registry
        )
        self.pending = Gauge("medrl_requests_pending", "Requests that are read, queued or scored now", **registry)
        self.waiting = Gauge("medrl_pieces_waiting", "Pieces of work in the queue", **registry)
        self.running = Gauge("medrl_pieces_running", "Pieces of work at the workers", **registry)
        self.scores = Counter("medrl_scores", "Scores by status", ["status"], **registry)
        self.rewards = Summary("medrl_reward_value", "Rewards that have a number", **registry)
        self.parts = Summary("medrl_part_value", "Values of the tree's parts", ["part"], **registry)
        self.workers = Gauge("medrl_workers_ready", "Workers that can score", **registry)
        self.lost = Counter("medrl_workers_lost", "Workers that ended or hung and were replaced", **registry)
        info = Gauge("medrl_service_info", "Always 1", ["version", "fingerprint"], **registry)
        info.labels(__version__, fingerprint).set(1)
        for status in STATUSES:
            self.scores.labels(status)

    def live(self, waiting: Callable[[], float], running: Callable[[], float], workers: Callable[[], float]) -> None:
        """Where the gauges of the queue and the workers are read when somebody asks."""
        self.waiting.set_function(waiting)
        self.running.set_function(running)
        self.workers.set_function(workers)

    def scored(self, values: Sequence[tuple[float | None, str]], parts: Mapping[str, Sequence[float]]) -> None:
        """Count the scores of a group; `parts` holds the values of each part that has numbers."""
        for value, status in values:
            self.scores.labels(status).inc()
            if value is not None:
                self.rewards.observe(value)
        for name, numbers in parts.items():
            part = self.parts.labels(name)
            for number in numbers:
                part.observe(number)

    def text(self) -> bytes:
        """The page that Prometheus reads."""
        return generate_latest(self.registry)
