"""Measuring one answer while somebody waits: bounded in number and in time."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from concurrent.futures import TimeoutError as FutureTimeoutError
from enum import StrEnum

from msgspec.structs import replace

from evidence import Assessment, digest
from evidence.records import SensorFigures
from evidence.structs import build_types
from probes.probe import Transcript
from probes.scorer import Evaluator, Scorer

log = logging.getLogger(__name__)


class Failure(StrEnum):
    """Why an answer was not measured."""

    TIMEOUT = "timeout"
    OVERLOADED = "overloaded"
    SCORER = "scorer_failed"


class OneAtATime:
    """A scorer for a worker and an asker together: models in process must not be called by two at once.

    An asker then waits behind the worker's batch; where that is too long, give `candor serve` and
    `candor worker` processes of their own.
    """

    def __init__(self, scorer: Scorer) -> None:
        self._scorer = scorer
        self._lock = threading.Lock()

    @property
    def evaluators(self) -> tuple[Evaluator, ...]:
        return self._scorer.evaluators

    def version_of(self, assistant: str) -> str:
        return self._scorer.version_of(assistant)

    @property
    def figures(self) -> Sequence[SensorFigures]:
        return self._scorer.figures

    def score(self, transcripts: Sequence[Transcript]) -> list[Assessment]:
        """As the scorer, once nobody else is being answered."""
        with self._lock:
            return self._scorer.score(transcripts)


class Asker:
    """Hands answers to a scorer one after the other; whoever waits longer than they may is told.

    Parameters
    ----------
    score
        Measures one transcript; one thread calls it.
    max_waiting
        Answers that wait or are being measured; more fail at once as `overloaded`.
    """

    def __init__(self, score: Callable[[Transcript], Assessment], *, max_waiting: int) -> None:
        self._score = score
        self._room = threading.BoundedSemaphore(max_waiting)
        build_types()
        self._threads = ThreadPoolExecutor(max_workers=1, thread_name_prefix="abstain")

    def ask(self, transcript: Transcript, timeout_s: float) -> Assessment | Failure:
        """The assessment, or why there is none within `timeout_s`. Never raises for the scorer's faults.

        A measurement that has begun when the time is over goes on, and keeps its place until it ends.
        The transcript goes by a name made of its text, because the cascade draws by name.
        """
        if not self._room.acquire(blocking=False):
            return Failure.OVERLOADED
        future = self._threads.submit(self._score, _named(transcript))
        future.add_done_callback(lambda _future: self._room.release())
        try:
            return future.result(timeout_s)
        except FutureTimeoutError:
            future.cancel()
            return Failure.TIMEOUT
        except Exception:
            # Whatever breaks in a model must end in the configured answer, not in a missing one.
            log.exception("an answer could not be measured")
            return Failure.SCORER

    def close(self) -> None:
        """End after the measurement in progress."""
        self._threads.shutdown(wait=True, cancel_futures=True)


def _named(transcript: Transcript) -> Transcript:
    said = (part for message in transcript.messages for part in (message.role, message.content))
    return replace(transcript, id=digest("question", transcript.model, *said)[:32])
