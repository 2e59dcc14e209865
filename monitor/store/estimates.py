"""Cohort estimates of a period, and what is known of one rater."""

from __future__ import annotations

from sqlalchemy import Connection, RowMapping, func, literal, select

from monitor.store.dialect import floored
from monitor.store.schema import cohort_estimates, rater_posteriors


def estimates_between(
    connection: Connection, assistant: str, *, start_s: float, end_s: float, limit: int
) -> list[tuple[float, int, str]]:
    """Time, raters and record of the estimates of a period, newest first: of each of `limit` equal parts of it the
    last one."""
    table = cohort_estimates.c
    period = (
        table.assistant == assistant,
        table.created_at_s >= start_s,
        table.created_at_s < end_s,
    )
    # Counted from the end: the newest of all is the last of its part. The first moment belongs to the last part.
    width_s = (end_s - start_s) / limit * (1.0 + 1e-9)
    part = floored(connection, (literal(end_s) - table.created_at_s) / width_s)
    last = select(func.max(table.id)).where(*period).group_by(part)
    wanted = list(connection.execute(last).scalars())
    query = select(table.created_at_s, table.n_raters, table.record).where(table.id.in_(wanted))
    return [tuple(row) for row in connection.execute(query.order_by(table.id.desc()))]


def posterior_of(connection: Connection, assistant: str, rater: str) -> RowMapping | None:
    """What the newest estimate says of one rater."""
    table = rater_posteriors
    query = select(table).where(table.c.assistant == assistant, table.c.rater == rater)
    return connection.execute(query).mappings().one_or_none()
