"""What every door of the sidecar does: check, count, and bring to Kafka, each record to its topic."""

from __future__ import annotations

import dataclasses
import logging
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from prometheus_client import CollectorRegistry

from evidence import Feedback, UnreachableError
from monitor.http.options import ApiOptions
from monitor.http.otlp import Export, Signal, sorted_out
from monitor.ingest import batch
from monitor.ingest.options import IngestOptions
from monitor.ingest.otlp import PASSED_OVER
from monitor.tap.delivery import Delivery, Outgoing, QueueFullError
from monitor.telemetry.tap import TapMetrics

log = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True, kw_only=True)
class TapContext:
    """The parts of a running sidecar.

    Parameters
    ----------
    api
        The limits on requests.
    pseudonym_key
        User ids are replaced here, so that none leaves the assistant's pod.
    clock
        Seconds since the epoch.
    max_age_s
        Metrics are written anew at most once in this time.
    """

    api: ApiOptions
    ingest: IngestOptions
    responses_topic: str
    feedback_topic: str
    delivery: Delivery
    registry: CollectorRegistry
    pseudonym_key: bytes
    clock: Callable[[], float] = time.time
    max_age_s: float = 1.0


class Taking:
    """Takes records for Kafka; one for all doors, which may call it at once."""

    def __init__(self, context: TapContext) -> None:
        self._context = context
        self.metrics = TapMetrics(context.registry, waiting=lambda: context.delivery.waiting)
        # Prometheus sees no increase in a series that begins at 1.
        self.metrics.passed_over(dict.fromkeys(PASSED_OVER, 0))

    def export(self, document: Mapping[str, Any], signal: Signal) -> Export:
        """Take an export in the shape of OTLP's JSON; returns once the broker has what is well of it.

        Raises QueueFullError and UnreachableError.
        """
        context = self._context
        export = sorted_out(
            document, options=context.ingest, key=context.pseudonym_key, now_s=context.clock()
        )
        self.metrics.refused(signal, len(export.errors))
        self.metrics.passed_over(export.passed_over)
        self.deliver(signal, export.accepted)
        if export.errors:
            log.warning("%d of %s refused: %s", len(export.errors), signal, export.reasons)
        return export

    def deliver(self, source: str, records: Sequence[batch.Record]) -> None:
        """Bring records to their topics. Raises QueueFullError and UnreachableError."""
        if not records:
            return
        rows = [
            Outgoing(self._topic(one), batch.routing_key(one), batch.encode(one)) for one in records
        ]
        started = time.monotonic()
        try:
            self._context.delivery.send(rows)
        except QueueFullError:
            self.metrics.undelivered(source, "queue_full", len(rows))
            raise
        except UnreachableError:
            self.metrics.undelivered(source, "broker", len(rows))
            raise
        self.metrics.delivered(source, len(rows), time.monotonic() - started)

    def _topic(self, record: batch.Record) -> str:
        is_feedback = isinstance(record, Feedback)
        return self._context.feedback_topic if is_feedback else self._context.responses_topic
