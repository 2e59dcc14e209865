"""Drains the outbox to the broker, at least once.

One publisher at a time, under a lease, so that copies keep the order of their transactions; after a
crash between the broker's acknowledgement and ours a record is published again.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence

from sqlalchemy import Engine

from monitor.jobs.sink import Sink
from monitor.store import leases, outbox, sweeps
from monitor.store.engine import reading

log = logging.getLogger(__name__)

_LEASE = "publisher"
_LEASE_S = 10.0
_BATCH = 200
_RETENTION_S = 86_400.0


class Publisher:
    """Call `drain` again and again.

    Parameters
    ----------
    input_topics
        Topics that Candor reads itself: their rows are kept until they were read back.
    owner
        This process, as the lease's owner.
    """

    def __init__(
        self,
        engine: Engine,
        sink: Sink,
        *,
        input_topics: Sequence[str],
        owner: str,
        clock: Callable[[], float],
    ) -> None:
        self._engine = engine
        self._sink = sink
        self._input_topics = tuple(input_topics)
        self._owner = owner
        self._clock = clock
        self._checked = False

    def drain(self) -> int:
        """Publish all that waits; returns how many. Raises UnreachableError when the broker is down."""
        published = 0
        # Without work the lease is not asked for: an idle service does not write.
        while (not self._checked or self._waiting()) and self._lead():
            rows = self._waiting()
            acknowledged = self._sink.send(rows) if rows else []
            with self._engine.begin() as connection:
                outbox.mark_published(connection, acknowledged)
            published += len(acknowledged)
        return published

    def prune(self) -> int:
        """Delete copies that are no longer needed; returns how many."""
        with self._engine.begin() as connection:
            dropped = outbox.drop_ingested(connection, self._input_topics)
            before_s = self._clock() - _RETENTION_S
            return dropped + sweeps.prune_outbox(
                connection, keep=self._input_topics, before_s=before_s
            )

    def _waiting(self) -> list[outbox.OutboxRow]:
        with reading(self._engine) as connection:
            return outbox.unpublished(connection, _BATCH)

    def _lead(self) -> bool:
        with self._engine.begin() as connection:
            fence = leases.acquire(
                connection, _LEASE, self._owner, now_s=self._clock(), duration_s=_LEASE_S
            )
            if fence is None:
                return False
            if not self._checked:
                again = outbox.reset_forgotten(
                    connection, self._sink.cluster_id, self._input_topics
                )
                self._checked = True
                if again:
                    log.warning("%d records of input topics are published again", again)
        return True
