"""Metrics of a server, in the format of Prometheus."""

from typing import TYPE_CHECKING

from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.core import GaugeMetricFamily

from serving.server.activity import Activity

if TYPE_CHECKING:
    from serving.server.current import Current

SECONDS = (0.001, 0.002, 0.004, 0.006, 0.008, 0.012, 0.02, 0.03, 0.05, 0.1, 0.2, 0.5, 1, 2, 5)


class Metrics:
    """The counts and times of a process."""

    def __init__(self) -> None:
        self.registry, self.activity = CollectorRegistry(), Activity()
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

    def text(self, current: "Current") -> bytes:
        """Return all metrics, with those of the release."""
        return generate_latest(self.registry) + generate_latest(_OfRelease(current))  # type: ignore[arg-type]


class _OfRelease:
    """The metrics of the release that is served."""

    def __init__(self, current: "Current"):
        self._current = current

    def collect(self) -> list[GaugeMetricFamily]:
        info = GaugeMetricFamily("twostep_release", "The release that is served.", labels=["version"])
        info.add_metric([self._current.version], 1)
        swaps = GaugeMetricFamily("twostep_release_swaps", "Releases that were put in place of another.")
        swaps.add_metric([], self._current.swaps)
        refusals = GaugeMetricFamily("twostep_release_refusals", "Releases that could not be loaded.")
        refusals.add_metric([], self._current.refusals)
        return [info, swaps, refusals]
