"""What waits for its turn is bounded in time, number and size, is forgotten, and is no lag."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest
from sqlalchemy import select

from monitor.ingest.options import KafkaOptions
from monitor.store import reading
from monitor.store.schema import dead_letters, responses, turn_parts, verdicts, worker_heartbeats
from tests.monitor.worker.test_turns import RESULT, House, agent, chat, export, quick, tool


def test_waiting_for_a_turn_is_no_lag(house: House, kit: Any) -> None:
    """Else the gate would hold wherever spans come all the time."""
    quick(house, join_window_s=30.0)
    house.set(kafka=KafkaOptions(max_poll_records=200))
    for i in range(120):
        house.broker.produce(kit.RESPONSES, export(kit, chat(i)), f"k{i}")
    worker = house.worker()
    for _ in range(10):
        worker.step()
        house.now_s += 1.0
    with reading(house.engine) as connection:
        (beat,) = connection.execute(select(worker_heartbeats)).all()
    assert (house.count(responses), beat.lag_records) == (0, 0)


def test_what_finds_no_turn_is_counted_with_its_reason(house: House, kit: Any) -> None:
    quick(house, turn_horizon_s=20.0)
    house.broker.produce(kit.RESPONSES, export(kit, tool(1), agent(1)), "k")
    house.settle(house.worker())
    worker = house.worker("w2")
    for _ in range(3):
        house.now_s += 25.0
        worker.step()
    assert house.metrics.of["turn_part", "no_turn"] == 1
    assert house.count(turn_parts) == 0


def test_the_oldest_parts_go_where_there_is_no_room(house: House, kit: Any) -> None:
    quick(house, max_turn_parts=10)
    for i in range(30):
        house.broker.produce(kit.RESPONSES, export(kit, tool(i)), "k")
        house.now_s += 0.01
    house.settle(house.worker())
    worker = house.worker("w2")
    house.now_s += 6.0
    worker.step()
    assert house.count(turn_parts) == 10
    assert house.metrics.of["turn_part", "no_room"] == 20


def test_no_more_wait_than_there_is_room_for(house: House, kit: Any) -> None:
    quick(house, join_window_s=1e6, max_waiting_turns=3)
    house.set(kafka=KafkaOptions(max_poll_records=1))
    for i in range(5):
        house.broker.produce(kit.RESPONSES, export(kit, chat(i)), "k")
    worker = house.worker()
    for _ in range(400):
        worker.step()
        if house.count(verdicts) == 2:
            break
    assert house.count(verdicts) == 2
    assert house.metrics.of["turn", "taken_early"] == 2


def test_a_huge_result_spoils_nothing(house: House, kit: Any) -> None:
    """5 MB of a tool's output: the call is kept with its ends, what stands beside it is untouched."""
    quick(house)
    huge = tool(1, "0" * 5_000_000 + RESULT)
    house.broker.produce(kit.RESPONSES, export(kit, huge, chat(1), agent(1), chat(2)), "k")
    house.settle(house.worker())
    assert (house.count(responses), house.count(dead_letters)) == (2, 0)
    with reading(house.engine) as connection:
        bodies = connection.execute(select(turn_parts.c.body)).scalars().all()
    assert max(map(len, bodies)) < 20_000
    assert any(body.endswith(f'{RESULT}"}}'.encode()) for body in bodies)


def test_an_export_of_many_refused_spans_is_kept_once(
    house: House, kit: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its body is large: it is sealed once, not for each of them."""
    sealed = []
    encrypt = house.keys.dead_letters.encrypt

    def counted(raw: bytes) -> bytes:
        sealed.append(len(raw))
        return bytes(encrypt(raw))

    monkeypatch.setattr(house.keys.dead_letters, "encrypt", counted)
    bad = [chat(i) for i in range(50)]
    for one in bad:
        one["told"]["gen_ai.output.messages"] = "[{"
    house.broker.produce(kit.RESPONSES, export(kit, *bad), "k")
    house.settle(house.worker())
    assert len(sealed) == 1
    with reading(house.engine) as connection:
        (body,) = connection.execute(select(dead_letters.c.body)).scalars()
    assert len(house.keys.dead_letters.decrypt(body)) == sealed[0]
    assert house.metrics.of["dead_letter", "unread_content"] == 50


def test_a_part_that_is_none_is_refused_with_its_field(house: House, kit: Any) -> None:
    for wrong in ({}, {"trace_id": 7}, {"trace_id": "x", "span_id": "y", "result": []}):
        part = {"turn_part": "tool", **wrong}
        house.broker.produce(kit.RESPONSES, json.dumps(part).encode(), "k")
    house.settle(house.worker())
    assert house.count(dead_letters) == 3


def test_forgotten_users_leave_no_part(house: House, kit: Any) -> None:
    from monitor.store.forget import forget  # noqa: PLC0415

    quick(house)
    spans = [tool(1), chat(1), agent(1)]
    spans[1]["told"]["user.id"] = "ana"
    house.broker.produce(kit.RESPONSES, export(kit, *spans), "k")
    house.settle(house.worker())
    with reading(house.engine) as connection:
        rater = connection.execute(select(responses.c.rater)).scalar_one()
    assert house.count(turn_parts) == 3
    with house.engine.begin() as connection:
        at_s = datetime.now(UTC).timestamp()
        given = {"user_id": "ana", "input_topics": (), "by": "ada", "at_s": at_s}
        changed = forget(connection, rater=rater, decrypt=lambda _: None, **given)
    assert changed["turn_parts"] == 3
    house.broker.produce(kit.RESPONSES, export(kit, *spans[:2]), "again")
    house.settle(house.worker("w2"))
    assert house.count(turn_parts, turn_parts.c.rater == rater) == 0
