"""Drains the outbox to the broker, at least once.

One publisher at a time, under a lease, so that copies keep the order of their transactions; after a
crash between the broker's acknowledgement and ours a record is published again.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from typing import ClassVar

from sqlalchemy import Engine

from evidence import Alarm
from monitor.jobs.job import LeasedJob
from monitor.jobs.sink import Sink
from monitor.store import outbox, results, sweeps
from monitor.store.engine import reading

log = logging.getLogger(__name__)

_BATCH = 200
_RETENTION_S = 86_400.0


class Publisher(LeasedJob):
    """Publishes all that waits.

    Parameters
    ----------
    input_topics
        Topics that Candor reads itself: what a broker in memory forgot of them is published again.

    Raises UnreachableError from `update` when the broker is down.
    """

    name: ClassVar[str] = "publish"

    def __init__(
        self,
        engine: Engine,
        sink: Sink,
        *,
        input_topics: Sequence[str],
        owner: str,
        clock: Callable[[], float],
    ) -> None:
        super().__init__(engine, owner=owner, clock=clock)
        self._sink = sink
        self._input_topics = tuple(input_topics)
        self._checked = False

    def _is_due(self) -> bool:
        return not self._checked or bool(self._waiting())

    def _work(self) -> list[Alarm]:
        if not self._checked:
            with self._lease.writing() as connection:
                again = outbox.reset_forgotten(
                    connection, self._sink.cluster_id, self._input_topics
                )
            self._checked = True
            if again:
                log.warning("%d records of input topics are published again", again)
        while rows := self._waiting():
            acknowledged = self._sink.send(rows)
            with self._lease.writing() as connection:
                outbox.mark_published(connection, acknowledged)
        return []

    def _waiting(self) -> list[outbox.OutboxRow]:
        with reading(self._engine) as connection:
            return outbox.unpublished(connection, _BATCH)


class Pruning(LeasedJob):
    """Deletes copies that are no longer needed.

    Parameters
    ----------
    input_topics
        Topics that Candor reads itself: their rows are kept until they were read back.
    results_kept_s
        A receiver of results for which no sender worked for so long is forgotten.
    """

    name: ClassVar[str] = "prune"

    def __init__(
        self,
        engine: Engine,
        *,
        input_topics: Sequence[str],
        results_kept_s: float,
        owner: str,
        clock: Callable[[], float],
    ) -> None:
        super().__init__(engine, owner=owner, clock=clock)
        self._input_topics = tuple(input_topics)
        self._results_kept_s = results_kept_s

    def _work(self) -> list[Alarm]:
        with self._lease.writing() as connection:
            outbox.drop_ingested(connection, self._input_topics)
            absent = results.forget_absent(
                connection, before_s=self._clock() - self._results_kept_s
            )
            sweeps.prune_outbox(
                connection,
                keep=self._input_topics,
                before_s=self._clock() - _RETENTION_S,
            )
        if absent:
            log.warning("nobody sends results to %s any more", ", ".join(absent))
        return []
