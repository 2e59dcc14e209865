"""A lease that renews itself while its work runs, and fences what the work writes."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from sqlalchemy import Connection, Engine
from sqlalchemy.exc import SQLAlchemyError

from monitor.store import leases
from monitor.store.leases import LeaseLostError

log = logging.getLogger(__name__)


class Lease:
    """Work of one name, done by one process at a time.

    Parameters
    ----------
    owner
        This process; its own lease comes back to it at once.
    duration_s
        How long the others wait for a process that died. Work may take longer: the lease is renewed.
    clock
        Seconds since the epoch.
    """

    def __init__(
        self,
        engine: Engine,
        name: str,
        *,
        owner: str,
        duration_s: float,
        clock: Callable[[], float],
    ) -> None:
        self._engine = engine
        self._name = name
        self._owner = owner
        self._duration_s = duration_s
        self._clock = clock
        self._fence: int | None = None

    def take(self) -> bool:
        """Take or renew it; False while another owner holds it."""
        with self._engine.begin() as connection:
            self._fence = leases.acquire(
                connection,
                self._name,
                self._owner,
                now_s=self._clock(),
                duration_s=self._duration_s,
            )
        return self._fence is not None

    @contextmanager
    def held(self) -> Iterator[bool]:
        """Take it and renew it until the context ends; yields False while another owner holds it."""
        if not self.take():
            yield False
            return
        over = threading.Event()
        renewing = threading.Thread(
            target=self._renew, args=(over,), name=f"lease-{self._name}", daemon=True
        )
        renewing.start()
        try:
            yield True
        finally:
            over.set()
            renewing.join()

    @contextmanager
    def writing(self) -> Iterator[Connection]:
        """A transaction that is written only if the lease is still ours. Raises LeaseLostError."""
        if self._fence is None:
            raise LeaseLostError(f"the lease {self._name!r} is not held")
        with self._engine.begin() as connection:
            leases.check(connection, self._name, self._owner, self._fence)
            yield connection

    def release(self) -> None:
        """Let the next owner take it at once."""
        with self._engine.begin() as connection:
            leases.release(connection, self._name, self._owner)

    def _renew(self, over: threading.Event) -> None:
        while not over.wait(self._duration_s / 3.0):
            try:
                with self._engine.begin() as connection:
                    leases.renew(
                        connection,
                        self._name,
                        self._owner,
                        now_s=self._clock(),
                        duration_s=self._duration_s,
                    )
            except SQLAlchemyError as error:
                log.warning("the lease %s could not be renewed: %s", self._name, error)
