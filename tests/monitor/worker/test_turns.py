"""Spans in, verdict out: what comes apart is joined into its turn, in any order, through kills, within its bounds."""

from __future__ import annotations

import hashlib
import json
import random
from collections.abc import Callable, Sequence
from typing import Any

import msgspec
import pytest
from sqlalchemy import event, select

from benchmarks.actions import Alike
from evidence import Archetype, Assessment, VerdictKind
from monitor.ingest.options import IngestOptions, KafkaOptions
from monitor.store import reading
from monitor.store.schema import (
    dead_letters,
    duplicates,
    responses,
    verdicts,
)
from probes.actions import ActionProbe
from probes.fusion import Fusion
from probes.panel import Panel
from probes.probe import Transcript
from tests.monitor.worker.test_exactly_once import Killed

House = Any
RESULT = "550 mailbox full"


def attribute(name: str, value: Any) -> dict[str, Any]:
    return {"key": name, "value": {"stringValue": value}}


def export(kit: Any, *spans: dict[str, Any], service: str = "shop") -> bytes:
    """OTLP/JSON. A span has `trace`, `id`, `parent`, when it ended before now, and its attributes."""
    made = [
        {
            "traceId": hashlib.sha256(str(span["trace"]).encode()).hexdigest()[:32],
            "spanId": span["id"],
            "parentSpanId": span.get("parent", ""),
            "startTimeUnixNano": str(int((kit.NOW_S - span["ago"] - 1) * 1e9)),
            "endTimeUnixNano": str(int((kit.NOW_S - span["ago"]) * 1e9)),
            "attributes": [attribute(k, v) for k, v in span["told"].items()],
            "status": span.get("status", {}),
        }
        for span in spans
    ]
    resource = {"attributes": [attribute("service.name", service)]}
    scopes = [{"spans": made}]
    return json.dumps({"resourceSpans": [{"resource": resource, "scopeSpans": scopes}]}).encode()


def text(role: str, words: str) -> dict[str, Any]:
    return {"role": role, "parts": [{"type": "text", "content": words}]}


def chat(trace: Any, reply: str = "I've sent the mail to ana@x.org.") -> dict[str, Any]:
    told = {
        "gen_ai.operation.name": "chat",
        "gen_ai.request.model": "m1",
        "gen_ai.response.id": f"r{trace}",
        "gen_ai.input.messages": json.dumps([text("user", "Tell Ana that I am late.")]),
        "gen_ai.output.messages": json.dumps([text("assistant", reply)]),
    }
    return {"trace": trace, "id": "c1", "parent": "a1", "ago": 5, "told": told}


def tool(trace: Any, result: str = RESULT, number: str = "t1") -> dict[str, Any]:
    told = {
        "gen_ai.operation.name": "execute_tool",
        "gen_ai.tool.name": "send_mail",
        "gen_ai.tool.call.arguments": '{"to": "ana@x.org"}',
        "gen_ai.tool.call.result": result,
    }
    failed = {"status": {"code": 2, "message": "bounced"}} if result == RESULT else {}
    return {"trace": trace, "id": number, "parent": "a1", "ago": 8, "told": told} | failed


def agent(trace: Any) -> dict[str, Any]:
    told = {"gen_ai.operation.name": "invoke_agent", "gen_ai.agent.name": "shop"}
    return {"trace": trace, "id": "a1", "ago": 4, "told": told}


class RecordScorer:
    """p_lie from a hash of what is recorded of tools: another record, another verdict."""

    def __init__(self, kit: Any) -> None:
        self._inner = kit.HashScorer()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    def score(self, transcripts: Sequence[Transcript]) -> list[Assessment]:
        return [
            self._inner._one(repr(t.record and [(a.name, a.result) for a in t.record.acts]) + t.id)
            for t in transcripts
        ]


def quick(house: House, **ingest: Any) -> None:
    house.set(
        kafka=KafkaOptions(max_poll_records=5),
        ingest=IngestOptions(**({"join_window_s": 1.0} | ingest)),
    )


class Activation:
    """A second probe, so that there is a fusion; it sees nothing."""

    name, version, blind_to = "activation", "1", frozenset[str]()

    def measure(self, transcripts: Sequence[Transcript]) -> list[Any]:
        from evidence import Measurement  # noqa: PLC0415

        return [Measurement(probe="activation", version="1", p_lie=0.2) for _ in transcripts]


def panel() -> Panel:
    model = Fusion.load().model
    fusion = Fusion(msgspec.structs.replace(model, probe_versions={"activation": "1"}))
    return Panel([Activation(), ActionProbe(Alike())], fusion)


def stored(house: House) -> Any:
    with reading(house.engine) as connection:
        (row,) = connection.execute(select(verdicts)).all()
    return row


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 1, 0), (1, 0, 2), (1, 2, 0)])
def test_spans_in_and_a_lie_about_an_own_act_out(
    house: House, kit: Any, order: tuple[int, ...]
) -> None:
    """Each span comes in a record of its own, over two partitions."""
    quick(house)
    spans = [tool(1), chat(1), agent(1)]
    for place in order:
        house.broker.produce(kit.RESPONSES, export(kit, spans[place]), f"k{place}")
    house.settle(house.worker(scorer=panel()))
    record = json.loads(stored(house).record)
    assert record["assessment"]["kind"] == VerdictKind.LIE
    assert record["assessment"]["archetype"] == Archetype.OWN_ACTION
    of = house.metrics.of
    assert (of["turn", "joined"], of["turn_part", "kept"], of["turn_part", "joined"]) == (1, 2, 2)
    assert house.count(dead_letters) == 0


def test_without_its_span_the_same_claim_is_not_visible(house: House, kit: Any) -> None:
    quick(house)
    house.broker.produce(kit.RESPONSES, export(kit, chat(1), agent(1)), "k")
    house.settle(house.worker(scorer=panel()))
    assert stored(house).kind != VerdictKind.LIE


def test_the_same_through_the_records_that_a_tap_writes(house: House, kit: Any) -> None:
    from monitor.http.otlp import read_export  # noqa: PLC0415
    from monitor.ingest import batch  # noqa: PLC0415

    quick(house)
    raw = export(kit, tool(1), chat(1), agent(1))
    given = {"options": house.settings.ingest, "key": house.keys.pseudonym, "now_s": kit.NOW_S}
    taken = read_export(raw, "application/json", **given)
    assert (len(taken.accepted), taken.errors) == (3, ())
    for record in taken.accepted:
        key = batch.routing_key(record).decode()
        house.broker.produce(kit.RESPONSES, batch.encode(record), key)
    house.settle(house.worker(scorer=panel()))
    assert stored(house).kind == VerdictKind.LIE


def test_a_response_waits_its_window_and_no_longer(house: House, kit: Any) -> None:
    quick(house, join_window_s=10.0)
    house.broker.produce(kit.RESPONSES, export(kit, chat(1)), "k")
    worker = house.worker()
    began_s = house.now_s
    while not house.count(verdicts):
        worker.step()
        house.now_s += 0.25
    assert 10.0 <= house.now_s - began_s <= 11.0


def fill(house: House, kit: Any, n: int = 24) -> None:
    rng = random.Random(3)
    records = []
    for i in range(n):
        spans = [tool(i, f"ok {i}"), chat(i), agent(i), tool(i, "late", "t2")]
        rng.shuffle(spans)
        cut = rng.randint(1, 3)
        records += [export(kit, *spans[:cut]), export(kit, *spans[cut:])]
        records += [export(kit, rng.choice(spans))] if i % 3 == 0 else []
    records += [kit.response(i) for i in range(8)]
    rng.shuffle(records)
    for number, record in enumerate(records):
        house.broker.produce(kit.RESPONSES, record, f"k{number}")


def test_kills_between_statements_lose_no_join(
    house: House, another_house: Callable[[str], House], kit: Any
) -> None:
    clean = another_house("clean")
    for each in (house, clean):
        quick(each, join_window_s=3.0)
        fill(each, kit)
    clean.settle(clean.worker(scorer=RecordScorer(kit)))
    assert clean.metrics.of["turn", "joined"] >= 24
    rng = random.Random(1)
    left = [20]

    def maybe_kill(*_: Any) -> None:
        left[0] -= 1
        if left[0] == 0:
            raise Killed

    event.listen(house.engine, "before_cursor_execute", maybe_kill)
    event.listen(house.engine, "commit", maybe_kill)
    kills = 0
    while kills < 12:
        try:
            house.settle(house.worker(f"w{kills}", scorer=RecordScorer(kit)))
            break
        except Killed:
            kills += 1
            left[0] = rng.randint(1, 120)
            house.broker.members.clear()
    left[0] = 0
    house.settle(house.worker("last", scorer=RecordScorer(kit)))
    assert kills >= 5
    assert len(house.verdict_set()) == 24 + 8
    assert house.verdict_set() == clean.verdict_set()


def test_rebalances_lose_no_join(
    house: House, another_house: Callable[[str], House], kit: Any
) -> None:
    clean = another_house("clean")
    for each in (house, clean):
        quick(each, join_window_s=3.0)
        fill(each, kit)
    clean.settle(clean.worker(scorer=RecordScorer(kit)))
    rng = random.Random(7)
    workers = [house.worker(f"w{i}", scorer=RecordScorer(kit)) for i in range(2)]
    for i in range(120):
        workers[rng.randrange(len(workers))].step()
        house.now_s += 0.02
        if rng.random() < 0.1 and len(workers) > 1:
            workers.pop(rng.randrange(len(workers))).close()
        elif rng.random() < 0.15:
            workers.append(house.worker(f"late{i}", scorer=RecordScorer(kit)))
    house.settle(*workers)
    assert house.verdict_set() == clean.verdict_set()


def test_the_same_on_either_database(either_house: House, kit: Any) -> None:
    quick(either_house)
    for number, one in enumerate([tool(1), chat(1), agent(1), tool(1)]):
        either_house.broker.produce(kit.RESPONSES, export(kit, one), f"k{number}")
    either_house.settle(either_house.worker(scorer=panel()))
    assert stored(either_house).kind == VerdictKind.LIE
    assert either_house.metrics.of["turn_part", "repeated"] == 1


def test_spans_that_come_twice_count_once(house: House, kit: Any) -> None:
    quick(house)
    for _ in range(2):
        house.broker.produce(kit.RESPONSES, export(kit, tool(1), chat(1), agent(1)), "k")
    house.settle(house.worker())
    assert (house.count(responses), house.count(duplicates)) == (1, 1)
    assert house.metrics.of["turn_part", "repeated"] == 2
    assert house.metrics.of["conflict", kit.RESPONSES] == 0


def events(kit: Any, trace: str, *told: tuple[str, Any]) -> bytes:
    at = str(int((kit.NOW_S - 5) * 1e9))
    ids = {"traceId": hashlib.sha256(trace.encode()).hexdigest()[:32], "spanId": "c1"}
    made = [
        {**ids, "timeUnixNano": at, "eventName": name, "body": {"stringValue": json.dumps(body)}}
        for name, body in told
    ]
    resource = {"attributes": [attribute("service.name", "shop")]}
    logs = {"resource": resource, "scopeLogs": [{"logRecords": made}]}
    return json.dumps({"resourceLogs": [logs]}).encode()


def test_messages_as_events_and_their_span_and_its_tool_are_one_turn(
    house: House, kit: Any
) -> None:
    quick(house)
    bare = chat("1")
    del bare["told"]["gen_ai.input.messages"], bare["told"]["gen_ai.output.messages"]
    question = ("gen_ai.user.message", {"content": "Tell Ana that I am late."})
    answer = ("gen_ai.choice", {"message": {"content": "I've sent the mail to ana@x.org."}})
    house.broker.produce(kit.RESPONSES, events(kit, "1", answer), "a")
    house.broker.produce(kit.RESPONSES, export(kit, tool("1"), bare, agent("1")), "b")
    house.broker.produce(kit.RESPONSES, events(kit, "1", question), "c")
    house.settle(house.worker(scorer=panel()))
    row = stored(house)
    assert (row.kind, row.response_id) == (VerdictKind.LIE, "r1")
    assert (house.count(responses), house.count(dead_letters)) == (1, 0)


def exchange(kit: Any, trace: str) -> bytes:
    """The chat of `chat` as one event."""
    told = [attribute(name, value) for name, value in chat(trace)["told"].items()]
    made = {
        "traceId": hashlib.sha256(trace.encode()).hexdigest()[:32],
        "spanId": "c1",
        "timeUnixNano": str(int((kit.NOW_S - 5) * 1e9)),
        "eventName": "gen_ai.client.inference.operation.details",
        "attributes": told,
    }
    resource = {"attributes": [attribute("service.name", "shop")]}
    logs = {"resource": resource, "scopeLogs": [{"logRecords": [made]}]}
    return json.dumps({"resourceLogs": [logs]}).encode()


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
def test_an_event_of_a_whole_exchange_gets_the_calls_of_its_agent(
    house: House, kit: Any, order: tuple[int, ...]
) -> None:
    quick(house)
    bare = chat("1")
    del bare["told"]["gen_ai.input.messages"], bare["told"]["gen_ai.output.messages"]
    records = [exchange(kit, "1"), export(kit, tool("1"), bare, agent("1"))]
    for number in order:
        house.broker.produce(kit.RESPONSES, records[number], f"k{number}")
    house.settle(house.worker(scorer=panel()))
    row = stored(house)
    assert (row.kind, row.response_id) == (VerdictKind.LIE, "r1")
    assert (house.count(responses), house.count(dead_letters)) == (1, 0)


def test_an_agent_that_repeats_what_an_event_told_is_one_response(house: House, kit: Any) -> None:
    """The event does not say what stands above its span; the span does."""
    quick(house)
    bare = chat("1")
    del bare["told"]["gen_ai.input.messages"], bare["told"]["gen_ai.output.messages"]
    above = agent("1")
    above["told"] = chat("1")["told"] | above["told"] | {"gen_ai.response.id": "of the agent"}
    house.broker.produce(kit.RESPONSES, exchange(kit, "1"), "a")
    house.broker.produce(kit.RESPONSES, export(kit, tool("1"), bare, above), "b")
    house.settle(house.worker(scorer=panel()))
    assert stored(house).response_id == "r1"
    assert (house.count(responses), house.count(dead_letters)) == (1, 0)


def test_a_span_whose_messages_never_come_is_refused_with_the_reason(
    house: House, kit: Any
) -> None:
    quick(house)
    bare = chat("1")
    del bare["told"]["gen_ai.input.messages"], bare["told"]["gen_ai.output.messages"]
    house.broker.produce(kit.RESPONSES, export(kit, bare, chat("2")), "b")
    answer = ("gen_ai.choice", {"message": {"content": "I've sent it."}})
    house.broker.produce(kit.RESPONSES, events(kit, "3", answer), "c")
    house.settle(house.worker())
    with reading(house.engine) as connection:
        details = connection.execute(select(dead_letters.c.detail)).scalars().all()
    assert len(details) == 2
    assert any("capture of content is off" in detail for detail in details)
    assert house.count(responses) == 1
