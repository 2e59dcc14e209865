"""Recorded sampling epochs."""

from __future__ import annotations

import msgspec
from sqlalchemy import Connection, insert, select

from monitor.store import audit
from monitor.store.dialect import lock_names
from monitor.store.schema import rate_epochs

_EVERYTHING = "*"


class StoredRates(msgspec.Struct, frozen=True):
    """Rates and the time from which they hold."""

    from_s: float
    pi_arrival: float
    pi_feedback: float


def read_epochs(connection: Connection) -> list[StoredRates]:
    """All epochs, oldest first; each holds for every stratum."""
    table = rate_epochs.c
    query = select(table.from_s, table.pi_arrival, table.pi_feedback).order_by(table.id)
    return [StoredRates(*row) for row in connection.execute(query)]


def begin_epoch(
    connection: Connection, *, pi_arrival: float, pi_feedback: float, now_s: float
) -> bool:
    """Begin an epoch unless these rates are the newest already; whether one began, which is audited.

    The first epoch reaches back to the beginning of time: what came before was never sampled otherwise.
    """
    lock_names(connection, ["rate_epochs"])
    before = read_epochs(connection)
    if before and (before[-1].pi_arrival, before[-1].pi_feedback) == (pi_arrival, pi_feedback):
        return False
    from_s = now_s if before else 0.0
    connection.execute(
        insert(rate_epochs).values(pi_arrival=pi_arrival, pi_feedback=pi_feedback, from_s=from_s)
    )
    audit.append(
        connection,
        by="candor",
        action="sampling.epoch",
        subject=_EVERYTHING,
        details={"pi_arrival": pi_arrival, "pi_feedback": pi_feedback, "from_s": from_s},
        at_s=now_s,
    )
    return True
