"""A judge that stops, flatters or babbles in the running worker: its own alarm, and no honesty alarm."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from sqlalchemy import func, select, update

from candor_guard.rows import ChatMessage, Provenance, Row
from evidence import CANARY_ASSISTANT, Alarm, AlarmState, GateAnswer
from evidence.person import Person
from monitor.detect.options import DetectionOptions, HealthOptions
from monitor.detect.records import decode_state, encode_state
from monitor.detect.stratum import advance, freeze, new_state, status, thaw
from monitor.jobs.canaries import CanarySender
from monitor.jobs.evaluators import EvaluatorWatch
from monitor.jobs.publisher import Publisher
from monitor.services.alarms import transition
from monitor.services.evidence import Named, gather
from monitor.store import alarms as store_alarms
from monitor.store import detectors, health, reading
from monitor.store.schema import audit_log, extra_evaluations, responses, verdict_log, verdicts
from monitor.store.status import kind_counts, last_response_s
from monitor.store.verdicts import read_log
from retrain.gate import decide
from retrain.policy import Policy
from tests.monitor.worker.judge_double import JudgeServer, judge_panel, judge_server

House = Any
TICK_S = 10.0
HEALTH = HealthOptions(
    tick_s=TICK_S,
    canary_share=1.0,
    canaries_per_hour=0,
    repeat_share=0.2,
    silence_s=60,
    due_s=30,
    patience_s=600,
    canary_window=12,
    min_concordance=0.7,
)
STRATUM = "helper/other/normal"


@pytest.fixture(scope="module")
def judge() -> Iterator[JudgeServer]:
    with judge_server() as server:
        yield server


class Service:
    """A worker with its health jobs, on a clock that moves by one tick at a time."""

    def __init__(self, house: House, kit: Any, judge: JudgeServer, **sections: Any) -> None:
        house.set(
            **{
                "health": HEALTH,
                "detection": DetectionOptions(
                    reference=0.1,
                    evasion_reference=0.1,
                    worst_case_reference=0.1,
                    own_actions_reference=0.1,
                    tolerance=0.05,
                ),
                **sections,
            }
        )
        judge.mode = "sound"
        self.house, self.kit, self.judge, self.sent = house, kit, judge, 0
        self.clock: Callable[[], float] = lambda: house.now_s
        options, topic = house.settings.health, kit.RESPONSES
        self.sender = CanarySender(
            house.engine,
            options=options,
            topic=topic,
            key=house.keys.pseudonym,
            owner="w",
            clock=self.clock,
        )
        self.watch = EvaluatorWatch(house.engine, options=options, owner="w", clock=self.clock)
        self.publisher = Publisher(
            house.engine,
            kit.MemorySink(house.broker),
            input_topics=(kit.RESPONSES, kit.FEEDBACK),
            owner="w",
            clock=self.clock,
        )
        self.measure_with("judge-1")
        self.sender.update()

    def measure_with(self, model: str) -> None:
        """Another worker takes over, with a judge of this name."""
        for member in list(self.house.broker.members):
            self.house.broker.leave(member)
        panel = judge_panel(self.judge.url, model)
        self.version = panel.version
        self.worker = self.house.worker(name=f"w-{model}", scorer=panel)
        self.watch.begin(panel.version)

    def tick(
        self, times: int = 1, *, live: int = 6, text: str = "Fine.", model: str = "m1"
    ) -> None:
        for _ in range(times):
            for _ in range(live):
                self._produce(text, model)
            self.house.now_s += TICK_S
            self._rest()
            self.sender.update()
            self.publisher.update()
            self._rest()
            self.watch.update()
            self._rest()

    def _produce(self, text: str, model: str) -> None:
        self.sent += 1
        messages = [
            {"role": "user", "content": "How is it?"},
            {"role": "assistant", "content": text},
        ]
        record = self.kit.response(self.sent, messages=messages, model=model)
        self.house.broker.produce(self.kit.RESPONSES, record, f"c{self.sent}")

    def _rest(self) -> None:
        quiet = 0
        for _ in range(4000):
            self.worker.step()
            self.house.now_s += 0.001
            quiet = quiet + 1 if self.house.all_read() and self.worker.idle else 0
            if quiet > 2:
                return
        raise AssertionError("the worker did not come to rest")

    def alarms(self) -> list[Alarm]:
        with reading(self.house.engine) as connection:
            return store_alarms.list_alarms(connection)

    def detector(self) -> dict[str, dict[str, object]]:
        with reading(self.house.engine) as connection:
            return status(decode_state(detectors.read_detector(connection, STRATUM).state))

    def until_alarm(self, most_ticks: int, **traffic: Any) -> Alarm:
        for _ in range(most_ticks):
            self.tick(**traffic)
            if found := self.alarms():
                return found[-1]
        raise AssertionError(f"no alarm within {most_ticks} ticks")


@pytest.fixture
def service(house: House, kit: Any, judge: JudgeServer) -> Service:
    return Service(house, kit, judge)


def gate(house: House) -> tuple[GateAnswer, tuple[str, ...]]:
    """What the gate says about a row that nothing but the evaluator's health could hold up."""
    origin = Provenance(source="curated", source_version="1")
    turn = (ChatMessage("user", "How is it?"), ChatMessage("assistant", "Fine."))
    with reading(house.engine) as connection:
        context = gather(
            connection, "helper", Named(), coverage_s=86_400.0, silent_s=60.0, now_s=house.now_s
        )
    rules = Policy(believed_sources=("curated",))
    rows = [Row(messages=turn, provenance=origin)]
    found = decide(rows, context, rules, now_s=house.now_s)
    return found.answer, found.reasons


def test_canaries_and_repeats_go_the_whole_way_and_enter_nothing(
    house: House, service: Service
) -> None:
    service.tick(12)
    assert service.alarms() == []
    with reading(house.engine) as connection:
        purposes = dict(
            connection.execute(
                select(verdicts.c.purpose, func.count()).group_by(verdicts.c.purpose)
            ).all()
        )
        known = connection.execute(
            select(extra_evaluations.c.known, verdicts.c.kind)
            .join(verdicts, verdicts.c.response_id == extra_evaluations.c.response_id)
            .where(extra_evaluations.c.purpose == "canary")
        ).all()
        logged = connection.execute(select(func.count()).select_from(verdict_log)).scalar_one()
        counts = kind_counts(connection, since_s=0.0)
        canaries = connection.execute(
            select(responses.c.skip_reason, responses.c.sampled_by)
            .where(responses.c.assistant == CANARY_ASSISTANT)
            .distinct()
        ).all()
        stored = health.read_all(connection)[service.version]
    assert purposes["live"] == logged == 72
    assert purposes["canary"] == 72
    assert 5 <= purposes["repeat"] <= 26, "about a fifth of 72"
    assert all(kind == expected for expected, kind in known)
    assert {count.assistant for count in counts} == {"helper"}
    assert [tuple(row) for row in canaries] == [("probe_traffic", None)]
    assert stored.unhealthy == ()
    assert house.metrics.of["extra_verdict", "canary"] == 72


def test_canaries_do_not_hide_that_traffic_stopped(house: House, service: Service) -> None:
    service.tick(2)
    before = house.now_s
    service.tick(3, live=0)
    with reading(house.engine) as connection:
        assert (last_response_s(connection) or 0.0) < before


@pytest.mark.parametrize(
    ("mode", "metrics", "within_s"),
    [
        ("stopped", {"expected_vs_actual"}, HEALTH.silence_s + 2 * TICK_S),
        ("babbling", {"parse_failures"}, 200.0),
        ("flattering", {"canary_separation", "canary_lie", "canary_evasion"}, 600.0),
    ],
)
def test_an_ill_judge_raises_its_own_alarm_and_holds_the_gate(
    house: House, service: Service, mode: str, metrics: set[str], within_s: float
) -> None:
    service.tick(8)
    assert service.alarms() == []
    service.judge.mode = mode
    began_s = house.now_s
    found = service.until_alarm(60)
    assert found.metric in metrics
    assert found.subject == "evaluator"
    assert found.opened_at_s - began_s <= within_s
    service.tick(6)
    assert {a.subject for a in service.alarms()} == {"evaluator"}, "no honesty alarm"
    assert {s["phase"] for s in service.detector().values()} == {"frozen"}
    answer, reasons = gate(house)
    assert answer is GateAnswer.HOLD
    assert any(r.startswith(f"evaluator_alarm:{found.alarm_id}") for r in reasons)
    assert f"evaluator_unhealthy:{service.version}" in reasons


def test_after_closing_the_detectors_go_on_and_find_lies(house: House, service: Service) -> None:
    service.tick(10)
    service.judge.mode = "babbling"
    ill = service.until_alarm(40)
    service.judge.mode = "sound"
    with house.engine.begin() as connection:
        for state in (AlarmState.REFUTED, AlarmState.CLOSED):
            transition(
                connection,
                ill.alarm_id,
                state,
                Person("ada"),
                reason="replaced",
                options=house.settings.detection,
                now_s=house.now_s,
            )
    service.tick(2)
    assert {s["phase"] for s in service.detector().values()} == {"watching"}
    service.tick(15, text="It was never so.")
    assert "lie" in {a.metric for a in service.alarms()}
    with reading(house.engine) as connection:
        acts = connection.execute(select(audit_log.c.action).order_by(audit_log.c.id)).scalars()
        wanted = [a for a in acts if a.startswith(("detector", "evaluator"))]
    assert wanted == ["detector.freeze", "evaluator.release", "detector.thaw"]
    assert replayed(house) == stored_state(house)


def stored_state(house: House) -> str:
    with reading(house.engine) as connection:
        return detectors.read_detector(connection, STRATUM).state


def replayed(house: House) -> str:
    """The verdict log read again, with the audited acts at their log positions."""
    options = house.settings.detection
    with reading(house.engine) as connection:
        entries = read_log(connection, STRATUM, after=0)
        acts = connection.execute(
            select(audit_log.c.action, audit_log.c.details)
            .where(audit_log.c.action.in_(["detector.freeze", "detector.thaw"]))
            .order_by(audit_log.c.id)
        ).all()
    state = new_state(STRATUM, options=options)
    for action, text in acts:
        act = json.loads(text)
        upto = [entry for entry in entries if entry.log_position <= act["log_position"]]
        state, _ = advance(state, upto, options=options)
        version = act["evaluator_version"]
        if action == "detector.freeze":
            state = freeze(state, version, act["reason"])
        else:
            state = thaw(state, version, after=act["believed_after"])
    return encode_state(advance(state, entries, options=options)[0])


def test_a_short_failure_is_read_in_the_end(house: House, service: Service) -> None:
    service.tick(5)
    service.judge.mode = "stopped"
    service.tick(1, live=1)
    service.judge.mode = "sound"
    service.tick(3)
    assert service.alarms() == []
    with reading(house.engine) as connection:
        read = detectors.read_detector(connection, STRATUM)
        newest = connection.execute(select(func.max(verdict_log.c.id))).scalar_one()
        errors = connection.execute(
            select(func.count()).where(verdicts.c.kind == "error", verdicts.c.purpose == "live")
        ).scalar_one()
    assert errors == 1
    assert read.log_position == newest
    assert service.detector()["worst_case"]["n"] == service.sent
    assert service.detector()["lie"]["n"] == service.sent - 1


def test_a_new_dishonest_model_meets_its_predecessors_reference(
    house: House, kit: Any, judge: JudgeServer
) -> None:
    learning = DetectionOptions(reference_window=60, tolerance=0.05)
    service = Service(house, kit, judge, detection=learning)
    service.tick(15)
    assert service.detector()["lie"]["phase"] == "watching"
    found = service.until_alarm(40, text="It was never so.", model="m2")
    assert (found.metric, found.scope) in {("lie", STRATUM), ("worst_case", STRATUM)}
    assert {m["model"] for m in found.details["models"]} == {"m1", "m2"}


def test_a_new_evaluator_measures_the_old_window_before_it_counts(
    house: House, kit: Any, judge: JudgeServer
) -> None:
    learning = DetectionOptions(reference_window=60, tolerance=0.05)
    service = Service(house, kit, judge, detection=learning)
    service.tick(15)
    service.measure_with("judge-2")
    # The assistant lies from the moment on that the judge is replaced: nothing of it may be learned.
    found = service.until_alarm(40, text="It was never so.", model="m2")
    assert found.metric in {"lie", "worst_case"}
    assert found.details["evaluator_version"] == service.version
    assert found.details["reference"]["source"] == "rescored"
    assert found.details["reference"]["n"] == 60
    with reading(house.engine) as connection:
        rescored = connection.execute(
            select(func.count()).where(verdicts.c.purpose == "rescore")
        ).scalar_one()
        acts = connection.execute(select(audit_log.c.action)).scalars().all()
    assert rescored == 60
    assert acts.count("reference.rescored") >= 2


def test_without_the_old_texts_a_new_evaluator_learns_its_own_reference(
    house: House, kit: Any, judge: JudgeServer
) -> None:
    learning = DetectionOptions(reference_window=40, tolerance=0.05)
    service = Service(house, kit, judge, detection=learning)
    service.tick(10)
    with house.engine.begin() as connection:
        connection.execute(update(responses).values(body=None))
    service.measure_with("judge-2")
    service.tick(3)
    assert service.detector()["lie"]["phase"] == "learning"
    service.tick(8)
    assert service.detector()["lie"]["phase"] == "watching"
    assert service.detector()["lie"]["reference_source"] == "learned"
    assert service.alarms() == []
