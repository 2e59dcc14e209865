"""Reading the state of the service from the store: one snapshot, bounded queries."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from typing import Any, cast

import msgspec
from sqlalchemy import Connection, Engine, RowMapping
from sqlalchemy.exc import OperationalError

from evidence import Alarm, AlarmState, AlarmSubject, Stratum, UnreachableError
from monitor.cohorts.results import Answer, RaterStatus, Share
from monitor.detect.health import decode_health
from monitor.detect.records import StratumState, decode_state
from monitor.detect.sight import Sight
from monitor.detect.stratum import status
from monitor.services.honesty import strata_of
from monitor.services.own_acts import own_acts
from monitor.services.sight import sights
from monitor.store import reading
from monitor.store import status as queries
from monitor.store.alarms import list_alarms
from monitor.store.attested import attesting_assistants, unattested
from monitor.store.health import read_all as read_health
from monitor.store.labels import audited_verdicts
from monitor.store.results import Lag, lags
from monitor.store.sensors import accuracies
from monitor.telemetry import (
    CohortState,
    ConfirmRecord,
    DetectorReading,
    Estimate,
    EvaluatorState,
    GateRecord,
    ResultsLag,
    State,
    StratumFigures,
    WorkersState,
)
from monitor.telemetry.options import TelemetryOptions

_ALARMS_SHOWN = 1000
_EVALUATORS_SHOWN = 20
_GONE_S = 3600.0
"""A worker silent for longer was taken away on purpose; its evaluations still count."""
_NOT_CLOSED = tuple(state for state in AlarmState if state is not AlarmState.CLOSED)


class _StoredGroup(msgspec.Struct, frozen=True):
    raters: tuple[str, ...]


class _StoredBurst(msgspec.Struct, frozen=True):
    n_raters: int


class _StoredGap(msgspec.Struct, frozen=True):
    gap: Share


class _StoredEstimate(msgspec.Struct, frozen=True):
    """What is shown of a stored cohort estimate."""

    biased_fraction: Share
    biased_weight: Share
    answer: Answer = Answer.TOO_WEAK
    reasons: tuple[str, ...] = ()
    groups: tuple[_StoredGroup, ...] = ()
    bursts: tuple[_StoredBurst, ...] = ()


class StateReader:
    """Reads the whole state at once. A call raises UnreachableError when the database does not answer.

    Parameters
    ----------
    clock
        Seconds since the epoch.
    """

    def __init__(
        self, engine: Engine, options: TelemetryOptions, *, clock: Callable[[], float]
    ) -> None:
        self._engine = engine
        self._options = options
        self._clock = clock

    def __call__(self) -> State:
        now_s = self._clock()
        try:
            with reading(self._engine) as connection:
                return _read(connection, self._options, now_s)
        except OperationalError as error:
            reason = str(error.orig).strip().partition("\n")[0]
            raise UnreachableError("database", reason) from error


def assistant_of(alarm: Alarm) -> str | None:
    """The assistant that an alarm is about; None for an evaluator, which serves them all."""
    if alarm.subject is AlarmSubject.EVALUATOR:
        return None
    return alarm.scope.partition("/")[0]


def _read(connection: Connection, options: TelemetryOptions, now_s: float) -> State:
    since_s = now_s - options.window_s
    counts = queries.kind_counts(connection, since_s=since_s)
    audited = audited_verdicts(connection, since_s=since_s)
    measured = accuracies(connection)
    states = [decode_state(text) for _, text in queries.detector_states(connection)]
    strata = strata_of(counts, measured, audited)
    without = unattested(connection, since_s=since_s)
    return State(
        read_at_s=now_s,
        window_s=options.window_s,
        strata=tuple(_with_sight(strata, sights(states, measured), options.visible_fall)),
        own_acts=own_acts(queries.act_counts(connection, since_s=since_s)),
        detectors=tuple(_readings(states)),
        evaluators=tuple(_evaluators(connection)),
        alarms=tuple(list_alarms(connection, states=_NOT_CLOSED, limit=_ALARMS_SHOWN)),
        cohorts=_cohorts(connection),
        gate=tuple(
            _record(row, GateRecord) for row in queries.list_decisions(connection, limit=20)
        ),
        gate_counts=queries.decision_counts(connection),
        confirm=tuple(
            _record(row, ConfirmRecord) for row in queries.list_runs(connection, limit=20)
        ),
        confirm_counts=queries.run_counts(connection),
        random_labels=queries.random_label_counts(connection),
        unattested=dict.fromkeys(attesting_assistants(connection), 0)
        | Counter(one.assistant for one in without),
        unattested_versions=tuple((one.assistant, one.version, one.responses) for one in without),
        workers=_workers(queries.heartbeats(connection), options.worker_silent_s, now_s),
        last_response_s=queries.last_response_s(connection),
        last_verdict_s=queries.last_verdict_s(connection),
        outbox_pending=queries.outbox_pending(connection),
        feedback_parked=queries.feedback_parked(connection),
        results=tuple(_result_lag(lag, now_s) for lag in lags(connection)),
    )


def _result_lag(lag: Lag, now_s: float) -> ResultsLag:
    seconds = 0.0 if lag.oldest_s is None else max(0.0, now_s - lag.oldest_s)
    return ResultsLag(sink=lag.sink, records=lag.records, waiting=lag.waiting, seconds=seconds)


def _with_sight(
    strata: Iterable[StratumFigures], seen: Mapping[Stratum, Sight], visible_fall: float
) -> Iterable[StratumFigures]:
    for figures in strata:
        sight = seen.get(figures.stratum)
        if sight is None:
            yield figures
            continue
        yield msgspec.structs.replace(
            figures,
            blind=sight.blind(visible_fall),
            smallest_fall=sight.smallest_fall,
            sensitivity=sight.sensitivity,
        )


def _readings(states: Iterable[StratumState]) -> Iterable[DetectorReading]:
    for state in states:
        for metric, found in status(state).items():
            if "log_threshold" not in found:
                continue  # waiting, learning or blind: there is no evidence to show
            evidence = found["log_evidence"]
            yield DetectorReading(
                stratum=Stratum.of(state.stratum),
                metric=metric,
                # Before the first score the evidence is nothing, whose logarithm has no number.
                log_evidence=0.0 if evidence is None else cast("float", evidence),
                log_threshold=cast("float", found["log_threshold"]),
                reference=cast("float | None", found["reference"]),
                n=cast("int", found["n"]),
            )


def _evaluators(connection: Connection) -> Iterable[EvaluatorState]:
    for known in read_health(connection, newest=_EVALUATORS_SHOWN).values():
        state = decode_health(known.state)
        yield EvaluatorState(
            evaluator=known.evaluator_version,
            expected=state.due,
            actual=state.finished,
            unhealthy=known.unhealthy,
            suspect_since_s=known.suspect_since_s,
        )


def _cohorts(connection: Connection) -> tuple[CohortState, ...]:
    raters = queries.rater_counts(connection)
    gaps = {
        assistant: msgspec.json.decode(text, type=_StoredGap | None)
        for assistant, text in queries.sycophancy_gaps(connection)
    }
    states = []
    for row in queries.newest_estimates(connection):
        record = msgspec.json.decode(row["record"], type=_StoredEstimate)
        assistant = row["assistant"]
        gap = gaps.get(assistant)
        states.append(
            CohortState(
                assistant=assistant,
                biased=_estimate(record.biased_fraction),
                biased_weight=_estimate(record.biased_weight),
                n_raters=row["n_raters"],
                n_events=row["n_events"],
                cutoff_s=row["cutoff_s"],
                suspects=raters.get((assistant, RaterStatus.SUSPECT.value), 0),
                unidentified=raters.get((assistant, RaterStatus.UNIDENTIFIED.value), 0),
                groups=len(record.groups),
                grouped_raters=len({r for group in record.groups for r in group.raters}),
                gap=Estimate() if gap is None else _estimate(gap.gap),
                bursts=len(record.bursts),
                answer=record.answer.value,
                reasons=record.reasons,
            )
        )
    return tuple(states)


def _estimate(share: Share) -> Estimate:
    return Estimate(share.estimate, share.lower, share.upper)


def _workers(
    heartbeats: Iterable[queries.Heartbeat], silent_after_s: float, now_s: float
) -> WorkersState:
    alive = paused = silent = expected = actual = 0
    for beat in heartbeats:
        expected += beat.expected
        actual += beat.actual
        if beat.is_alive(now_s, silent_after_s):
            alive += 1
            paused += beat.paused
        elif now_s - beat.seen_at_s <= _GONE_S:
            silent += 1
    return WorkersState(alive=alive, paused=paused, silent=silent, expected=expected, actual=actual)


def _record(row: RowMapping, kind: type[Any]) -> Any:
    return msgspec.convert({name: row[name] for name in kind.__struct_fields__}, kind)
