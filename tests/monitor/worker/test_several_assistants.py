"""One worker measures several assistants, each with an evaluator of its own."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest
from sqlalchemy import select

from evidence import CANARY_ASSISTANT, Alarm, AlarmSubject, Purpose
from monitor.detect.health import decode_health
from monitor.detect.options import HealthOptions
from monitor.ingest.options import OTHER
from monitor.jobs.canaries import CanarySender
from monitor.jobs.evaluators import EvaluatorWatch
from monitor.jobs.publisher import Publisher
from monitor.sample.options import SamplingOptions
from monitor.services.evidence import Named, alarm_evidence, gather
from monitor.store import detectors, health, reading
from monitor.store.health import Asked
from monitor.store.outbox import ALARMS_TOPIC
from monitor.store.schema import extra_evaluations, verdicts
from monitor.store.status import heartbeats
from probes.several import AssistantScorers
from tests.monitor.worker.conftest import HashScorer, House

OPTIONS = HealthOptions(canaries_per_hour=3600.0, canary_share=0.0, due_s=60.0, repeat_share=1.0)


class Strict(HashScorer):
    """Another evaluator."""

    version = "strict-1"
    calibrated = False


@pytest.fixture
def scorer(house: House) -> AssistantScorers:
    house.set(sampling=SamplingOptions(arrival_rate=1.0), health=OPTIONS)
    return AssistantScorers(house.scorer, {"shop": Strict()})


def by_version(house: House, *conditions: Any) -> set[tuple[str, str]]:
    with reading(house.engine) as connection:
        query = select(verdicts.c.assistant, verdicts.c.evaluator_version).where(*conditions)
        return {(row[0], row[1]) for row in connection.execute(query)}


def measured(house: House, kit: Any, scorer: AssistantScorers) -> Any:
    """A worker that measured six responses of two assistants, and said so."""
    for i in range(6):
        name = "shop" if i % 2 else "desk"
        house.broker.produce(kit.RESPONSES, kit.response(i, assistant=name), f"c{i}")
    worker = house.worker(scorer=scorer)
    house.settle(worker)
    house.now_s += 3.0
    worker.step()
    return worker


def test_verdicts_and_the_heartbeat_name_each_evaluator(
    house: House, kit: Any, scorer: AssistantScorers
) -> None:
    measured(house, kit, scorer)
    assert by_version(house) == {("desk", "hash-1"), ("shop", "strict-1")}
    with reading(house.engine) as connection:
        (beat,) = heartbeats(connection)
    assert beat.evaluators == scorer.evaluators
    assert [one.version for one in beat.evaluators] == ["hash-1", "strict-1"]
    house.check_invariants()


def test_canaries_reach_every_evaluator_and_a_missed_one_counts_against_its_own(
    house: House, kit: Any, scorer: AssistantScorers
) -> None:
    worker = measured(house, kit, scorer)
    clock = lambda: house.now_s  # noqa: E731
    watch = EvaluatorWatch(house.engine, options=OPTIONS, owner="w", clock=clock)
    sender = CanarySender(
        house.engine,
        options=OPTIONS,
        topic=kit.RESPONSES,
        key=house.keys.pseudonym,
        owner="w",
        clock=clock,
        sent_for=[next(iter(one.assistants), OTHER) for one in scorer.evaluators],
    )
    sink = kit.MemorySink(house.broker)
    topics = (kit.RESPONSES, kit.FEEDBACK)
    publisher = Publisher(house.engine, sink, input_topics=topics, owner="w", clock=clock)
    sender.update()
    house.now_s += 6.0
    sender.update()
    publisher.update()
    house.settle(worker)
    with reading(house.engine) as connection:
        asked = list(connection.execute(select(extra_evaluations.c.stratum)).scalars())
        ended = health.ended(connection, (Purpose.CANARY,), now_s=house.now_s)
    per_assistant = Counter(stratum.split("/")[1] for stratum in asked)
    assert per_assistant == {"other": 6, "shop": 6}
    assert Counter(item.evaluator_version for item in ended) == {"hash-1": 6, "strict-1": 6}
    canaries = by_version(house, verdicts.c.assistant == CANARY_ASSISTANT)
    assert {version for _, version in canaries} == {"hash-1", "strict-1"}
    missed = Asked(
        purpose=Purpose.CANARY,
        assistant=CANARY_ASSISTANT,
        response_id="lost",
        known="lie",
        stratum=f"{CANARY_ASSISTANT}/shop/high",
    )
    watch.update()
    before = due(house)
    with house.engine.begin() as connection:
        health.ask(connection, [missed], now_s=house.now_s, due_s=1.0)
    house.now_s += 5.0
    worker.step()
    watch.update()
    found = due(house)
    assert found["hash-1"] == before["hash-1"]
    assert found["strict-1"] == before["strict-1"] + 1


def due(house: House) -> dict[str, float]:

    with reading(house.engine) as connection:
        return {v: decode_health(s.state).due for v, s in health.read_all(connection).items()}


def test_a_repeat_is_measured_by_the_evaluator_that_was_asked(
    house: House, kit: Any, scorer: AssistantScorers
) -> None:
    worker = measured(house, kit, scorer)
    asked = [
        Asked(
            purpose=Purpose.REPEAT, assistant=name, response_id=f"r{i}", evaluator_version=version
        )
        for name, i, version in (
            ("desk", 0, "hash-1"),
            ("shop", 1, "strict-1"),
            ("shop", 3, "hash-1"),
        )
    ]
    with house.engine.begin() as connection:
        health.ask(connection, asked, now_s=house.now_s, due_s=600.0)
    house.now_s += 31.0
    for _ in range(2):  # the first step's sweep lets the second look
        worker.step()
    house.settle(worker)
    repeated = by_version(house, verdicts.c.purpose == Purpose.REPEAT.value)
    # The third was asked of an evaluator that measures the shop no more.
    assert repeated == {("desk", "hash-1"), ("shop", "strict-1")}


def test_the_gate_looks_at_the_evaluators_of_its_assistant(
    house: House, kit: Any, scorer: AssistantScorers
) -> None:
    measured(house, kit, scorer)
    with house.engine.begin() as connection:
        ill = [alarm("strict-1"), alarm("workers")]
        detectors.latch(connection, ill, by="health", topic=ALARMS_TOPIC, now_s=house.now_s)
    with reading(house.engine) as connection:
        found = {
            name: gather(
                connection, name, Named(), coverage_s=60.0, silent_s=60.0, now_s=house.now_s
            )
            for name in ("desk", "shop")
        }
        scopes = {name: {one.scope for one in alarm_evidence(connection, name)} for name in found}
    assert [one.evaluator for one in found["desk"].evaluators] == ["hash-1"]
    assert [one.evaluator for one in found["shop"].evaluators] == ["strict-1"]
    assert found["desk"].evaluators[0].calibrated
    assert not found["shop"].evaluators[0].calibrated
    assert scopes == {"desk": {"workers"}, "shop": {"strict-1", "workers"}}


def alarm(scope: str) -> Alarm:
    return Alarm(
        alarm_id=f"a-{scope}",
        subject=AlarmSubject.EVALUATOR,
        scope=scope,
        metric="canary_lie",
        claim="ill",
        opened_at_s=1.0,
        log_position=1,
        n=1,
        log_evidence=9.0,
        log_threshold=8.0,
    )
