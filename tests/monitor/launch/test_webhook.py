"""Notices of the gate reach a receiver signed, at least once, and are given up in the end."""

from __future__ import annotations

import hmac
import json
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path

import httpx
import pytest
from sqlalchemy import Engine, select

from evidence import BadInputError
from monitor.launch.options import RetrainOptions
from monitor.launch.webhook import SIGNATURE_HEADER, TIME_HEADER, Webhook
from monitor.services.decisions import record
from monitor.store import open_store
from monitor.store.schema import gate_deliveries
from retrain.gate import decide
from retrain.policy import Policy
from retrain.signing import unsigned
from tests.retrain.gate_values import context, row

NOW, SECRET = 1_800_000_000.0, b"a secret of 32 bytes for the test"


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Engine]:
    made = open_store(f"sqlite:///{tmp_path / 'candor.db'}")
    decision = decide([row(0)], context(1), Policy(), now_s=NOW)
    with made.begin() as connection:
        record(connection, decision, unsigned(decision))
    yield made
    made.dispose()


def _options(tmp_path: Path, **fields: object) -> RetrainOptions:
    (tmp_path / "secret").write_bytes(SECRET + b"\n")
    values = {
        "webhook_url": "https://receiver.example/gate",
        "webhook_secret_file": tmp_path / "secret",
        **fields,
    }
    return RetrainOptions.model_validate(values)


class Receiver:
    """Answers what it is told and keeps what it was sent."""

    def __init__(self, *answers: int | Exception) -> None:
        self.answers, self.seen = list(answers), []

    def __call__(self, request: httpx.Request) -> httpx.Response:
        self.seen.append(request)
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return httpx.Response(answer)

    @property
    def client(self) -> httpx.Client:
        return httpx.Client(transport=httpx.MockTransport(self))


def test_a_notice_is_signed_and_tried_until_it_is_taken(engine: Engine, tmp_path: Path) -> None:
    receiver = Receiver(503, httpx.ConnectError("refused"), 302, 204)
    webhook = Webhook(engine, _options(tmp_path), receiver.client)
    waits = (0, 10, 30, 70)  # 10, 20 and 40 s apart
    assert [webhook.deliver(NOW + at) for at in waits] == [0, 0, 0, 1]
    assert webhook.deliver(NOW + 9999) == 0
    assert len(receiver.seen) == 4
    assert len({request.headers["Candor-Delivery"] for request in receiver.seen}) == 1
    request = receiver.seen[-1]
    signed = f"{request.headers[TIME_HEADER]}.".encode() + request.content
    expected = "sha256=" + hmac.new(SECRET, signed, sha256).hexdigest()
    assert request.headers[SIGNATURE_HEADER] == expected
    body = json.loads(request.content)
    assert (body["event"], body["answer"], body["good_rows_lost"]) == ("decided", "hold", 0.0)


def test_a_retry_waits_for_its_time(engine: Engine, tmp_path: Path) -> None:
    receiver = Receiver(500, 200)
    webhook = Webhook(engine, _options(tmp_path), receiver.client)
    webhook.deliver(NOW)
    webhook.deliver(NOW + 5)
    assert len(receiver.seen) == 1


def test_it_is_given_up_after_the_last_attempt(engine: Engine, tmp_path: Path) -> None:
    receiver = Receiver(500, 500)
    webhook = Webhook(engine, _options(tmp_path, webhook_attempts=2), receiver.client)
    for at in (0, 20, 10_000):
        webhook.deliver(NOW + at)
    with engine.begin() as connection:
        (left,) = connection.execute(select(gate_deliveries)).all()
    assert (left.attempts, left.next_at_s, left.delivered_at_s, left.error) == (
        2, None, None, "HTTP 500"
    )  # fmt: skip


def test_without_a_url_nothing_is_kept_for_later(engine: Engine, tmp_path: Path) -> None:
    assert Webhook(engine, RetrainOptions()).deliver(NOW) == 0
    receiver = Receiver()
    assert Webhook(engine, _options(tmp_path), receiver.client).deliver(NOW + 1) == 0


@pytest.mark.parametrize("secret", [None, "absent", "short"])
def test_unsigned_notices_are_not_sent(engine: Engine, tmp_path: Path, secret: str | None) -> None:
    (tmp_path / "short").write_text("short")
    file = None if secret is None else tmp_path / secret
    receiver = Receiver(200)
    with pytest.raises(BadInputError):
        Webhook(engine, _options(tmp_path, webhook_secret_file=file), receiver.client).deliver(NOW)
    assert receiver.seen == []
