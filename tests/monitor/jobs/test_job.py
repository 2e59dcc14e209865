"""The publisher, the cohort refresh, and the whole worker over the embedded broker."""

from __future__ import annotations

import json
import os
import signal
import threading
import time
from pathlib import Path
from typing import Any

import pytest
from kafka import KafkaConsumer, KafkaProducer
from sqlalchemy import func, select

from evidence import Alarm, AlarmSubject, UnreachableError
from monitor.cohorts.options import CohortOptions
from monitor.detect.options import HealthOptions
from monitor.jobs.cohort_refresh import CohortRefresh
from monitor.jobs.job import Runner
from monitor.jobs.publisher import Pruning, Publisher
from monitor.jobs.sink import KafkaSink
from monitor.settings import DatabaseOptions, Settings
from monitor.store import open_store, outbox, reading
from monitor.store.leases import LeaseLostError
from monitor.store.outbox import OutboxRow
from monitor.store.schema import cohort_estimates, rater_posteriors, responses, verdicts
from monitor.store.schema import outbox as outbox_table
from monitor.worker.service import broker, run_worker

House = Any
ALARM = Alarm(
    alarm_id="a1",
    subject=AlarmSubject.POPULATION,
    scope="helper",
    metric="biased_raters",
    claim="",
    opened_at_s=0.0,
    log_position=0,
    n=1,
    log_evidence=9.0,
    log_threshold=8.0,
)


def publisher(house: House, sink: Any, owner: str = "p1") -> Publisher:
    return Publisher(
        house.engine,
        sink,
        input_topics=("assistant.responses", "assistant.feedback"),
        owner=owner,
        clock=lambda: house.now_s,
    )


def queue(house: House, topic: str, *values: bytes) -> None:
    with house.engine.begin() as connection:
        outbox.add(connection, topic, [(None, v) for v in values], now_s=house.now_s)


def test_copies_are_published_in_order_and_once_when_all_goes_well(house: House, kit: Any) -> None:
    sink = kit.MemorySink(house.broker)
    queue(house, "out", *[b"%d" % i for i in range(450)])
    one = publisher(house, sink)
    one.update()
    one.update()
    assert [row.value for row in sink.sent] == [b"%d" % i for i in range(450)]


def test_what_is_not_acknowledged_is_sent_again(house: House, kit: Any) -> None:
    sink = kit.MemorySink(house.broker)
    sink.accept = 3
    queue(house, "out", *[b"%d" % i for i in range(7)])
    publisher(house, sink).update()
    assert len(sink.sent) == 7


def test_one_publisher_at_a_time(house: House, kit: Any) -> None:
    sink = kit.MemorySink(house.broker)
    queue(house, "out", b"1")
    one, two = publisher(house, sink, "p1"), publisher(house, sink, "p2")
    one.update()
    queue(house, "out", b"2")
    two.update()
    assert [row.value for row in sink.sent] == [b"1"]
    house.now_s += 31
    two.update()
    assert [row.value for row in sink.sent] == [b"1", b"2"]


def test_a_job_that_was_stopped_leaves_its_lease_to_the_next(house: House, kit: Any) -> None:
    sink = kit.MemorySink(house.broker)
    queue(house, "out", b"1")
    one, two = publisher(house, sink, "p1"), publisher(house, sink, "p2")
    runner = Runner(one, interval_s=0.01, metrics=house.metrics)
    runner.start()
    while not sink.sent:
        time.sleep(0.01)
    assert runner.stop()
    one.release()
    queue(house, "out", b"2")
    two.update()
    assert [row.value for row in sink.sent] == [b"1", b"2"]
    queue(house, "out", b"3")
    one.release()
    one.update()
    assert len(sink.sent) == 2, "what it gave back it does not take from the next"


def test_a_sink_whose_cluster_is_gone_ends_at_once(house: House, kit: Any) -> None:
    settings = Settings(database=DatabaseOptions(url="sqlite:///none.db"))
    with broker(settings) as served:
        sink = KafkaSink(served.connection)
        kill_children(os.getpid())
        while served.is_alive:
            time.sleep(0.01)
        row = OutboxRow(1, "honesty.alarms", None, b"x")
        told: list[BaseException] = []

        def send() -> None:
            try:
                sink.send([row])
            except UnreachableError as error:
                told.append(error)

        waiting = threading.Thread(target=send)
        waiting.start()
        time.sleep(0.5)
        assert waiting.is_alive(), "it waits for the acknowledgement"
        begun_s = time.monotonic()
        sink.abandon()
        waiting.join(10)
        sink.close()
        assert len(told) == 1
        assert time.monotonic() - begun_s < 5


class PausedSink:
    """A sink in which time passes: past the lease of who sends."""

    def __init__(self, sink: Any, pause: Any) -> None:
        self.sink, self.pause = sink, pause
        self.cluster_id = sink.cluster_id

    def send(self, rows: Any) -> Any:
        self.pause()
        return self.sink.send(rows)


def test_a_publisher_that_was_paused_past_its_lease_loses_its_write(house: House, kit: Any) -> None:
    sink = kit.MemorySink(house.broker)
    queue(house, "out", b"1")
    other = publisher(house, sink, "p2")

    def pause() -> None:
        house.now_s += 31
        other.update()

    one = publisher(house, PausedSink(sink, pause), "p1")
    with pytest.raises(LeaseLostError):
        one.update()
    assert house.count(outbox_table, outbox_table.c.published_cluster_id.is_(None)) == 0


def test_a_record_taken_over_http_survives_a_broker_that_forgets(house: House, kit: Any) -> None:
    queue(house, kit.RESPONSES, kit.response(1))
    publisher(house, kit.MemorySink(house.broker)).update()
    house.broker = kit.MemoryBroker(cluster_id="memory-2")
    publisher(house, kit.MemorySink(house.broker)).update()
    house.settle(house.worker())
    assert house.count(responses) == 1
    house.check_invariants()
    house.broker.members.clear()
    house.broker = kit.MemoryBroker(cluster_id="memory-3")
    sink = kit.MemorySink(house.broker)
    last = publisher(house, sink)
    last.update()
    assert kit.RESPONSES not in {row.topic for row in sink.sent}, "it was read: nothing to save"
    Pruning(
        house.engine,
        input_topics=("assistant.responses", "assistant.feedback"),
        results_kept_s=3600.0,
        owner="p1",
        clock=lambda: house.now_s,
    ).update()
    assert house.count(outbox_table, outbox_table.c.topic == kit.RESPONSES) == 0


def test_cohorts_are_estimated_when_evidence_is_new(house: House, kit: Any) -> None:
    for i in range(60):
        house.broker.produce(kit.RESPONSES, kit.response(i), f"c{i}")
        house.broker.produce(kit.FEEDBACK, kit.feedback(i), f"c{i}")
    worker = house.worker()
    house.settle(worker)
    refresh = CohortRefresh(
        house.engine, options=CohortOptions(), owner="w", clock=lambda: house.now_s
    )
    refresh.update()
    refresh.update()
    with reading(house.engine) as connection:
        (row,) = connection.execute(select(cohort_estimates)).all()
        raters = connection.execute(select(rater_posteriors)).all()
    assert (row.assistant, row.n_events, row.n_raters) == ("helper", 60, 7)
    assert json.loads(row.record)["n_events"] == 60
    assert len(raters) == 7
    assert {r.status for r in raters} <= {"benign", "suspect", "indifferent", "unidentified"}
    house.broker.produce(kit.RESPONSES, kit.response(99), "c")
    house.broker.produce(kit.FEEDBACK, kit.feedback(99), "c")
    house.settle(worker)
    refresh.update()
    assert house.count(cohort_estimates) == 2


def test_a_job_that_fails_is_counted_and_runs_again(house: House) -> None:
    class Failing:
        name = "publish"
        runs = 0
        done = threading.Event()

        def update(self) -> list[Alarm]:
            self.runs += 1
            if self.runs < 3:
                raise UnreachableError("Kafka", "down")
            self.done.set()
            return [ALARM] if self.runs == 3 else []

    job = Failing()
    runner = Runner(job, interval_s=0.01, metrics=house.metrics)
    runner.start()
    assert job.done.wait(60)
    runner.stop()
    assert house.metrics.of["job_failed", "publish"] == 2
    assert house.metrics.of["alarm", "biased_raters"] == 1


def test_what_is_away_is_told_once_until_it_is_back_and_a_bug_each_time(
    house: House, caplog: pytest.LogCaptureFixture
) -> None:
    away = UnreachableError("Phoenix", "connection refused\n  at a long way down")
    outcomes: list[Exception | None] = [away, away, away, None, away, away, KeyError("bug"), None]

    class Sending:
        name = "results_phoenix"
        runs = 0
        done = threading.Event()

        def update(self) -> list[Alarm]:
            self.runs += 1
            outcome = outcomes[self.runs - 1] if self.runs <= len(outcomes) else None
            if self.runs > len(outcomes):
                self.done.set()
            if outcome is not None:
                raise outcome
            return []

    caplog.set_level("INFO", logger="monitor.jobs.job")
    job = Sending()
    runner = Runner(job, interval_s=0.001, metrics=house.metrics)
    runner.start()
    assert job.done.wait(60)
    runner.stop()
    told = [record for record in caplog.records if record.name == "monitor.jobs.job"]
    line = "job results_phoenix: Phoenix is unreachable: connection refused at a long way down; "
    line += "it is tried again until it answers"
    on = "job results_phoenix goes on"
    bug = "job results_phoenix failed 3 times in a row"
    assert [record.getMessage() for record in told] == [line, on, line, bug, on]
    assert [record.exc_info is not None for record in told] == [False, False, False, True, False]
    assert [record.levelname for record in told[:2]] == ["WARNING", "INFO"]
    assert house.metrics.of["job_failed", "results_phoenix"] == 6


@pytest.mark.parametrize("n", [300])
def test_a_response_becomes_a_verdict_over_the_embedded_broker(
    tmp_path: Path, house: House, kit: Any, n: int
) -> None:
    settings = Settings(
        database=DatabaseOptions(url=f"sqlite:///{tmp_path}/own/candor.db"),
        health=HealthOptions(canary_share=0, canaries_per_hour=0, repeat_share=0),
    )
    engine = open_store(settings.database)
    stop = threading.Event()
    failure: list[BaseException] = []

    def work() -> None:
        try:
            run_worker(settings, engine, kit.HashScorer(), served, metrics=house.metrics, stop=stop)
        except BaseException as error:
            failure.append(error)
            raise

    def count(query: Any) -> int:
        with reading(engine) as reader:
            return int(reader.execute(query).scalar_one())

    now = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    with broker(settings) as served:
        connection = served.connection
        thread = threading.Thread(target=work)
        thread.start()
        producer = KafkaProducer(**connection.client)
        for i in range(n):
            producer.send(kit.RESPONSES, kit.response(i, created_at=now), b"c%d" % i)
            producer.send(kit.FEEDBACK, kit.feedback(i, created_at=now), b"c%d" % i)
        producer.flush()
        pending = select(func.count()).where(outbox_table.c.published_cluster_id.is_(None))
        end = time.monotonic() + 60
        while time.monotonic() < end and not failure:
            if count(select(func.count()).select_from(verdicts)) == n and not count(pending):
                break
            time.sleep(0.1)
        assert not failure
        consumer = KafkaConsumer(
            "honesty.verdicts",
            **connection.client,
            auto_offset_reset="earliest",
            consumer_timeout_ms=3000,
        )
        keys = []
        for record in consumer:
            keys.append(json.loads(record.value)["key"])
            if len(set(keys)) == n:
                break
        consumer.close()
        producer.close()
        stop.set()
        thread.join(30)
    assert len(set(keys)) == n
    assert count(select(func.count()).select_from(responses)) == n
    assert (tmp_path / "own" / "pseudonym.key").exists()
    engine.dispose()


def kill_children(pid: int) -> None:
    """End the broker itself: the child of the guard that is our child."""
    for task in Path(f"/proc/{pid}/task").iterdir():
        for guard in (task / "children").read_text().split():
            for child in Path(f"/proc/{guard}/task/{guard}/children").read_text().split():
                os.kill(int(child), signal.SIGKILL)


def test_an_embedded_broker_that_dies_is_started_again_and_nothing_is_lost(
    tmp_path: Path, house: House, kit: Any
) -> None:
    settings = Settings(
        database=DatabaseOptions(url=f"sqlite:///{tmp_path}/own/candor.db"),
        health=HealthOptions(canary_share=0, canaries_per_hour=0, repeat_share=0),
    )
    engine = open_store(settings.database)
    stop = threading.Event()

    def measured(n: int) -> None:
        for _ in range(3000):
            with reading(engine) as reader:
                if reader.execute(select(func.count()).select_from(verdicts)).scalar_one() == n:
                    return
            assert thread.is_alive()
            time.sleep(0.1)
        raise AssertionError(f"{n} verdicts never came")

    def send(i: int) -> None:
        now = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        with engine.begin() as connection:
            record = kit.response(i, created_at=now)
            outbox.add(connection, kit.RESPONSES, [(b"c", record)], now_s=time.time())

    with broker(settings) as served:
        thread = threading.Thread(
            target=run_worker,
            args=(settings, engine, kit.HashScorer(), served),
            kwargs={"metrics": house.metrics, "stop": stop},
        )
        thread.start()
        send(1)
        measured(1)
        kill_children(os.getpid())
        send(2)
        killed_s = time.monotonic()
        measured(2)
        assert time.monotonic() - killed_s < 20, (
            "no lease or time-out of the dead one is waited for"
        )
        stop.set()
        thread.join(60)
    engine.dispose()
