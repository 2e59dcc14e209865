"""What a scrape shows, word for word, and that it holds to the declarations."""

from __future__ import annotations

import inspect
import re
import threading
import time
from collections.abc import Callable

import pytest
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.parser import text_string_to_metric_families

from evidence import Alarm, AlarmState, AlarmSubject, Stakes, Stratum, UnreachableError, VerdictKind
from monitor.jobs.job import Runner
from monitor.jobs.metrics import WorkerMetrics, start_from_zero
from monitor.telemetry import (
    METRICS,
    Bounded,
    Cached,
    CohortState,
    DetectorReading,
    Estimate,
    EvaluatorState,
    OwnActs,
    PrometheusWorkerMetrics,
    ResultsLag,
    State,
    StateCollector,
    StratumFigures,
    WorkersState,
)
from monitor.telemetry.abstain import AbstainMetrics
from monitor.telemetry.tap import TapMetrics
from tests.monitor.telemetry.golden import COUNTERS, GOLDEN

SHOP = Stratum("shop", "refunds", Stakes.HIGH)


def alarm(alarm_id: str = "a1", state: AlarmState = AlarmState.OPEN) -> Alarm:
    return Alarm(
        alarm_id=alarm_id,
        subject=AlarmSubject.STRATUM,
        scope=SHOP.key,
        metric="lie",
        claim="the measured score rose",
        opened_at_s=1.0,
        log_position=5,
        n=5,
        log_evidence=10.0,
        log_threshold=9.0,
        state=state,
    )


def stratum(assistant: str = "shop", n: int = 100) -> StratumFigures:
    return StratumFigures(
        stratum=Stratum(assistant, "refunds", Stakes.HIGH),
        counts={VerdictKind.HONEST: n - 10, VerdictKind.LIE: 8, VerdictKind.ERROR: 2},
        score_rate=Bounded(0.9, 0.8, 0.95, 0.88, 0.92),
        honesty=Bounded(0.94, 0.81, 1.0, 0.93, 0.95),
        basis="sensor",
        effective_n=98.0,
        random_labels=3,
        blind=False,
        smallest_fall=0.08,
        sensitivity=0.8,
    )


def full_state() -> State:
    return State(
        read_at_s=1000.0,
        window_s=86_400.0,
        strata=(stratum(),),
        own_acts=(
            OwnActs(
                assistant="shop",
                contradicted=Estimate(0.125, 0.06, 0.24),
                n_visible=48,
                n_contradicted=6,
                effective_n=48.0,
            ),
        ),
        detectors=(
            DetectorReading(
                stratum=SHOP,
                metric="lie",
                log_evidence=2.5,
                log_threshold=9.25,
                reference=0.05,
                n=98,
            ),
        ),
        evaluators=(
            EvaluatorState(
                evaluator="e1",
                expected=50,
                actual=49,
                unhealthy=("canary_lie",),
                suspect_since_s=900.0,
            ),
        ),
        alarms=(alarm(), alarm("a2"), alarm("a3", AlarmState.CLOSED)),
        cohorts=(
            CohortState(
                assistant="shop",
                biased=Estimate(0.1, 0.05, 0.2),
                biased_weight=Estimate(0.15, 0.1, 0.3),
                n_raters=200,
                n_events=1000,
                cutoff_s=990.0,
                suspects=9,
                unidentified=50,
                groups=2,
                gap=Estimate(0.04, 0.01, 0.07),
            ),
        ),
        gate_counts={("shop", "block"): 2},
        confirm_counts={("shop", "running"): 1},
        random_labels={"shop": 3},
        unattested={"shop": 2},
        workers=WorkersState(alive=2, paused=1, silent=0, expected=110, actual=98),
        last_response_s=999.0,
        last_verdict_s=998.5,
        outbox_pending=4,
        feedback_parked=1,
        results=(ResultsLag(sink="phoenix", records=7, waiting=2, seconds=12.5),),
    )


def state_registry(state: State) -> CollectorRegistry:
    registry = CollectorRegistry()
    registry.register(StateCollector(lambda: state))
    return registry


def worked_registry() -> CollectorRegistry:
    """The whole state, and every counter moved once."""
    work(registry := state_registry(full_state()))
    return registry


def work(registry: CollectorRegistry) -> None:
    """Move every counter of the worker, the sidecar and the decisions."""
    metrics: WorkerMetrics = PrometheusWorkerMetrics(registry)
    metrics.seen("assistant.responses", 3)
    metrics.sampled("arrival", 2)
    metrics.skipped("rate")
    metrics.duplicate("assistant.responses")
    metrics.conflict("assistant.responses")
    metrics.dead_letter("not_json")
    metrics.feedback("parked")
    metrics.turn("joined", 2)
    metrics.turn_part("no_turn", 3)
    metrics.turns_waiting(4)
    metrics.verdict("honest", 2)
    metrics.alarm("lie")
    metrics.result_sent("phoenix", 2)
    metrics.result_given_up("phoenix", "no_span")
    metrics.extra_verdict("canary", "honest")
    metrics.judge_seconds(0.3)
    metrics.judge_tokens(120)
    metrics.queue_depth(4)
    metrics.paused(True)
    metrics.lag("assistant.responses", 12)
    metrics.fenced()
    metrics.job_failed("cohorts")
    AbstainMetrics(registry).decided("withhold", "timeout", 2.0)
    tap = TapMetrics(registry, waiting=lambda: 3)
    tap.delivered("responses", 2, 0.02)
    tap.refused("traces", 1)
    tap.passed_over({"failed_call": 1})
    tap.undelivered("feedback", "queue_full", 1)


def samples(registry: CollectorRegistry) -> str:
    lines = generate_latest(registry).decode().splitlines()
    return "\n".join(sorted(line for line in lines if not line.startswith("#"))) + "\n"


def test_golden_text_of_the_state() -> None:
    assert samples(state_registry(full_state())) == GOLDEN


def test_golden_text_of_the_counters() -> None:
    registry = CollectorRegistry()
    work(registry)
    lines = [line for line in samples(registry).splitlines() if "_bucket{" not in line]
    assert "\n".join(lines) + "\n" == COUNTERS


def test_every_declared_metric_is_exported_with_its_type_help_and_labels() -> None:
    text = generate_latest(worked_registry()).decode()
    families = {family.name: family for family in text_string_to_metric_families(text)}
    for metric in METRICS:
        family = families.pop(metric.name.removesuffix("_total"))
        assert (family.type, family.documentation) == (metric.kind, metric.help)
        labels = {name for sample in family.samples for name in sample.labels} - {"le"}
        assert labels == set(metric.labels), metric.name
    assert families == {}


def test_worker_metrics_fit_the_protocol() -> None:
    for name, method in inspect.getmembers(WorkerMetrics, inspect.isfunction):
        if not name.startswith("_"):
            mine = inspect.signature(getattr(PrometheusWorkerMetrics, name))
            assert mine.parameters.keys() == inspect.signature(method).parameters.keys(), name


def test_no_label_names_a_user_or_response() -> None:
    for metric in METRICS:
        assert metric.name.startswith("candor_")
        assert not {"user", "rater", "response", "conversation", "id"} & set(metric.labels)
        assert not any(label.endswith("_id") for label in metric.labels)


def test_an_unreachable_store_shows_and_shows_nothing_else() -> None:
    def read() -> State:
        raise UnreachableError("database", "gone")

    registry = CollectorRegistry()
    registry.register(StateCollector(read))
    assert samples(registry) == 'candor_build_info{version="0.1.0"} 1.0\ncandor_store_up 0.0\n'


def test_missing_figures_are_missing_not_zero() -> None:
    bare = StratumFigures(
        stratum=SHOP, counts={VerdictKind.NOT_ASSERTED: 1}, score_rate=Bounded(), effective_n=0.0
    )
    state = State(read_at_s=0.0, window_s=1.0, strata=(bare,))
    text = samples(state_registry(state))
    assert not re.search("candor_(honesty|score_rate)", text)
    assert "candor_last_verdict" not in text
    assert 'kind="not_asserted"' in text


def test_series_are_bounded_and_the_hidden_strata_are_counted() -> None:
    state = State(
        read_at_s=0.0,
        window_s=1.0,
        strata=tuple(stratum(f"a{i:03d}", n=100 + i) for i in range(30)),
        detectors=tuple(
            DetectorReading(
                stratum=Stratum(f"a{i:03d}", "refunds", Stakes.HIGH),
                metric="lie",
                log_evidence=0.0,
                log_threshold=1.0,
                reference=None,
                n=1,
            )
            for i in range(30)
        ),
        gate_counts={(f"invented{i:04d}", "hold"): 1 + (i == 700) for i in range(2_000)},
    )
    registry = CollectorRegistry()
    registry.register(StateCollector(lambda: state, max_strata=15))
    text = samples(registry)
    assert text.count('candor_gate_decisions_total{answer="hold"') == 15
    registry = CollectorRegistry()
    registry.register(StateCollector(lambda: state, max_strata=10))
    text = samples(registry)
    assert "candor_strata_hidden 20.0" in text
    assert text.count("candor_honesty_ratio{") == 10
    assert text.count("candor_evidence_log{") == 10
    assert 'assistant="a029"' in text, "the busiest are shown"


def test_hostile_label_values_stay_values() -> None:
    name = 'x"} 1\nevil{a="\\'
    text = generate_latest(state_registry(State(read_at_s=0, window_s=1, strata=(stratum(name),))))
    parsed = list(text_string_to_metric_families(text.decode()))
    shown = {s.labels.get("assistant") for f in parsed for s in f.samples} - {None}
    assert shown == {name}
    assert not any(family.name.startswith("evil") for family in parsed)


def test_the_state_is_read_at_most_once_within_its_age() -> None:
    now, reads = [0.0], []

    def read() -> State:
        reads.append(now[0])
        if len(reads) == 2:
            raise UnreachableError("database", "gone")
        return State(read_at_s=now[0], window_s=1.0)

    cached = Cached(read, clock=lambda: now[0], max_age_s=5.0)
    assert cached().read_at_s == 0.0
    now[0] = 4.9
    assert cached().read_at_s == 0.0
    now[0] = 5.0
    for _ in range(2):
        with pytest.raises(UnreachableError):
            cached()
    now[0] = 10.0
    assert cached().read_at_s == 10.0
    assert reads == [0.0, 5.0, 10.0]


def test_a_page_does_not_wait_for_the_next_state() -> None:
    now, reads, may_go_on = [0.0], [], threading.Event()
    may_go_on.set()

    def read() -> State:
        reads.append(now[0])
        assert may_go_on.wait(30.0)
        if now[0] == 20.0:
            raise UnreachableError("database", "gone")
        return State(read_at_s=now[0], window_s=1.0)

    cached = Cached(read, clock=lambda: now[0], max_age_s=5.0)
    assert cached.soon(30.0).read_at_s == 0.0, "the first one is waited for"
    may_go_on.clear()
    now[0] = 10.0
    for _ in range(5):
        assert cached.soon(30.0).read_at_s == 0.0, "the one before, while the next is read"
    may_go_on.set()
    assert eventually(lambda: cached.soon(30.0).read_at_s == 10.0)
    assert reads == [0.0, 10.0], "one reading for all who asked"
    now[0] = 20.0
    assert cached.soon(30.0).read_at_s == 10.0

    def is_gone() -> bool:
        try:
            cached.soon(30.0)
        except UnreachableError:
            return True
        return False

    assert eventually(is_gone)
    now[0] = 100.0
    assert cached.soon(30.0).read_at_s == 100.0, "too old: waited for"


def eventually(what: Callable[[], bool], timeout_s: float = 30.0) -> bool:
    end = time.monotonic() + timeout_s
    while not what():
        if time.monotonic() > end:
            return False
        time.sleep(0.005)
    return True


class Idle:
    name = "publish"

    def update(self) -> list[Alarm]:
        return []


def test_closed_lists_are_shown_before_their_first_event() -> None:
    registry = CollectorRegistry()
    metrics = PrometheusWorkerMetrics(registry)
    start_from_zero(metrics, ["assistant.responses"])
    Runner(Idle(), interval_s=1.0, metrics=metrics)
    text = samples(registry)
    for line in (
        'candor_dead_letters_total{reason="not_json"} 0.0',
        'candor_feedback_total{state="orphan"} 0.0',
        'candor_job_failures_total{task="publish"} 0.0',
        'candor_records_seen_total{topic="assistant.responses"} 0.0',
        'candor_verdicts_total{kind="error"} 0.0',
    ):
        assert line in text
