"""The sidecar's counters."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, disable_created_metrics

from monitor.telemetry.declarations import BY_NAME

_BUCKETS_S = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)


class TapMetrics:
    """Counts by source (`responses`, `feedback`, `traces`, `logs`) and outcome, both closed lists.

    Parameters
    ----------
    waiting
        Records that wait for the broker now.
    """

    def __init__(self, registry: CollectorRegistry, *, waiting: Callable[[], int]) -> None:
        disable_created_metrics()  # type: ignore[no-untyped-call]
        records = BY_NAME["candor_tap_records_total"]
        self._records = Counter(records.name, records.help, records.labels, registry=registry)
        spans = BY_NAME["candor_tap_spans_passed_over_total"]
        self._spans = Counter(spans.name, spans.help, spans.labels, registry=registry)
        queue = BY_NAME["candor_tap_queue_records"]
        Gauge(queue.name, queue.help, registry=registry).set_function(waiting)
        seconds = BY_NAME["candor_tap_delivery_seconds"]
        self._seconds = Histogram(seconds.name, seconds.help, registry=registry, buckets=_BUCKETS_S)

    def delivered(self, source: str, n: int, seconds: float) -> None:
        """Records that the broker has, and how long the request waited for it."""
        self._records.labels(source, "delivered").inc(n)
        self._seconds.observe(seconds)

    def refused(self, source: str, n: int) -> None:
        """Records that are wrong."""
        if n:
            self._records.labels(source, "refused").inc(n)

    def passed_over(self, by_reason: Mapping[str, int]) -> None:
        """Spans that are no responses, by one of a closed list of reasons."""
        for reason, n in by_reason.items():
            self._spans.labels(reason).inc(n)

    def undelivered(self, source: str, why: str, n: int) -> None:
        """Records given back to the sender, because of `queue_full` or the `broker`."""
        self._records.labels(source, why).inc(n)
