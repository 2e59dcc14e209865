"""Counters of the decisions before an answer is shown."""

from __future__ import annotations

from collections.abc import Iterable

from prometheus_client import CollectorRegistry, Counter, Histogram, disable_created_metrics

from monitor.telemetry.declarations import BY_NAME

_BUCKETS_S = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)


class AbstainMetrics:
    """Counts by answer and reason, both closed lists, and times decisions.

    Parameters
    ----------
    outcomes
        Pairs of answer and reason that are shown before the first of them.
    """

    def __init__(
        self, registry: CollectorRegistry, outcomes: Iterable[tuple[str, str]] = ()
    ) -> None:
        disable_created_metrics()  # type: ignore[no-untyped-call]
        made = BY_NAME["candor_answer_decisions_total"]
        self._made = Counter(made.name, made.help, made.labels, registry=registry)
        for answer, reason in outcomes:
            self._made.labels(answer, reason)
        seconds = BY_NAME["candor_answer_decision_seconds"]
        self._seconds = Histogram(seconds.name, seconds.help, registry=registry, buckets=_BUCKETS_S)

    def decided(self, answer: str, reason: str, seconds: float) -> None:
        """One decision and how long its asker waited."""
        self._made.labels(answer, reason).inc()
        self._seconds.observe(seconds)
