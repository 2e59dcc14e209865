"""Sends in the background, so that no assistant waits for the monitor or fails with it."""

from __future__ import annotations

import logging
import queue
import threading
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Any, Self

from candor_client.client import Client
from candor_client.errors import ClientError, OverloadedError, ServerError, UnreachableError
from candor_client.values import Feedback, Response

log = logging.getLogger(__name__)

_BATCH = 100
_PAUSE_S = 1.0


class Recorder:
    """A bounded queue and a thread that sends what is in it.

    `put` never waits and never raises: what finds the queue full, or is refused by the API, is dropped
    and counted. While the API is away records wait, up to `most`; what waits when the recorder is closed
    is tried once more. What must not be lost goes through `Client` itself.

    Parameters
    ----------
    client
        Sends; its retries hold up the queue, not the caller. Not closed with the recorder.
    most
        Records that wait at most.

    Attributes
    ----------
    sent, dropped
        Records so far.
    """

    def __init__(self, client: Client, *, most: int = 10_000) -> None:
        self._client = client
        self._queue: queue.Queue[Response | Feedback | None] = queue.Queue(most)
        self._closing = threading.Event()
        self._given_up = False
        self.sent = 0
        self.dropped = 0
        self._thread = threading.Thread(target=self._run, name="candor-recorder", daemon=True)
        self._thread.start()

    def put(self, record: Response | Feedback) -> bool:
        """Queue a response or feedback; False where it is dropped."""
        if not self._closing.is_set():
            try:
                self._queue.put_nowait(record)
            except queue.Full:
                pass
            else:
                return True
        self.dropped += 1
        return False

    def flush(self) -> None:
        """Wait until what was put before is sent or dropped."""
        self._queue.join()

    def close(self) -> None:
        """Send what waits, and end. Called when the API is away, it loses what waits."""
        if not self._closing.is_set():
            self._closing.set()
            self._queue.put(None)
            self._thread.join()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _run(self) -> None:
        while (record := self._queue.get()) is not None:
            batch = [record]
            is_last = False
            while len(batch) < _BATCH:
                try:
                    following = self._queue.get_nowait()
                except queue.Empty:
                    break
                if following is None:
                    is_last = True
                    break
                batch.append(following)
            self._send(batch)
            for _ in range(len(batch) + is_last):
                self._queue.task_done()
            if is_last:
                return
        self._queue.task_done()

    def _send(self, batch: Sequence[Response | Feedback]) -> None:
        self._deliver([one for one in batch if isinstance(one, Response)], "responses")
        self._deliver([one for one in batch if isinstance(one, Feedback)], "feedback")

    def _deliver(self, records: Sequence[Response | Feedback], what: str) -> None:
        client = self._client
        send: Callable[[Sequence[Any]], int] = (
            client.send_responses if what == "responses" else client.send_feedback
        )
        while records and not self._given_up:
            is_last = self._closing.is_set()
            try:
                self.sent += send(records)
            except (UnreachableError, OverloadedError, ServerError) as error:
                # Nothing is wrong with the records: they are kept, as far as the queue goes.
                log.warning("the API does not take records now: %s", error)
                self._given_up = is_last
                if not is_last:
                    self._closing.wait(_PAUSE_S)
            except ClientError as error:
                if len(records) == 1:
                    self.dropped += 1
                    log.warning("a record was not taken: %s", error)
                else:
                    # All of a request is refused with one: the others are sent without it.
                    for record in records:
                        self._deliver([record], what)
                return
            else:
                return
        self.dropped += len(records)
