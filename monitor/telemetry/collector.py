"""State gauges: read from the store when Prometheus asks, within a short cache."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from importlib.metadata import version

from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from evidence import AlarmState, GateAnswer, Stratum, UnreachableError, VerdictKind
from monitor.telemetry.declarations import STATE_METRICS
from monitor.telemetry.state import Bounded, Estimate, State, StratumFigures

_RUN_STATES = ("proposed", "waiting", "running", "done", "failed", "cancelling", "cancelled")

Series = tuple[str, tuple[str, ...], float]


class StateCollector(Collector):
    """Turns a `State` into metric families.

    Parameters
    ----------
    read
        Hands out the state; an UnreachableError shows as `candor_store_up 0`.
    max_strata
        Strata with series of their own; further ones are only counted in `candor_strata_hidden`.
    """

    def __init__(self, read: Callable[[], State], *, max_strata: int = 500) -> None:
        self._read = read
        self._max_strata = max_strata

    def describe(self) -> Iterable[Metric]:
        """The families without samples, so that registering does not read the store."""
        return list(_families().values())

    def collect(self) -> Iterator[Metric]:
        try:
            state = self._read()
        except UnreachableError:
            state = None
        families = _families()
        for name, labels, value in _series(state, self._max_strata):
            families[name].add_metric(labels, value)
        yield from (family for family in families.values() if family.samples)


def _families() -> dict[str, GaugeMetricFamily | CounterMetricFamily]:
    families: dict[str, GaugeMetricFamily | CounterMetricFamily] = {}
    for metric in STATE_METRICS:
        family = CounterMetricFamily if metric.kind == "counter" else GaugeMetricFamily
        families[metric.name] = family(metric.name, metric.help, labels=metric.labels)
    return families


def _series(state: State | None, max_strata: int) -> Iterator[Series]:
    yield "candor_build_info", (version("candor-monitor"),), 1.0
    yield "candor_store_up", (), 0.0 if state is None else 1.0
    if state is None:
        return
    ordered = sorted(state.strata, key=lambda s: (-sum(s.counts.values()), s.stratum))
    shown = {s.stratum for s in ordered[:max_strata]}
    for stratum in ordered[:max_strata]:
        yield from _stratum(stratum)
    yield "candor_strata_hidden", (), float(max(0, len(ordered) - max_strata))
    yield from _detection(state, shown)
    yield from _evaluators(state)
    yield from _alarms(state)
    assistants = {s.assistant for s in shown}
    yield from _own_acts(state, assistants)
    yield from _cohorts(state, assistants)
    yield from _operations(state, assistants, max_strata)


def _labels(stratum: Stratum) -> tuple[str, str, str]:
    return stratum.assistant, stratum.segment, stratum.stakes.value


def _interval(prefix: str, labels: tuple[str, ...], value: Estimate) -> Iterator[Series]:
    for suffix, bound in (("lower", value.lower), ("upper", value.upper)):
        if bound is not None:
            yield f"{prefix}_{suffix}_ratio", labels, bound


def _bounded(
    prefix: str, labels: tuple[str, ...], further: tuple[str, ...], value: Bounded
) -> Iterator[Series]:
    """A share with its interval and bounds; `further` are labels of the share alone."""
    if value.estimate is not None:
        yield f"{prefix}_ratio", (*labels, *further), value.estimate
    yield from _interval(prefix, labels, value)
    for suffix, bound in (("worst_case", value.worst_case), ("best_case", value.best_case)):
        if bound is not None:
            yield f"{prefix}_{suffix}_ratio", labels, bound


def _stratum(state: StratumFigures) -> Iterator[Series]:
    labels = _labels(state.stratum)
    yield from _bounded("candor_score_rate", labels, (), state.score_rate)
    yield from _bounded("candor_honesty", labels, (state.basis or "",), state.honesty)
    if state.blind is not None:
        yield "candor_blind", labels, float(state.blind)
    if state.smallest_fall is not None:
        yield "candor_smallest_visible_fall_ratio", labels, state.smallest_fall
    for kind in VerdictKind:
        count = state.counts.get(kind, 0)
        yield "candor_window_verdicts", (*labels, kind.value), float(count)


def _detection(state: State, shown: set[Stratum]) -> Iterator[Series]:
    for reading in state.detectors:
        if shown and reading.stratum not in shown:
            continue
        labels = (*_labels(reading.stratum), reading.metric)
        yield "candor_evidence_log", labels, reading.log_evidence
        yield "candor_evidence_threshold_log", labels, reading.log_threshold
        if reading.reference is not None:
            yield "candor_reference_ratio", labels, reading.reference
    yield "candor_evaluations_expected_total", (), float(state.workers.expected)
    yield "candor_evaluations_actual_total", (), float(state.workers.actual)


def _evaluators(state: State) -> Iterator[Series]:
    for evaluator in state.evaluators:
        labels = (evaluator.evaluator,)
        yield "candor_evaluator_expected_total", labels, float(evaluator.expected)
        yield "candor_evaluator_actual_total", labels, float(evaluator.actual)
        yield "candor_evaluator_checks_failing", labels, float(len(evaluator.unhealthy))
        suspect = evaluator.suspect_since_s is not None and not evaluator.unhealthy
        yield "candor_evaluator_suspect", labels, float(suspect)


def _alarms(state: State) -> Iterator[Series]:
    counts: dict[tuple[str, ...], int] = {}
    for alarm in state.alarms:
        if alarm.state is not AlarmState.CLOSED:
            key = (alarm.subject.value, alarm.scope, alarm.metric, alarm.state.value)
            counts[key] = counts.get(key, 0) + 1
    for labels in sorted(counts):
        yield "candor_alarms_active", labels, float(counts[labels])


def _own_acts(state: State, assistants: set[str]) -> Iterator[Series]:
    for one in state.own_acts:
        if one.assistant not in assistants:
            continue
        labels = (one.assistant,)
        if one.contradicted.estimate is not None:
            yield "candor_own_acts_contradicted_ratio", labels, one.contradicted.estimate
        yield from _interval("candor_own_acts_contradicted", labels, one.contradicted)
        supported = one.n_visible - one.n_contradicted
        yield "candor_own_acts_responses", (*labels, "supported"), float(supported)
        yield "candor_own_acts_responses", (*labels, "contradicted"), float(one.n_contradicted)


def _cohorts(state: State, assistants: set[str]) -> Iterator[Series]:
    for assistant in sorted(assistants):
        count = state.random_labels.get(assistant, 0)
        yield "candor_random_labels", (assistant,), float(count)
    for cohort in state.cohorts:
        labels = (cohort.assistant,)
        if cohort.biased.estimate is not None:
            yield "candor_biased_raters_ratio", labels, cohort.biased.estimate
        yield from _interval("candor_biased_raters", labels, cohort.biased)
        if cohort.biased_weight.estimate is not None:
            yield "candor_biased_weight_ratio", labels, cohort.biased_weight.estimate
        yield from _interval("candor_biased_weight", labels, cohort.biased_weight)
        if cohort.gap.estimate is not None:
            yield "candor_sycophancy_gap_ratio", labels, cohort.gap.estimate
            yield from _interval("candor_sycophancy_gap", labels, cohort.gap)
        yield "candor_suspect_raters", labels, float(cohort.suspects)
        yield "candor_coordination_groups", labels, float(cohort.groups)
        yield "candor_cohort_raters", labels, float(cohort.n_raters)
        yield "candor_cohort_events", labels, float(cohort.n_events)


def _operations(state: State, assistants: set[str], most: int) -> Iterator[Series]:
    asked: Counter[str] = Counter()
    for (assistant, _), n in (*state.gate_counts.items(), *state.confirm_counts.items()):
        asked[assistant] += n * (assistant not in assistants)
    # Whoever may ask the gate names assistants: of those without verdicts the busiest are shown.
    further = [name for name, n in asked.most_common(max(0, most - len(assistants))) if n]
    for assistant in sorted([*assistants, *further]):
        # Zeros too: Prometheus sees no increase in a series that begins at one.
        for answer in (*(a.value for a in GateAnswer), "overridden"):
            count = state.gate_counts.get((assistant, answer), 0)
            yield "candor_gate_decisions_total", (assistant, answer), float(count)
        for run_state in _RUN_STATES:
            count = state.confirm_counts.get((assistant, run_state), 0)
            yield "candor_confirm_runs", (assistant, run_state), float(count)
    for assistant, count in sorted(state.unattested.items())[:most]:
        yield "candor_unattested_model", (assistant,), float(count)
    for name in ("alive", "paused", "silent"):
        yield "candor_workers", (name,), float(getattr(state.workers, name))
    if state.last_response_s is not None:
        yield "candor_last_response_timestamp_seconds", (), state.last_response_s
    if state.last_verdict_s is not None:
        yield "candor_last_verdict_timestamp_seconds", (), state.last_verdict_s
    yield "candor_outbox_pending_records", (), float(state.outbox_pending)
    yield "candor_feedback_parked_records", (), float(state.feedback_parked)
    for lag in state.results:
        yield "candor_results_lag_records", (lag.sink,), float(lag.records)
        yield "candor_results_waiting_records", (lag.sink,), float(lag.waiting)
        yield "candor_results_lag_seconds", (lag.sink,), lag.seconds
