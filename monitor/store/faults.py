"""What a database error means: wait and try again, somebody's bad input, or a store that is broken."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy import Engine, event
from sqlalchemy.engine import ExceptionContext
from sqlalchemy.exc import DataError, DBAPIError, OperationalError, StatementError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from evidence import BadInputError, CandorError, UnreachableError

_TRANSIENT_CLASSES = ("08", "53", "57", "58")
"""PostgreSQL's: connection, resources (disk full), operator (shutdown, cancelled), system."""

_TRANSIENT_STATES = frozenset(
    {
        "25006",  # read-only: a failover that left us on the standby
        "25P03",  # idle in transaction: this process was paused
        "25P04",  # transaction time-out
        "40001",  # serialization failure
        "40P01",  # deadlock
        "55P03",  # lock time-out
    }
)

_DAMAGED = frozenset({sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB})


def is_transient(error: BaseException) -> bool:
    """Whether the same work may succeed later without anybody changing it.

    True of a database that does not answer, is full, locked, read-only for a while or shutting down, of
    lost connections, time-outs, deadlocks and serialization failures.
    """
    if isinstance(error, PoolTimeoutError):
        return True
    if not isinstance(error, DBAPIError):
        return False
    if error.connection_invalidated:
        return True
    state = _sqlstate(error)
    if state is not None:
        return state[:2] in _TRANSIENT_CLASSES or state in _TRANSIENT_STATES
    code = _sqlite_code(error)
    if code is not None:
        return isinstance(error, OperationalError) and code != sqlite3.SQLITE_ERROR
    return isinstance(error, OperationalError)


def is_damaged(error: BaseException) -> bool:
    """Whether the SQLite file is damaged, or no SQLite file at all."""
    return isinstance(error, DBAPIError) and _sqlite_code(error) in _DAMAGED


def refuse_bad_values(engine: Engine) -> None:
    """Make the engine raise BadInputError where the database or its driver cannot hold a value.

    Such as NUL or a lone surrogate in a text, or a number out of range: what somebody asked with.
    """
    event.listen(engine, "handle_error", _bad_value)


def _bad_value(context: ExceptionContext) -> BadInputError | None:
    error = context.original_exception
    refused = isinstance(context.sqlalchemy_exception, DataError)
    if refused or isinstance(error, UnicodeEncodeError | OverflowError):
        return BadInputError("no column can hold such a value", "request")
    return None


def as_candor_error(error: BaseException, where: str) -> CandorError | None:
    """The error of ours that says it in one line; None for one that is nobody's input and no outage.

    Parameters
    ----------
    where
        The database, as people may see it: without its password.
    """
    if is_damaged(error):
        return BadInputError("the file is damaged, or not a SQLite database", where)
    if is_transient(error):
        return UnreachableError("database", f"{where}: {first_line(error)}")
    return None


@contextmanager
def clear_errors(engine: Engine) -> Iterator[None]:
    """Raise database errors as `as_candor_error` says them; others pass as they are."""
    try:
        yield
    except (StatementError, PoolTimeoutError) as error:
        said = as_candor_error(error, shown(engine))
        if said is None:
            raise
        raise said from error


def shown(engine: Engine) -> str:
    """The database's URL without its password."""
    return engine.url.render_as_string(hide_password=True)


def first_line(error: BaseException) -> str:
    """What the driver said, in a line."""
    said = error.orig if isinstance(error, StatementError) and error.orig else error
    return (str(said).strip().splitlines() or [type(said).__name__])[0]


def _sqlstate(error: DBAPIError) -> str | None:
    return getattr(error.orig, "sqlstate", None)


def _sqlite_code(error: DBAPIError) -> int | None:
    code = getattr(error.orig, "sqlite_errorcode", None)
    # The low byte is the primary code; the rest says more exactly.
    return None if code is None else code & 0xFF
