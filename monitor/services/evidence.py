"""The gate's evidence, read from the store: about the rows that are asked about, and the assistant."""

from __future__ import annotations

from collections.abc import Collection, Container, Iterable, Iterator, Mapping

import msgspec
from sqlalchemy import Connection

from candor_guard.rows import Provenance, Row
from evidence import Alarm, AlarmSubject, VerdictKind
from monitor.detect.records import decode_state
from monitor.store import asked, confirm_runs, coverage
from monitor.store.alarms import unsettled_alarms
from monitor.store.attested import unattested
from monitor.store.cohorts import newest_estimate
from monitor.store.health import StoredHealth
from monitor.store.health import read_all as read_health
from monitor.store.sources import row_digests
from monitor.store.status import Heartbeat, detector_states, heartbeats
from probes.scorer import evaluator_of
from probes.visible import Visible
from retrain.context import (
    AlarmEvidence,
    Coverage,
    EvaluatorHealth,
    GateContext,
    Period,
    RaterEvidence,
    StoredFeedback,
    StoredResponse,
    VerdictEvidence,
)
from retrain.report import ConfirmReport

_CONTRADICTED = Visible.CONTRADICTED.value
_SETTLED_S = 900.0
_MISSING_SHARE = 0.2
_MISSING_LEAST = 5
_NEWEST = 200
_ERROR_SHARE = 0.2


class Named(msgspec.Struct, frozen=True):
    """Whom and what rows name: responses, their signals, the raters of these, and sources with versions."""

    response_ids: frozenset[str] = frozenset()
    raters: frozenset[str] = frozenset()
    feedback_ids: frozenset[str] = frozenset()
    sources: frozenset[tuple[str, str]] = frozenset()


def named_by(rows: Iterable[Row]) -> Named:
    """The names in rows, read once."""
    return named_in(row.provenance for row in rows)


def named_in(origins: Iterable[Provenance]) -> Named:
    """The names in the provenance of rows, read once."""
    response_ids: set[str] = set()
    feedback_ids: set[str] = set()
    raters: set[str] = set()
    sources: set[tuple[str, str]] = set()
    for origin in origins:
        if origin.response_id is not None:
            response_ids.add(origin.response_id)
        if origin.feedback_id is not None:
            feedback_ids.add(origin.feedback_id)
        if origin.rater is not None:
            raters.add(origin.rater)
        if origin.source is not None and origin.source_version is not None:
            sources.add((origin.source, origin.source_version))
    return Named(
        frozenset(response_ids), frozenset(raters), frozenset(feedback_ids), frozenset(sources)
    )


def gather(
    connection: Connection,
    assistant: str,
    named: Named,
    *,
    coverage_s: float,
    silent_s: float,
    now_s: float,
) -> GateContext:
    """All evidence for a decision about rows that name these, with the newest confirm report.

    Parameters
    ----------
    coverage_s
        How far back from now traffic must have been measured.
    silent_s
        A worker that said nothing for longer does not live.
    """
    verdicts, judged = _verdicts(connection, assistant, named)
    beats = heartbeats(connection)
    alive = [b for b in beats if b.is_alive(now_s, silent_s)]
    covered, missing = _coverage(
        connection, assistant, beats, alive, since_s=now_s - coverage_s, now_s=now_s
    )
    signals = _signals(connection, assistant, named)
    stored, probe_traffic = _responses(connection, assistant, named, signals)
    return GateContext(
        assistant=assistant,
        verdicts=verdicts,
        responses=stored,
        feedback=signals,
        sources={
            f"{name}@{version}": digests
            for (name, version), digests in row_digests(connection, named.sources).items()
        },
        raters={
            known.rater: RaterEvidence(known.status, known.p_biased, known.group)
            for known in asked.known_raters(connection, assistant, named.raters)
        },
        raters_answer=_raters_answer(connection, assistant),
        alarms=alarm_evidence(connection, assistant),
        evaluators=tuple(_evaluators(connection, assistant, judged, alive)),
        uncovered=missing,
        unattested=tuple(
            one.version
            for one in unattested(connection, since_s=now_s - coverage_s, assistants=[assistant])
        ),
        probe_traffic=probe_traffic,
        forgotten=asked.forgotten_raters(connection, named.raters),
        confirm=_newest_report(connection, assistant),
        coverage=covered,
        made_at_s=now_s,
        newest_s=coverage.newest_time(connection),
    )


class _Judged(msgspec.Struct, frozen=True):
    """Where verdicts stand, and the versions that gave them."""

    strata: frozenset[str]
    evaluators: frozenset[str]


_KINDS = {kind.value: kind for kind in VerdictKind}


def _verdicts(
    connection: Connection, assistant: str, named: Named
) -> tuple[dict[str, VerdictEvidence], _Judged]:
    found: dict[str, VerdictEvidence] = {}
    strata: set[str] = set()
    evaluators: set[str] = set()
    for live in asked.live_verdicts(connection, assistant, named.response_ids):
        found[live.response_id] = VerdictEvidence(
            _KINDS[live.kind], live.p_lie, live.acts == _CONTRADICTED
        )
        strata.add(live.stratum)
        evaluators.add(live.evaluator_version)
    return found, _Judged(frozenset(strata), frozenset(evaluators))


def _signals(connection: Connection, assistant: str, named: Named) -> dict[str, StoredFeedback]:
    return {
        given.feedback_id: StoredFeedback(
            given.response_id, given.rater, given.value, given.created_at_s, given.edit
        )
        for given in asked.known_feedback(connection, assistant, named.feedback_ids)
    }


def _responses(
    connection: Connection,
    assistant: str,
    named: Named,
    signals: Mapping[str, StoredFeedback],
) -> tuple[dict[str, StoredResponse], frozenset[str]]:
    """What is stored of the responses, and those of them that are probe traffic."""
    stored: dict[str, StoredResponse] = {}
    probe_traffic: set[str] = set()
    edited = {given.response_id for given in signals.values() if given.edit is not None}
    for known in asked.known_responses(connection, assistant, named.response_ids, in_parts=edited):
        stored[known.response_id] = StoredResponse(
            known.model, known.said, known.asked, known.answered
        )
        if known.probe_traffic:
            probe_traffic.add(known.response_id)
    return stored, frozenset(probe_traffic)


class _Answered(msgspec.Struct, frozen=True):
    """What the newest cohort estimate says of itself."""

    answer: str = ""
    reasons: tuple[str, ...] = ()


def _raters_answer(connection: Connection, assistant: str) -> str:
    found = newest_estimate(connection, assistant)
    if not found.id:
        return ""
    said = msgspec.json.decode(found.record, type=_Answered)
    return ": ".join((said.answer, "; ".join(said.reasons))) if said.reasons else said.answer


def alarm_evidence(connection: Connection, assistant: str) -> tuple[AlarmEvidence, ...]:
    """Alarms that are not closed and concern the assistant.

    An evaluator's concern each assistant that it measures or measured; the silence of all workers
    concerns every one.
    """
    open_alarms = list(unsettled_alarms(connection))
    of_evaluators = any(alarm.subject is AlarmSubject.EVALUATOR for alarm in open_alarms)
    foreign = _foreign(connection, assistant) if of_evaluators else set()
    return tuple(
        AlarmEvidence(
            alarm_id=alarm.alarm_id,
            subject=alarm.subject,
            scope=alarm.scope,
            metric=alarm.metric,
            state=alarm.state,
        )
        for alarm in open_alarms
        if _concerns(alarm, assistant, foreign)
    )


def _concerns(alarm: Alarm, assistant: str, foreign: Container[str]) -> bool:
    """Whether an alarm's scope (a stratum's key, an assistant or an evaluator) is about the assistant."""
    if alarm.subject is AlarmSubject.EVALUATOR:
        return alarm.scope not in foreign
    return alarm.scope == assistant or alarm.scope.startswith(f"{assistant}/")


def _foreign(connection: Connection, assistant: str) -> set[str]:
    """Evaluators that other assistants are or were measured with, and this one never was."""
    beats = heartbeats(connection)
    met = set(_measuring(beats, assistant))
    elsewhere = {one.version for beat in beats for one in beat.evaluators}
    for stratum, text in detector_states(connection, limit=None):
        versions = decode_state(text).evaluators
        (met if stratum.startswith(f"{assistant}/") else elsewhere).update(versions)
    return elsewhere - met


def _measuring(beats: Iterable[Heartbeat], assistant: str) -> dict[str, bool]:
    """Versions that these workers measure an assistant with, and whether each is calibrated."""
    found = (evaluator_of(beat.evaluators, assistant) for beat in beats)
    return {one.version: one.calibrated for one in found if one is not None}


def _evaluators(
    connection: Connection,
    assistant: str,
    judged: _Judged,
    alive: Collection[Heartbeat],
) -> Iterator[EvaluatorHealth]:
    """Each evaluator that judged the rows, or judged this assistant of late or does now."""
    strata = judged.strata.union(coverage.strata_of(connection, assistant))
    newest = coverage.newest_outcomes(connection, strata, newest=_NEWEST)
    measuring = _measuring(alive, assistant)
    known = read_health(connection)
    for version in sorted(judged.evaluators | newest.keys() | measuring.keys()):
        reason = _illness(version, known, newest, measuring=version in measuring)
        yield EvaluatorHealth(
            evaluator=version,
            healthy=not reason,
            reason=reason,
            calibrated=measuring.get(version, True),
        )


def _illness(
    version: str,
    known: Mapping[str, StoredHealth],
    newest: Mapping[str, coverage.Outcomes],
    *,
    measuring: bool,
) -> str:
    health, found = known.get(version), newest.get(version)
    if health is None and measuring:
        return "nothing is known of its health"
    if health is not None and health.unhealthy:
        return ", ".join(health.unhealthy)
    if found is not None and found.errors > _ERROR_SHARE * found.n:
        return f"{found.errors} of {found.n} verdicts are errors"
    return ""


def _coverage(
    connection: Connection,
    assistant: str,
    beats: Collection[Heartbeat],
    alive: Collection[Heartbeat],
    *,
    since_s: float,
    now_s: float,
) -> tuple[Coverage, tuple[Period, ...]]:
    until_s = now_s - _SETTLED_S
    found = coverage.hours(connection, assistant, since_s=since_s, until_s=until_s)
    newest = coverage.hours(connection, assistant, since_s=until_s, until_s=now_s)
    lost = coverage.dead_letters_by_hour(connection, since_s=since_s)
    lags = [b.lag_records for b in alive if b.lag_records is not None]
    covered = Coverage(
        from_s=since_s,
        to_s=max((b.seen_at_s for b in alive or beats if b.seen_at_s <= now_s), default=since_s),
        workers=len(alive),
        lag_records=sum(lags) if lags else None,
        responses=sum(hour.sampled for hour in (*found, *newest)),
        verdicts=sum(hour.measured for hour in (*found, *newest)),
        dead_letters=sum(lost.values()),
    )
    missing = [
        Period(
            from_s=hour.from_s,
            to_s=hour.from_s + coverage.HOUR_S,
            reason=f"{hour.sampled - hour.measured} of {hour.sampled} sampled responses have no verdict",
        )
        for hour in found
        if _many(hour.sampled - hour.measured, hour.sampled)
    ]
    if any(n >= _MISSING_LEAST for n in lost.values()):
        taken = coverage.sampled_by_hour(connection, since_s=since_s, until_s=now_s)
        missing += [
            Period(
                from_s=at_s,
                to_s=at_s + coverage.HOUR_S,
                reason=f"{n} records ended as dead letters, {taken.get(at_s, 0)} were sampled",
            )
            for at_s, n in sorted(lost.items())
            if _many(n, n + taken.get(at_s, 0))
        ]
    return covered, tuple(missing)


def _many(missing: int, of: int) -> bool:
    """Over a fifth, and at least five."""
    return missing >= _MISSING_LEAST and missing > _MISSING_SHARE * of


def _newest_report(connection: Connection, assistant: str) -> ConfirmReport | None:
    """None also for a report that this version cannot read: what it shows is not known."""
    text = confirm_runs.newest_report(connection, assistant)
    try:
        return None if text is None else msgspec.json.decode(text, type=ConfirmReport)
    except (msgspec.DecodeError, RecursionError):
        return None
