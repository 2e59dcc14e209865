"""References as a record: what each stratum was compared with, since when, and who moved it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec
from sqlalchemy import Connection, and_, func, insert, select

from evidence import Purpose
from evidence.records import LoggedVerdict
from monitor.store import audit
from monitor.store.schema import extra_evaluations, references, responses, verdict_log, verdicts
from monitor.store.verdicts import LOGGED, logged


class MovedReference(msgspec.Struct, frozen=True, kw_only=True):
    """A reference that was set: `source` is `rescored`, `person` or `release`."""

    stratum: str
    metric: str
    evaluator_version: str
    value: float
    n: int
    source: str
    approved_by: str | None
    created_at_s: float


class Rescore(msgspec.Struct, frozen=True):
    """How far the second measurement of a window is: asked, still open, and the verdicts so far."""

    asked: int
    open: int
    entries: tuple[LoggedVerdict, ...]


def record(
    connection: Connection, moved: list[MovedReference], *, by: str, details: Mapping[str, Any]
) -> None:
    """Keep references that were set now, with one audit entry for each."""
    for item in moved:
        connection.execute(insert(references).values(**msgspec.structs.asdict(item)))
        audit.append(
            connection,
            by=by,
            action=f"reference.{item.source}",
            subject=item.stratum,
            details={
                "metric": item.metric,
                "evaluator_version": item.evaluator_version,
                "value": item.value,
                "n": item.n,
                **details,
            },
            at_s=item.created_at_s,
        )


def window_before(
    connection: Connection, stratum: str, evaluator_version: str, *, upto: int, limit: int
) -> list[tuple[str, str]]:
    """(assistant, response_id) of the last logged verdicts up to a position whose text is still kept."""
    same = and_(
        responses.c.assistant == verdicts.c.assistant,
        responses.c.response_id == verdicts.c.response_id,
    )
    query = (
        select(verdicts.c.assistant, verdicts.c.response_id)
        .select_from(
            verdict_log.join(verdicts, verdicts.c.key == verdict_log.c.verdict_key).join(
                responses, same
            )
        )
        .where(
            verdict_log.c.stratum == stratum,
            verdict_log.c.id <= upto,
            verdicts.c.evaluator_version == evaluator_version,
            responses.c.body.is_not(None),
        )
        .order_by(verdict_log.c.id.desc())
        .limit(limit)
    )
    return [(assistant, name) for assistant, name in connection.execute(query)]


def newest_entries(
    connection: Connection, stratum: str, evaluator_version: str, *, limit: int
) -> list[LoggedVerdict]:
    """The newest logged verdicts of a stratum by one evaluator."""
    query = (
        select(verdict_log.c.id, *LOGGED)
        .join(verdicts, verdicts.c.key == verdict_log.c.verdict_key)
        .where(verdict_log.c.stratum == stratum, verdicts.c.evaluator_version == evaluator_version)
        .order_by(verdict_log.c.id.desc())
        .limit(limit)
    )
    return [logged(row, row["id"]) for row in connection.execute(query).mappings()]


def rescored(
    connection: Connection, stratum: str, evaluator_version: str, *, now_s: float
) -> Rescore:
    """What became of the window that this evaluator was asked to measure for this stratum."""
    table = extra_evaluations.c
    mine = and_(
        table.purpose == Purpose.RESCORE.value,
        table.stratum == stratum,
        table.evaluator_version == evaluator_version,
    )
    answers = and_(
        verdicts.c.assistant == table.assistant,
        verdicts.c.response_id == table.response_id,
        verdicts.c.purpose == Purpose.RESCORE.value,
        verdicts.c.evaluator_version == table.evaluator_version,
    )
    joined = extra_evaluations.outerjoin(verdicts, answers)
    waiting = and_(mine, verdicts.c.key.is_(None), table.due_at_s > now_s)
    asked = connection.execute(select(func.count()).where(mine)).scalar_one()
    still = select(func.count()).select_from(joined).where(waiting)
    query = (
        select(*LOGGED)
        .select_from(joined)
        .where(mine, verdicts.c.key.is_not(None))
        .order_by(table.id)
    )
    entries = tuple(logged(row, 0) for row in connection.execute(query).mappings())
    return Rescore(int(asked), int(connection.execute(still).scalar_one()), entries)
