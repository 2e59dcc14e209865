"""Leases: work that one process does at a time, and heartbeats that say who is there."""

from __future__ import annotations

from sqlalchemy import Connection, update

from monitor.store.dialect import insert_new
from monitor.store.schema import leases, worker_heartbeats


def acquire(
    connection: Connection, name: str, owner: str, *, now_s: float, duration_s: float
) -> int | None:
    """Take or renew a lease; returns its fence, or None while another owner holds it.

    The fence rises when the owner changes, so that work under an older one can be told.
    """
    fresh = {"name": name, "owner": owner, "fence": 1, "expires_at_s": now_s + duration_s}
    if insert_new(connection, leases, [fresh], [leases.c.fence]):
        return 1
    renewed = connection.execute(
        update(leases)
        .where(leases.c.name == name, leases.c.owner == owner)
        .values(expires_at_s=now_s + duration_s)
        .returning(leases.c.fence)
    ).scalar()
    if renewed is not None:
        return int(renewed)
    taken = connection.execute(
        update(leases)
        .where(leases.c.name == name, leases.c.expires_at_s <= now_s)
        .values(owner=owner, fence=leases.c.fence + 1, expires_at_s=now_s + duration_s)
        .returning(leases.c.fence)
    ).scalar()
    return None if taken is None else int(taken)


def release(connection: Connection, name: str, owner: str) -> None:
    """Let the next owner take the lease at once."""
    connection.execute(
        update(leases)
        .where(leases.c.name == name, leases.c.owner == owner)
        .values(expires_at_s=0.0)
    )


def beat(
    connection: Connection,
    worker: str,
    *,
    expected: int,
    actual: int,
    paused: bool,
    now_s: float,
    evaluator_version: str | None = None,
    calibrated: bool | None = None,
    lag_records: int | None = None,
) -> None:
    """Say that a worker lives: what it measures with, how much, and how far it is behind."""
    values = {
        "seen_at_s": now_s,
        "expected": expected,
        "actual": actual,
        "paused": paused,
        "evaluator_version": evaluator_version,
        "calibrated": calibrated,
        "lag_records": lag_records,
    }
    row = {"worker": worker, **values}
    if not insert_new(connection, worker_heartbeats, [row], [worker_heartbeats.c.worker]):
        connection.execute(
            update(worker_heartbeats).where(worker_heartbeats.c.worker == worker).values(**values)
        )
