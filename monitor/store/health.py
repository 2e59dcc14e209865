"""Evaluators' health as stored, and the evaluations that are asked for beside the live ones."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence

import msgspec
from sqlalchemy import ColumnElement, Connection, and_, func, or_, select, update

from evidence import Purpose, Response
from monitor.store.dialect import insert_new
from monitor.store.intake import Key, unpack_body
from monitor.store.schema import (
    evaluator_health,
    extra_evaluations,
    responses,
    verdict_log,
    verdicts,
    worker_heartbeats,
)
from monitor.store.status import decode_evaluators
from probes.scorer import Evaluator


class StoredHealth(msgspec.Struct, frozen=True, kw_only=True):
    """One evaluator version; `version` 0 and an empty state before the first write.

    `unhealthy` are the checks in alarm. `log_position` is the verdict_log.id up to which its verdicts
    were looked at.
    """

    evaluator_version: str
    state: str = ""
    unhealthy: tuple[str, ...] = ()
    suspect_since_s: float | None = None
    log_position: int = 0
    version: int = 0


class Asked(msgspec.Struct, frozen=True, kw_only=True):
    """An evaluation to ask for."""

    purpose: Purpose
    assistant: str
    response_id: str
    evaluator_version: str = ""
    known: str | None = None
    stratum: str | None = None


class Ended(msgspec.Struct, frozen=True, kw_only=True):
    """An asked evaluation that has its verdict, or is overdue: then `evaluator_version` is who was asked,
    and everything of the verdict is None. `live_p_lie` is that of the response's live verdict. `acts` is what the verdict
    saw in the record of tools. `void`
    is one that could not be measured, because the text is no longer kept.
    """

    id: int
    purpose: Purpose
    evaluator_version: str
    known: str | None
    kind: str | None
    p_lie: float | None
    p_evasion: float | None
    outcomes: str | None
    live_p_lie: float | None
    stratum: str | None = None
    acts: str | None = None
    void: bool = False


class Pending(msgspec.Struct, frozen=True):
    """A response that waits to be measured again."""

    purpose: Purpose
    response: Response


def read_all(connection: Connection, *, newest: int | None = None) -> dict[str, StoredHealth]:
    """Every evaluator version with a stored health, or the newest of them."""
    query = select(evaluator_health).order_by(evaluator_health.c.updated_at_s.desc()).limit(newest)
    rows = connection.execute(query).mappings()
    return {
        row["evaluator_version"]: StoredHealth(
            evaluator_version=row["evaluator_version"],
            state=row["state"],
            unhealthy=tuple(msgspec.json.decode(row["unhealthy"], type=list[str])),
            suspect_since_s=row["suspect_since_s"],
            log_position=row["log_position"],
            version=row["version"],
        )
        for row in rows
    }


def save(connection: Connection, read: StoredHealth, new: StoredHealth, *, now_s: float) -> bool:
    """Write the next state if nobody wrote since `read`; False when somebody did."""
    values = {
        "state": new.state,
        "unhealthy": msgspec.json.encode(new.unhealthy).decode(),
        "suspect_since_s": new.suspect_since_s,
        "log_position": new.log_position,
        "updated_at_s": now_s,
    }
    table = evaluator_health.c
    if read.version == 0:
        row = {"evaluator_version": read.evaluator_version, "version": 1, **values}
        return bool(insert_new(connection, evaluator_health, [row], [table.version]))
    written = connection.execute(
        update(evaluator_health)
        .where(
            table.evaluator_version == read.evaluator_version,
            table.version == read.version,
        )
        .values(version=read.version + 1, **values)
    )
    return written.rowcount == 1


def live_evaluators(
    connection: Connection, *, since_s: float, until_s: float
) -> list[tuple[Evaluator, ...]]:
    """What each worker that was heard between two times measures with."""
    table = worker_heartbeats.c
    query = select(table.evaluators).where(
        table.seen_at_s.between(since_s, until_s), table.evaluators.is_not(None)
    )
    return [decode_evaluators(text) for text in connection.execute(query).scalars()]


def log_end(connection: Connection) -> int:
    """The newest verdict_log.id, 0 for an empty log.

    On PostgreSQL a row of another stratum with a smaller id may still become visible: health's counts
    can then miss it, which only makes them smaller.
    """
    return int(
        connection.execute(select(func.coalesce(func.max(verdict_log.c.id), 0))).scalar_one()
    )


def outcome_counts(
    connection: Connection, evaluator_version: str, *, after: int, upto: int
) -> dict[str, int]:
    """Logged verdicts of an evaluator in a stretch of the log, counted by how they ended."""
    query = (
        select(verdicts.c.outcomes, func.count())
        .join(verdict_log, verdict_log.c.verdict_key == verdicts.c.key)
        .where(
            verdict_log.c.id > after,
            verdict_log.c.id <= upto,
            verdicts.c.evaluator_version == evaluator_version,
            verdicts.c.outcomes.is_not(None),
        )
        .group_by(verdicts.c.outcomes)
    )
    return {row[0]: row[1] for row in connection.execute(query)}


def logged_keys(
    connection: Connection, evaluator_version: str, *, after: int, upto: int
) -> list[tuple[str, Key]]:
    """Verdict key and response of the measured entries in a stretch of the log."""
    table = verdicts.c
    query = (
        select(table.key, table.assistant, table.response_id)
        .join(verdict_log, verdict_log.c.verdict_key == table.key)
        .where(
            verdict_log.c.id > after,
            verdict_log.c.id <= upto,
            table.evaluator_version == evaluator_version,
            table.p_lie.is_not(None),
        )
    )
    return [(key, (assistant, name)) for key, assistant, name in connection.execute(query)]


def ask(connection: Connection, asked: Iterable[Asked], *, now_s: float, due_s: float) -> int:
    """Ask for evaluations; those asked for before are passed over. Returns how many are new."""
    rows = [
        {
            **msgspec.structs.asdict(item),
            "purpose": item.purpose.value,
            "asked_at_s": now_s,
            "due_at_s": now_s + due_s,
            "counted": False,
        }
        for item in asked
    ]
    return len(insert_new(connection, extra_evaluations, rows, [extra_evaluations.c.id]))


def prune(connection: Connection, *, before_s: float) -> int:
    """Forget evaluations that were counted and asked for before a time; their verdicts stay."""
    table = extra_evaluations.c
    return connection.execute(
        extra_evaluations.delete().where(
            table.counted.is_(True), table.asked_at_s < before_s, table.purpose != "rescore"
        )
    ).rowcount


def ended(connection: Connection, purposes: Sequence[Purpose], *, now_s: float) -> list[Ended]:
    """Asked evaluations not counted yet that have their verdict or are overdue."""
    table, live = extra_evaluations.c, verdicts.alias("live")
    query = (
        select(
            table.id,
            table.purpose,
            func.coalesce(verdicts.c.evaluator_version, table.evaluator_version).label("version"),
            table.known,
            table.stratum,
            verdicts.c.kind,
            verdicts.c.p_lie,
            verdicts.c.p_evasion,
            verdicts.c.outcomes,
            verdicts.c.acts,
            live.c.p_lie.label("live_p_lie"),
            responses.c.body.is_not(None).label("kept"),
        )
        .select_from(
            extra_evaluations.outerjoin(verdicts, _answers())
            .outerjoin(
                live,
                and_(
                    live.c.assistant == table.assistant,
                    live.c.response_id == table.response_id,
                    live.c.live_slot.is_not(None),
                ),
            )
            .outerjoin(responses, _about())
        )
        .where(
            table.purpose.in_([purpose.value for purpose in purposes]),
            table.counted.is_(False),
            or_(verdicts.c.key.is_not(None), table.due_at_s <= now_s),
        )
        .order_by(table.id)
    )
    return [
        Ended(
            id=row.id,
            purpose=Purpose(row.purpose),
            evaluator_version=row.version,
            known=row.known,
            kind=row.kind,
            p_lie=row.p_lie,
            p_evasion=row.p_evasion,
            outcomes=row.outcomes,
            live_p_lie=row.live_p_lie,
            stratum=row.stratum,
            acts=row.acts,
            void=row.kind is None and row.purpose != Purpose.CANARY.value and not row.kept,
        )
        for row in connection.execute(query)
    ]


def mark_counted(connection: Connection, ids: Sequence[int]) -> None:
    """These were read."""
    if ids:
        connection.execute(
            update(extra_evaluations)
            .where(extra_evaluations.c.id.in_(list(ids)))
            .values(counted=True)
        )


def pending(
    connection: Connection,
    evaluator: Evaluator,
    *,
    others: Collection[str] = (),
    now_s: float,
    limit: int,
) -> list[Pending]:
    """Responses that this evaluator is to measure again and has not, oldest request first.

    `others` are the assistants that another evaluator of the process measures: what was asked about
    them before that was so is left, because it would be measured with the other one.
    """
    table = extra_evaluations.c
    query = (
        select(table.purpose, responses.c.body)
        .select_from(extra_evaluations.join(responses, _about()).outerjoin(verdicts, _answers()))
        .where(
            table.evaluator_version == evaluator.version,
            table.assistant.in_(evaluator.assistants)
            if evaluator.assistants
            else table.assistant.not_in(sorted(others)),
            table.purpose.in_([Purpose.REPEAT.value, Purpose.RESCORE.value]),
            table.counted.is_(False),
            table.due_at_s > now_s,
            responses.c.body.is_not(None),
            verdicts.c.key.is_(None),
        )
        .order_by(table.id)
        .limit(limit)
    )
    return [
        Pending(Purpose(row.purpose), unpack_body(row.body)) for row in connection.execute(query)
    ]


def _about() -> ColumnElement[bool]:
    """The response that an asked evaluation is about."""
    table = extra_evaluations.c
    return and_(
        responses.c.assistant == table.assistant, responses.c.response_id == table.response_id
    )


def _answers() -> ColumnElement[bool]:
    """The verdict that an asked evaluation asked for."""
    table = extra_evaluations.c
    return and_(
        verdicts.c.assistant == table.assistant,
        verdicts.c.response_id == table.response_id,
        verdicts.c.purpose == table.purpose,
        or_(
            table.evaluator_version == "",
            verdicts.c.evaluator_version == table.evaluator_version,
        ),
    )
