"""Leases: work that one process does at a time, and heartbeats that say who is there."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
from sqlalchemy import Connection, or_, select, update

from evidence import CandorError
from monitor.store.dialect import insert_new
from monitor.store.schema import leases, worker_heartbeats
from probes.scorer import Evaluator


class LeaseLostError(CandorError):
    """Another owner took the lease: what was prepared under it must not be written."""


def acquire(
    connection: Connection, name: str, owner: str, *, now_s: float, duration_s: float
) -> int | None:
    """Take or renew a lease; returns its fence, or None while another owner holds it.

    The fence rises when the owner changes, so that work under an older one can be told. A lease that
    ends later than twice its duration from now was taken by a clock that was ahead: it counts as ended,
    or a wall clock that jumped once would hold it for as long as it had jumped.
    """
    fresh = {"name": name, "owner": owner, "fence": 1, "expires_at_s": now_s + duration_s}
    if insert_new(connection, leases, [fresh], [leases.c.fence]):
        return 1
    renewed = renew(connection, name, owner, now_s=now_s, duration_s=duration_s)
    if renewed is not None:
        return renewed
    taken = connection.execute(
        update(leases)
        .where(
            leases.c.name == name,
            or_(
                leases.c.expires_at_s <= now_s,
                leases.c.expires_at_s > now_s + 2 * duration_s,
            ),
        )
        .values(owner=owner, fence=leases.c.fence + 1, expires_at_s=now_s + duration_s)
        .returning(leases.c.fence)
    ).scalar()
    return None if taken is None else int(taken)


def renew(
    connection: Connection, name: str, owner: str, *, now_s: float, duration_s: float
) -> int | None:
    """Hold a lease longer; returns its fence, or None where another owner has it."""
    fence = connection.execute(
        update(leases)
        .where(leases.c.name == name, leases.c.owner == owner)
        .values(expires_at_s=now_s + duration_s)
        .returning(leases.c.fence)
    ).scalar()
    return None if fence is None else int(fence)


def check(connection: Connection, name: str, owner: str, fence: int) -> None:
    """Keep the lease from changing hands until this transaction ends.

    Raises LeaseLostError when it has changed hands since `fence` was given out.
    """
    held = connection.execute(
        select(leases.c.fence)
        .where(leases.c.name == name, leases.c.owner == owner, leases.c.fence == fence)
        .with_for_update(read=True)
    ).scalar()
    if held is None:
        raise LeaseLostError(f"the lease {name!r} went to another process")


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
    evaluators: Sequence[Evaluator] | None = None,
    lag_records: int | None = None,
) -> None:
    """Say that a worker lives: what it measures with, how much, and how far it is behind."""
    values = {
        "seen_at_s": now_s,
        "expected": expected,
        "actual": actual,
        "paused": paused,
        "evaluators": None if evaluators is None else msgspec.json.encode(evaluators).decode(),
        "lag_records": lag_records,
    }
    row = {"worker": worker, **values}
    if not insert_new(connection, worker_heartbeats, [row], [worker_heartbeats.c.worker]):
        connection.execute(
            update(worker_heartbeats).where(worker_heartbeats.c.worker == worker).values(**values)
        )
