"""The frozen cohort of each assistant, and what it was served since."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec
from sqlalchemy import Connection, and_, func, insert, select, update

from evidence import Purpose, SampledBy
from evidence.records import ASSERTED
from monitor.store.dialect import insert_new
from monitor.store.schema import cohort_members, gap_watches, responses, verdict_log, verdicts


class StoredWatch(msgspec.Struct, frozen=True, kw_only=True):
    """The watch on one assistant, as it is stored; see `schema.gap_watches`."""

    cutoff_s: float
    frozen_at_s: float
    frozen_position: int
    log_position: int
    state: str
    gap: str
    version: int = 0


class ServedRow(msgspec.Struct, frozen=True, kw_only=True):
    """One measured, arrival-sampled response to a member."""

    log_position: int
    rater: str
    created_at_s: float
    p_lie: float
    inclusion_probability: float
    stratum: str


def read_watch(connection: Connection, assistant: str) -> StoredWatch | None:
    query = select(gap_watches).where(gap_watches.c.assistant == assistant)
    row = connection.execute(query).mappings().one_or_none()
    if row is None:
        return None
    return StoredWatch(**{name: row[name] for name in StoredWatch.__struct_fields__})


def read_members(connection: Connection, assistant: str) -> dict[str, bool]:
    """Whether each member is in the cohort."""
    table = cohort_members.c
    query = select(table.rater, table.in_cohort).where(table.assistant == assistant)
    return {rater: bool(inside) for rater, inside in connection.execute(query)}


def served_rows(connection: Connection, assistant: str, *, after: int) -> list[ServedRow]:
    """Responses to members whose verdicts the canonical log has after a position, in its order."""
    same_response = and_(
        responses.c.assistant == verdicts.c.assistant,
        responses.c.response_id == verdicts.c.response_id,
    )
    member = and_(
        cohort_members.c.assistant == responses.c.assistant,
        cohort_members.c.rater == responses.c.rater,
    )
    query = (
        select(
            verdict_log.c.id.label("log_position"),
            responses.c.rater,
            responses.c.created_at_s,
            verdicts.c.p_lie,
            verdicts.c.inclusion_probability,
            verdict_log.c.stratum,
        )
        .select_from(
            verdict_log.join(verdicts, verdicts.c.key == verdict_log.c.verdict_key)
            .join(responses, same_response)
            .join(cohort_members, member)
        )
        .where(
            verdict_log.c.id > after,
            verdicts.c.assistant == assistant,
            verdicts.c.purpose == Purpose.LIVE.value,
            verdicts.c.sampled_by == SampledBy.ARRIVAL.value,
            verdicts.c.kind.in_([kind.value for kind in ASSERTED]),
            verdicts.c.p_lie.is_not(None),
        )
        .order_by(verdict_log.c.id)
    )
    return [ServedRow(**row) for row in connection.execute(query).mappings()]


def newest_position(connection: Connection) -> int:
    """The end of the verdict log; 0 of an empty one."""
    return int(
        connection.execute(select(func.coalesce(func.max(verdict_log.c.id), 0))).scalar_one()
    )


def save_watch(
    connection: Connection,
    assistant: str,
    read: StoredWatch | None,
    new: StoredWatch,
    members: Mapping[str, bool] | None,
) -> bool:
    """Write the watch that follows `read`; False when another was written in between.

    Parameters
    ----------
    members
        A newly frozen membership; None leaves the stored one.
    """
    values = msgspec.structs.asdict(new)
    if read is None:
        row = {"assistant": assistant, **values, "version": 1}
        if not insert_new(connection, gap_watches, [row], [gap_watches.c.assistant]):
            return False
    else:
        written = connection.execute(
            update(gap_watches)
            .where(gap_watches.c.assistant == assistant, gap_watches.c.version == read.version)
            .values(**{**values, "version": read.version + 1})
        )
        if written.rowcount != 1:
            return False
    if members is not None:
        connection.execute(cohort_members.delete().where(cohort_members.c.assistant == assistant))
        rows = [
            {"assistant": assistant, "rater": rater, "in_cohort": inside}
            for rater, inside in sorted(members.items())
        ]
        if rows:
            connection.execute(insert(cohort_members), rows)
    return True
