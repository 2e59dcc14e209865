"""The poll-transaction loop."""

from __future__ import annotations

import dataclasses
import logging
import math
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence

from cryptography.fernet import Fernet
from sqlalchemy import Engine
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from evidence import Response, SampledBy
from monitor.ingest.source import Partition, Poll, Source
from monitor.jobs.deadline import Deadline
from monitor.jobs.metrics import WorkerMetrics
from monitor.jobs.pulse import Pulse
from monitor.score import Scorer, ScoringQueue, transcript_of
from monitor.store import epochs, intake, leases, offsets, rated, sweeps, tally
from monitor.store.engine import reading
from monitor.store.faults import as_candor_error, first_line, is_transient, shown
from monitor.store.offsets import Claim, FencedError
from monitor.worker.accept import UnmeasuredError
from monitor.worker.commit import commit_chunk
from monitor.worker.detection import advance_detectors
from monitor.worker.feedback_sample import FeedbackSample
from monitor.worker.options import WorkerOptions
from monitor.worker.plan import Chunk, Item, Planner
from monitor.worker.rates import RecordedRates
from monitor.worker.remeasure import RemeasureAll
from monitor.worker.turns import Turns
from monitor.worker.unattested import UnattestedVersions

log = logging.getLogger(__name__)

_IDLE_POLL_S = 0.5
_BUSY_POLL_S = 0.02
_CHUNK_MEASURED = 64
"""Responses of one poll that are measured, as far as the sampling rates tell."""
_SWEEP_S = 5.0
_OVERLAP_S = 3_600.0
"""No two transactions overlap for longer, clocks that differ included."""
_BEAT_S = 2.0
_DETECT_S = 5.0
_MAX_HELD_BYTES = 64 * 1024 * 1024
_MAX_BACKOFF_S = 30.0


@dataclasses.dataclass(frozen=True, slots=True)
class WorkerKeys:
    """Secrets handed in: of pseudonyms, of the sampling hash, and the cipher of dead letters."""

    pseudonym: bytes
    sampling: bytes
    dead_letters: Fernet


@dataclasses.dataclass(slots=True)
class _Held:
    """A partition that is ours: its claim and the chunks that are not written yet."""

    claim: Claim
    chunks: deque[Chunk] = dataclasses.field(default_factory=deque)


class Worker:
    """Joins broker, store and stages; `step` once, or `run` until stopped.

    Memory is bounded: responses in work by `scoring.max_queue` plus one poll, bytes held by 64 MiB
    plus one poll; beyond that all partitions are paused while polls keep the membership alive.

    Parameters
    ----------
    name
        Of this process, unique among the workers of a store.
    clock, stopwatch
        Seconds since the epoch, and monotonic seconds.
    pulse
        Beaten at each turn of the loop.
    """

    def __init__(
        self,
        options: WorkerOptions,
        engine: Engine,
        scorer: Scorer,
        source: Source,
        *,
        metrics: WorkerMetrics,
        keys: WorkerKeys,
        name: str,
        clock: Callable[[], float] = time.time,
        stopwatch: Callable[[], float] = time.monotonic,
        pulse: Pulse | None = None,
    ) -> None:
        self._pulse = pulse or Pulse(math.inf, stopwatch)
        self._options = options
        self._engine = engine
        self._source = source
        self._metrics = metrics
        self._cipher = keys.dead_letters
        self._name = name
        self._clock = clock
        self._stopwatch = stopwatch
        self._keys = keys
        self._rates = RecordedRates(engine, options.sampling, clock)
        self._queue = ScoringQueue(scorer, options.scoring, metrics, clock, stopwatch)
        self._turns = Turns(engine, options.ingest, metrics, clock, stopwatch)
        self._feedback_sample = FeedbackSample(
            engine,
            self._queue,
            owner=name,
            share=max(1, options.scoring.max_queue // 2),
            clock=clock,
        )
        self._scorer = scorer
        self._remeasure = RemeasureAll(
            engine,
            self._queue,
            evaluators=scorer.evaluators,
            owner=name,
            share=max(1, options.scoring.max_queue // 4),
            clock=clock,
        )
        self._held: dict[Partition, _Held] = {}
        self._expected = 0
        self._actual = 0
        self._paused = False
        self._detect = True
        self._sample_waits = True
        self._extra_waits = True
        self._unattested = UnattestedVersions()
        self._next_sweep_s = self._next_beat_s = stopwatch()

    def run(self, stop: threading.Event) -> None:
        """Step until `stop` is set. What passes by itself in the database is waited out, later and later.

        Raises UnreachableError when the broker is gone for good, and BadInputError when the store's file
        is damaged.
        """
        failures = 0
        while not stop.is_set():
            self._pulse.beat()
            try:
                self.step()
                failures = 0
            except (DBAPIError, PoolTimeoutError) as error:
                if not is_transient(error):
                    raise as_candor_error(error, shown(self._engine)) or error from error
                failures += 1
                log.warning("the database failed, trying again: %s", first_line(error))
                stop.wait(min(0.5 * 2**failures, _MAX_BACKOFF_S))

    def close(self) -> None:
        """Leave the group and end the scoring threads; what is not written will be read again."""
        self._source.close()
        self._queue.close()

    @property
    def idle(self) -> bool:
        """Whether nothing that was polled waits to be written."""
        busy = self._feedback_sample.busy or self._remeasure.busy
        return not busy and not any(h.chunks for h in self._held.values())

    def step(self) -> int:
        """One poll and one transaction for each chunk that is ready; returns the records written."""
        self._take(self._poll())
        self._submit(self._turns.joined(self._planner(), self._queue.room))
        written = self._write_ready()
        self._measure_feedback_sample()
        self._measure_again()
        if self._detect:
            opened, self._detect = advance_detectors(
                self._engine,
                options=self._options.detection,
                health_options=self._options.health,
                clock=self._clock,
                until=Deadline(_DETECT_S, self._stopwatch),
            )
            for alarm in opened:
                self._metrics.alarm(alarm.metric)
        self._sweep()
        self._beat()
        return written

    def _poll(self) -> Poll:
        room = self._room()
        self._paused = room <= 0
        self._source.pause(self._held if self._paused else ())
        self._metrics.paused(self._paused)
        self._metrics.queue_depth(self._queue.depth)
        for topic, records in self._source.lag().items():
            self._metrics.lag(topic, records)
        timeout_s = _IDLE_POLL_S if self.idle else _BUSY_POLL_S
        return self._source.poll(timeout_s, self._poll_size(room))

    def _poll_size(self, room: int) -> int:
        """Records to take: a chunk is written once all its sampled responses are measured.

        A backlog of which little is measured is so read in large transactions.
        """
        rate = self._rates.highest_arrival
        measured = min(room, _CHUNK_MEASURED)
        return max(1, min(self._options.kafka.max_poll_records, int(measured / rate)))

    def _room(self) -> int:
        held = sum(chunk.n_bytes for held in self._held.values() for chunk in held.chunks)
        return self._queue.room if held < _MAX_HELD_BYTES else 0

    def _take(self, poll: Poll) -> None:
        try:
            self._apply(poll)
        except (DBAPIError, PoolTimeoutError):
            # The source is past these records: claim their partitions anew, or they would be skipped.
            for partition in {*poll.assigned, *poll.records}:
                self._drop(partition)
                self._source.forget(partition)
            raise

    def _apply(self, poll: Poll) -> None:
        for partition in poll.revoked:
            self._drop(partition)
        for partition in poll.assigned:
            self._drop(partition)
            self._claim(partition)
        for partition, records in poll.records.items():
            held = self._held.get(partition)
            if held is not None and records:
                chunk = self._planner().plan(partition, records)
                self._turns.take(chunk.items)
                self._submit([item for item in chunk.items if not item.waits])
                held.chunks.append(chunk)

    def _planner(self) -> Planner:
        options, keys = self._options, self._keys
        return Planner(
            options.kafka,
            options.ingest,
            self._rates.current(),
            keys.pseudonym,
            keys.sampling,
            self._clock,
        )

    def _claim(self, partition: Partition) -> None:
        self._rates.current()
        with self._engine.begin() as connection:
            claim = offsets.claim(
                connection,
                self._source.cluster_id,
                partition.topic,
                partition.number,
                now_s=self._clock(),
            )
        self._source.seek(partition, claim.next_offset)
        self._held[partition] = _Held(claim)

    def _drop(self, partition: Partition) -> None:
        held = self._held.pop(partition, None)
        if held is not None:
            for chunk in held.chunks:
                self._turns.drop(chunk.items)
                for ticket in chunk.tickets():
                    ticket.cancel()

    def _submit(self, items: Sequence[Item], *, even_known: bool = False) -> None:
        """Queue the sampled responses for scoring, each content once and known ones never."""
        sampled = {
            (item.key, intake.response_digest(item.outcome)): item
            for item in reversed(items)
            if item.is_measured and item.key and isinstance(item.outcome, Response)
        }
        known: set[tuple[intake.Key, bytes]] = set()
        if sampled and not even_known:
            with reading(self._engine) as connection:
                known = intake.stored_contents(connection, sampled)
        wanted = [item for content, item in reversed(sampled.items()) if content not in known]
        tickets = self._queue.submit(
            [transcript_of(i.outcome) for i in wanted if isinstance(i.outcome, Response)]
        )
        for item, ticket in zip(wanted, tickets, strict=True):
            item.ticket = ticket

    def _write_ready(self) -> int:
        written = 0
        done: dict[Partition, int] = {}
        for partition, held in list(self._held.items()):
            while held.chunks and held.chunks[0].ready:
                if not self._write(partition, held):
                    break
                written += held.chunks.popleft().n_records
                done[partition] = held.claim.next_offset
        if done:
            self._source.commit(done)
        return written

    def _write(self, partition: Partition, held: _Held) -> bool:
        chunk = held.chunks[0]
        try:
            held.claim, effects = commit_chunk(
                self._engine,
                held.claim,
                chunk,
                cipher=self._cipher,
                now_s=(now_s := self._clock()),
                since_s=now_s - self._options.ingest.feedback_horizon_s,
            )
        except FencedError as error:
            log.warning("%s", error)
            self._metrics.fenced()
            self._drop(partition)
            self._source.forget(partition)
            return False
        except UnmeasuredError:
            self._submit([item for item in chunk.items if item.ticket is None], even_known=True)
            return False
        effects.count(self._metrics)
        self._expected += effects.sampled.total() + effects.n_feedback_sampled
        self._actual += effects.verdicts.total() - effects.verdicts["error"]
        self._detect = self._detect or bool(effects.verdicts)
        self._sample_waits = self._sample_waits or bool(effects.n_feedback_sampled)
        return True

    def _measure_feedback_sample(self) -> None:
        for kind, n in self._feedback_sample.collect().items():
            self._metrics.verdict(kind, n)
            self._actual += n if kind != "error" else 0
        if self._sample_waits:
            self._sample_waits = self._feedback_sample.submit() > 0

    def _measure_again(self) -> None:
        for (purpose, kind), n in self._remeasure.collect().items():
            self._metrics.extra_verdict(purpose, kind, n)
            self._detect = True
        if self._extra_waits:
            self._extra_waits = self._remeasure.submit() > 0

    def _sweep(self) -> None:
        """What races and time leave behind; also a look for detectors and samples left by others."""
        if self._stopwatch() < self._next_sweep_s:
            return
        now_s = self._clock()
        ingest = self._options.ingest
        horizon_s = now_s - ingest.feedback_horizon_s
        with self._engine.begin() as connection:
            matched = sweeps.match_late(connection, since_s=now_s - _OVERLAP_S, before_s=horizon_s)
            stored = epochs.read_epochs(connection)
            sampled = rated.on_matched(connection, matched, since_s=horizon_s)
            orphans = sweeps.orphan(connection, before_s=horizon_s)
            sweeps.drop_bodies(
                connection,
                skipped_before_s=horizon_s,
                dead_letters_before_s=now_s - ingest.dead_letter_retention_s,
            )
            self._unattested.look(connection, now_s)
            count_parts = self._turns.sweep(connection)
        count_parts()
        with self._engine.begin() as connection:
            tally.fold(connection)
        self._rates.follow(stored)
        for state, n in (("matched", len(matched)), ("orphan", orphans)):
            if n:
                self._metrics.feedback(state, n)
        if sampled:
            self._metrics.sampled(SampledBy.FEEDBACK.value, sampled)
            self._expected += sampled
        self._detect = self._sample_waits = self._extra_waits = True
        self._next_sweep_s = self._stopwatch() + _SWEEP_S

    def _beat(self) -> None:
        if self._stopwatch() < self._next_beat_s:
            return
        with self._engine.begin() as connection:
            leases.beat(
                connection,
                self._name,
                expected=self._expected,
                actual=self._actual,
                paused=self._paused,
                now_s=self._clock(),
                evaluators=self._scorer.evaluators,
                lag_records=self._lag_records(),
            )
        self._next_beat_s = self._stopwatch() + _BEAT_S

    def _lag_records(self) -> int | None:
        """Records of our partitions that are not written: unread, or read and not yet measured. Those that
        wait for a turn, within its window, are no lag."""
        if not self._held:
            return None
        behind = [h.chunks for h in self._held.values() if h.chunks]
        if not self._turns.overdue:
            behind = [chunks for chunks in behind if not chunks[0].waits]
        held = sum(chunk.n_records for chunks in behind for chunk in chunks)
        return held + sum(self._source.lag().values())
