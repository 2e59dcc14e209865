"""Opening the store: one engine for SQLite or PostgreSQL, with its schema version checked."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, create_engine, event, inspect, text
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, NoSuchModuleError, OperationalError

from evidence import BadInputError, UnreachableError

HEAD_REVISION = "0004"
"""The schema revision this code reads and writes; the newest file in `migrations/versions`."""

_BUSY_TIMEOUT_MS = 30_000
_READ_ONLY = "candor_read_only"


def open_store(url: str) -> Engine:
    """Open the store at a SQLAlchemy URL and refuse one whose schema this code does not know.

    A SQLite file and its folder are created and migrated when needed; PostgreSQL is migrated by
    `candor db upgrade` alone, so that a rolling deployment decides when.
    A plain `engine.begin()` takes SQLite's write lock at once, which avoids the dead end of two
    readers that both want to write; use `reading(engine)` where nothing is written.

    Raises BadInputError for a wrong URL or schema and UnreachableError when no database answers.
    """
    engine = _create(url)
    try:
        found = current_revision(engine)
        if found != HEAD_REVISION and engine.dialect.name == "sqlite":
            _migrate(engine, found)
            found = current_revision(engine)
    except OperationalError as error:
        engine.dispose()
        raise _unreachable(engine.url, error) from error
    if found != HEAD_REVISION:
        shown = engine.url.render_as_string(hide_password=True)
        engine.dispose()
        raise BadInputError(_wrong_revision(found), shown)
    return engine


def open_unchecked(url: str) -> Engine:
    """Open the store as it is, whatever its schema, to look at it. Raises as `open_store` does."""
    return _create(url)


def upgrade(url: str) -> tuple[str | None, str]:
    """Run the migrations; returns the revision before and after. Raises as `open_store` does."""
    engine = _create(url)
    try:
        before = current_revision(engine)
        _migrate(engine, before)
    except OperationalError as error:
        raise _unreachable(engine.url, error) from error
    else:
        return before, HEAD_REVISION
    finally:
        engine.dispose()


@contextmanager
def reading(engine: Engine) -> Iterator[Connection]:
    """A connection that only reads: one snapshot, and on SQLite no write lock."""
    with engine.connect() as connection:
        yield connection.execution_options(**{_READ_ONLY: True})


def current_revision(engine: Engine) -> str | None:
    """The revision of the store's schema, or None for an empty database."""
    with reading(engine) as connection:
        if not inspect(connection).has_table("alembic_version"):
            return None
        return connection.execute(text("SELECT version_num FROM alembic_version")).scalar()


def _create(url: str) -> Engine:
    try:
        parsed = make_url(url)
    except ArgumentError as error:
        raise BadInputError("not a SQLAlchemy URL", "database.url") from error
    backend = parsed.get_backend_name()
    if backend == "sqlite":
        return _create_sqlite(parsed)
    if backend != "postgresql":
        raise BadInputError(f"{backend} is not supported; use sqlite or postgresql", "database.url")
    try:
        return create_engine(parsed.set(drivername="postgresql+psycopg"), pool_pre_ping=True)
    except (NoSuchModuleError, ModuleNotFoundError) as error:
        raise BadInputError(
            "PostgreSQL needs the extra `postgres`: pip install 'candor-monitor[postgres]'",
            "database.url",
        ) from error


def _create_sqlite(url: URL) -> Engine:
    if url.database in (None, "", ":memory:"):
        raise BadInputError("a store in memory cannot be durable; name a file", "database.url")
    path = Path(str(url.database))
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UnreachableError("database", f"cannot create {path.parent}: {error}") from error
    engine = create_engine(url)
    event.listen(engine, "connect", _set_pragmas)
    event.listen(engine, "begin", _begin)
    return engine


def _set_pragmas(dbapi_connection: Any, _record: Any) -> None:
    # Autocommit mode of the driver: SQLAlchemy's BEGIN below is then the only one.
    dbapi_connection.isolation_level = None
    cursor = dbapi_connection.cursor()
    cursor.execute(f"PRAGMA busy_timeout = {_BUSY_TIMEOUT_MS}")
    cursor.execute("PRAGMA journal_mode = WAL")
    cursor.execute("PRAGMA synchronous = FULL")
    cursor.execute("PRAGMA foreign_keys = ON")
    cursor.close()


def _begin(connection: Connection) -> None:
    deferred = connection.get_execution_options().get(_READ_ONLY, False)
    connection.exec_driver_sql("BEGIN" if deferred else "BEGIN IMMEDIATE")


def _migrate(engine: Engine, found: str | None) -> None:
    from alembic import command  # noqa: PLC0415 -- a third of a second, needed only here
    from alembic.config import Config  # noqa: PLC0415
    from alembic.script import ScriptDirectory  # noqa: PLC0415

    config = Config()
    config.set_main_option("script_location", str(Path(__file__).with_name("migrations")))
    known = {script.revision for script in ScriptDirectory.from_config(config).walk_revisions()}
    if found is not None and found not in known:
        raise BadInputError(_wrong_revision(found), engine.url.render_as_string(hide_password=True))
    with engine.begin() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, "head")


def _wrong_revision(found: str | None) -> str:
    if found is None:
        return "the database has no Candor schema; run `candor db upgrade`"
    return (
        f"the store has schema revision {found}, this version of Candor needs {HEAD_REVISION}; "
        "run `candor db upgrade` or install the version that wrote it"
    )


def _unreachable(url: URL, error: DBAPIError) -> UnreachableError:
    shown = url.render_as_string(hide_password=True)
    return UnreachableError("database", f"{shown}: {str(error.orig).strip().splitlines()[0]}")
