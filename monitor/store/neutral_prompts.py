"""Neutral texts of system prompts, kept until they are replaced."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Mapping, Sequence

import msgspec
from sqlalchemy import Connection, Engine, RowMapping, delete, or_, select, update

from monitor.store.dialect import insert_new
from monitor.store.engine import reading
from monitor.store.faults import clear_errors
from monitor.store.schema import neutral_prompts as table
from probes.neutral import NeutralText

_TEXT = ("role", "original", "neutral", "state", "reason", "made_by")
_REVIEWED = "reviewed"


class StoredNeutral(msgspec.Struct, frozen=True, kw_only=True):
    """A neutral text as it is kept, with whose it is and since when."""

    assistant: str
    text: NeutralText
    at_s: float


class SqlNeutralStore:
    """`probes.neutral.NeutralStore` in the database.

    Parameters
    ----------
    clock
        Seconds since the epoch.
    most
        Unreviewed texts kept for each assistant. A prompt that holds a name or a date is another one
        for every user: the oldest go.
    """

    def __init__(
        self, engine: Engine, *, clock: Callable[[], float] = time.time, most: int = 1000
    ) -> None:
        self._engine, self._clock, self._most = engine, clock, most

    def get(self, assistant: str, keys: Collection[str]) -> Mapping[str, NeutralText]:
        if not keys:
            return {}
        query = select(table).where(table.c.assistant == assistant, table.c.key.in_(sorted(keys)))
        with clear_errors(self._engine), reading(self._engine) as connection:
            return {row.key: _text(row._mapping) for row in connection.execute(query)}

    def put(self, assistant: str, texts: Sequence[NeutralText]) -> None:
        if not texts:
            return
        with clear_errors(self._engine), self._engine.begin() as connection:
            write(connection, assistant, texts, at_s=self._clock())
            _prune(connection, assistant, self._most)


def write(
    connection: Connection, assistant: str, texts: Sequence[NeutralText], *, at_s: float
) -> None:
    """Keep texts; a reviewed one gives way to a reviewed one alone."""
    for text in sorted(texts, key=lambda one: one.key):
        row = {name: getattr(text, name) for name in _TEXT} | {"at_s": at_s}
        whole = {"assistant": assistant, "key": text.key, **row}
        if insert_new(connection, table, [whole], [table.c.key]):
            continue
        here = update(table).where(table.c.assistant == assistant, table.c.key == text.key)
        if text.state != _REVIEWED:
            here = here.where(table.c.state != _REVIEWED)
        connection.execute(here.values(row))


def list_neutral(
    connection: Connection,
    assistant: str | None = None,
    *,
    state: str | None = None,
    offset: int = 0,
    limit: int | None = None,
) -> list[StoredNeutral]:
    """All kept texts, or those of an assistant and state: refused ones first, then by time, newest first."""
    query = select(table).order_by(table.c.state != "refused", table.c.at_s.desc(), table.c.key)
    if assistant is not None:
        query = query.where(table.c.assistant == assistant)
    if state is not None:
        query = query.where(table.c.state == state)
    query = query.offset(offset).limit(limit)
    return [_stored(row._mapping) for row in connection.execute(query)]


def beginning(
    connection: Connection, begins: str, assistant: str | None = None
) -> list[StoredNeutral]:
    """The texts whose key begins so; two at most for each assistant are enough to tell."""
    query = select(table).where(table.c.key.startswith(begins, autoescape=True)).limit(20)
    if assistant is not None:
        query = query.where(table.c.assistant == assistant)
    return [_stored(row._mapping) for row in connection.execute(query)]


def _prune(connection: Connection, assistant: str, most: int) -> None:
    mine = (table.c.assistant == assistant, table.c.state != _REVIEWED)
    edge = connection.execute(
        select(table.c.at_s, table.c.key)
        .where(*mine)
        .order_by(table.c.at_s.desc(), table.c.key.desc())
        .offset(most)
        .limit(1)
    ).first()
    if edge is not None:
        older = or_(
            table.c.at_s < edge.at_s, (table.c.at_s == edge.at_s) & (table.c.key <= edge.key)
        )
        connection.execute(delete(table).where(*mine, older))


def _text(row: RowMapping) -> NeutralText:
    return msgspec.convert({name: row[name] for name in _TEXT}, NeutralText)


def _stored(row: RowMapping) -> StoredNeutral:
    return StoredNeutral(assistant=str(row["assistant"]), text=_text(row), at_s=row["at_s"])
