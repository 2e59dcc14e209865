"""The sidecar over a real broker: what it takes is in the topic, and what it cannot deliver is given back."""

from __future__ import annotations

import gzip
import json
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from fastapi.testclient import TestClient
from kafka import KafkaConsumer, TopicPartition
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from prometheus_client import CollectorRegistry

from evidence import Response, UnreachableError, pseudonym
from monitor.http.options import ApiOptions
from monitor.ingest.connection import Connection, connect
from monitor.ingest.decode import decode_response
from monitor.ingest.embedded import EmbeddedBroker
from monitor.ingest.options import IngestOptions, KafkaOptions
from monitor.settings import Settings
from monitor.tap.app import create_app
from monitor.tap.delivery import Delivery, Outgoing
from monitor.tap.options import TapOptions
from monitor.tap.taking import Taking, TapContext

NOW_S = 1_760_000_000.0
KEY = b"a key of the tests, 32 bytes lng"
TURN = {
    "response_id": "r1",
    "assistant": "shop",
    "model": "m-1",
    "conversation_id": "c1",
    "user_id": "alice@example.org",
    "created_at": "2025-10-09T08:00:00Z",
    "messages": [{"role": "assistant", "content": "Yes, twelve pieces."}],
}
THUMB = {
    "feedback_id": "f1",
    "assistant": "shop",
    "response_id": "r1",
    "user_id": "alice@example.org",
    "created_at": "2025-10-09T08:01:00Z",
    "value": 1.0,
    "kind": "thumb",
}


def span(operation: str, **attributes: str) -> dict[str, Any]:
    given = {
        "gen_ai.operation.name": operation,
        "gen_ai.request.model": "m-1",
        "gen_ai.conversation.id": "c1",
        "user.id": "alice@example.org",
        "gen_ai.output.messages": json.dumps(
            [{"role": "assistant", "parts": [{"type": "text", "content": "Yes."}]}]
        ),
        **attributes,
    }
    return {
        "traceId": "5b8efff798038103d269b633813fc60c",
        "spanId": "eee19b7ec3c1b174",
        "name": operation,
        "endTimeUnixNano": str(int(NOW_S * 1e9)),
        "attributes": [{"key": k, "value": {"stringValue": v}} for k, v in given.items()],
    }


def export(*spans: dict[str, Any]) -> dict[str, Any]:
    resource = {"attributes": [{"key": "service.name", "value": {"stringValue": "shop"}}]}
    return {"resourceSpans": [{"resource": resource, "scopeSpans": [{"spans": list(spans)}]}]}


def protobuf(document: dict[str, Any]) -> bytes:
    """The export as an SDK sends it, made from the same document with ids as bytes."""
    request = ExportTraceServiceRequest()
    for resource_spans in document["resourceSpans"]:
        made = request.resource_spans.add()
        for item in resource_spans["resource"]["attributes"]:
            made.resource.attributes.add(key=item["key"]).value.string_value = item["value"][
                "stringValue"
            ]
        scope = made.scope_spans.add()
        for one in resource_spans["scopeSpans"][0]["spans"]:
            added = scope.spans.add(
                trace_id=bytes.fromhex(one["traceId"]),
                span_id=bytes.fromhex(one["spanId"]),
                name=one["name"],
                end_time_unix_nano=int(one["endTimeUnixNano"]),
            )
            for item in one["attributes"]:
                added.attributes.add(key=item["key"]).value.string_value = item["value"][
                    "stringValue"
                ]
    return bytes(request.SerializeToString())


class Tap:
    """A running sidecar and its broker."""

    def __init__(self, connection: Callable[[], Connection], **options: Any) -> None:
        self.settings = Settings(
            tap=TapOptions(**options), api=ApiOptions(max_body_bytes=20_000, max_batch_records=50)
        )
        self.delivery = Delivery(connection, self.settings.tap)
        self.registry = CollectorRegistry()
        context = TapContext(
            api=self.settings.api,
            ingest=self.settings.ingest,
            responses_topic=self.settings.kafka.responses_topic,
            feedback_topic=self.settings.kafka.feedback_topic,
            delivery=self.delivery,
            registry=self.registry,
            pseudonym_key=KEY,
            clock=lambda: NOW_S,
            max_age_s=0.0,
        )
        self.taking = Taking(context)
        self.client = TestClient(
            create_app(context, self.taking),
            base_url="http://127.0.0.1",
            raise_server_exceptions=False,
        )

    def wait(self) -> None:
        end = time.monotonic() + 10
        while self.delivery.problem is not None:
            assert time.monotonic() < end, self.delivery.problem
            time.sleep(0.02)

    def passed_over(self, reason: str) -> float:
        name = "candor_tap_spans_passed_over_total"
        return self.registry.get_sample_value(name, {"reason": reason}) or 0.0

    def count(self, source: str, outcome: str) -> float | None:
        labels = {"source": source, "outcome": outcome}
        return self.registry.get_sample_value("candor_tap_records_total", labels)


@pytest.fixture(scope="module")
def broker() -> Iterator[Connection]:
    with EmbeddedBroker() as running:
        connection = connect(KafkaOptions(bootstrap_servers=running.bootstrap_servers))
        options = KafkaOptions()
        connection.ensure_topics([options.responses_topic, options.feedback_topic], partitions=1)
        yield connection


@pytest.fixture
def tap(broker: Connection) -> Iterator[Tap]:
    running = Tap(lambda: broker)
    running.wait()
    yield running
    running.delivery.close()


def records(broker: Connection, topic: str) -> list[dict[str, Any]]:
    consumer = KafkaConsumer(**broker.client)
    partition = TopicPartition(topic, 0)
    consumer.assign([partition])
    consumer.seek(partition, 0)
    end = consumer.end_offsets([partition])[partition]
    found: list[dict[str, Any]] = []
    while len(found) < end:
        found += [json.loads(r.value) for r in consumer.poll(500).get(partition, [])]
    consumer.close(autocommit=False)
    return found


def test_what_is_answered_with_202_is_in_the_topic_without_the_user(
    tap: Tap, broker: Connection
) -> None:
    answer = tap.client.post("/v1/responses", json=[TURN, {**TURN, "response_id": "r2"}])
    assert (answer.status_code, answer.json()) == (202, {"accepted": 2})
    assert tap.client.post("/v1/feedback", json=THUMB).status_code == 202
    sent = records(broker, "assistant.responses")[-2:]
    assert [record["response_id"] for record in sent] == ["r1", "r2"]
    liked = records(broker, "assistant.feedback")[-1]
    for record in (*sent, liked):
        assert record["rater"] == pseudonym("alice@example.org", KEY)
        assert "alice" not in json.dumps(record)
    decoded = decode_response(
        json.dumps(sent[0]).encode(), options=IngestOptions(), key=b"x" * 32, now_s=NOW_S
    )
    assert isinstance(decoded, Response), "a worker reads it as it would read the assistant's own"
    assert tap.count("responses", "delivered") == 2.0
    assert tap.count("feedback", "delivered") == 1.0


@pytest.mark.parametrize("encoding", ["json", "json+gzip", "protobuf", "protobuf+gzip"])
def test_chat_spans_become_responses_and_other_spans_do_not(
    tap: Tap, broker: Connection, encoding: str
) -> None:
    before = len(records(broker, "assistant.responses"))
    document = export(span("chat", **{"gen_ai.response.id": "o1"}), span("embeddings"))
    kind = "application/x-protobuf" if "protobuf" in encoding else "application/json"
    body = protobuf(document) if "protobuf" in encoding else json.dumps(document).encode()
    headers = {"content-type": kind}
    if "gzip" in encoding:
        body = gzip.compress(body)
        headers["content-encoding"] = "gzip"
    answer = tap.client.post("/v1/traces", content=body, headers=headers)
    assert answer.status_code == 200, "OTLP asks for 200"
    assert answer.headers["content-type"] == kind
    assert answer.content == (b"" if "protobuf" in encoding else b"{}")
    (record,) = records(broker, "assistant.responses")[before:]
    assert (record["response_id"], record["assistant"]) == ("o1", "shop")
    assert record["trace_id"] == "5b8efff798038103d269b633813fc60c"
    assert "alice" not in json.dumps(record)


def test_a_chat_span_that_is_wrong_is_told_and_the_others_are_taken(tap: Tap) -> None:
    cut = span("chat", **{"gen_ai.output.messages": '[{"role"'})
    document = export(cut, span("chat"))
    told = tap.client.post("/v1/traces", json=document).json()["partialSuccess"]
    assert told["rejectedSpans"] == 1
    assert "messages" in told["errorMessage"]
    headers = {"content-type": "application/x-protobuf"}
    answer = tap.client.post("/v1/traces", content=protobuf(document), headers=headers)
    told_protobuf = ExportTraceServiceResponse.FromString(answer.content).partial_success
    assert told_protobuf.rejected_spans == 1
    assert (tap.count("traces", "delivered"), tap.count("traces", "refused")) == (2.0, 2.0)


@pytest.mark.parametrize(
    ("path", "body", "headers", "status"),
    [
        ("/v1/responses", b'{"response_id": 3}', {"content-type": "application/json"}, 422),
        ("/v1/responses", b"{", {"content-type": "application/json"}, 422),
        ("/v1/responses", b"{}", {"content-type": "text/plain"}, 415),
        ("/v1/responses", b"[" * 30_000, {"content-type": "application/json"}, 413),
        ("/v1/traces", b"{", {"content-type": "application/json"}, 400),
        ("/v1/traces", b"\xff\xff", {"content-type": "application/x-protobuf"}, 400),
        ("/v1/traces", b"{}", {"content-type": "text/plain"}, 415),
        ("/v1/logs", b"{", {"content-type": "application/json"}, 400),
        ("/v1/logs", b"{}", {"content-type": "text/plain"}, 415),
        (
            "/v1/traces",
            gzip.compress(b" " * 1_000_000),
            {"content-type": "application/json", "content-encoding": "gzip"},
            413,
        ),
        (
            "/v1/traces",
            b"{}",
            {"content-type": "application/json", "content-encoding": "gzip"},
            400,
        ),
        (
            "/v1/traces",
            b"{}",
            {"content-type": "application/json", "content-encoding": "br"},
            415,
        ),
        ("/v1/responses", b"{}", {"content-type": "application/json", "host": "evil.example"}, 421),
    ],
)
def test_what_is_refused(
    tap: Tap, path: str, body: bytes, headers: dict[str, str], status: int
) -> None:
    answer = tap.client.post(path, content=body, headers=headers)
    assert answer.status_code == status
    assert answer.headers["content-type"] == "application/problem+json"


def test_without_a_broker_it_lives_and_gives_everything_back() -> None:
    def away() -> Connection:
        raise UnreachableError("Kafka", "127.0.0.1:1: nobody there")

    tap = Tap(away)
    try:
        assert tap.client.get("/healthz").status_code == 200
        ready = tap.client.get("/readyz")
        assert (ready.status_code, ready.json()["ready"]) == (503, False)
        refused = tap.client.post("/v1/responses", json=TURN)
        assert refused.status_code == 503
        assert int(refused.headers["retry-after"]) >= 1
        assert tap.count("responses", "broker") == 1.0
        assert tap.delivery.waiting == 0
    finally:
        tap.delivery.close()


def test_it_connects_when_the_broker_comes(
    broker: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("monitor.tap.delivery._RETRY_S", 0.05)
    tries: list[int] = []

    def late() -> Connection:
        tries.append(1)
        if len(tries) < 3:
            raise UnreachableError("Kafka", "not yet")
        return broker

    tap = Tap(late)
    tap.wait()
    assert tap.client.get("/readyz").status_code == 200
    assert tap.client.post("/v1/responses", json=TURN).status_code == 202
    tap.delivery.close()


class HeldProducer:
    """Acknowledges when told to."""

    def __init__(self) -> None:
        self.acknowledged = threading.Event()

    def send(self, *_: Any, **__: Any) -> HeldProducer:
        return self

    def get(self, timeout: float) -> None:
        assert self.acknowledged.wait(timeout)

    def close(self, timeout: float) -> None:
        pass


def test_a_full_queue_refuses_and_a_drained_one_takes_again(
    broker: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    held = HeldProducer()
    monkeypatch.setattr("monitor.tap.delivery.KafkaProducer", lambda **_: held)
    tap = Tap(lambda: broker, max_queue_records=3)
    tap.wait()
    waiting = threading.Thread(
        target=tap.delivery.send, args=([Outgoing("t", b"k", b"v")] * 2,), daemon=True
    )
    waiting.start()
    while tap.delivery.waiting < 2:
        time.sleep(0.01)
    full = tap.client.post("/v1/responses", json=[TURN, {**TURN, "response_id": "r2"}])
    assert (full.status_code, full.headers["retry-after"]) == (503, "1")
    assert tap.count("responses", "queue_full") == 2.0
    assert "candor_tap_queue_records 2.0" in tap.client.get("/metrics").text
    held.acknowledged.set()
    waiting.join()
    assert tap.client.post("/v1/responses", json=TURN).status_code == 202
    tap.delivery.close()


def test_spans_that_are_no_responses_are_counted_by_their_reason(tap: Tap) -> None:
    before = tap.passed_over("other_operation")
    answer = tap.client.post("/v1/traces", json=export(span("embeddings"), span("embeddings")))
    assert (answer.status_code, answer.json()) == (200, {})
    assert tap.passed_over("other_operation") == before + 2


def test_one_bad_span_refuses_itself_alone(
    tap: Tap, broker: Connection, caplog: pytest.LogCaptureFixture
) -> None:
    before = len(records(broker, "assistant.responses"))
    bad = [
        span("chat", **{"gen_ai.input.messages": '[{"role": "us'}),
        span("chat", **{"gen_ai.input.messages": "[" * 5_000}),
        span("chat", **{"gen_ai.response.id": "cut \ud83d"}),
    ]
    answer = tap.client.post(
        "/v1/traces",
        content=json.dumps(export(*bad, span("chat", **{"gen_ai.response.id": "good"}))).encode(),
        headers={"content-type": "application/json"},
    )
    assert answer.status_code == 200
    told = answer.json()["partialSuccess"]
    assert told["rejectedSpans"] == 3
    assert "gen_ai.input.messages" in told["errorMessage"]
    sent = records(broker, "assistant.responses")[before:]
    assert [record["response_id"] for record in sent] == ["good"]
    assert "3 of traces refused" in caplog.text


def test_a_text_that_is_not_utf8_spoils_its_span_alone(tap: Tap, broker: Connection) -> None:
    before = len(records(broker, "assistant.responses"))
    made = export(
        span("chat", **{"gen_ai.response.id": "idX"}),
        span("chat", **{"gen_ai.response.id": "whole", "user.id": "bob"}),
        span("chat", **{"gen_ai.response.id": "text", "gen_ai.output.messages": "No, cafX"}),
    )
    made["resourceSpans"][0]["scopeSpans"][0]["spans"][2]["attributes"].append(
        {"key": "gen_ai.input.messages", "value": {"stringValue": "Is there a cafe?"}}
    )
    body = protobuf(made).replace(b"idX", b"id\xe9").replace(b"cafX", b"caf\xe9")
    headers = {"content-type": "application/x-protobuf"}
    answer = tap.client.post("/v1/traces", content=body, headers=headers)
    assert answer.status_code == 200
    told = ExportTraceServiceResponse.FromString(answer.content).partial_success
    assert told.rejected_spans == 1
    one, two = records(broker, "assistant.responses")[before:]
    assert (one["response_id"], two["messages"][-1]["content"]) == ("whole", "No, caf\ufffd")
