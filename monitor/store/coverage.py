"""How far traffic was measured: hours with their counts, the newest verdicts, the newest time of all."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

import msgspec
from sqlalchemy import Column, ColumnElement, Connection, and_, func, select

from evidence import SampledBy, VerdictKind
from monitor.store.schema import (
    audit_log,
    dead_letters,
    detectors,
    is_sampled,
    responses,
    verdicts,
    worker_heartbeats,
)

HOUR_S = 3600.0
_SAMPLED = tuple(how.value for how in SampledBy)


class Hour(msgspec.Struct, frozen=True):
    """Sampled responses that came in within one hour, and those of them with a live verdict."""

    from_s: float
    sampled: int
    measured: int


class Outcomes(msgspec.Struct, frozen=True):
    """Newest live verdicts of one evaluator version, and those of them that are errors."""

    n: int
    errors: int


def hours(connection: Connection, assistant: str, *, since_s: float, until_s: float) -> list[Hour]:
    """The assistant's hours with sampled responses, oldest first."""
    slot, hour = verdicts.c.live_slot, _hour(responses.c.received_at_s)
    same = and_(
        verdicts.c.assistant == responses.c.assistant,
        verdicts.c.response_id == responses.c.response_id,
        slot.is_not(None),
    )
    query = (
        select(hour, func.count(), func.count(slot))
        .select_from(responses.outerjoin(verdicts, same))
        .where(responses.c.assistant == assistant, *_taken(since_s, until_s))
        .group_by(hour)
        .order_by(hour)
    )
    return [Hour(float(at) * HOUR_S, n, measured) for at, n, measured in connection.execute(query)]


def sampled_by_hour(connection: Connection, *, since_s: float, until_s: float) -> dict[float, int]:
    """Sampled responses of all assistants, by the start of their hour."""
    hour = _hour(responses.c.received_at_s)
    query = select(hour, func.count()).where(*_taken(since_s, until_s)).group_by(hour)
    return {float(at) * HOUR_S: n for at, n in connection.execute(query)}


def dead_letters_by_hour(connection: Connection, *, since_s: float) -> dict[float, int]:
    """Dead letters by the start of their hour."""
    hour = _hour(dead_letters.c.received_at_s)
    query = select(hour, func.count()).where(dead_letters.c.received_at_s >= since_s)
    return {float(at) * HOUR_S: n for at, n in connection.execute(query.group_by(hour))}


def strata_of(connection: Connection, assistant: str) -> list[str]:
    """Strata of an assistant that have detectors."""
    table = detectors.c
    query = select(table.stratum).where(table.stratum.startswith(f"{assistant}/", autoescape=True))
    # SQLite's LIKE knows no capitals.
    found = connection.execute(query).scalars()
    return [stratum for stratum in found if stratum.startswith(f"{assistant}/")]


def newest_outcomes(
    connection: Connection, strata: Iterable[str], *, newest: int
) -> dict[str, Outcomes]:
    """How the newest live verdicts of these strata ended, by evaluator version."""
    table = verdicts.c
    n: Counter[str] = Counter()
    errors: Counter[str] = Counter()
    for stratum in sorted(strata):
        query = (
            select(table.evaluator_version, table.kind)
            .where(table.stratum == stratum, table.live_slot.is_not(None))
            .order_by(table.scored_at_s.desc())
            .limit(newest)
        )
        for version, kind in connection.execute(query):
            n[version] += 1
            errors[version] += kind == VerdictKind.ERROR.value
    return {version: Outcomes(count, errors[version]) for version, count in n.items()}


def newest_time(connection: Connection) -> float | None:
    """The newest time that anything here was written with; None for an empty store."""
    times = [
        connection.execute(select(func.max(worker_heartbeats.c.seen_at_s))).scalar(),
        connection.execute(
            select(audit_log.c.at_s).order_by(audit_log.c.id.desc()).limit(1)
        ).scalar(),
        connection.execute(
            select(responses.c.received_at_s)
            .where(is_sampled)
            .order_by(responses.c.received_at_s.desc())
            .limit(1)
        ).scalar(),
    ]
    return max((at for at in times if at is not None), default=None)


def _hour(column: Column[float]) -> ColumnElement[float]:
    return func.floor(column / HOUR_S)


def _taken(since_s: float, until_s: float) -> tuple[ColumnElement[bool], ...]:
    table = responses.c
    return (
        table.sampled_by.in_(_SAMPLED),
        table.received_at_s >= since_s,
        table.received_at_s < until_s,
    )
