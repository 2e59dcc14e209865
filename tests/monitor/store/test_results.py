"""How far receivers of results are, on both databases."""

from __future__ import annotations

import time

from sqlalchemy import Engine, insert, select

from monitor.jobs.deadline import Deadline
from monitor.store import open_store, outbox, reading, results, sweeps, upgrade
from monitor.store.outbox import ALARMS_TOPIC, VERDICTS_TOPIC, Published
from monitor.store.results import Settled, Snapshot, Wait
from monitor.store.schema import outbox as outbox_table


def add(engine: Engine, *values: bytes, topic: str = VERDICTS_TOPIC, now_s: float = 1.0) -> None:
    with engine.begin() as connection:
        outbox.add(connection, topic, [(b"k", value) for value in values], now_s=now_s)


def publish(engine: Engine) -> None:
    with engine.begin() as connection:
        rows = outbox.unpublished(connection, 100)
        outbox.mark_published(connection, [Published(r.id, "k", 0, r.id) for r in rows])


def values(engine: Engine) -> list[bytes]:
    with reading(engine) as connection:
        return list(connection.execute(select(outbox_table.c.value)).scalars())


def settled_at(engine: Engine, settled: Settled, newest: int, deadline: Deadline) -> int:
    """The settled id, once it is the newest; the server's own work holds transactions for a moment."""
    while True:
        with reading(engine) as connection:
            at = settled.advance(results.snapshot(connection))
        if at >= newest or deadline.passed:
            return at
        time.sleep(0.01)


def newest_id(engine: Engine) -> int:
    with reading(engine) as connection:
        return results.snapshot(connection).newest_id


def test_results_are_read_in_order_and_other_topics_left_out(engine: Engine) -> None:
    add(engine, b"1", b"2")
    add(engine, b"in", topic="assistant.responses")
    add(engine, b"3", topic=ALARMS_TOPIC)
    up_to = settled_at(engine, Settled(), newest_id(engine), Deadline(60.0, time.monotonic))
    with reading(engine) as connection:
        rows = results.unsent(connection, after=0, up_to=up_to, limit=9)
        assert [row.value for row in rows] == [b"1", b"2", b"3"]
        after = results.unsent(connection, after=rows[0].id, up_to=rows[1].id, limit=9)
        assert [row.value for row in after] == [b"2"]


def test_a_result_that_waits_comes_again_when_it_is_due(engine: Engine) -> None:
    add(engine, b"1", b"2", b"3")
    with engine.begin() as connection:
        one, two, _ = results.unsent(connection, after=0, up_to=10**9, limit=9)
        results.settle(
            connection, "phoenix", [], [Wait(one.id, 5.0, 1, 7.0), Wait(two.id, 5.0, 1, 9.0)]
        )
        results.move(connection, "phoenix", two.id, now_s=5.0)
        results.move(connection, "otlp", 0, now_s=5.0)
        assert results.due(connection, "phoenix", now_s=6.0, limit=9) == []
        assert results.due(connection, "otlp", now_s=99.0, limit=9) == []
        (again,) = results.due(connection, "phoenix", now_s=8.0, limit=9)
        assert (again.value, again.since_s, again.tries) == (b"1", 5.0, 1)
        otlp, phoenix = results.lags(connection)
        assert (otlp.records, otlp.waiting, otlp.oldest_s) == (3, 0, 1.0)
        assert (phoenix.records, phoenix.waiting) == (3, 2)
        results.settle(connection, "phoenix", [one.id], [Wait(two.id, 5.0, 2, 20.0)])
        assert results.n_waiting(connection, "phoenix") == 1
        assert results.position(connection, "phoenix") == two.id


def test_copies_are_kept_until_every_receiver_had_them(engine: Engine) -> None:
    add(engine, b"1", b"2", b"3")
    publish(engine)
    with engine.begin() as connection:
        one, two, three = results.unsent(connection, after=0, up_to=10**9, limit=9)
        results.settle(connection, "phoenix", [], [Wait(one.id, 5.0, 1, 7.0)])
        results.move(connection, "phoenix", three.id, now_s=50.0)
        results.move(connection, "otlp", two.id, now_s=20.0)
        assert sweeps.prune_outbox(connection, keep=[], before_s=100.0) == 1
    assert values(engine) == [b"1", b"3"], "one waits, one was not sent to the other"
    with engine.begin() as connection:
        assert results.forget_absent(connection, before_s=30.0) == ["otlp"]
        results.settle(connection, "phoenix", [one.id], [])
        assert sweeps.prune_outbox(connection, keep=[], before_s=100.0) == 2
    add(engine, b"4")
    with reading(engine) as connection:
        (new,) = results.unsent(connection, after=three.id, up_to=10**9, limit=9)
    assert new.value == b"4", "its id is a new one, or the receiver would never have it"


def test_an_id_counts_once_whoever_may_be_behind_it_has_ended() -> None:
    settled = Settled()
    assert settled.advance(Snapshot(5, 100, 100)) == 5
    assert settled.advance(Snapshot(7, 100, 103)) == 5, "100 runs: it may hold id 6"
    assert settled.advance(Snapshot(9, 102, 105)) == 5, "102 ran when 7 was seen"
    assert settled.advance(Snapshot(12, 103, 110)) == 7
    assert settled.advance(Snapshot(12, 110, 111)) == 12


def test_a_row_that_is_committed_late_is_not_passed(empty_postgres: str) -> None:
    upgrade(empty_postgres)
    engine = open_store(empty_postgres)
    settled = Settled()

    def step() -> int:
        with reading(engine) as connection:
            return settled.advance(results.snapshot(connection))

    row = {"topic": VERDICTS_TOPIC, "key": b"k", "created_at_s": 1.0}
    with engine.connect() as slow, slow.begin():
        slow.execute(insert(outbox_table).values(**row, value=b"first"))
        add(engine, b"second")
        with reading(engine) as connection:
            newest = results.snapshot(connection).newest_id
        assert [step() for _ in range(3)] == [0, 0, 0], "the second is seen, the first is not"
    assert settled_at(engine, settled, newest, Deadline(60.0, time.monotonic)) == newest
    with reading(engine) as connection:
        rows = results.unsent(connection, after=0, up_to=newest, limit=9)
    assert [one.value for one in rows] == [b"first", b"second"]
    engine.dispose()
