"""Measuring the feedback sample: skipped responses that got feedback, taken back from the store.

They are no part of the canonical log, so their order does not matter and one worker at a time
measures them, under a lease.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

import msgspec
from sqlalchemy import Engine

from monitor.jobs.lease import Lease
from monitor.score import ScoringQueue, Ticket, make_verdict, transcript_of
from monitor.store import rated, sweeps
from monitor.store.engine import reading
from monitor.store.intake import Key
from monitor.store.sweeps import Unmeasured
from monitor.worker.effects import write_verdicts

_LEASE = "feedback-sample"
_LEASE_S = 10.0


class _Pending(msgspec.Struct, frozen=True):
    unmeasured: Unmeasured
    ticket: Ticket


class FeedbackSample:
    """Keeps at most half the scoring queue busy, so that arrivals go on."""

    def __init__(
        self,
        engine: Engine,
        queue: ScoringQueue,
        *,
        owner: str,
        share: int,
        clock: Callable[[], float],
    ) -> None:
        self._engine = engine
        self._queue = queue
        self._lease = Lease(engine, _LEASE, owner=owner, duration_s=_LEASE_S, clock=clock)
        self._share = share
        self._clock = clock
        self._pending: dict[Key, _Pending] = {}

    @property
    def busy(self) -> bool:
        return bool(self._pending)

    def submit(self) -> int:
        """Take waiting responses into the queue as room allows; returns how many."""
        room = min(self._queue.room, self._share - len(self._pending))
        if room <= 0:
            return 0
        if not self._lease.take():
            return 0
        with reading(self._engine) as connection:
            waiting = sweeps.unmeasured_feedback_sample(connection, room + len(self._pending))
        new = [item for item in waiting if _key(item) not in self._pending][:room]
        tickets = self._queue.submit([transcript_of(item.response) for item in new])
        for item, ticket in zip(new, tickets, strict=True):
            self._pending[_key(item)] = _Pending(item, ticket)
        return len(new)

    def collect(self) -> Counter[str]:
        """Write the verdicts that are done; returns their kinds."""
        done = {key: pending for key, pending in self._pending.items() if pending.ticket.done}
        kinds: Counter[str] = Counter()
        if not done:
            return kinds
        made = [
            make_verdict(
                pending.unmeasured.response,
                assessment,
                sampled_by=pending.unmeasured.sampled_by,
                inclusion_probability=pending.unmeasured.inclusion_probability,
                scored_at_s=pending.ticket.scored_at_s,
            )
            for pending in done.values()
            if (assessment := pending.ticket.assessment) is not None
        ]
        with self._engine.begin() as connection:
            new = write_verdicts(connection, made, kinds, now_s=self._clock())
            rated.on_measured(connection, new)
            sweeps.measured(connection, list(done))
        for key in done:
            del self._pending[key]
        return kinds


def _key(item: Unmeasured) -> Key:
    return (item.response.stratum.assistant, item.response.response_id)
