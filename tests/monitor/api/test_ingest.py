"""Records over HTTP: durable before 202, all or none, and refused with the field that is wrong."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from evidence import Feedback, Response, pseudonym
from monitor.http.access import Scope, add_key
from monitor.ingest.decode import decode_feedback, decode_response
from monitor.ingest.options import IngestOptions
from monitor.store import reading
from monitor.store.schema import outbox
from tests.monitor.api.conftest import KEY, NOW_S, MakeService, Service
from tests.monitor.tap.test_app import export, protobuf, span

Record = dict[str, Any]


def queued(service: Service) -> list[Any]:
    with reading(service.engine) as connection:
        return list(connection.execute(select(outbox).order_by(outbox.c.id)))


def test_a_response_is_in_the_store_when_202_is_answered(
    service: Service, response_record: Record
) -> None:
    answer = service.client.post("/v1/responses", json=response_record)
    assert (answer.status_code, answer.json()) == (202, {"accepted": 1})
    (row,) = queued(service)
    assert (row.topic, row.key, row.published_cluster_id) == ("assistant.responses", b"c1", None)
    decoded = decode_response(row.value, options=IngestOptions(), key=KEY, now_s=NOW_S)
    assert isinstance(decoded, Response)
    assert (decoded.response_id, decoded.messages[-1].content) == ("r1", "Yes.")
    assert decoded.rater == pseudonym("alice@example.org", KEY)


def test_the_user_id_never_reaches_the_store(
    service: Service, response_record: Record, feedback_record: Record
) -> None:
    response_record["metadata"] = {"user_id": "alice@example.org", "trace": "t-9"}
    service.client.post("/v1/responses", json=response_record)
    service.client.post("/v1/feedback", json=feedback_record)
    rows = queued(service)
    assert len(rows) == 2
    assert all(b"alice" not in row.value for row in rows)
    assert b"t-9" in rows[0].value


def test_feedback_follows_its_response(service: Service, feedback_record: Record) -> None:
    assert service.client.post("/v1/feedback", json=feedback_record).status_code == 202
    (row,) = queued(service)
    decoded = decode_feedback(row.value, options=IngestOptions(), key=KEY, now_s=NOW_S)
    assert isinstance(decoded, Feedback)
    assert (row.topic, row.key, decoded.value) == ("assistant.feedback", b"r1", 1.0)


@pytest.mark.parametrize("form", ["list", "ndjson"])
def test_batches(service: Service, response_record: Record, form: str) -> None:
    batch = [{**response_record, "response_id": f"r{i}"} for i in range(3)]
    if form == "list":
        answer = service.client.post("/v1/responses", json=batch)
    else:
        body = "\n".join(json.dumps(record) for record in batch) + "\n\n"
        headers = {"content-type": "application/x-ndjson"}
        answer = service.client.post("/v1/responses", content=body, headers=headers)
    assert answer.json() == {"accepted": 3}
    assert len(queued(service)) == 3


def test_one_bad_record_and_nothing_is_taken(service: Service, response_record: Record) -> None:
    bad = {**response_record, "response_id": 7}
    answer = service.client.post("/v1/responses", json=[response_record, bad])
    assert answer.status_code == 422
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["errors"] == [
        {
            "field": "[1].response_id",
            "message": "wrong_type: Expected `str`, got `int`",
        }
    ]
    assert queued(service) == []


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"messages": []}, "messages"),
        ({"messages": [{"role": "user", "content": "hello?"}]}, "body"),
        ({"created_at": "2099-01-01T00:00:00Z"}, "created_at"),
        ({"created_at": "yesterday"}, "created_at"),
        ({"stakes": "extreme"}, "stakes"),
        ({"assistant": "a/b"}, "assistant"),
        ({"model": None}, "model"),
        ({"response_id": "x" * 201}, "response_id"),
        ({"user_id": None}, "user_id"),
    ],
)
def test_names_the_wrong_field(
    service: Service, response_record: Record, change: Record, field: str
) -> None:
    answer = service.client.post("/v1/responses", json={**response_record, **change})
    assert answer.status_code == 422
    assert answer.json()["errors"][0]["field"] == field
    assert queued(service) == []


@pytest.mark.parametrize(
    ("body", "content_type", "status"),
    [
        (b"{", "application/json", 422),
        (b"[1,", "application/json", 400),
        (b"[]", "application/json", 400),
        (b"", "application/json", 400),
        (b"[" * 200_000, "application/json", 400),
        (b"{}", "text/plain", 415),
        (b"{}", "", 415),
        (b"\xff\xfe", "application/x-ndjson", 422),
        (b"null", "application/json", 422),
        (b"[null, 3]", "application/json", 422),
    ],
)
def test_broken_bodies_are_problems(
    service: Service, body: bytes, content_type: str, status: int
) -> None:
    headers = {"content-type": content_type} if content_type else {}
    answer = service.client.post("/v1/responses", content=body, headers=headers)
    assert answer.status_code == status
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["status"] == status


def test_too_large_is_413(make_service: MakeService, response_record: Record) -> None:
    service = make_service(max_body_bytes=1000, max_batch_records=3)
    large = {**response_record, "extra": "x" * 1000}
    assert service.client.post("/v1/responses", json=large).status_code == 413

    def stream() -> Any:
        yield json.dumps(large).encode()  # no content-length: noticed while reading

    headers = {"content-type": "application/json"}
    assert (
        service.client.post("/v1/responses", content=stream(), headers=headers).status_code == 413
    )
    four = b"{}\n{}\n{}\n{}"
    answer = service.client.post(
        "/v1/responses", content=four, headers={"content-type": "application/x-ndjson"}
    )
    assert answer.status_code == 413
    assert queued(service) == []


def test_a_lone_surrogate_is_repaired(service: Service, response_record: Record) -> None:
    text = json.dumps(response_record).replace("Yes.", "Yes \\ud83d.")
    headers = {"content-type": "application/json"}
    answer = service.client.post("/v1/responses", content=text, headers=headers)
    assert answer.status_code == 202
    assert "Yes \ufffd." in queued(service)[0].value.decode()


@pytest.mark.parametrize(
    "raw",
    [
        b'{"response_id": "p", "meta": ' + b'{"a":' * 490 + b"1" + b"}" * 490 + b"}",
        b'{"response_id": "caf\xe9"}',
        b'{"stakes": "\\ud800"}',
        b'{"mood\\ud83d": 1e999}',
        b'{"created_at": "\\ud83d", "messages": ["\\ud83d"]}',
        b'[{"response_id": "\xe9"}, {"stakes": "\\ud800"}]',
        b'["\\ud83d", NaN]',
    ],
)
@pytest.mark.parametrize("path", ["/v1/responses", "/v1/feedback"])
def test_what_a_worker_would_refuse_is_refused_at_the_door(
    service: Service, path: str, raw: bytes
) -> None:
    headers = {"content-type": "application/json"}
    answer = service.client.post(path, content=raw, headers=headers)
    assert answer.status_code in {400, 422}, answer.text
    assert queued(service) == []


def test_deep_records_are_told_apart_at_the_same_depth_by_the_door_and_the_worker(
    service: Service, response_record: Record
) -> None:
    headers = {"content-type": "application/json"}
    seen = set()
    for depth in range(100, 140):
        raw = json.dumps(response_record)[:-1].encode() + b', "meta": '
        raw += b"[" * depth + b"]" * depth + b"}"
        found = decode_response(raw, options=IngestOptions(), key=KEY, now_s=NOW_S)
        answer = service.client.post("/v1/responses", content=raw, headers=headers)
        assert (answer.status_code == 202) is isinstance(found, Response)
        seen.add(answer.status_code)
    assert seen == {202, 422}


def test_a_record_that_grows_beyond_the_limit_is_refused(
    make_service: MakeService, response_record: Record
) -> None:
    service = make_service()
    numbers = b", ".join([b"1e15"] * 100_000)
    raw = json.dumps(response_record)[:-1].encode() + b', "meta": [' + numbers + b"]}"
    assert len(raw) < IngestOptions().max_record_bytes
    headers = {"content-type": "application/json"}
    answer = service.client.post("/v1/responses", content=raw, headers=headers)
    assert answer.status_code == 422
    assert "too_large" in answer.text


def test_a_byte_order_mark_does_not_matter(service: Service, response_record: Record) -> None:
    for kind in ("application/json", "application/x-ndjson"):
        raw = b"\xef\xbb\xbf" + json.dumps(response_record).encode()
        answer = service.client.post("/v1/responses", content=raw, headers={"content-type": kind})
        assert answer.status_code == 202
    as_list = b"\xef\xbb\xbf " + json.dumps([response_record]).encode()
    headers = {"content-type": "application/json"}
    assert service.client.post("/v1/responses", content=as_list, headers=headers).json() == {
        "accepted": 1
    }


def test_a_step_of_an_agent_does_not_refuse_its_batch(
    service: Service, response_record: Record
) -> None:
    step = {"role": "assistant", "content": None, "tool_calls": [{"function": {"name": "stock"}}]}
    turns = [response_record, {**response_record, "response_id": "r2", "messages": [step]}]
    answer = service.client.post("/v1/responses", json=turns)
    assert (answer.status_code, answer.json()) == (202, {"accepted": 2})


def test_every_wrong_field_of_every_record_is_named(
    service: Service, response_record: Record, feedback_record: Record
) -> None:
    wrong = {**response_record, "model": 3, "stakes": "huge"}
    del wrong["conversation_id"]
    answer = service.client.post("/v1/responses", json=[wrong, response_record, {"a": 1}])
    assert answer.status_code == 422
    fields = {error["field"] for error in answer.json()["errors"]}
    assert {"[0].model", "[0].stakes", "[0].conversation_id"} <= fields
    assert {"[2].response_id", "[2].assistant", "[2].messages", "[2].user_id"} <= fields
    assert not any(field.startswith("[1]") for field in fields)
    alone = service.client.post("/v1/feedback", json={**feedback_record, "value": 5, "kind": ""})
    assert {error["field"] for error in alone.json()["errors"]} == {"value", "kind"}
    assert queued(service) == []


def test_spans_become_responses_as_at_the_tap(service: Service) -> None:
    document = export(span("chat", **{"gen_ai.response.id": "o1"}), span("embeddings"))
    answer = service.client.post("/v1/traces", json=document)
    assert (answer.status_code, answer.json()) == (200, {})
    headers = {"content-type": "application/x-protobuf", "content-encoding": "gzip"}
    body = gzip.compress(protobuf(export(span("chat", **{"gen_ai.response.id": "o2"}))))
    answer = service.client.post("/v1/traces", content=body, headers=headers)
    assert (answer.status_code, answer.content) == (200, b"")
    told = service.client.post(
        "/v1/traces", json=export(span("chat", **{"gen_ai.output.messages": "[{"}))
    )
    assert told.json()["partialSuccess"]["rejectedSpans"] == 1
    rows = queued(service)
    assert [json.loads(row.value)["response_id"] for row in rows] == ["o1", "o2"]
    assert {row.topic for row in rows} == {"assistant.responses"}
    assert not any(b"alice" in row.value for row in rows)


def test_spans_of_an_assistant_that_is_not_the_keys_are_refused(
    make_service: MakeService, tmp_path: Path
) -> None:
    path = tmp_path / "keys.json"
    token = add_key(path, name="bank", scopes=(Scope.INGEST,), assistants=("bank",))
    service = make_service(keys_file=path)
    answer = service.client.post(
        "/v1/traces", json=export(span("chat")), headers={"authorization": f"Bearer {token}"}
    )
    assert answer.status_code == 403
    assert queued(service) == []


def test_events_go_to_the_topics_that_they_belong_to(service: Service) -> None:
    at = {"timeUnixNano": str(int(NOW_S * 1e9)), "traceId": "5b8efff798038103d269b633813fc60c"}
    at["spanId"] = "eee19b7ec3c1b174"
    told = {"user.id": "alice@example.org", "gen_ai.evaluation.score.label": "thumbs_up"}
    attributes = [{"key": k, "value": {"stringValue": v}} for k, v in told.items()]
    events = [
        at | {"eventName": "gen_ai.user.message", "body": {"stringValue": "Is it in stock?"}},
        at | {"eventName": "gen_ai.evaluation.result", "attributes": attributes},
    ]
    resource = {"attributes": [{"key": "service.name", "value": {"stringValue": "shop"}}]}
    document = {"resourceLogs": [{"resource": resource, "scopeLogs": [{"logRecords": events}]}]}
    assert service.client.post("/v1/logs", json=document).json() == {}
    rows = queued(service)
    assert sorted(row.topic for row in rows) == ["assistant.feedback", "assistant.responses"]
    assert not any(b"alice" in row.value for row in rows)
