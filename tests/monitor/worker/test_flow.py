"""What a worker does besides counting once: parking, both samples, pausing, alarms, no secrets."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from sqlalchemy import insert, select

from evidence import pseudonym
from monitor.detect.options import DetectionOptions
from monitor.ingest.options import IngestOptions, KafkaOptions
from monitor.sample.options import SamplingOptions
from monitor.score.options import ScoringOptions
from monitor.store import reading
from monitor.store.intake import unpack_body
from monitor.store.schema import (
    alarms,
    dead_letters,
    feedback,
    outbox,
    rate_epochs,
    responses,
    verdict_changes,
    verdict_tally,
    verdicts,
    worker_heartbeats,
)
from probes.scorer import OneEvaluator

House = Any


def test_feedback_waits_for_its_response_then_counts_as_orphan(house: House, kit: Any) -> None:
    for i in (1, 2):
        house.broker.produce(kit.FEEDBACK, kit.feedback(i))
    worker = house.worker()
    for _ in range(3):
        worker.step()
    assert house.count(feedback, feedback.c.state == "parked") == 2
    house.broker.produce(kit.RESPONSES, kit.response(1))
    house.settle_without_parked(worker)
    assert house.count(feedback, feedback.c.state == "matched") == 1
    house.now_s += IngestOptions().feedback_horizon_s + 10
    worker.step()
    assert house.count(feedback, feedback.c.state == "orphan") == 1
    house.check_invariants()


def test_feedback_brings_a_skipped_response_into_the_second_sample(house: House, kit: Any) -> None:
    house.set(sampling=SamplingOptions(arrival_rate=0.1, feedback_rate=0.7))
    for i in range(40):
        house.broker.produce(kit.RESPONSES, kit.response(i), f"c{i}")
    worker = house.worker()
    house.settle(worker)
    arrivals = house.count(responses, responses.c.u <= 0.1)
    assert house.count(verdicts) == arrivals < 12
    for i in range(40):
        house.broker.produce(kit.FEEDBACK, kit.feedback(i), f"c{i}")
    house.settle(worker)
    assert house.count(verdicts) == house.count(responses, responses.c.u <= 0.7)
    with reading(house.engine) as connection:
        found = connection.execute(
            select(verdicts.c.sampled_by, verdicts.c.inclusion_probability).distinct()
        )
        assert {tuple(row) for row in found} == {("arrival", 0.1), ("feedback", 0.7)}
    house.check_invariants()
    house.now_s += 10
    worker.step()
    assert house.count(verdict_changes) == 0, "the sweep joins what was counted"
    assert house.count(verdict_tally) > 0
    house.check_invariants()


def test_a_slow_judge_pauses_partitions_and_memory_stays_bounded(house: House, kit: Any) -> None:
    house.set(
        scoring=ScoringOptions(batch_size=4, max_queue=16), kafka=KafkaOptions(max_poll_records=8)
    )
    for i in range(200):
        house.broker.produce(kit.RESPONSES, kit.response(i), f"c{i}")
    house.scorer.gate.clear()
    worker = house.worker()
    for _ in range(40):
        worker.step()
        house.now_s += 1
    (member,) = house.broker.members
    assert sum(member.positions.values()) <= 16 + 8
    assert member.paused
    with reading(house.engine) as connection:
        (beat,) = connection.execute(select(worker_heartbeats)).all()
    assert beat.paused
    house.scorer.gate.set()
    house.settle(worker)
    house.now_s += 3
    worker.step()
    assert house.count(verdicts) == 200
    assert max(house.scorer.sizes) <= 4
    with reading(house.engine) as connection:
        (beat,) = connection.execute(select(worker_heartbeats)).all()
    assert (beat.expected, beat.actual) == (200, 200)


def test_many_bytes_pause_partitions_though_nothing_is_sampled(house: House, kit: Any) -> None:
    house.set(sampling=SamplingOptions(arrival_rate=1e-9, feedback_rate=1e-9))
    body = [{"role": "assistant", "content": "x" * 900_000}]
    for i in range(12):
        house.broker.produce(kit.RESPONSES, kit.response(i, messages=body), f"c{i}")
    worker = house.worker()
    house.settle(worker)
    assert house.count(responses) == 12
    assert house.count(verdicts) == 0
    assert house.metrics.of["skipped", "rate"] == 12


def test_a_rise_of_lies_opens_one_alarm(house: House, kit: Any) -> None:
    house.set(
        detection=DetectionOptions(
            reference=0.05, evasion_reference=0.05, worst_case_reference=0.05, tolerance=0.01
        )
    )
    for i in range(150):
        house.broker.produce(kit.RESPONSES, kit.response(i), f"c{i}")
    house.settle(house.worker())
    house.check_invariants()
    with reading(house.engine) as connection:
        found = connection.execute(select(alarms.c.metric, alarms.c.state)).all()
        topics = connection.execute(select(outbox.c.topic)).scalars().all()
    assert ("lie", "open") in {tuple(row) for row in found}
    assert len({row.metric for row in found}) == len(found), "latched: one alarm a metric"
    assert topics.count("honesty.alarms") == len(found)


def test_user_ids_and_refused_bodies_are_nowhere_in_the_clear(house: House, kit: Any) -> None:
    secret = "alice@example.org"
    house.broker.produce(kit.RESPONSES, kit.response(1, user_id=secret, trace={"user": secret}))
    house.broker.produce(kit.FEEDBACK, kit.feedback(1, user_id=secret))
    house.broker.produce(kit.RESPONSES, kit.response(2, user_id=secret, stakes=secret))
    house.broker.produce(kit.RESPONSES, b'{"user_id": "alice@example.org"')
    house.settle(house.worker())
    house.check_invariants()
    path = Path(str(house.engine.url.database))
    files = [file for file in path.parent.iterdir() if file.name.startswith(path.name)]
    assert len(files) == 3
    assert not any(secret.encode() in file.read_bytes() for file in files)
    with reading(house.engine) as connection:
        bodies = connection.execute(select(dead_letters.c.body)).scalars().all()
        (body,) = connection.execute(select(responses.c.body)).scalars().all()
        raters = connection.execute(select(responses.c.rater)).scalars().all()
    assert sorted(secret.encode() in house.keys.dead_letters.decrypt(b) for b in bodies) == [
        True,
        True,
    ]
    assert secret not in repr(unpack_body(body))
    assert raters == [pseudonym(secret, house.keys.pseudonym)]


def test_a_failing_scorer_yields_errors_and_the_worker_goes_on(house: House, kit: Any) -> None:
    class Fails(OneEvaluator):
        version = "fails-1"
        calibrated = True
        figures = ()

        def score(self, _: Any) -> Any:
            raise ConnectionError("judge is down")

    for i in range(6):
        house.broker.produce(kit.RESPONSES, kit.response(i), f"c{i}")
    worker = house.worker(scorer=Fails())
    house.settle(worker)
    house.now_s += 3
    worker.step()
    house.check_invariants()
    assert house.metrics.of["verdict", "error"] == 6
    with reading(house.engine) as connection:
        (beat,) = connection.execute(select(worker_heartbeats)).all()
    assert (beat.expected, beat.actual) == (6, 0)


def test_rates_change_at_recorded_epochs_and_a_replay_decides_the_same(
    house: House, kit: Any, another_house: Any
) -> None:
    def created(at_s: float) -> str:
        return datetime.fromtimestamp(at_s, UTC).isoformat()

    house.set(sampling=SamplingOptions(arrival_rate=0.8, feedback_rate=0.9))
    first = house.worker("w1")
    records = [
        (i, kit.response(i, created_at=created(house.now_s - 10.0 + i / 10))) for i in range(80)
    ]
    for i, record in records:
        house.broker.produce(kit.RESPONSES, record, f"c{i}")
    house.settle(first)
    house.now_s += 1000.0
    house.set(sampling=SamplingOptions(arrival_rate=0.2, feedback_rate=0.9))
    later = [(i, kit.response(i, created_at=created(house.now_s + 50.0))) for i in range(100, 180)]
    second = house.worker("w2")
    second.step()
    first.step()
    for i, record in later:
        house.broker.produce(kit.RESPONSES, record, f"c{i}")
    house.settle(first, second)
    with reading(house.engine) as connection:
        found = dict(
            connection.execute(select(responses.c.response_id, responses.c.pi_arrival)).all()
        )
        stored = connection.execute(select(rate_epochs).order_by(rate_epochs.c.id)).all()
    assert [row.pi_arrival for row in stored] == [0.8, 0.2]
    assert stored[0].from_s == 0.0
    assert {found[f"r{i}"] for i, _ in records} == {0.8}
    assert {found[f"r{i}"] for i, _ in later} == {0.2}
    # Another store that knows the epochs decides on the old records as they were decided on then.
    replay = another_house("replay")
    replay.now_s = house.now_s
    replay.set(sampling=house.settings.sampling)
    with replay.engine.begin() as connection:
        for row in stored:
            connection.execute(
                insert(rate_epochs).values(
                    pi_arrival=row.pi_arrival,
                    pi_feedback=row.pi_feedback,
                    from_s=row.from_s,
                )
            )
    for i, record in records:
        replay.broker.produce(kit.RESPONSES, record, f"c{i}")
    replay.settle(replay.worker())
    with reading(replay.engine) as connection:
        again = dict(
            connection.execute(select(responses.c.response_id, responses.c.pi_arrival)).all()
        )
    assert again == {name: pi for name, pi in found.items() if pi == 0.8}
