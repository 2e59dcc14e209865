"""Opening, migrating and refusing stores."""

from __future__ import annotations

import threading
import time
from pathlib import Path

import pytest
from alembic.config import Config
from alembic.script import ScriptDirectory
from sqlalchemy import insert, select, text

import monitor.store.engine as engine_module
from evidence import BadInputError, UnreachableError
from monitor.store.engine import HEAD_REVISION, current_revision, open_store, reading, upgrade
from monitor.store.schema import metadata, tombstones


def test_creates_folder_file_and_every_table(tmp_path: Path) -> None:
    engine = open_store(f"sqlite:///{tmp_path}/a/b/candor.db")
    with reading(engine) as connection:
        names = set(
            connection.execute(text("SELECT name FROM sqlite_master WHERE type='table'")).scalars()
        )
        assert connection.execute(text("PRAGMA journal_mode")).scalar() == "wal"
        assert connection.execute(text("PRAGMA foreign_keys")).scalar() == 1
    assert set(metadata.tables) <= names
    assert current_revision(engine) == HEAD_REVISION


def test_head_revision_is_the_newest_migration() -> None:
    config = Config()
    config.set_main_option(
        "script_location", str(Path(engine_module.__file__).with_name("migrations"))
    )
    assert ScriptDirectory.from_config(config).get_current_head() == HEAD_REVISION


def test_refuses_an_unknown_revision(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/candor.db"
    with open_store(url).begin() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    with pytest.raises(BadInputError, match="9999"):
        open_store(url)
    with pytest.raises(BadInputError, match="9999"):
        upgrade(url)


def test_upgrade_is_idempotent(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/candor.db"
    assert upgrade(url) == (None, HEAD_REVISION)
    assert upgrade(url) == (HEAD_REVISION, HEAD_REVISION)


@pytest.mark.parametrize("url", ["nonsense", "mysql://h/d", "sqlite://", "sqlite:///:memory:"])
def test_bad_urls_are_refused(url: str) -> None:
    with pytest.raises(BadInputError, match=r"database\.url"):
        open_store(url)


def test_an_absent_server_is_unreachable_and_the_password_is_not_shown() -> None:
    with pytest.raises(UnreachableError) as caught:
        open_store("postgresql://u:secret@127.0.0.1:1/candor?connect_timeout=2")
    assert "secret" not in str(caught.value)


def test_a_reader_does_not_wait_for_a_writer_and_a_writer_waits_for_a_writer(
    tmp_path: Path,
) -> None:
    engine = open_store(f"sqlite:///{tmp_path}/candor.db")
    done: list[float] = []

    def write() -> None:
        with engine.begin() as connection:
            connection.execute(insert(tombstones).values(rater="b", at_s=2.0))
        done.append(time.monotonic())

    with engine.begin() as connection:
        connection.execute(insert(tombstones).values(rater="a", at_s=1.0))
        writer = threading.Thread(target=write)
        writer.start()
        with reading(engine) as reader:
            assert reader.execute(select(tombstones)).all() == []
        time.sleep(0.2)
        released = time.monotonic()
    writer.join()
    assert done[0] >= released
    with reading(engine) as reader:
        assert len(reader.execute(select(tombstones)).all()) == 2
