"""What the store knows about the responses and raters that somebody asks about, and of no others."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import Any

import msgspec
from sqlalchemy import Column, Connection, select

from monitor.store.schema import (
    rater_groups,
    rater_posteriors,
    responses,
    tombstones,
    verdicts,
)

_CHUNK = 500


class LiveVerdict(msgspec.Struct, frozen=True, kw_only=True):
    """The live verdict of one response."""

    response_id: str
    stratum: str
    kind: str
    p_lie: float | None
    evaluator_version: str


class KnownRater(msgspec.Struct, frozen=True, kw_only=True):
    """What the cohort estimate says of one rater; `group` names a coordination group."""

    rater: str
    status: str
    p_biased: float | None
    group: str | None


def live_verdicts(
    connection: Connection, assistant: str, response_ids: Collection[str]
) -> Iterator[LiveVerdict]:
    """Those of the responses that have one."""
    table = verdicts.c
    columns = [getattr(table, name) for name in LiveVerdict.__struct_fields__]
    query = select(*columns).where(table.assistant == assistant, table.live_slot.is_not(None))
    for row in _among(connection, query, table.response_id, response_ids):
        yield LiveVerdict(**row)


def probe_traffic(
    connection: Connection, assistant: str, response_ids: Collection[str]
) -> frozenset[str]:
    """Those of the responses that are canaries, replays or tests."""
    table = responses.c
    query = select(table.response_id).where(
        table.assistant == assistant, table.skip_reason == "probe_traffic"
    )
    found = _among(connection, query, table.response_id, response_ids)
    return frozenset(row["response_id"] for row in found)


def known_raters(
    connection: Connection, assistant: str, raters: Collection[str]
) -> Iterator[KnownRater]:
    """Those of the raters that an estimate names; a group may hold raters whose feedback nobody measured."""
    of, grouped = rater_posteriors.c, rater_groups.c
    in_groups = select(grouped.rater, grouped.group_id).where(grouped.assistant == assistant)
    groups: dict[str, str] = {
        row["rater"]: row["group_id"]
        for row in _among(connection, in_groups, grouped.rater, raters)
    }
    estimated = select(of.rater, of.status, of.p_biased).where(of.assistant == assistant)
    for row in _among(connection, estimated, of.rater, raters):
        yield KnownRater(**row, group=groups.pop(row["rater"], None))
    for rater, group in groups.items():
        yield KnownRater(rater=rater, status="unidentified", p_biased=None, group=group)


def forgotten_raters(connection: Connection, raters: Collection[str]) -> frozenset[str]:
    """Those of the raters whose data was erased."""
    query = select(tombstones.c.rater)
    return frozenset(row["rater"] for row in _among(connection, query, tombstones.c.rater, raters))


def _among(
    connection: Connection, query: Any, column: Column[Any], wanted: Collection[str]
) -> Iterator[dict[str, Any]]:
    """The query's rows for these values of a column, some hundred at a time."""
    names = sorted(wanted)
    for start in range(0, len(names), _CHUNK):
        part = query.where(column.in_(names[start : start + _CHUNK]))
        for row in connection.execute(part).mappings():
            yield dict(row)
