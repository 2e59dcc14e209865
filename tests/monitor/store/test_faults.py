"""What a database error means, told by real databases."""

from __future__ import annotations

import sqlite3
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine, create_engine, insert, select, text
from sqlalchemy.exc import DBAPIError, OperationalError

from evidence import BadInputError, UnreachableError
from monitor.settings import DatabaseOptions
from monitor.store import faults, open_store, reading, upgrade
from monitor.store.dialect import lock_names
from monitor.store.schema import tombstones


def raised(act: Callable[[], Any]) -> BaseException:
    with pytest.raises(Exception) as caught:
        act()
    return caught.value


def run(engine: Engine, *statements: str) -> None:
    with engine.begin() as connection:
        for statement in statements:
            connection.execute(text(statement))


@pytest.fixture
def postgres(empty_postgres: str) -> str:
    upgrade(empty_postgres)
    return empty_postgres


def short(url: str, **changes: Any) -> DatabaseOptions:
    return DatabaseOptions(url=url, **changes)


def test_a_paused_process_delays_others_no_longer_than_its_session(postgres: str) -> None:
    paused = open_store(short(postgres, idle_in_transaction_timeout_s=0.5))
    other = open_store(short(postgres, lock_timeout_s=20.0))
    held, holding = threading.Event(), threading.Event()
    after: list[BaseException] = []

    def hold() -> None:
        with paused.connect() as connection:
            connection.begin()
            lock_names(connection, ["a/s/normal"])
            held.set()
            holding.wait(30)  # It says nothing more, as a process that was stopped.
            after.append(raised(lambda: connection.execute(text("SELECT 1"))))

    thread = threading.Thread(target=hold)
    thread.start()
    assert held.wait(10)
    with other.begin() as connection:
        lock_names(connection, ["a/s/normal"])  # Without a time-out it would wait for ever.
    holding.set()
    thread.join()
    assert faults.is_transient(after[0]), "the paused process waits it out and begins anew"
    with paused.begin() as connection:
        lock_names(connection, ["a/s/normal"])
    paused.dispose()
    other.dispose()


def test_no_statement_waits_for_a_lock_for_ever(postgres: str) -> None:
    first, second = open_store(postgres), open_store(short(postgres, lock_timeout_s=0.2))
    with first.begin() as connection:
        lock_names(connection, ["a"])
        error = raised(lambda: run_locked(second, "a"))
    assert faults.is_transient(error)
    first.dispose()
    second.dispose()


def run_locked(engine: Engine, name: str) -> None:
    with engine.begin() as connection:
        lock_names(connection, [name])


@pytest.mark.parametrize(
    "statements",
    [
        ("SET LOCAL transaction_read_only = on", "DELETE FROM tombstones"),
        ("SET LOCAL statement_timeout = 50", "SELECT pg_sleep(10)"),
        ("SELECT pg_terminate_backend(pg_backend_pid())",),
        ("DO $$ BEGIN RAISE EXCEPTION 'full' USING ERRCODE = '53100'; END $$",),
        ("DO $$ BEGIN RAISE EXCEPTION 'serial' USING ERRCODE = '40001'; END $$",),
        ("DO $$ BEGIN RAISE EXCEPTION 'deadlock' USING ERRCODE = '40P01'; END $$",),
        ("DO $$ BEGIN RAISE EXCEPTION 'starting' USING ERRCODE = '57P03'; END $$",),
    ],
)
def test_what_passes_by_itself_is_transient(postgres: str, statements: tuple[str, ...]) -> None:
    engine = open_store(postgres)
    error = raised(lambda: run(engine, *statements))
    assert faults.is_transient(error), error
    said = faults.as_candor_error(error, "db")
    assert isinstance(said, UnreachableError)
    engine.dispose()


@pytest.mark.parametrize(
    "statements", [("SELECT * FROM no_such_table",), ("INSERT INTO tombstones VALUES ('a', NULL)",)]
)
def test_what_stays_wrong_is_not(url: str, statements: tuple[str, ...]) -> None:
    upgrade(url)
    engine = open_store(url)
    error = raised(lambda: run(engine, *statements))
    assert isinstance(error, DBAPIError)
    assert not faults.is_transient(error)
    assert faults.as_candor_error(error, "db") is None
    engine.dispose()


def test_a_server_that_is_not_there_is_transient() -> None:
    engine = create_engine("postgresql+psycopg://u:p@127.0.0.1:1/x?connect_timeout=2")
    assert faults.is_transient(raised(lambda: run(engine, "SELECT 1")))
    assert not faults.is_transient(ValueError("of ours"))


def test_sqlite_locked_full_and_read_only_are_transient(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/candor.db"
    first, second = open_store(url), open_store(short(url, lock_timeout_s=0.05))
    with first.begin():
        assert faults.is_transient(raised(lambda: run(second, "SELECT 1")))
    with second.connect() as connection:
        connection.exec_driver_sql("PRAGMA max_page_count = 1")
        rows = [{"rater": f"{i:064}", "at_s": 1.0} for i in range(20_000)]
        full = raised(lambda: connection.execute(insert(tombstones), rows))
    assert faults.is_transient(full), full
    with second.connect() as connection:
        connection.exec_driver_sql("PRAGMA query_only = ON")
        read_only = raised(lambda: connection.execute(tombstones.delete()))
        connection.exec_driver_sql("PRAGMA query_only = OFF")
    assert faults.is_transient(read_only), read_only
    first.dispose()
    second.dispose()


def test_a_damaged_file_is_not_waited_out() -> None:
    broken = sqlite3.DatabaseError("file is not a database")
    broken.sqlite_errorcode = sqlite3.SQLITE_NOTADB
    error = OperationalError("SELECT", {}, broken)
    assert faults.is_damaged(error)
    assert isinstance(faults.as_candor_error(error, "x.db"), BadInputError)


@pytest.mark.parametrize(
    "value", ["nul\x00inside", "lone \ud800 surrogate"], ids=["nul", "surrogate"]
)
def test_a_value_that_no_column_holds_is_bad_input(postgres: str, value: str) -> None:
    engine = open_store(postgres)
    with pytest.raises(BadInputError), reading(engine) as connection:
        connection.execute(select(tombstones).where(tombstones.c.rater == value)).all()
    engine.dispose()


@pytest.mark.parametrize("number", [2**63, 2**200])
def test_a_number_out_of_range_is_bad_input(tmp_path: Path, number: int) -> None:
    engine = open_store(f"sqlite:///{tmp_path}/candor.db")
    query = text("SELECT * FROM outbox WHERE id = :n")
    with pytest.raises(BadInputError), reading(engine) as connection:
        connection.execute(query, {"n": number}).all()
    engine.dispose()


def test_all_statements_of_a_reader_see_one_moment(url: str) -> None:
    upgrade(url)
    engine = open_store(url)
    with reading(engine) as reader:
        assert reader.execute(select(tombstones)).all() == []
        with engine.begin() as connection:
            connection.execute(insert(tombstones).values(rater="a", at_s=1.0))
        assert reader.execute(select(tombstones)).all() == []
    with reading(engine) as reader:
        assert len(reader.execute(select(tombstones)).all()) == 1
    engine.dispose()


def test_a_reader_cannot_write_on_postgres(postgres: str) -> None:
    engine = open_store(postgres)
    with reading(engine) as connection:
        error = raised(lambda: connection.execute(tombstones.delete()))
    assert "read-only" in faults.first_line(error)
    run(engine, "DELETE FROM tombstones")
    engine.dispose()


def test_opening_waits_no_longer_than_the_connect_timeout() -> None:
    begun = time.monotonic()
    # A documentation address: nobody answers.
    options = short("postgresql://u:p@192.0.2.1/candor", connect_timeout_s=2)
    with pytest.raises(UnreachableError):
        open_store(options)
    assert time.monotonic() - begun < 60
