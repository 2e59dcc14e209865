"""Events at the sidecar, and what a chat span without its messages is told."""

from __future__ import annotations

import json

from monitor.ingest.connection import Connection
from tests.monitor.tap.test_app import NOW_S, Tap, broker, export, records, span, tap

__all__ = ["broker", "tap"]


def test_a_chat_span_without_content_is_taken_with_a_warning(tap: Tap) -> None:
    silent = span("chat", **{"gen_ai.output.messages": "[]"})
    told = tap.client.post("/v1/traces", json=export(silent)).json()["partialSuccess"]
    assert told["rejectedSpans"] == 0
    assert "capture of content" in told["errorMessage"]


def test_events_go_to_their_topics(tap: Tap, broker: Connection) -> None:
    """A message of a turn to the responses' topic, what a user says of it to the feedback's."""
    at = {"timeUnixNano": str(int(NOW_S * 1e9)), "traceId": "5b8efff798038103d269b633813fc60c"}
    at["spanId"] = "eee19b7ec3c1b174"
    asked = {"eventName": "gen_ai.user.message", "body": {"stringValue": "Is it in stock?"}}
    said = {
        "gen_ai.evaluation.score.label": "thumbs_down",
        "gen_ai.response.id": "o7",
        "user.id": "alice@example.org",
    }
    told = [{"key": name, "value": {"stringValue": value}} for name, value in said.items()]
    judged = {"eventName": "gen_ai.evaluation.result", "attributes": told}
    resource = {"attributes": [{"key": "service.name", "value": {"stringValue": "shop"}}]}
    scope = {"logRecords": [at | asked, at | judged]}
    document = {"resourceLogs": [{"resource": resource, "scopeLogs": [scope]}]}
    assert tap.client.post("/v1/logs", json=document).json() == {}
    part = records(broker, "assistant.responses")[-1]
    assert (part["turn_part"], part["content"]["content"]) == ("message", "Is it in stock?")
    thumb = records(broker, "assistant.feedback")[-1]
    assert (thumb["response_id"], thumb["value"]) == ("o7", -1.0)
    assert "alice" not in json.dumps(thumb)
    assert tap.count("logs", "delivered") == 2.0
