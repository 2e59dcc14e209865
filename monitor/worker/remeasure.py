"""Measuring stored responses once more: repeats for health, and reference windows for a new evaluator."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterable

import msgspec
from sqlalchemy import Engine

from evidence import Purpose, SampledBy, digest
from monitor.jobs.lease import Lease
from monitor.score import ScoringQueue, Ticket, make_verdict, transcript_of
from monitor.store import health
from monitor.store.engine import reading
from monitor.store.health import Pending
from monitor.worker.effects import write_verdicts
from probes.scorer import Evaluator

_LEASE_S = 10.0

Kinds = Counter[tuple[str, str]]
"""Verdicts by purpose and kind."""


class _Waiting(msgspec.Struct, frozen=True):
    pending: Pending
    ticket: Ticket


class Remeasure:
    """Keeps at most `share` places of the scoring queue busy, so that arrivals go on.

    Parameters
    ----------
    evaluator
        One that this process measures with: what was asked of that version alone is taken on.
    others
        Assistants that another evaluator of this process measures.
    """

    def __init__(
        self,
        engine: Engine,
        queue: ScoringQueue,
        *,
        evaluator: Evaluator,
        others: Collection[str] = (),
        owner: str,
        share: int,
        clock: Callable[[], float],
    ) -> None:
        self._engine = engine
        self._queue = queue
        self._evaluator, self._others = evaluator, tuple(others)
        # A name of any length: two versions with one beginning must not share a lease.
        name = f"remeasure-{digest(evaluator.version)[:40]}"
        self._lease = Lease(engine, name, owner=owner, duration_s=_LEASE_S, clock=clock)
        self._share = share
        self._clock = clock
        self._waiting: dict[tuple[Purpose, str, str], _Waiting] = {}

    @property
    def busy(self) -> bool:
        return bool(self._waiting)

    def submit(self) -> int:
        """Take what was asked for into the queue as room allows; returns how many."""
        room = min(self._queue.room, self._share - len(self._waiting))
        if room <= 0:
            return 0
        now_s = self._clock()
        with reading(self._engine) as connection:
            asked = health.pending(
                connection,
                self._evaluator,
                others=self._others,
                now_s=now_s,
                limit=room + len(self._waiting),
            )
        new = [item for item in asked if _key(item) not in self._waiting][:room]
        if not new or not self._lease.take():
            return 0
        tickets = self._queue.submit([transcript_of(item.response) for item in new])
        for item, ticket in zip(new, tickets, strict=True):
            self._waiting[_key(item)] = _Waiting(item, ticket)
        return len(new)

    def collect(self) -> Kinds:
        """Write the verdicts that are done; returns them by purpose and kind."""
        done = {key: item for key, item in self._waiting.items() if item.ticket.done}
        kinds: Kinds = Counter()
        if not done:
            return kinds
        made = [
            make_verdict(
                item.pending.response,
                assessment,
                sampled_by=SampledBy.ARRIVAL,
                inclusion_probability=1.0,
                scored_at_s=item.ticket.scored_at_s,
                purpose=item.pending.purpose,
                repeat=int(item.pending.purpose is Purpose.REPEAT),
            )
            for item in done.values()
            if (assessment := item.ticket.assessment) is not None
        ]
        with self._engine.begin() as connection:
            for verdict in made:
                written: Counter[str] = Counter()
                write_verdicts(connection, [verdict], written, now_s=self._clock())
                for kind, n in written.items():
                    kinds[verdict.purpose.value, kind] += n
        for key in done:
            del self._waiting[key]
        return kinds


class RemeasureAll:
    """A `Remeasure` for each evaluator of a process; the places of the queue are shared out."""

    def __init__(
        self,
        engine: Engine,
        queue: ScoringQueue,
        *,
        evaluators: Iterable[Evaluator],
        owner: str,
        share: int,
        clock: Callable[[], float],
    ) -> None:
        known = tuple(evaluators)
        named = [name for one in known for name in one.assistants]
        self._parts = [
            Remeasure(
                engine,
                queue,
                evaluator=one,
                others=named if not one.assistants else (),
                owner=owner,
                share=max(1, share // len(known)),
                clock=clock,
            )
            for one in known
        ]

    @property
    def busy(self) -> bool:
        return any(part.busy for part in self._parts)

    def submit(self) -> int:
        """Take what was asked for into the queue as room allows; returns how many."""
        return sum(part.submit() for part in self._parts)

    def collect(self) -> Kinds:
        """Write the verdicts that are done; returns them by purpose and kind."""
        kinds: Kinds = Counter()
        for part in self._parts:
            kinds.update(part.collect())
        return kinds


def _key(item: Pending) -> tuple[Purpose, str, str]:
    response = item.response
    return (item.purpose, response.stratum.assistant, response.response_id)
