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
from monitor.settings import DatabaseOptions
from monitor.store.engine import (
    HEAD_REVISION,
    current_revision,
    open_store,
    opened_store,
    reading,
    upgrade,
)
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


def test_what_only_reads_creates_no_database(tmp_path: Path) -> None:
    path = tmp_path / "typo" / "candor.db"
    with pytest.raises(BadInputError, match=f"{path}: there is no such database"):
        open_store(f"sqlite:///{path}", create=False)
    with pytest.raises(BadInputError, match="no such database"), opened_store(f"sqlite:///{path}"):
        pytest.fail("it was opened")
    assert not path.parent.exists()
    open_store(f"sqlite:///{path}").dispose()
    with opened_store(f"sqlite:///{path}") as engine:
        assert current_revision(engine) == HEAD_REVISION


@pytest.mark.parametrize(
    "content", [b"no database at all\n" * 200, b"SQLite format 3\0" + b"x" * 9000]
)
def test_a_file_that_is_no_database_is_one_clear_line(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "candor.db"
    path.write_bytes(content)
    for act in (open_store, upgrade):
        with pytest.raises(BadInputError, match=r"damaged, or not a SQLite database"):
            act(f"sqlite:///{path}")
    assert path.read_bytes() == content


def test_a_database_damaged_while_it_is_open_is_one_clear_line(tmp_path: Path) -> None:
    path = tmp_path / "candor.db"
    url = f"sqlite:///{path}"
    open_store(url).dispose()

    def damaged_while_open() -> None:
        with opened_store(url) as engine:
            engine.dispose()
            size = path.stat().st_size
            path.write_bytes(path.read_bytes()[:2048] + b"\xff" * (size - 2048))
            with reading(engine) as connection:
                connection.execute(select(tombstones)).all()

    with pytest.raises(BadInputError, match=r"damaged, or not a SQLite database"):
        damaged_while_open()


def test_a_url_alone_has_the_defaults_of_the_settings() -> None:
    made = vars(engine_module._AtDefaults(DatabaseOptions().url))
    assert made == DatabaseOptions().model_dump()


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
