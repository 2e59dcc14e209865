"""Sending in the background: never waits, never raises, and says what it dropped."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from candor_client import Client, Feedback, Recorder, Retry
from candor_client.retry import may_repeat
from tests.candor_client.test_client import answer, queued
from tests.monitor.api.conftest import Service


def test_what_is_put_reaches_the_api(service: Service, serve: Callable[[Service], str]) -> None:
    with Client(serve(service)) as client, Recorder(client) as recorder:
        sent = [answer() for _ in range(250)]
        for one in sent:
            assert recorder.put(one)
        rated = Feedback(assistant="shop", response_id="r", user_id="u", value=1.0)
        rated = Feedback(**{**rated.record(), "created_at": sent[0].created_at})
        recorder.put(rated)
        recorder.flush()
        assert (recorder.sent, recorder.dropped) == (251, 0)
    ids = [record["response_id"] for record in queued(service, "assistant.responses")]
    assert ids == [one.response_id for one in sent]
    assert not recorder.put(answer()), "it is closed"


def test_one_that_is_refused_spoils_no_other(
    service: Service, serve: Callable[[Service], str]
) -> None:
    with Client(serve(service)) as client, Recorder(client) as recorder:
        for one in (answer(), answer(messages=[]), answer()):
            recorder.put(one)
    assert (recorder.sent, recorder.dropped) == (2, 1)
    assert len(queued(service, "assistant.responses")) == 2


def test_a_full_queue_drops_and_an_api_that_comes_back_gets_what_waited(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("candor_client.recorder._PAUSE_S", 0.01)
    away = threading.Event()
    away.set()
    got: list[bytes] = []

    def reply(request: httpx.Request) -> httpx.Response:
        if away.is_set():
            return httpx.Response(503)
        got.extend(request.content.splitlines())
        return httpx.Response(202, json={"accepted": len(request.content.splitlines())})

    client = Client("http://x", transport=httpx.MockTransport(reply), retry=Retry(tries=1))
    recorder = Recorder(client, most=120)
    put = [recorder.put(answer()) for _ in range(400)]
    assert recorder.dropped == put.count(False) >= 180
    away.clear()
    recorder.close()
    assert recorder.sent == len(got) == put.count(True)


def test_closing_while_the_api_is_away_ends_and_counts_what_is_lost() -> None:
    transport = httpx.MockTransport(lambda _: httpx.Response(503))
    client = Client("http://x", transport=transport, retry=Retry(tries=1))
    recorder = Recorder(client)
    for _ in range(350):
        recorder.put(answer())
    recorder.close()
    assert (recorder.sent, recorder.dropped) == (0, 350)


@pytest.mark.parametrize(
    ("failure", "once", "again"),
    [
        (429, True, True),
        (503, True, True),
        (504, False, True),
        (500, False, False),
        (httpx.ConnectError(""), True, True),
        (httpx.ReadError(""), False, True),
        (httpx.TooManyRedirects(""), False, False),
    ],
)
def test_what_may_be_sent_again(failure: Any, once: bool, again: bool) -> None:
    assert may_repeat(failure, is_idempotent=False) == once
    assert may_repeat(failure, is_idempotent=True) == again


def test_a_pause_grows_to_its_limit_and_heeds_the_server() -> None:
    retry = Retry(first_pause_s=1.0, longest_pause_s=8.0)
    assert [retry.pause_s(n, 0.0) for n in (1, 2, 3, 4, 5, 99)] == [1.0, 2.0, 4.0, 8.0, 8.0, 8.0]
    assert retry.pause_s(1, 0.99) == pytest.approx(0.505)
    assert retry.pause_s(1, 0.0, "5") == 5.0
    assert retry.pause_s(1, 0.0, "3600") == 8.0
    assert retry.pause_s(1, 0.0, "Wed, 21 Oct") == 1.0


ALONE = """
import sys
class Blocked:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {"candor_guard", "evidence", "probes", "retrain", "monitor",
                                      "torch", "sqlalchemy", "kafka", "pydantic", "numpy"}:
            raise ImportError(f"{name} is not there")
sys.meta_path.insert(0, Blocked())
import candor_client
print(candor_client.Client("http://127.0.0.1:1"))
"""


def test_the_client_needs_nothing_else_of_candor(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", ALONE], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
