"""The worker's counters in Prometheus' form."""

from __future__ import annotations

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    disable_created_metrics,
)

from monitor.telemetry.declaration import Declaration
from monitor.telemetry.declarations import BY_NAME

_BUCKETS_S = (0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0)


class PrometheusJobMetrics:
    """Implements `monitor.jobs.metrics.JobMetrics` in the registry that is handed in.

    Every label comes from a closed list of Candor's own.
    """

    def __init__(self, registry: CollectorRegistry) -> None:
        # The time of creation of each series says nothing here and doubles their number.
        disable_created_metrics()  # type: ignore[no-untyped-call]
        self._registry = registry
        self._alarms = self._counter("candor_alarms_opened_total")
        self._failures = self._counter("candor_job_failures_total")

    def alarm(self, metric: str, n: int = 1) -> None:
        self._alarms.labels(metric).inc(n)

    def job_failed(self, job: str, n: int = 1) -> None:
        self._failures.labels(job).inc(n)

    def _counter(self, name: str) -> Counter:
        return Counter(*_arguments(BY_NAME[name]), registry=self._registry)

    def _gauge(self, name: str) -> Gauge:
        return Gauge(*_arguments(BY_NAME[name]), registry=self._registry)


class PrometheusWorkerMetrics(PrometheusJobMetrics):
    """Implements `monitor.jobs.metrics.WorkerMetrics`; a topic's label is the name of an input topic."""

    def __init__(self, registry: CollectorRegistry) -> None:
        super().__init__(registry)
        self._seen = self._counter("candor_records_seen_total")
        self._sampled = self._counter("candor_responses_sampled_total")
        self._skipped = self._counter("candor_responses_skipped_total")
        self._duplicates = self._counter("candor_duplicates_total")
        self._conflicts = self._counter("candor_id_conflicts_total")
        self._dead_letters = self._counter("candor_dead_letters_total")
        self._feedback = self._counter("candor_feedback_total")
        self._turns = self._counter("candor_turns_total")
        self._parts = self._counter("candor_turn_parts_total")
        self._waiting = self._gauge("candor_turns_waiting")
        self._verdicts = self._counter("candor_verdicts_total")
        self._results_sent = self._counter("candor_results_sent_total")
        self._results_given_up = self._counter("candor_results_given_up_total")
        self._extra = self._counter("candor_extra_verdicts_total")
        self._fenced = self._counter("candor_fenced_writes_total")
        self._tokens = self._counter("candor_judge_tokens_total")
        self._queue = self._gauge("candor_queue_depth")
        self._lag = self._gauge("candor_consumer_lag_records")
        self._paused = self._gauge("candor_worker_paused")
        seconds = BY_NAME["candor_judge_seconds"]
        self._seconds = Histogram(seconds.name, seconds.help, registry=registry, buckets=_BUCKETS_S)

    def seen(self, topic: str, n: int = 1) -> None:
        self._seen.labels(topic).inc(n)

    def sampled(self, phase: str, n: int = 1) -> None:
        self._sampled.labels(phase).inc(n)

    def skipped(self, reason: str, n: int = 1) -> None:
        self._skipped.labels(reason).inc(n)

    def duplicate(self, topic: str, n: int = 1) -> None:
        self._duplicates.labels(topic).inc(n)

    def conflict(self, topic: str, n: int = 1) -> None:
        self._conflicts.labels(topic).inc(n)

    def dead_letter(self, reason: str, n: int = 1) -> None:
        self._dead_letters.labels(reason).inc(n)

    def feedback(self, state: str, n: int = 1) -> None:
        self._feedback.labels(state).inc(n)

    def turn(self, outcome: str, n: int = 1) -> None:
        self._turns.labels(outcome).inc(n)

    def turn_part(self, outcome: str, n: int = 1) -> None:
        self._parts.labels(outcome).inc(n)

    def turns_waiting(self, n: int) -> None:
        self._waiting.set(n)

    def verdict(self, kind: str, n: int = 1) -> None:
        self._verdicts.labels(kind).inc(n)

    def result_sent(self, sink: str, n: int = 1) -> None:
        self._results_sent.labels(sink).inc(n)

    def result_given_up(self, sink: str, reason: str, n: int = 1) -> None:
        self._results_given_up.labels(sink, reason).inc(n)

    def extra_verdict(self, purpose: str, kind: str, n: int = 1) -> None:
        self._extra.labels(purpose, kind).inc(n)

    def judge_seconds(self, seconds: float) -> None:
        self._seconds.observe(seconds)

    def judge_tokens(self, tokens: int) -> None:
        self._tokens.inc(tokens)

    def queue_depth(self, n: int) -> None:
        self._queue.set(n)

    def paused(self, is_paused: bool) -> None:
        self._paused.set(is_paused)

    def lag(self, topic: str, records: int) -> None:
        self._lag.labels(topic).set(records)

    def fenced(self, n: int = 1) -> None:
        self._fenced.inc(n)


def _arguments(declaration: Declaration) -> tuple[str, str, tuple[str, ...]]:
    return declaration.name, declaration.help, declaration.labels
