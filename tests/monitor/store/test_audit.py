"""A changed, moved, missing or cut-off entry of the audit log shows."""

from __future__ import annotations

import threading

import pytest
from sqlalchemy import Engine, text

from monitor.store import audit, reading


def fill(engine: Engine, n: int = 5) -> list[str]:
    hashes = []
    for number in range(n):
        with engine.begin() as connection:
            hashes.append(
                audit.append(
                    connection,
                    by="ada",
                    action="alarm.closed",
                    subject=f"a{number}",
                    details={"reason": "x", "n": number / 3},
                    at_s=1_760_000_000.123 + number,
                )
            )
    return hashes


def verify(engine: Engine) -> audit.AuditReport:
    with reading(engine) as connection:
        return audit.verify(connection)


def test_an_untouched_log_fits_together(engine: Engine) -> None:
    assert verify(engine) == audit.AuditReport(0, audit.GENESIS, None, None)
    hashes = fill(engine)
    assert verify(engine) == audit.AuditReport(5, hashes[-1], None, None)


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE audit_log SET by = 'eve' WHERE id = 3",
        "UPDATE audit_log SET action = 'x' WHERE id = 3",
        "UPDATE audit_log SET subject = 'x' WHERE id = 3",
        "UPDATE audit_log SET details = '{}' WHERE id = 3",
        "UPDATE audit_log SET at_s = at_s + 1 WHERE id = 3",
        "UPDATE audit_log SET hash = 'x' WHERE id = 3",
        "UPDATE audit_log SET previous = 'x' WHERE id = 3",
    ],
)
def test_a_changed_entry_shows(engine: Engine, statement: str) -> None:
    fill(engine)
    with engine.begin() as connection:
        connection.execute(text(statement))
    assert verify(engine).first_bad == 3


def test_a_missing_or_moved_entry_shows(engine: Engine) -> None:
    fill(engine)
    with engine.begin() as connection:
        connection.execute(text("DELETE FROM audit_log WHERE id = 2"))
    assert verify(engine).first_bad == 3
    with engine.begin() as connection:
        connection.execute(text("UPDATE audit_log SET id = 9 WHERE id = 1"))
    assert verify(engine).first_bad == 3


def test_a_cut_off_end_shows_against_a_kept_head(engine: Engine) -> None:
    head = fill(engine)[-1]
    with engine.begin() as connection:
        assert audit.holds(connection, head)
        connection.execute(text("DELETE FROM audit_log WHERE id = 5"))
    assert verify(engine).ok
    with reading(engine) as connection:
        assert not audit.holds(connection, head)


def test_an_entry_stands_or_falls_with_its_act(engine: Engine) -> None:
    fill(engine, 1)
    with engine.connect() as connection:
        audit.append(connection, by="ada", action="x", subject="x", details={}, at_s=1.0)
        connection.rollback()
    assert verify(engine).entries == 1


def test_appenders_at_once_make_one_chain(engine: Engine) -> None:
    threads = [threading.Thread(target=fill, args=(engine, 10)) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    report = verify(engine)
    assert (report.ok, report.entries) == (True, 60)
