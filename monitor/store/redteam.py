"""Scorecards of red-team runs, as they were kept."""

from __future__ import annotations

import msgspec
from sqlalchemy import Connection, insert, select

from monitor.store import audit
from monitor.store.schema import redteam_runs


class RedTeamRun(msgspec.Struct, frozen=True, kw_only=True):
    """One run against a model: `record` holds the summaries of its suites (JSON)."""

    assistant: str
    model: str
    made_at_s: float
    by: str
    seed: int
    reason: bool
    record: str


_COLUMNS = [getattr(redteam_runs.c, name) for name in RedTeamRun.__struct_fields__]


def put_run(connection: Connection, run: RedTeamRun) -> None:
    """Keep a run, and audit it."""
    connection.execute(insert(redteam_runs).values(**msgspec.structs.asdict(run)))
    audit.append(
        connection,
        by=run.by,
        action="redteam.keep",
        subject=run.assistant,
        details={"model": run.model, "seed": run.seed, "reason": run.reason},
        at_s=run.made_at_s,
    )


def list_runs(connection: Connection, assistant: str, *, limit: int) -> list[RedTeamRun]:
    """An assistant's runs, newest first."""
    query = select(*_COLUMNS).where(redteam_runs.c.assistant == assistant)
    rows = connection.execute(query.order_by(redteam_runs.c.id.desc()).limit(limit)).mappings()
    return [RedTeamRun(**row) for row in rows]


def assistants_with_runs(connection: Connection) -> list[str]:
    """Whose runs are kept."""
    query = select(redteam_runs.c.assistant).distinct().order_by(redteam_runs.c.assistant)
    return list(connection.execute(query).scalars())
