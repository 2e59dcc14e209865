"""Whatever one record does, it is accounted for, and those behind it are read."""

from __future__ import annotations

import json
from typing import Any

import pytest
from sqlalchemy import select

from evidence import Response
from monitor.ingest import decode
from monitor.ingest.records import DeadLetter, DeadLetterReason
from monitor.ingest.source import Partition, Record
from monitor.sample.epochs import Epochs, Rates
from monitor.store import reading
from monitor.store.schema import dead_letters, responses, verdicts
from monitor.worker.plan import Planner

House = Any


def test_a_purpose_without_our_mark_is_measured_like_any_other(house: House, kit: Any) -> None:
    house.broker.produce(kit.RESPONSES, kit.response(1, purpose="canary"))
    house.broker.produce(kit.RESPONSES, kit.response(2, assistant="candor-canary"))
    house.broker.produce(kit.FEEDBACK, kit.feedback(1))
    house.settle(house.worker())
    assert house.metrics.of["sampled", "arrival"] == 1
    assert house.metrics.of["dead_letter", "not_ours"] == 1
    house.check_invariants()


def test_a_turn_that_only_calls_tools_is_skipped_and_refused_by_nobody(
    house: House, kit: Any
) -> None:
    call = {"role": "assistant", "content": None, "tool_calls": [{"function": {"name": "stock"}}]}
    house.broker.produce(kit.RESPONSES, kit.response(1, messages=[call]))
    house.broker.produce(kit.FEEDBACK, kit.feedback(1))
    house.settle(house.worker())
    assert house.metrics.of["skipped", "tool_step"] == 1
    assert house.count(verdicts) == house.count(dead_letters) == 0
    house.check_invariants()


UNHASHABLE = {
    "attributes": [{"key": "gen_ai.operation.name", "value": {"kvlistValue": {"values": []}}}]
}
POISON = (
    b'{"a": "caf\xe9"}',
    b'{"response_id": "p", "meta": ' + b'{"a":' * 600 + b"1" + b"}" * 600 + b"}",
    b'{"stakes": "\\ud800"}',
    b'{"mood\\ud83d": 1e999}',
    b'{"created_at": "\\ud83d", "messages": ["\\ud83d"]}',
    json.dumps({"resourceSpans": [{"scopeSpans": [{"spans": [UNHASHABLE]}]}]}).encode(),
    b"\xff" * 40,
)


def test_no_record_stops_the_worker(house: House, kit: Any) -> None:
    for number, poison in enumerate(POISON):
        house.broker.produce(kit.RESPONSES, poison, f"c{number}")
        house.broker.produce(kit.FEEDBACK, poison, f"c{number}")
    for i in range(6):
        house.broker.produce(kit.RESPONSES, kit.response(i), f"c{i}")
    house.settle(house.worker())
    house.check_invariants()
    assert house.count(responses) == 6
    assert house.count(dead_letters) == 2 * len(POISON)
    assert house.count(dead_letters, dead_letters.c.reason == "internal_error") == 0


def test_a_fault_of_our_own_concerns_its_record_alone(
    house: House, kit: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    sound = decode._response

    def breaks(record: dict[str, Any], *rest: Any) -> Any:
        if record["response_id"] == "r1":
            raise KeyError("a value nobody should read")
        return sound(record, *rest)

    monkeypatch.setattr(decode, "_response", breaks)
    for i in range(3):
        house.broker.produce(kit.RESPONSES, kit.response(i), "c")
    house.settle(house.worker())
    house.check_invariants()
    assert house.metrics.of["dead_letter", "internal_error"] == 1
    with reading(house.engine) as connection:
        detail = connection.execute(select(dead_letters.c.detail)).scalar_one()
    assert "KeyError" in detail
    assert "nobody" not in detail + caplog.text


def test_offsets_of_a_batch_that_cannot_be_unpacked_are_dead_letters(
    house: House, kit: Any
) -> None:
    settings = house.settings
    planner = Planner(
        settings.kafka,
        settings.ingest,
        Epochs([Rates(0.0, 1.0, 1.0)]),
        house.keys.pseudonym,
        house.keys.sampling,
        lambda: house.now_s,
    )
    records = [Record(7, None, "lz4: no library"), Record(8, kit.response(1))]
    chunk = planner.plan(Partition(kit.RESPONSES, 0), records)
    assert chunk.next_offset == 9
    letter, response = (item.outcome for item in chunk.items)
    assert letter == DeadLetter(DeadLetterReason.UNREADABLE_BATCH, "lz4: no library")
    assert isinstance(response, Response)
