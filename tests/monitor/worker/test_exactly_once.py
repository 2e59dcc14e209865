"""Replay, duplicates, fencing, kills between steps and rebalances: every record counts once."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import event
from sqlalchemy.exc import OperationalError

from monitor.ingest.options import KafkaOptions
from monitor.sample.options import SamplingOptions
from monitor.score.options import ScoringOptions
from monitor.store.schema import dead_letters, duplicates, feedback, responses, verdicts

House = Any


class Killed(BaseException):
    """Stands for a kill: nothing in the worker may catch it."""


def fill(house: House, kit: Any, n: int = 60) -> None:
    """Responses and feedback in a shuffled order, with repeats and junk."""
    rng = random.Random(5)
    records = [(kit.RESPONSES, kit.response(i), f"c{i}") for i in range(n)]
    records += [(kit.FEEDBACK, kit.feedback(i), f"r{i}") for i in range(0, n, 2)]
    records += [(kit.RESPONSES, kit.response(i), f"again{i}") for i in range(0, n, 9)]
    records += [(kit.FEEDBACK, kit.feedback(i), f"again{i}") for i in range(0, n, 10)]
    records += [(kit.RESPONSES, b"{", "x"), (kit.FEEDBACK, b"[]", "x"), (kit.RESPONSES, None, "y")]
    rng.shuffle(records)
    for topic, value, key in records:
        house.broker.produce(topic, value, key)


def use_small_samples(house: House) -> None:
    house.set(
        sampling=SamplingOptions(arrival_rate=0.5, feedback_rate=0.8),
        kafka=KafkaOptions(max_poll_records=5),
        scoring=ScoringOptions(batch_size=4, max_queue=12),
    )


def test_every_record_is_accounted_for_once(house: House, kit: Any) -> None:
    use_small_samples(house)
    fill(house, kit)
    house.settle(house.worker())
    house.check_invariants()
    assert house.count(responses) == 60
    assert house.count(feedback, feedback.c.state == "matched") == 30
    assert house.count(duplicates) == 7 + 6
    assert house.count(dead_letters) == 3
    by_arrival = house.count(responses, responses.c.u <= 0.5)
    assert house.count(verdicts, verdicts.c.sampled_by == "arrival") == by_arrival
    by_feedback = house.count(verdicts, verdicts.c.sampled_by == "feedback")
    assert by_feedback == house.count(responses, responses.c.sampled_by == "feedback") > 0
    assert house.count(responses, responses.c.sampled_by.is_(None)) == 60 - by_arrival - by_feedback
    assert house.outbox_topics()["honesty.verdicts"] == by_arrival + by_feedback
    of = house.metrics.of
    assert of["seen", kit.RESPONSES] + of["seen", kit.FEEDBACK] == 60 + 30 + 13 + 3
    assert of["sampled", "arrival"] == by_arrival
    assert of["sampled", "feedback"] == by_feedback


def test_the_log_follows_source_order_though_batches_go_by_length(house: House, kit: Any) -> None:
    use_small_samples(house)
    fill(house, kit)
    house.settle(house.worker())
    for offsets in house.log_offsets().values():
        assert offsets == sorted(offsets)
        assert len(offsets) > 5


def test_a_replay_changes_nothing(house: House, kit: Any) -> None:
    fill(house, kit)
    house.settle(house.worker("w1"))
    before, scored = house.verdict_set(), len(house.scorer.scored)
    for log in house.broker.logs.values():
        log.extend(list(log))
    house.broker.members.clear()
    house.settle(house.worker("w2"))
    house.check_invariants()
    assert house.verdict_set() == before
    assert len(house.scorer.scored) == scored, "known responses are not measured again"


@pytest.mark.parametrize("seed", range(8))
def test_kills_between_statements_lose_and_double_nothing(
    house: House, another_house: Callable[[str], House], kit: Any, seed: int
) -> None:
    clean = another_house("clean")
    for each in (house, clean):
        use_small_samples(each)
        fill(each, kit)
    clean.settle(clean.worker())

    rng = random.Random(seed)
    left = [rng.randint(1, 60)]

    def maybe_kill(*_: Any) -> None:
        left[0] -= 1
        if left[0] == 0:
            raise Killed

    event.listen(house.engine, "before_cursor_execute", maybe_kill)
    event.listen(house.engine, "commit", maybe_kill)
    kills = 0
    for attempt in range(200):
        worker = house.worker(f"w{attempt}")
        try:
            house.settle(worker)
            break
        except Killed:
            kills += 1
            left[0] = rng.randint(1, 400)
            house.broker.members.clear()
    left[0] = 0
    house.settle(house.worker("last"))
    assert kills >= 2
    house.check_invariants()
    assert house.verdict_set() == clean.verdict_set()


@pytest.mark.parametrize("seed", range(4))
def test_rebalances_lose_and_double_nothing(
    house: House, another_house: Callable[[str], House], kit: Any, seed: int
) -> None:
    clean = another_house("clean")
    for each in (house, clean):
        use_small_samples(each)
        fill(each, kit)
    clean.settle(clean.worker())

    rng = random.Random(seed)
    workers = {f"w{i}": house.worker(f"w{i}") for i in range(2)}
    for i in range(60):
        list(workers.values())[rng.randrange(len(workers))].step()
        if rng.random() < 0.2 and len(workers) > 1:
            workers.pop(rng.choice(list(workers))).close()
        elif rng.random() < 0.3:
            workers[f"late{i}"] = house.worker(f"late{i}")
    house.settle(*workers.values())
    house.check_invariants()
    assert house.verdict_set() == clean.verdict_set()


def test_a_worker_that_lost_its_partition_loses_its_write(house: House, kit: Any) -> None:
    house.broker.produce(kit.RESPONSES, kit.response(1), "k")
    house.scorer.gate.clear()
    slow = house.worker("slow")
    for _ in range(3):
        slow.step()
    zombie = house.broker.members[0]
    house.broker.members.clear()
    fast = house.worker("fast", scorer=kit.HashScorer())
    zombie.assignment = set(house.broker.all_partitions())
    house.settle(fast)
    house.scorer.gate.set()
    for _ in range(2000):
        slow.step()
        if house.metrics.of["fenced", ""]:
            break
    assert house.metrics.of["fenced", ""] == 1
    house.check_invariants()
    assert house.count(verdicts) == 1


def test_another_cluster_has_other_offsets(house: House, kit: Any) -> None:
    house.broker.produce(kit.RESPONSES, kit.response(1), "a")
    house.settle(house.worker("w1"))
    house.broker.members.clear()
    house.broker = kit.MemoryBroker(cluster_id="memory-2")
    for i in (1, 2):
        house.broker.produce(kit.RESPONSES, kit.response(i), "a")
    house.settle(house.worker("w2"))
    assert house.count(responses) == 2
    assert house.count(duplicates, duplicates.c.cluster_id == "memory-2") == 1
    house.check_invariants()


@pytest.mark.parametrize("seed", range(5))
def test_statements_that_fail_lose_and_double_nothing(
    house: House, another_house: Callable[[str], House], kit: Any, seed: int
) -> None:
    clean = another_house("clean")
    for each in (house, clean):
        use_small_samples(each)
        fill(each, kit)
    clean.settle(clean.worker())
    rng = random.Random(seed)
    failing = [True]

    def fail(_connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
        if failing[0] and rng.random() < 0.04:
            raise OperationalError(statement, {}, Exception("the server went away"))

    event.listen(house.engine, "before_cursor_execute", fail)
    worker = house.worker()
    failures = 0
    for _ in range(400):
        try:
            worker.step()
        except OperationalError:
            failures += 1
    failing[0] = False
    house.settle(worker)
    assert failures >= 5
    house.check_invariants()
    assert house.verdict_set() == clean.verdict_set()


def test_a_database_that_fails_is_tried_again(house: House, kit: Any) -> None:
    fill(house, kit, n=10)
    failures = iter([True] * 2 + [False] * 10**6)

    def fail(connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
        if statement.startswith("INSERT INTO responses") and next(failures):
            raise OperationalError(statement, {}, Exception("the server went away"))

    event.listen(house.engine, "before_cursor_execute", fail)
    stop = threading.Event()
    worker = house.worker()
    thread = threading.Thread(target=worker.run, args=(stop,))
    thread.start()
    end = time.monotonic() + 30
    while not house.all_read() and time.monotonic() < end:
        time.sleep(0.05)
    stop.set()
    thread.join()
    house.check_invariants()
    assert not next(failures)
    assert house.count(responses) == 10
