"""What passes by itself in the database is waited out; a damaged file ends the worker with one line."""

from __future__ import annotations

import threading
import time
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import create_engine, event, text

from evidence import BadInputError
from monitor.store.schema import responses
from tests.monitor.worker.conftest import House


def test_a_failover_to_a_read_only_postgres_is_waited_out(
    empty_postgres: str, tmp_path: Path, kit: Any
) -> None:
    house = House(tmp_path, url=empty_postgres)
    admin = create_engine(
        empty_postgres.replace("postgresql://", "postgresql+psycopg://"),
        isolation_level="AUTOCOMMIT",
    )
    name = admin.url.database
    refused = threading.Event()
    event.listen(house.engine, "handle_error", lambda _: refused.set())

    def standby(mode: str) -> None:
        with admin.connect() as connection:
            connection.execute(
                text(f"ALTER DATABASE {name} SET default_transaction_read_only = {mode}")
            )
            others = "pid <> pg_backend_pid() AND datname = current_database()"
            connection.execute(
                text(f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE {others}")  # noqa: S608
            )

    standby("on")
    for i in range(30):
        house.broker.produce(kit.RESPONSES, kit.response(i), f"c{i}")
    stop = threading.Event()
    ended: list[BaseException] = []
    worker = house.worker()

    def run() -> None:
        try:
            worker.run(stop)
        except BaseException as error:
            ended.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    assert refused.wait(60)
    with admin.connect() as connection:
        connection.execute(text("SET default_transaction_read_only = off"))
        connection.execute(text(f"ALTER DATABASE {name} SET default_transaction_read_only = off"))
        connection.execute(
            text(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                "WHERE pid <> pg_backend_pid() AND datname = current_database()"
            )
        )
    end = time.monotonic() + 120
    while not ended and time.monotonic() < end and house.count(responses) < 30:
        time.sleep(0.1)
    stop.set()
    thread.join()
    assert ended == []
    assert house.count(responses) == 30
    admin.dispose()
    house.close()


def test_a_file_damaged_while_the_worker_runs_is_one_line(house: House, kit: Any) -> None:
    path = Path(str(house.engine.url.database))
    house.broker.produce(kit.RESPONSES, kit.response(1), "c1")
    house.settle(house.worker())
    house.engine.dispose()
    path.write_bytes(path.read_bytes()[:4096] + b"\xff" * (path.stat().st_size - 4096))
    for left in path.parent.glob(f"{path.name}-*"):
        left.unlink()
    house.broker.produce(kit.RESPONSES, kit.response(2), "c2")
    with pytest.raises(BadInputError, match="damaged") as caught:
        house.worker("w2").run(threading.Event())
    assert str(path) in str(caught.value)
