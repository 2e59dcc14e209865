"""Responses that wait for the parts of their turn, and the parts that wait for their response."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Sequence

import msgspec
from sqlalchemy import Connection, Engine

from evidence import Response
from monitor.ingest.assembling import settled
from monitor.ingest.joining import as_part, join, waits
from monitor.ingest.options import IngestOptions
from monitor.ingest.parts import EVIDENCE, Part
from monitor.ingest.records import DeadLetter
from monitor.jobs.metrics import WorkerMetrics
from monitor.store import turn_parts
from monitor.store.forget import forgotten
from monitor.store.turn_parts import StoredPart
from monitor.worker.plan import Item, Planner

_LATE_S = 2.0
_BATCH = 256
"""Turns joined in one transaction."""


class Turns:
    """Parts go to the store as they are polled, ahead of the offset of their record; a response that may have some
    waits in its chunk, whose offset is not written before, and takes what the store then has of its trace.

    Whoever dies between reads both again. Memory is bounded by what a worker holds of unwritten records, and by
    `ingest.max_waiting_turns`.

    Parameters
    ----------
    clock, stopwatch
        Seconds since the epoch, and monotonic seconds.
    """

    def __init__(
        self,
        engine: Engine,
        options: IngestOptions,
        metrics: WorkerMetrics,
        clock: Callable[[], float],
        stopwatch: Callable[[], float],
    ) -> None:
        self._engine = engine
        self._options = options
        self._metrics = metrics
        self._clock = clock
        self._stopwatch = stopwatch
        self._waiting: deque[tuple[float, Item]] = deque()

    @property
    def overdue(self) -> bool:
        """Whether a response waits longer than it is to: for room to be measured, not for its turn."""
        late_s = self._stopwatch() - _LATE_S
        return bool(self._waiting) and self._waiting[0][0] < late_s

    def take(self, items: Sequence[Item]) -> None:
        """Keep the parts of a chunk, and let its responses wait whose turn may have others."""
        parts = [item.outcome for item in items if isinstance(item.outcome, Part)]
        waiting = [item for item in items if waits(item.outcome)]
        parts += [as_part(i.outcome) for i in waiting if isinstance(i.outcome, Response)]
        if parts:
            self._keep(parts)
        due_s = self._stopwatch() + self._options.join_window_s
        for item in waiting:
            item.waits = True
            self._waiting.append((due_s, item))
        self._metrics.turns_waiting(len(self._waiting))

    def drop(self, items: Sequence[Item]) -> None:
        """Forget the items of a partition that is no longer ours."""
        gone = {id(item) for item in items if item.waits}
        if gone:
            self._waiting = deque(one for one in self._waiting if id(one[1]) not in gone)

    def joined(self, planner: Planner, room: int) -> list[Item]:
        """The responses whose time to wait is over, with what belongs to them; at most `room`, oldest first."""
        now_s, over = self._stopwatch(), len(self._waiting) - self._options.max_waiting_turns
        due: list[Item] = []
        for at_s, item in self._waiting:
            if len(due) >= min(room, _BATCH) or (at_s > now_s and len(due) >= over):
                break
            due.append(item)
        if not due:
            return []
        with self._engine.begin() as connection:
            found = _join(connection, due)
            used = {key for _, keys in found for key in keys}
            n_parts = turn_parts.mark_joined(connection, used)
        early = sum(self._waiting.popleft()[0] > now_s for _ in due)
        outcomes = Counter({"taken_early": early})
        for item, (outcome, keys) in zip(due, found, strict=True):
            item.outcome, item.waits = outcome, False
            is_response = isinstance(outcome, Response)
            item.decision = planner.decision(outcome) if isinstance(outcome, Response) else None
            outcomes["joined" if keys and is_response else _became(outcome)] += 1
        for name, n in outcomes.items():
            self._metrics.turn(name, n)
        self._metrics.turn_part("joined", n_parts)
        self._metrics.turns_waiting(len(self._waiting))
        return due

    def sweep(self, connection: Connection) -> Callable[[], None]:
        """Drop parts whose turn did not come, and the oldest of too many; returns what counts them."""
        options = self._options
        late, crowded = turn_parts.drop_parts(
            connection,
            before_s=self._clock() - options.turn_horizon_s,
            most=options.max_turn_parts,
        )

        def count() -> None:
            for outcome, kinds in (("no_turn", late), ("no_room", crowded)):
                self._metrics.turn_part(outcome, sum(kinds[kind] for kind in EVIDENCE))

        return count

    def _keep(self, parts: Sequence[Part]) -> None:
        with self._engine.begin() as connection:
            gone = forgotten(connection, {part.rater for part in parts if part.rater})
            kept = [part for part in parts if part.rater not in gone]
            new = turn_parts.put_parts(connection, map(_stored, kept), now_s=self._clock())
        told = Counter[str]()
        for part in kept:
            if part.kind in EVIDENCE or part.kind == "agent":
                told["kept" if (part.trace_id, part.id) in new else "repeated"] += 1
                new.discard((part.trace_id, part.id))
        told["forgotten"] = len(parts) - len(kept)
        for outcome, n in told.items():
            self._metrics.turn_part(outcome, n)


_Found = tuple[Response | Part | DeadLetter, list[turn_parts.Key]]
"""What became of a response, and which parts went into it."""


def _join(connection: Connection, due: Sequence[Item]) -> list[_Found]:
    given = [item.outcome for item in due if isinstance(item.outcome, Response | Part)]
    traces = [one.trace_id if isinstance(one, Part) else as_part(one).trace_id for one in given]
    stored = turn_parts.parts_of(connection, traces)
    parts = {trace: list(map(_part, rows)) for trace, rows in stored.items()}
    found: list[_Found] = []
    for one, trace in zip(given, traces, strict=True):
        known = parts.get(trace, [])
        if isinstance(one, Part):
            found.append((settled(one, known), []))
        else:
            made = join(one, known)
            found.append((made.outcome, [(trace, name) for name in made.used]))
    return found


def _became(outcome: Response | Part | DeadLetter) -> str:
    if isinstance(outcome, Response):
        return "alone"
    return "repeats_another" if isinstance(outcome, Part) else "refused"


def _stored(part: Part) -> StoredPart:
    body = msgspec.json.encode(msgspec.structs.replace(part, rater=None))
    return StoredPart(part.trace_id, part.id, part.kind, part.rater, body)


def _part(row: StoredPart) -> Part:
    return msgspec.structs.replace(_decode(row.body), rater=row.rater)


_decode = msgspec.json.Decoder(Part).decode
