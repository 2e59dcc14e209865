"""Forgetting a user: every table, with a tombstone so that a replay does not bring them back."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterable, Sequence
from sqlite3 import OperationalError

from sqlalchemy import (
    Column,
    ColumnElement,
    Connection,
    Engine,
    LargeBinary,
    Table,
    func,
    literal,
    select,
    tuple_,
    update,
)

from monitor.store import audit
from monitor.store.dialect import in_pages, insert_new, key_rows
from monitor.store.explanations import drop_explanations
from monitor.store.rated import recount
from monitor.store.schema import (
    alarm_events,
    alarms,
    cohort_estimates,
    cohort_members,
    confirm_runs,
    dead_letters,
    feedback,
    gate_rows,
    has_body,
    labels,
    localisations,
    outbox,
    rater_groups,
    rater_posteriors,
    responses,
    tombstones,
    turn_parts,
    verdicts,
)

log = logging.getLogger(__name__)

FORGOTTEN = "forgotten"
"""What stands where a pseudonym or a conversation's id stood."""

# Records of findings, in which a rater may be named; the findings themselves stay.
NAMING: tuple[tuple[Table, Column[str]], ...] = (
    (alarms, alarms.c.record),
    (alarm_events, alarm_events.c.reason),
    (cohort_estimates, cohort_estimates.c.record),
    (cohort_estimates, cohort_estimates.c.alarm_state),
    (confirm_runs, confirm_runs.c.report),
    (labels, labels.c.labeller),
    (localisations, localisations.c.record),
    (verdicts, verdicts.c.record),
)


def forget(
    connection: Connection,
    *,
    rater: str,
    user_id: str,
    decrypt: Callable[[bytes], bytes | None],
    input_topics: Sequence[str],
    by: str,
    at_s: float,
) -> dict[str, int]:
    """Remove a rater from every table in the caller's transaction; returns changed rows by table.

    Responses keep their row, so that they are not measured twice, without text, what quotes it, rater
    and conversation. Feedback, posteriors, parts of turns and records on their way to an input topic are deleted. A dead
    letter that mentions the user, or that no longer decrypts, loses its body.

    Parameters
    ----------
    rater, user_id
        The pseudonym, and the id it was made of, which may stand in dead letters.
    decrypt
        The body of a dead letter; None when it cannot be decrypted.
    by
        Who asked for it; the audit log names the pseudonym alone.
    """
    rated_at = set(
        connection.execute(
            select(feedback.c.assistant).where(feedback.c.rater == rater).distinct()
        ).scalars()
    )
    theirs = select(responses.c.assistant, responses.c.response_id).where(
        responses.c.rater == rater
    )
    changed = {
        "gate_rows": _rows(connection, rater),
        "findings": drop_explanations(connection, theirs),
        "responses": connection.execute(
            update(responses)
            .where(responses.c.rater == rater)
            .values(rater=FORGOTTEN, conversation_id=FORGOTTEN, body=None, awaits_verdict=False)
        ).rowcount,
        "feedback": connection.execute(feedback.delete().where(feedback.c.rater == rater)).rowcount,
        **{
            table.name: connection.execute(table.delete().where(table.c.rater == rater)).rowcount
            for table in (rater_posteriors, rater_groups, cohort_members)
        },
        # Of a trace in which the user's part is known, all: the others may hold the same words.
        "turn_parts": connection.execute(
            turn_parts.delete().where(
                turn_parts.c.trace_id.in_(
                    select(turn_parts.c.trace_id).where(turn_parts.c.rater == rater)
                )
            )
        ).rowcount,
        "outbox": _outbox(connection, rater, input_topics),
        "dead_letters": _dead_letters(connection, (user_id, rater), decrypt),
    }
    recount(connection, rated_at)
    for table, column in NAMING:
        named = update(table).where(column.contains(rater, autoescape=True))
        replaced = connection.execute(
            named.values({column: func.replace(column, rater, FORGOTTEN)})
        ).rowcount
        changed[table.name] = changed.get(table.name, 0) + replaced
    insert_new(connection, tombstones, [{"rater": rater, "at_s": at_s}], [tombstones.c.rater])
    audit.append(
        connection, by=by, action="forget", subject=rater, details={"rows": changed}, at_s=at_s
    )
    return changed


def forgotten(connection: Connection, raters: Iterable[str]) -> set[str]:
    """Which of these raters were forgotten: nothing of them may be taken in again."""
    wanted = sorted(set(raters))
    anybody = select(tombstones.c.rater).limit(1)
    if not wanted or connection.execute(anybody).first() is None:
        return set()
    names = key_rows(connection, [(rater, "") for rater in wanted])
    query = select(tombstones.c.rater).select_from(
        names.join(tombstones, tombstones.c.rater == names.c.first)
    )
    return set(connection.execute(query).scalars())


def erase(engine: Engine) -> bool:
    """Overwrite what was deleted in a SQLite file and its log; whether nothing of it is left there.

    False while another process reads or writes: what is left is overwritten by the next call without
    one. PostgreSQL overwrites it by itself when it vacuums.
    """
    if engine.dialect.name != "sqlite":
        return True
    with engine.connect() as connection:
        raw = connection.connection.driver_connection
        if raw is None:
            return False
        # Outside of a transaction. Every page is written anew: rows that moved between pages left copies.
        cursor = raw.cursor()
        try:
            cursor.execute("VACUUM")
            busy, *_ = cursor.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
        except OperationalError:
            log.warning("the database is in use: what was deleted is not overwritten yet")
            return False
        finally:
            cursor.close()
    return not busy


def _rows(connection: Connection, rater: str) -> int:
    """Rows that the rater's signals chose no longer name them."""
    table = gate_rows.c
    rated = select(feedback.c.assistant, feedback.c.response_id).where(feedback.c.rater == rater)
    given = select(feedback.c.feedback_id).where(feedback.c.rater == rater)
    here = tuple_(table.assistant, table.response_id).in_(rated), table.feedback_id.in_(given)
    return connection.execute(update(gate_rows).where(*here).values(feedback_id=None)).rowcount


def _outbox(connection: Connection, rater: str, input_topics: Sequence[str]) -> int:
    """Delete the rater's own records; take the name out of copies of findings."""
    mark = rater.encode()
    named = select(outbox.c.id, outbox.c.topic).where(_holds(connection, mark))
    rows = connection.execute(named).all()
    for row in rows:
        here = outbox.c.id == row.id
        if row.topic in input_topics:
            connection.execute(outbox.delete().where(here))
        else:
            value = connection.execute(select(outbox.c.value).where(here)).scalar_one()
            without = value.replace(mark, FORGOTTEN.encode())
            connection.execute(update(outbox).where(here).values(value=without))
    return len(rows)


def _holds(connection: Connection, mark: bytes) -> ColumnElement[bool]:
    """Whether an outbox value holds these bytes; looked for in the database, a row at a time."""
    if connection.dialect.name == "sqlite":
        return func.instr(outbox.c.value, mark) > 0
    return func.position(literal(mark, LargeBinary).op("IN")(outbox.c.value)) > 0


def _dead_letters(
    connection: Connection, names: Sequence[str], decrypt: Callable[[bytes], bytes | None]
) -> int:
    # A user id may stand in broken JSON as it is, or escaped as JSON escapes it.
    marks = {name.encode("utf-8", "surrogatepass") for name in names}
    marks |= {json.dumps(name)[1:-1].encode() for name in names}
    keys = list(dead_letters.primary_key.columns)
    naming = []
    for row in in_pages(connection, dead_letters, dead_letters.c.body, where=has_body):
        body = decrypt(row.body)
        if body is None or any(mark in body for mark in marks):
            naming.append([key == getattr(row, key.name) for key in keys])
    for here in naming:
        connection.execute(update(dead_letters).where(*here).values(body=None))
    return len(naming)
