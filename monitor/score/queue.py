"""A bounded queue of transcripts before a scorer that may be slow, fail or hang.

Micro-batches are formed by length, around the oldest waiting transcript, so that padding is small
and nothing starves. A batch past its time-out yields errors and the caller goes on; the scorer's
one thread cannot be killed, so later batches wait for it, each at most its own time-out: a hung
scorer costs errors, never threads or memory.
"""

from __future__ import annotations

import logging
import queue
import threading
from collections.abc import Callable, Sequence
from typing import Protocol

from evidence import Assessment
from evidence.structs import build_types
from monitor.score.options import ScoringOptions
from monitor.score.scorer import failed
from probes.probe import Transcript
from probes.scorer import Scorer

log = logging.getLogger(__name__)


class ScoreMetrics(Protocol):
    """What the queue counts."""

    def judge_seconds(self, seconds: float) -> None: ...

    def judge_tokens(self, tokens: int) -> None: ...


class Ticket:
    """One transcript on its way; `assessment` and `scored_at_s` are set when it is done."""

    __slots__ = ("assessment", "cancelled", "length", "scored_at_s", "transcript")

    def __init__(self, transcript: Transcript) -> None:
        self.transcript = transcript
        self.length = sum(len(message.content) for message in transcript.messages)
        self.assessment: Assessment | None = None
        self.scored_at_s = 0.0
        self.cancelled = False

    @property
    def done(self) -> bool:
        return self.assessment is not None

    def cancel(self) -> None:
        """Nobody waits any more: spare the scorer if it has not begun."""
        self.cancelled = True


class _Batch:
    def __init__(self, tickets: Sequence[Ticket]) -> None:
        self.tickets = tickets
        self.lock = threading.Lock()
        self.over = threading.Event()

    def settle(self, assessments: Sequence[Assessment], at_s: float) -> bool:
        """Give the tickets their results unless they have some; the first to settle wins."""
        with self.lock:
            if self.over.is_set():
                return False
            for ticket, assessment in zip(self.tickets, assessments, strict=True):
                ticket.scored_at_s = at_s
                ticket.assessment = assessment
            self.over.set()
            return True


class ScoringQueue:
    """See the module. Close it to end its threads.

    Parameters
    ----------
    clock
        Seconds since the epoch.
    stopwatch
        Monotonic seconds.
    """

    def __init__(
        self,
        scorer: Scorer,
        options: ScoringOptions,
        metrics: ScoreMetrics,
        clock: Callable[[], float],
        stopwatch: Callable[[], float],
    ) -> None:
        self._scorer = scorer
        self._options = options
        self._metrics = metrics
        self._clock = clock
        self._stopwatch = stopwatch
        self._waiting: list[Ticket] = []
        self._scoring: Sequence[Ticket] = ()
        self._current: _Batch | None = None
        self._changed = threading.Condition()
        self._closed = False
        self._batches: queue.SimpleQueue[_Batch | None] = queue.SimpleQueue()
        self._threads = [
            threading.Thread(target=target, name=f"score-{name}", daemon=True)
            for name, target in (("dispatch", self._dispatch), ("run", self._run))
        ]
        build_types()
        for thread in self._threads:
            thread.start()

    @property
    def depth(self) -> int:
        """Transcripts not yet done."""
        with self._changed:
            return len(self._waiting) + sum(not ticket.done for ticket in self._scoring)

    @property
    def room(self) -> int:
        """How many more transcripts may be submitted; negative after an oversized chunk."""
        return self._options.max_queue - self.depth

    def submit(self, transcripts: Sequence[Transcript]) -> list[Ticket]:
        """Queue transcripts; never blocks. The caller looks at `room` before it takes on more."""
        tickets = [Ticket(transcript) for transcript in transcripts]
        with self._changed:
            self._waiting += tickets
            self._changed.notify_all()
        return tickets

    def close(self) -> None:
        """Stop taking batches; a scorer in the middle of one is left to finish in its daemon thread."""
        with self._changed:
            self._closed = True
            if self._current is not None:
                self._current.over.set()
            self._changed.notify_all()
        self._threads[0].join()
        self._batches.put(None)

    def _dispatch(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._closed or bool(self._waiting))
                if self._closed:
                    return
                batch = self._current = _Batch(self._take())
                self._scoring = batch.tickets
            if batch.tickets:
                self._await(batch)
            with self._changed:
                self._scoring, self._current = (), None
                self._changed.notify_all()

    def _take(self) -> list[Ticket]:
        self._waiting = [ticket for ticket in self._waiting if not ticket.cancelled]
        if not self._waiting:
            return []
        oldest = self._waiting[0]
        by_length = sorted(self._waiting[1:], key=lambda t: abs(t.length - oldest.length))
        taken = [oldest, *by_length[: self._options.batch_size - 1]]
        chosen = set(map(id, taken))
        self._waiting = [ticket for ticket in self._waiting if id(ticket) not in chosen]
        return taken

    def _await(self, batch: _Batch) -> None:
        self._batches.put(batch)
        if not batch.over.wait(self._options.timeout_s) and not self._closed:
            late = [self._failed(ticket.transcript, "timeout") for ticket in batch.tickets]
            if batch.settle(late, self._clock()):
                log.error(
                    "scoring timed out after %g s: %d errors",
                    self._options.timeout_s,
                    len(batch.tickets),
                )

    def _run(self) -> None:
        while (batch := self._batches.get()) is not None:
            if batch.over.is_set():
                continue
            begin = self._stopwatch()
            assessments = self._score([ticket.transcript for ticket in batch.tickets])
            self._metrics.judge_seconds(self._stopwatch() - begin)
            self._metrics.judge_tokens(sum(m.tokens for a in assessments for m in a.measurements))
            batch.settle(assessments, self._clock())

    def _score(self, transcripts: list[Transcript]) -> list[Assessment]:
        try:
            assessments = self._scorer.score(transcripts)
        except Exception as error:  # every failure of a probe is an error verdict, with its kind
            if len(transcripts) > 1:
                log.warning("scoring a batch failed, trying its responses one by one: %r", error)
                return [self._score([transcript])[0] for transcript in transcripts]
            log.exception("scoring failed")
            return [self._failed(transcripts[0], type(error).__name__)]
        if len(assessments) != len(transcripts):
            log.error("the scorer gave %d results for %d", len(assessments), len(transcripts))
            return [self._failed(transcript, "wrong_count") for transcript in transcripts]
        return assessments

    def _failed(self, transcript: Transcript, reason: str) -> Assessment:
        return failed(self._scorer.version_of(transcript.assistant), reason)
