"""Sends verdicts, alarms and gate decisions to each receiver: at least once, in order, each by itself.

A sender of its own thread and lease goes along the outbox for one receiver and remembers how far it is.
One that is away stops its own sender alone. A verdict whose span has not come to the receiver yet is set
aside and tried again, so that it holds up no other.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Sequence
from typing import ClassVar

import msgspec
from sqlalchemy import Connection, Engine

from evidence import Alarm, Verdict
from evidence.records import Accuracy
from monitor.jobs.job import LeasedJob
from monitor.jobs.metrics import ResultMetrics
from monitor.results.options import ResultsOptions
from monitor.results.result import (
    AlarmResult,
    DecisionResult,
    Noise,
    Result,
    TraceContext,
    VerdictResult,
)
from monitor.results.sink import Outcome, ResultSink
from monitor.services.decisions import GateNotice
from monitor.store import results as store
from monitor.store.engine import reading
from monitor.store.explanations import read_explanations
from monitor.store.outbox import ALARMS_TOPIC, VERDICTS_TOPIC
from monitor.store.results import ResultRow, Wait
from monitor.store.sensors import Key, accuracies

log = logging.getLogger(__name__)

EXPIRED, NO_SPAN, UNREADABLE = "expired", "no_span", "unreadable"
GIVEN_UP = (Outcome.REJECTED.value, Outcome.NO_TRACE.value, NO_SPAN, EXPIRED, UNREADABLE)
"""Why a receiver will not have a result."""

_MOST_WAITING = 50_000
_FIRST_RETRY_S, _LONGEST_RETRY_S = 2.0, 60.0
_SEEN_S = 60.0
_FIGURES_S = 60.0


class ResultSender(LeasedJob):
    """Sends what is new to one receiver. Raises UnreachableError from `update` while that is away."""

    name: ClassVar[str]

    def __init__(
        self,
        engine: Engine,
        sink: ResultSink,
        *,
        options: ResultsOptions,
        metrics: ResultMetrics,
        owner: str,
        clock: Callable[[], float],
    ) -> None:
        super().__init__(engine, owner=owner, clock=clock)
        self._sink, self._options, self._metrics = sink, options, metrics
        self._settled = store.Settled()
        self._figures = _Figures(clock)
        self._seen_s = float("-inf")
        metrics.result_sent(sink.name, 0)
        for reason in GIVEN_UP:
            metrics.result_given_up(sink.name, reason, 0)

    def _is_due(self) -> bool:
        if self._clock() - self._seen_s >= _SEEN_S:
            return True
        with reading(self._engine) as connection:
            return bool(self._next(connection)[1])

    def _work(self) -> list[Alarm]:
        self._say_that_it_works()
        while True:
            with reading(self._engine) as connection:
                at, rows = self._next(connection)
                made = [self._made(row, self._clock()) for row in rows]
                known = self._complete(
                    connection, [one for one in made if not isinstance(one, str)]
                )
            if not rows:
                return []
            self._send(at, rows, made, known)

    def _say_that_it_works(self) -> None:
        """Let pruning know that this receiver is served, also while there is nothing to send."""
        if self._clock() - self._seen_s < _SEEN_S:
            return
        with self._lease.writing() as connection:
            at = store.position(connection, self._sink.name) or 0
            store.move(connection, self._sink.name, at, now_s=self._clock())
        self._seen_s = self._clock()

    def _next(self, connection: Connection) -> tuple[int, list[ResultRow]]:
        """Where the sender stands, and what comes next: what waits and is due, else what is new."""
        at = store.position(connection, self._sink.name) or 0
        limit = self._options.batch
        again = store.due(connection, self._sink.name, now_s=self._clock(), limit=limit)
        if again:
            return at, again
        up_to = self._settled.advance(store.snapshot(connection))
        return at, store.unsent(connection, after=at, up_to=up_to, limit=limit)

    def _made(self, row: ResultRow, now_s: float) -> Result | str:
        """The result, or why it is given up before anything is sent."""
        if now_s - row.created_at_s > self._options.retention_s:
            return EXPIRED
        try:
            return decode(row)
        except (msgspec.MsgspecError, UnicodeDecodeError):
            log.exception("outbox row %d is no result", row.id)
            return UNREADABLE

    def _complete(self, connection: Connection, made: Sequence[Result]) -> dict[str, VerdictResult]:
        """Verdicts by key, with their spans, their evaluators' figures and what they rest on."""
        found = [one.verdict for one in made if isinstance(one, VerdictResult)]
        extras = store.extras(connection, {(v.stratum.assistant, v.response_id) for v in found})
        said = (
            read_explanations(connection, [v.key for v in found]) if self._options.send_text else {}
        )
        complete = {}
        for verdict in found:
            explained = said.get(verdict.key)
            complete[verdict.key] = VerdictResult(
                verdict=verdict,
                trace=TraceContext.of(
                    extras.get((verdict.stratum.assistant, verdict.response_id), {})
                ),
                accuracy=self._figures.accuracy(connection, verdict),
                noise=self._figures.noise(connection, verdict.assessment.evaluator_version),
                said=explained.finding if explained is not None else None,
            )
        return complete

    def _send(
        self,
        at: int,
        rows: Sequence[ResultRow],
        made: Sequence[Result | str],
        known: dict[str, VerdictResult],
    ) -> None:
        """Send what can be, then write what became of it in one transaction."""
        tried = [
            known[one.verdict.key] if isinstance(one, VerdictResult) else one
            for one in made
            if not isinstance(one, str)
        ]
        outcomes = iter(self._sink.send(tried) if tried else [])
        with reading(self._engine) as connection:
            room = _MOST_WAITING - store.n_waiting(connection, self._sink.name)
        counts: Counter[str] = Counter()
        ended: list[int] = []
        waits: list[Wait] = []
        for row, one in zip(rows, made, strict=True):
            outcome = one if isinstance(one, str) else next(outcomes, None)
            if outcome is None:
                break  # it and what follows was not tried
            if outcome is Outcome.LATER:
                wait = self._wait(row)
                if wait is not None and (row.tries or len(waits) < room):
                    waits.append(wait)
                    continue
                outcome = NO_SPAN
            ended.append(row.id)
            counts[str(outcome)] += 1
        done = [*ended, *(wait.outbox_id for wait in waits)]
        with self._lease.writing() as connection:
            store.settle(connection, self._sink.name, ended, waits)
            store.move(connection, self._sink.name, max([at, *done]), now_s=self._clock())
        self._count(counts)

    def _wait(self, row: ResultRow) -> Wait | None:
        """The next try; None when the result has waited long enough."""
        now_s = self._clock()
        since_s = now_s if row.since_s is None else row.since_s
        if now_s - since_s >= self._options.span_wait_s:
            return None
        pause_s = min(_LONGEST_RETRY_S, _FIRST_RETRY_S * 2.0 ** min(row.tries, 16))
        return Wait(row.id, since_s, row.tries + 1, now_s + pause_s)

    def _count(self, counts: Counter[str]) -> None:
        for outcome, n in counts.items():
            if outcome == Outcome.SENT:
                self._metrics.result_sent(self._sink.name, n)
            elif outcome != Outcome.NOT_TAKEN:
                self._metrics.result_given_up(self._sink.name, outcome, n)


class OtlpSender(ResultSender):
    name: ClassVar[str] = "results_otlp"


class PhoenixSender(ResultSender):
    name: ClassVar[str] = "results_phoenix"


class MlflowSender(ResultSender):
    name: ClassVar[str] = "results_mlflow"


class LangfuseSender(ResultSender):
    name: ClassVar[str] = "results_langfuse"


SENDERS: dict[str, type[ResultSender]] = {
    "otlp": OtlpSender,
    "phoenix": PhoenixSender,
    "mlflow": MlflowSender,
    "langfuse": LangfuseSender,
}
"""The sender of each receiver: their leases and failures go by their own names."""


def decode(row: ResultRow) -> Result:
    """The result in an outbox record. Raises msgspec.MsgspecError."""
    if row.topic == VERDICTS_TOPIC:
        return VerdictResult(verdict=msgspec.json.decode(row.value, type=Verdict))
    if row.topic == ALARMS_TOPIC:
        return AlarmResult(alarm=msgspec.json.decode(row.value, type=Alarm), at_s=row.created_at_s)
    notice = msgspec.json.decode(row.value, type=GateNotice)
    names = DecisionResult.__struct_fields__
    fields = {name: getattr(notice, name) for name in names if name != "at_s"}
    return DecisionResult(**fields, at_s=row.created_at_s)


class _Figures:
    """What is known of each evaluator, read anew after a minute."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._read_s = float("-inf")
        self._accuracies: dict[Key, Accuracy] = {}
        self._noise: dict[str, Noise | None] = {}

    def accuracy(self, connection: Connection, verdict: Verdict) -> Accuracy | None:
        """That of the evaluator on this assistant, else on every assistant without a section."""
        self._refresh(connection)
        version = verdict.assessment.evaluator_version
        known = self._accuracies
        return known.get((version, verdict.stratum.assistant)) or known.get((version, ""))

    def noise(self, connection: Connection, evaluator_version: str) -> Noise | None:
        """The evaluator's noise floor."""
        self._refresh(connection)
        if evaluator_version not in self._noise:
            found = store.noise(connection, evaluator_version)
            self._noise[evaluator_version] = None if found is None else Noise(*found)
        return self._noise[evaluator_version]

    def _refresh(self, connection: Connection) -> None:
        if self._clock() - self._read_s >= _FIGURES_S:
            self._accuracies, self._noise = accuracies(connection), {}
            self._read_s = self._clock()
