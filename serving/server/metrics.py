"""Metrics of a server, in the format of Prometheus."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest, multiprocess

from serving.server.activity import Activity
from serving.server.settings import METRICS_FOLDER

if TYPE_CHECKING:
    from serving.server.current import Current

SECONDS = (0.001, 0.002, 0.004, 0.006, 0.008, 0.012, 0.02, 0.03, 0.05, 0.1, 0.2, 0.5, 1, 2, 5)


class Metrics:
    """The counts and times of a process, or of all workers of a server.

    Args:
      arms: the labels of the arms of an experiment.
    """

    def __init__(self, arms: Sequence[str] = ()):
        self._folder = os.environ.get(METRICS_FOLDER)
        shared = None if self._folder is None else Path(self._folder)
        self.registry, self.activity = CollectorRegistry(), Activity(arms, shared)
        self._requests = Counter(
            "twostep_requests", "Requests by route and status.", ["route", "status"], registry=self.registry
        )
        self._seconds = Histogram(
            "twostep_request_seconds", "Seconds of a request.", ["route"], buckets=SECONDS, registry=self.registry
        )
        self._batches = Histogram(
            "twostep_batch_queries", "Queries of a batch.", buckets=(1, 2, 4, 8, 16, 32, 64), registry=self.registry
        )
        self._engine = Histogram(
            "twostep_batch_seconds", "Seconds of a batch.", buckets=SECONDS, registry=self.registry
        )
        self._events = Counter("twostep_events", "Events that were accepted and new.", registry=self.registry)
        self._degraded = Counter(
            "twostep_degraded_answers", "Answers that are worse than usual.", ["reason"], registry=self.registry
        )
        self._lost = Counter("twostep_answers_lost", "Answers that were not logged.", registry=self.registry)
        self._cache = Counter(
            "twostep_cache_reads",
            "Reads of a user from the cache (hit) or not (miss), and failures of the cache (error).",
            ["result"],
            registry=self.registry,
        )
        self._release = Gauge(
            "twostep_release",
            "The processes that serve a release.",
            ["version"],
            registry=self.registry,
            multiprocess_mode="livesum",
        )
        self._swaps = Gauge(
            "twostep_release_swaps",
            "Releases that were put in place of another, by a process.",
            registry=self.registry,
            multiprocess_mode="livemax",
        )
        self._refusals = Gauge(
            "twostep_release_refusals",
            "Releases that could not be loaded, by a process.",
            registry=self.registry,
            multiprocess_mode="livemax",
        )
        self._version: str | None = None

    def request(self, route: str, status: int, seconds: float) -> None:
        """Count a request."""
        self._requests.labels(route, str(status)).inc()
        self._seconds.labels(route).observe(seconds)
        if route == "/v1/recommend" and status == 200:
            self.activity.took(seconds)

    def batch(self, queries: int, seconds: float) -> None:
        """Count a batch of queries."""
        self._batches.observe(queries)
        self._engine.observe(seconds)

    def events(self, number: int) -> None:
        """Count new events."""
        self._events.inc(number)

    def degraded(self, reason: str) -> None:
        """Count an answer that is worse than usual."""
        self._degraded.labels(reason).inc()

    def lost(self, number: int) -> None:
        """Count answers that could not be logged."""
        self._lost.inc(number)

    def cache(self, result: str, number: int) -> None:
        """Count reads of users, or failures of the cache."""
        self._cache.labels(result).inc(number)

    def release(self, current: "Current") -> None:
        """Take which release is served, and how many were before."""
        version = current.version
        if self._version not in (None, version):
            self._release.labels(self._version).set(0)
        self._release.labels(version).set(1)
        self._version = version
        self._swaps.set(current.swaps)
        self._refusals.set(current.refusals)

    def text(self, current: "Current") -> bytes:
        """Return all metrics, with those of the release."""
        self.release(current)
        if self._folder is None:
            return generate_latest(self.registry)
        together = CollectorRegistry()
        multiprocess.MultiProcessCollector(together, self._folder)
        return generate_latest(together)
