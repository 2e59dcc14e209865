"""Opening the store: one engine for SQLite or PostgreSQL, with its schema version checked."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

from sqlalchemy import Connection, Engine, create_engine, event, inspect, text
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError, NoSuchModuleError

from evidence import BadInputError, UnreachableError
from monitor.store.faults import clear_errors, refuse_bad_values, shown
from monitor.store.schema import metadata

HEAD_REVISION = "s1"
"""The schema revision this code reads and writes; the newest file in `migrations/versions`."""

_READ_ONLY = "candor_read_only"
_PAGE_CACHE_KIB = 32 * 1024


class Database(Protocol):
    """Where the store is, and how long it may keep somebody waiting: `monitor.settings.DatabaseOptions`."""

    @property
    def url(self) -> str: ...
    @property
    def connect_timeout_s(self) -> int: ...
    @property
    def lock_timeout_s(self) -> float: ...
    @property
    def statement_timeout_s(self) -> float: ...
    @property
    def idle_in_transaction_timeout_s(self) -> float: ...


@dataclasses.dataclass(frozen=True)
class _AtDefaults:
    """A URL alone, with the defaults of the settings."""

    url: str
    connect_timeout_s: int = 10
    lock_timeout_s: float = 30.0
    statement_timeout_s: float = 120.0
    idle_in_transaction_timeout_s: float = 15.0


def open_store(database: str | Database, *, create: bool = True) -> Engine:
    """Open the store and refuse one whose schema this code does not know.

    A plain `engine.begin()` takes SQLite's write lock at once, which avoids the dead end of two
    readers that both want to write; use `reading(engine)` where nothing is written.

    Parameters
    ----------
    database
        The options, or a SQLAlchemy URL with every other option at its default.
    create
        Whether a SQLite file and its folder are created and migrated when needed; if not, an absent
        file is an error. PostgreSQL is migrated by `candor db upgrade` alone, so that a rolling
        deployment decides when.

    Raises BadInputError for a wrong URL, file or schema and UnreachableError when no database answers.
    """
    engine = _create(_options(database), create=create)
    try:
        with clear_errors(engine):
            found = current_revision(engine)
            if found != HEAD_REVISION and create and engine.dialect.name == "sqlite":
                _migrate(engine)
                found = current_revision(engine)
        if found != HEAD_REVISION:
            raise BadInputError(_wrong_revision(found), shown(engine))
    except BaseException:
        engine.dispose()
        raise
    return engine


@contextmanager
def opened_store(database: str | Database, *, create: bool = False) -> Iterator[Engine]:
    """The store for as long as the context lasts; takes and raises what `open_store` does.

    What the database refuses inside the context is raised as one line of ours.
    """
    engine = open_store(database, create=create)
    try:
        with clear_errors(engine):
            yield engine
    finally:
        engine.dispose()


def open_unchecked(database: str | Database) -> Engine:
    """Open the store as it is, whatever its schema, to look at it. Raises as `open_store` does.

    An absent SQLite file is created empty when the engine is used.
    """
    return _create(_options(database), create=True)


def upgrade(database: str | Database) -> tuple[str | None, str]:
    """Run the migrations; returns the revision before and after. Raises as `open_store` does."""
    engine = _create(_options(database), create=True)
    try:
        with clear_errors(engine):
            before = current_revision(engine)
            _migrate(engine)
        return before, HEAD_REVISION
    finally:
        engine.dispose()


@contextmanager
def reading(engine: Engine) -> Iterator[Connection]:
    """A connection that only reads: one snapshot for all its statements, and on SQLite no write lock."""
    options: dict[str, Any] = {_READ_ONLY: True}
    if engine.dialect.name == "postgresql":
        options |= {"isolation_level": "REPEATABLE READ", "postgresql_readonly": True}
    with engine.connect() as connection:
        yield connection.execution_options(**options)


def current_revision(engine: Engine) -> str | None:
    """The revision of the store's schema, or None for a database without one."""
    with reading(engine) as connection:
        return _revision(connection)


def _revision(connection: Connection) -> str | None:
    if not inspect(connection).has_table("alembic_version"):
        return None
    return connection.execute(text("SELECT version_num FROM alembic_version")).scalar()


def _options(database: str | Database) -> Database:
    return _AtDefaults(database) if isinstance(database, str) else database


def _create(options: Database, *, create: bool) -> Engine:
    try:
        parsed = make_url(options.url)
    except ArgumentError as error:
        raise BadInputError("not a SQLAlchemy URL", "database.url") from error
    backend = parsed.get_backend_name()
    if backend == "sqlite":
        return _create_sqlite(parsed, options, create=create)
    if backend != "postgresql":
        raise BadInputError(f"{backend} is not supported; use sqlite or postgresql", "database.url")
    try:
        engine = create_engine(
            parsed.set(drivername="postgresql+psycopg"),
            pool_pre_ping=True,
            connect_args=_connect_args(parsed, options),
        )
    except (NoSuchModuleError, ModuleNotFoundError) as error:
        raise BadInputError(
            "PostgreSQL needs the extra `postgres`: pip install 'candor-monitor[postgres]'",
            "database.url",
        ) from error
    refuse_bad_values(engine)
    return engine


def _connect_args(url: URL, options: Database) -> dict[str, Any]:
    """Time-outs of the session, and of a connection whose other end is gone; the URL's own win."""
    limits = {
        "lock_timeout": options.lock_timeout_s,
        "statement_timeout": options.statement_timeout_s,
        "idle_in_transaction_session_timeout": options.idle_in_transaction_timeout_s,
        # The server, too, gives up a connection whose other end does not acknowledge.
        "tcp_user_timeout": options.idle_in_transaction_timeout_s,
    }
    silent_s = options.connect_timeout_s + options.idle_in_transaction_timeout_s
    settings = [f"-c {name}={int(seconds * 1000)}" for name, seconds in limits.items()]
    own = url.query.get("options", "")
    ours = {
        "connect_timeout": options.connect_timeout_s,
        "keepalives": 1,
        "keepalives_idle": max(1, int(silent_s // 2)),
        "keepalives_interval": max(1, int(silent_s // 6)),
        "keepalives_count": 3,
        "tcp_user_timeout": int(silent_s * 1000),
    }
    args: dict[str, Any] = {name: value for name, value in ours.items() if name not in url.query}
    args["options"] = " ".join([*settings, own if isinstance(own, str) else " ".join(own)]).strip()
    return args


def _create_sqlite(url: URL, options: Database, *, create: bool) -> Engine:
    if url.database in (None, "", ":memory:"):
        raise BadInputError("a store in memory cannot be durable; name a file", "database.url")
    path = Path(str(url.database))
    if not create and not path.is_file():
        raise BadInputError("there is no such database", str(path))
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UnreachableError("database", f"cannot create {path.parent}: {error}") from error
    engine = create_engine(url)
    pragmas = {
        "busy_timeout": int(options.lock_timeout_s * 1000),
        "journal_mode": "WAL",
        "synchronous": "FULL",
        "foreign_keys": "ON",
        # What is deleted is overwritten, however SQLite was compiled: a forgotten user leaves no byte.
        "secure_delete": "ON",
        "cache_size": -_PAGE_CACHE_KIB,
    }

    def set_pragmas(dbapi_connection: Any, _record: Any) -> None:
        # Autocommit mode of the driver: SQLAlchemy's BEGIN below is then the only one.
        dbapi_connection.isolation_level = None
        cursor = dbapi_connection.cursor()
        for name, value in pragmas.items():
            cursor.execute(f"PRAGMA {name} = {value}")
        cursor.close()

    event.listen(engine, "connect", set_pragmas)
    event.listen(engine, "begin", _begin)
    refuse_bad_values(engine)
    return engine


def _begin(connection: Connection) -> None:
    deferred = connection.get_execution_options().get(_READ_ONLY, False)
    connection.exec_driver_sql("BEGIN" if deferred else "BEGIN IMMEDIATE")


def _migrate(engine: Engine) -> None:
    from alembic import command  # noqa: PLC0415 -- a third of a second, needed only here
    from alembic.config import Config  # noqa: PLC0415
    from alembic.script import ScriptDirectory  # noqa: PLC0415

    config = Config()
    config.set_main_option("script_location", str(Path(__file__).with_name("migrations")))
    known = {script.revision for script in ScriptDirectory.from_config(config).walk_revisions()}
    with engine.begin() as connection:
        if engine.dialect.name == "postgresql":
            connection.execute(text("SET LOCAL statement_timeout = 0"))
        found = _revision(connection)
        if found is not None and found not in known:
            raise BadInputError(_wrong_revision(found), shown(engine))
        if found is None:
            _refuse_foreign(connection)
        config.attributes["connection"] = connection
        command.upgrade(config, "head")


def _refuse_foreign(connection: Connection) -> None:
    """A database without our revision may hold somebody else's tables, which we neither mix with nor touch."""
    tables = set(inspect(connection).get_table_names())
    # A PostgreSQL database may serve others too, as long as no name is taken.
    taken = tables if connection.dialect.name == "sqlite" else tables & set(metadata.tables)
    if taken:
        raise BadInputError(
            f"not a Candor database: it has {', '.join(sorted(taken)[:3])} and no schema revision",
            shown(connection.engine),
        )


def _wrong_revision(found: str | None) -> str:
    if found is None:
        return "the database has no Candor schema; run `candor db upgrade`"
    return (
        f"the store has schema revision {found}, this version of Candor needs {HEAD_REVISION}; "
        "run `candor db upgrade`, install the version that wrote it, or start with a new database"
    )
