"""The sidecar's routes over HTTP: whatever is sent, the answer is 2xx or 4xx."""

from __future__ import annotations

from functools import cache
from typing import cast

from fastapi.testclient import TestClient
from prometheus_client import CollectorRegistry

from monitor.http.options import ApiOptions
from monitor.ingest.options import IngestOptions
from monitor.tap.app import create_app
from monitor.tap.delivery import Delivery, Outgoing
from monitor.tap.taking import Taking, TapContext
from tests.fuzz.choices import Choices
from tests.fuzz.documents import FEEDBACK, KEY, NOW_S, RESPONSES
from tests.fuzz.mutation import seeds_of
from tests.fuzz.target import Target
from tests.fuzz.targets import export

_PATHS = {b"R": "responses", b"F": "feedback", b"T": "traces", b"N": "responses"}
_TYPES = {b"N": "application/x-ndjson"}


class _Kept:
    """A delivery that counts; a broker is not what is fuzzed."""

    waiting = 0
    problem = None

    def __init__(self) -> None:
        self.n = 0

    def send(self, records: list[Outgoing]) -> None:
        self.n += len(records)


@cache
def _client() -> tuple[TestClient, _Kept]:
    kept = _Kept()
    context = TapContext(
        api=ApiOptions(),
        ingest=IngestOptions(),
        responses_topic="assistant.responses",
        feedback_topic="assistant.feedback",
        delivery=cast("Delivery", kept),
        registry=CollectorRegistry(),
        pseudonym_key=KEY,
        clock=lambda: NOW_S,
    )
    app = create_app(context, Taking(context))
    return TestClient(app, base_url="http://127.0.0.1", raise_server_exceptions=False), kept


def make(choices: Choices) -> bytes:
    kind = choices.pick(sorted(_PATHS))
    if kind == b"T":
        return kind + export.make(choices)
    return kind + seeds_of([FEEDBACK] if kind == b"F" else RESPONSES, choices)


def check(data: bytes) -> str:
    client, kept = _client()
    kind, body = data[:1], data[1:]
    path = _PATHS.get(kind, "responses")
    media = _TYPES.get(kind, "application/json")
    if path == "traces":
        media = "application/json" if body[:1] == b"J" else "application/x-protobuf"
        body = body[1:]
    before = kept.n
    answer = client.post(f"/v1/{path}", content=body, headers={"content-type": media})
    assert answer.status_code < 500, answer.text[:300]
    if answer.status_code == 202:
        assert kept.n - before == answer.json()["accepted"]
    elif answer.status_code != 200:
        assert kept.n == before
    return f"{path} {answer.status_code}"


TARGET = Target("tap", make, check)
