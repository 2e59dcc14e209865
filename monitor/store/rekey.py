"""New pseudonyms for everybody: each is made of the old one, so that no user id is needed."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable

import msgspec
from sqlalchemy import Column, Connection, Table, bindparam, select, update

from evidence import digest
from monitor.store import audit
from monitor.store.dialect import in_pages, insert_new
from monitor.store.forget import FORGOTTEN, NAMING
from monitor.store.intake import pack_body, unpack_body
from monitor.store.schema import (
    audit_log,
    cohort_members,
    feedback,
    outbox,
    rater_groups,
    rater_posteriors,
    responses,
    tombstones,
    turn_parts,
)

ACTION = "pseudonyms.rekey"

_HELD = (responses, feedback, rater_posteriors, rater_groups, cohort_members, turn_parts)
_PSEUDONYM = re.compile("(?<![0-9a-f])[0-9a-f]{32}(?![0-9a-f])")


def rekey(
    connection: Connection, rename: Callable[[str], str], *, key: bytes, by: str, at_s: float
) -> int:
    """Rename every rater in the caller's transaction; returns how many there were.

    Tombstones are kept under both names, since records with the old one may be read again. The audit log
    is never rewritten, and names forgotten raters as they were called.

    Parameters
    ----------
    rename
        The new pseudonym of an old one; no two may become one.
    key
        The key under which user ids now become the new pseudonyms; the audit log keeps its digest.
    """
    old: set[str] = set()
    for table in _HELD:
        known = table.c.rater.is_not(None)
        old |= set(connection.execute(select(table.c.rater).where(known).distinct()).scalars())
    old.discard(FORGOTTEN)
    names = {rater: rename(rater) for rater in sorted(old)}
    for table in _HELD:
        _rename(connection, table, names)
    gone = connection.execute(select(tombstones)).all()
    added = [{"rater": rename(row.rater), "at_s": row.at_s} for row in gone]
    if added:
        insert_new(connection, tombstones, added, [tombstones.c.rater])
    _rewrite_bodies(connection, names)
    _rewrite(connection, names, NAMING)
    _rewrite_outbox(connection, names)
    audit.append(
        connection,
        by=by,
        action=ACTION,
        subject=digest(key)[:32],
        details={"raters": len(names), "tombstones": len(gone)},
        at_s=at_s,
    )
    return len(names)


def was_rekeyed(connection: Connection, key: bytes) -> bool:
    """Whether the names in the store were made for this key by `rekey`."""
    query = select(audit_log.c.id).where(
        audit_log.c.action == ACTION, audit_log.c.subject == digest(key)[:32]
    )
    return connection.execute(query.limit(1)).one_or_none() is not None


def _rename(connection: Connection, table: Table, names: dict[str, str]) -> None:
    if not names:
        return
    connection.execute(
        update(table).where(table.c.rater == bindparam("old")).values(rater=bindparam("new")),
        [{"old": old, "new": new} for old, new in names.items()],
    )


def _rewrite_bodies(connection: Connection, names: dict[str, str]) -> None:
    """The kept text of responses holds the rater too."""
    kept = responses.c.body.is_not(None)
    for row in in_pages(connection, responses, responses.c.body, where=kept):
        response = unpack_body(row.body)
        name = names.get(response.rater, response.rater)
        packed = pack_body(msgspec.structs.replace(response, rater=name))
        here = (
            responses.c.assistant == row.assistant,
            responses.c.response_id == row.response_id,
        )
        connection.execute(update(responses).where(*here).values(body=packed))


def _rewrite(
    connection: Connection, names: dict[str, str], columns: Iterable[tuple[Table, Column[str]]]
) -> None:
    for table, column in columns:
        keys = list(table.primary_key.columns)
        # A name in a key (a labeller) moves its row: such a table is small and read whole.
        pages = in_pages(connection, table, column, where=column.is_not(None))
        for row in list(pages) if column.primary_key else pages:
            was: str = row[-1]
            text = _renamed(was, names)
            if text != was:
                here = [key == value for key, value in zip(keys, tuple(row)[:-1], strict=True)]
                connection.execute(update(table).where(*here).values({column: text}))


def _rewrite_outbox(connection: Connection, names: dict[str, str]) -> None:
    for row in in_pages(connection, outbox, outbox.c.value, where=outbox.c.id > 0):
        value: bytes = row.value
        text = value.decode("utf-8", "surrogateescape")
        changed = _renamed(text, names)
        if changed != text:
            named = {"value": changed.encode("utf-8", "surrogateescape")}
            connection.execute(update(outbox).where(outbox.c.id == row.id).values(named))


def _renamed(text: str, names: dict[str, str]) -> str:
    return _PSEUDONYM.sub(lambda found: names.get(found[0], found[0]), text)
