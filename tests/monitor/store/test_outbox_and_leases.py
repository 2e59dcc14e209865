"""Copies wait until a broker took them; one owner at a time does leased work."""

from __future__ import annotations

from sqlalchemy import Engine, select

from monitor.store import leases, offsets, outbox, sweeps
from monitor.store.outbox import Published
from monitor.store.schema import worker_heartbeats

NOW = {"now_s": 10.0}


def test_rows_wait_until_they_are_acknowledged(engine: Engine) -> None:
    with engine.begin() as connection:
        outbox.add(connection, "out", [(b"k", b"1"), (None, b"2"), (None, b"3")], **NOW)
        outbox.add(connection, "out", [], **NOW)
        rows = outbox.unpublished(connection, 2)
        assert [(r.key, r.value) for r in rows] == [(b"k", b"1"), (None, b"2")]
        outbox.mark_published(connection, [Published(rows[0].id, "k1", 0, 7)])
        assert [r.value for r in outbox.unpublished(connection, 9)] == [b"2", b"3"]


def test_what_a_broker_forgot_before_it_was_read_is_sent_again(engine: Engine) -> None:
    with engine.begin() as connection:
        outbox.add(connection, "in", [(None, b"read"), (None, b"unread")], **NOW)
        outbox.add(connection, "out", [(None, b"copy")], **NOW)
        rows = outbox.unpublished(connection, 9)
        outbox.mark_published(connection, [Published(r.id, "k1", 0, i) for i, r in enumerate(rows)])
        held = offsets.claim(connection, "k1", "in", 0, **NOW)
        offsets.advance(connection, held, 1, **NOW)
        assert outbox.reset_forgotten(connection, "k1", ["in"]) == 0, (
            "the same broker forgot nothing"
        )
        assert outbox.reset_forgotten(connection, "k2", ["in"]) == 1
        assert [r.value for r in outbox.unpublished(connection, 9)] == [b"unread"]
        assert outbox.drop_ingested(connection, ["in"]) == 1
        assert sweeps.prune_outbox(connection, keep=["in"], before_s=11.0) == 1
        assert [r.value for r in outbox.unpublished(connection, 9)] == [b"unread"]


def test_a_lease_has_one_owner_until_it_expires(engine: Engine) -> None:
    def acquire(owner: str, now_s: float) -> int | None:
        with engine.begin() as connection:
            return leases.acquire(connection, "job", owner, now_s=now_s, duration_s=10.0)

    assert acquire("a", 0.0) == 1
    assert acquire("b", 5.0) is None
    assert acquire("a", 5.0) == 1, "renewed"
    assert acquire("b", 14.0) is None
    assert acquire("b", 15.0) == 2
    assert acquire("a", 16.0) is None
    with engine.begin() as connection:
        leases.release(connection, "job", "b")
    assert acquire("a", 16.0) == 3


def test_the_last_heartbeat_is_kept(engine: Engine) -> None:
    with engine.begin() as connection:
        for expected in (3, 5):
            leases.beat(connection, "w", expected=expected, actual=2, paused=True, **NOW)
        (row,) = connection.execute(select(worker_heartbeats)).all()
    assert (row.expected, row.actual, row.paused) == (5, 2, True)
