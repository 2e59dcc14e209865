"""Who is signed in to the console: tokens as digests, each for a bounded time."""

from __future__ import annotations

import msgspec
from sqlalchemy import Connection, delete, insert, select

from monitor.store.schema import console_sessions


class Session(msgspec.Struct, frozen=True, kw_only=True):
    """One sign-in. `key_sha256` is None where no keys are in use; times are seconds since the epoch."""

    token_sha256: str
    key_sha256: str | None
    person: str | None
    created_at_s: float
    expires_at_s: float


def open_session(connection: Connection, session: Session) -> None:
    """Keep a sign-in; those that ran out go."""
    table = console_sessions
    connection.execute(delete(table).where(table.c.expires_at_s <= session.created_at_s))
    connection.execute(insert(table).values(**msgspec.structs.asdict(session)))


def find_session(connection: Connection, token_sha256: str, *, now_s: float) -> Session | None:
    """The sign-in of a token; None for one that is unknown or ran out."""
    table = console_sessions
    query = select(table).where(table.c.token_sha256 == token_sha256, table.c.expires_at_s > now_s)
    row = connection.execute(query).mappings().one_or_none()
    return None if row is None else Session(**row)


def end_session(connection: Connection, token_sha256: str) -> None:
    """Sign out; a token that is unknown is no error."""
    table = console_sessions
    connection.execute(delete(table).where(table.c.token_sha256 == token_sha256))
