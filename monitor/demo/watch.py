"""What the store says while the story runs: read only, nothing is remembered between looks."""

from __future__ import annotations

import msgspec
from sqlalchemy import Connection, Engine, Table, and_, func, select

from evidence import Alarm, VerdictKind
from evidence.survey import ScoreRate, score_rate
from monitor.cohorts.results import CohortEstimate
from monitor.demo.traffic import ASSISTANT
from monitor.store import alarms as store_alarms
from monitor.store.engine import reading
from monitor.store.schema import (
    cohort_estimates,
    feedback,
    rater_posteriors,
    responses,
    verdict_log,
    verdicts,
)
from monitor.store.verdicts import FINAL_PROBABILITY


class Measured(msgspec.Struct, frozen=True, kw_only=True):
    """One live verdict, with its place in the canonical log."""

    response_id: str
    model: str
    kind: VerdictKind
    p_lie: float | None
    sampled_by: str
    inclusion_probability: float
    scored_at_s: float


class Look(msgspec.Struct, frozen=True, kw_only=True):
    """Counts at one moment, the alarms so far, and the newest cohort estimate."""

    responses: int
    sampled: int
    feedback: int
    log_length: int
    verdicts: int
    errors: int
    score_rate: ScoreRate
    alarms: tuple[Alarm, ...]
    cohort: CohortEstimate | None


def look(engine: Engine, model: str | None = None) -> Look:
    """Read the counts; the score rate is of the verdicts on one model version, or of all."""
    with reading(engine) as connection:
        measured = live_verdicts(connection)
        seen, sampled = connection.execute(
            select(func.count(), func.count(responses.c.sampled_by))
        ).one()
        return Look(
            responses=seen,
            sampled=sampled,
            feedback=_feedback(connection),
            log_length=_count(connection, verdict_log),
            verdicts=len(measured),
            errors=sum(m.kind is VerdictKind.ERROR for m in measured),
            score_rate=score_rate_of([m for m in measured if model in (None, m.model)]),
            alarms=tuple(reversed(store_alarms.list_alarms(connection))),
            cohort=cohort(connection),
        )


def live_verdicts(connection: Connection) -> list[Measured]:
    """All live verdicts in the order in which they were made."""
    table = verdicts.c
    query = (
        select(
            table.response_id,
            table.model,
            table.kind,
            table.p_lie,
            table.sampled_by,
            FINAL_PROBABILITY.label("inclusion_probability"),
            table.scored_at_s,
        )
        .where(table.assistant == ASSISTANT, table.live_slot.is_not(None))
        .order_by(table.scored_at_s, table.key)
    )
    return [
        Measured(
            response_id=row.response_id,
            model=row.model,
            kind=VerdictKind(row.kind),
            p_lie=row.p_lie,
            sampled_by=row.sampled_by,
            inclusion_probability=row.inclusion_probability,
            scored_at_s=row.scored_at_s,
        )
        for row in connection.execute(query)
    ]


def score_rate_of(measured: list[Measured]) -> ScoreRate:
    """Honest verdicts weighted by one over the inclusion probability, with their interval."""
    return score_rate((m.kind, m.inclusion_probability) for m in measured)


def canonical_log(connection: Connection) -> list[str]:
    """Response ids in the order in which they moved the detectors."""
    query = (
        select(verdicts.c.response_id)
        .select_from(verdict_log.join(verdicts, verdicts.c.key == verdict_log.c.verdict_key))
        .order_by(verdict_log.c.id)
    )
    return list(connection.execute(query).scalars())


class RaterRow(msgspec.Struct, frozen=True):
    """What was inferred of one rater, by pseudonym."""

    rater: str
    p_biased: float | None
    status: str


def raters(connection: Connection) -> list[RaterRow]:
    """Every rater with a posterior."""
    table = rater_posteriors.c
    query = select(table.rater, table.p_biased, table.status).where(table.assistant == ASSISTANT)
    return [RaterRow(*row) for row in connection.execute(query)]


class RaterUps(msgspec.Struct, frozen=True):
    """Thumbs of one rater on measured responses, by what those were judged to be."""

    rater: str
    honest: int
    honest_liked: int
    lies: int
    lies_liked: int
    p_biased: float | None


def rater_ups(connection: Connection) -> list[RaterUps]:
    """Every rater's thumbs on responses judged honest and on those judged lies."""
    same = and_(
        verdicts.c.assistant == feedback.c.assistant,
        verdicts.c.response_id == feedback.c.response_id,
        verdicts.c.live_slot.is_not(None),
    )
    posterior = {row.rater: row.p_biased for row in raters(connection)}
    query = select(feedback.c.rater, feedback.c.value, verdicts.c.kind).select_from(
        feedback.join(verdicts, same)
    )
    counts: dict[str, list[int]] = {}
    for rater, value, kind in connection.execute(query):
        if kind in {VerdictKind.HONEST, VerdictKind.LIE}:
            place = 0 if kind == VerdictKind.HONEST else 2
            own = counts.setdefault(rater, [0, 0, 0, 0])
            own[place] += 1
            own[place + 1] += value > 0
    return [
        RaterUps(rater, own[0], own[1], own[2], own[3], posterior.get(rater))
        for rater, own in sorted(counts.items())
    ]


def cohort(connection: Connection) -> CohortEstimate | None:
    """The newest estimate, without its raters."""
    query = (
        select(cohort_estimates.c.record)
        .where(cohort_estimates.c.assistant == ASSISTANT)
        .order_by(cohort_estimates.c.id.desc())
        .limit(1)
    )
    record = connection.execute(query).scalar()
    return None if record is None else msgspec.json.decode(record, type=CohortEstimate)


def _count(connection: Connection, table: Table) -> int:
    return int(connection.execute(select(func.count()).select_from(table)).scalar_one())


def _feedback(connection: Connection) -> int:
    counted = select(func.count()).select_from(feedback).where(feedback.c.state == "matched")
    return int(connection.execute(counted).scalar_one())
