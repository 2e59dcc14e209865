"""Ids that repeat with another content: flagged, counted and kept apart, in any order and after any replay."""

from __future__ import annotations

import random
from typing import Any

import pytest
from sqlalchemy import select

from monitor.sample.options import SamplingOptions
from monitor.store import reading
from monitor.store.schema import duplicates, feedback, responses, verdicts
from tests.monitor.worker.conftest import House


def talk(text: str) -> list[dict[str, str]]:
    return [{"role": "user", "content": "Well?"}, {"role": "assistant", "content": text}]


def stored(house: House) -> dict[str, tuple[Any, ...]]:
    """Id of each response with whether it shares it, and whether it has a live verdict."""
    with reading(house.engine) as connection:
        live = set(
            connection.execute(
                select(verdicts.c.response_id).where(verdicts.c.live_slot.is_not(None))
            ).scalars()
        )
        rows = connection.execute(select(responses.c.response_id, responses.c.shares_id))
        return {name: (bool(shares), name in live) for name, shares in rows}


def states(house: House) -> dict[str, str]:
    with reading(house.engine) as connection:
        rows = connection.execute(select(feedback.c.feedback_id, feedback.c.state))
        return dict(tuple(row) for row in rows)


def test_another_content_under_a_known_id_is_measured_under_a_key_of_its_own(
    house: House, kit: Any
) -> None:
    """An attacker's harmless text first, the real answer later; then both once more."""
    records = [kit.response(1, messages=talk(text)) for text in ("harmless", "a lie", "a lie")]
    worker = house.worker()
    for record in (*records, *records):
        house.broker.produce(kit.RESPONSES, record, "c1")
        house.settle(worker)
    house.check_invariants()
    found = stored(house)
    assert len(found) == 2
    assert set(found.values()) == {(True, True)}, "both are flagged and measured"
    first, second = sorted(found)
    assert first == "r1"
    assert second.startswith("r1~")
    assert house.metrics.of["conflict", kit.RESPONSES] == 1
    assert house.metrics.of["duplicate", kit.RESPONSES] == 4
    assert house.count(duplicates, duplicates.c.other_content.is_(True)) == 0


def test_within_one_poll_too(house: House, kit: Any) -> None:
    for text in ("one", "two", "one", "three", "two"):
        house.broker.produce(kit.RESPONSES, kit.response(5, messages=talk(text)), "c1")
    house.settle(house.worker())
    house.check_invariants()
    assert len(stored(house)) == 3
    assert house.metrics.of["conflict", kit.RESPONSES] == 2
    assert house.metrics.of["duplicate", kit.RESPONSES] == 2


def test_a_long_id_is_kept_apart_within_its_length(house: House, kit: Any) -> None:
    name = "x" * 200
    for text in ("one", "two"):
        record = kit.response(1, response_id=name, messages=talk(text))
        house.broker.produce(kit.RESPONSES, record, "c1")
    house.settle(house.worker())
    assert sorted(len(found) for found in stored(house)) == [200, 200]


@pytest.mark.parametrize("seed", range(6))
def test_feedback_on_such_an_id_is_attributed_to_neither_in_any_order(
    house: House, kit: Any, seed: int
) -> None:
    house.set(sampling=SamplingOptions(arrival_rate=0.5, feedback_rate=0.9))
    events = [
        (kit.RESPONSES, kit.response(1, messages=talk("one"))),
        (kit.RESPONSES, kit.response(1, messages=talk("two"))),
        (kit.RESPONSES, kit.response(2)),
        (kit.FEEDBACK, kit.feedback(1)),
        (kit.FEEDBACK, kit.feedback(2)),
        (kit.FEEDBACK, kit.feedback(3, response_id="r1")),
    ]
    rng = random.Random(seed)
    rng.shuffle(events)
    worker = house.worker()
    for topic, record in events:
        house.broker.produce(topic, record, "c1")
        if rng.random() < 0.6:
            house.settle_without_parked(worker)
    house.settle(worker)
    house.check_invariants()
    assert states(house) == {"f1": "ambiguous", "f2": "matched", "f3": "ambiguous"}


def test_feedback_of_another_user_under_a_known_id_is_kept_apart(house: House, kit: Any) -> None:
    """Another user's like first; the real dislike must not be lost."""
    house.broker.produce(kit.RESPONSES, kit.response(1), "c1")
    given = [
        kit.feedback(1, user_id="mallory", value=1),
        kit.feedback(1, user_id="alice", value=-1),
        kit.feedback(1, user_id="alice", value=-1),
        kit.feedback(1, user_id="alice", value=1),
        kit.feedback(1, user_id="mallory", value=-1),
    ]
    worker = house.worker()
    for record in (*given, *given):
        house.broker.produce(kit.FEEDBACK, record, "c1")
        house.settle(worker)
    house.check_invariants()
    with reading(house.engine) as connection:
        rows = connection.execute(select(feedback.c.feedback_id, feedback.c.value)).all()
    found = dict(tuple(row) for row in rows)
    assert len(found) == 2
    assert found["f1"] == 1
    assert sorted(found.values()) == [-1, 1]
    assert set(states(house).values()) == {"matched"}
    # Alice apart, and both users' later changes of mind, in the replay again.
    assert house.metrics.of["conflict", kit.FEEDBACK] == 1 + 2 * 2
    assert house.count(duplicates, duplicates.c.other_content.is_(True)) == 4


def test_a_repeated_record_is_no_conflict(house: House, kit: Any) -> None:
    for _ in range(3):
        for i in range(20):
            house.broker.produce(kit.RESPONSES, kit.response(i), f"c{i}")
            house.broker.produce(kit.FEEDBACK, kit.feedback(i), f"c{i}")
    house.settle(house.worker())
    house.check_invariants()
    assert house.metrics.of["conflict", kit.RESPONSES] == 0
    assert house.metrics.of["conflict", kit.FEEDBACK] == 0
    assert house.metrics.of["duplicate", kit.RESPONSES] == 40
