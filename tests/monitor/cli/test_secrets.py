"""Secrets and what users wrote never reach a log or an error, at any level, whatever goes wrong."""

from __future__ import annotations

import json
import logging
from pathlib import Path

import pytest
from fastapi.testclient import TestClient
from prometheus_client import CollectorRegistry

from evidence import BadInputError, UnreachableError
from monitor.cli.serving import build_app
from monitor.http.access import Scope, add_key
from monitor.ingest.connection import connect
from monitor.ingest.options import KafkaOptions
from monitor.settings import ApiOptions, DatabaseOptions, Settings
from monitor.store import open_store
from tests.monitor.cli.conftest import Candor

PASSWORD = "correct-horse-battery"
USER, WORDS = "alice-4711@example.org", "my knee hurts since tuesday"


@pytest.fixture
def everything(caplog: pytest.LogCaptureFixture) -> pytest.LogCaptureFixture:
    caplog.set_level(logging.DEBUG)
    for name in ("kafka", "sqlalchemy", "httpx", "monitor", "uvicorn"):
        caplog.set_level(logging.DEBUG, logger=name)
    return caplog


def test_passwords_of_the_broker_and_the_database(
    everything: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    file = tmp_path / "password"
    file.write_text(PASSWORD)
    options = KafkaOptions(
        bootstrap_servers="127.0.0.1:1",
        security_protocol="SASL_PLAINTEXT",
        sasl_mechanism="PLAIN",
        sasl_username="candor",
        sasl_password_file=file,
    )
    with pytest.raises((UnreachableError, BadInputError)) as broker:
        connect(options)
    with pytest.raises(UnreachableError) as database:
        open_store(f"postgresql://candor:{PASSWORD}@127.0.0.1:1/candor?connect_timeout=2")
    shown = everything.text + str(broker.value) + str(database.value) + repr(options)
    assert "127.0.0.1" in shown, "the log was watched"
    assert PASSWORD not in shown


def test_keys_users_and_words_of_requests(
    everything: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    keys = tmp_path / "keys.json"
    token = add_key(keys, name="shop", scopes=(Scope.ADMIN,), assistants=None)
    settings = Settings(
        database=DatabaseOptions(url=f"sqlite:///{tmp_path}/candor.db"),
        api=ApiOptions(keys_file=keys),
    )
    engine = open_store(settings.database.url)
    app = build_app(settings, engine, CollectorRegistry(), bootstrap_servers=None)
    client = TestClient(app, base_url="http://127.0.0.1", raise_server_exceptions=False)
    headers = {"authorization": f"Bearer {token}"}
    turn = {
        "response_id": "r1",
        "assistant": "shop",
        "model": "m",
        "conversation_id": "c1",
        "user_id": USER,
        "created_at": "2026-01-01T00:00:00Z",
        "messages": [{"role": "user", "content": WORDS}, {"role": "assistant", "content": "Rest."}],
    }
    assert client.post("/v1/responses", json=turn, headers=headers).status_code == 202
    wrong = {**turn, "messages": WORDS, "created_at": WORDS}
    answers = [
        client.post("/v1/responses", json=wrong, headers=headers),
        client.post("/v1/responses", content=json.dumps(turn)[:-5], headers=headers),
        client.get("/v1/alarms", headers={"authorization": "Bearer candor_guessed-key"}),
        client.post("/v1/labels", json={"assistant": 1, "kind": WORDS}, headers=headers),
    ]
    assert [answer.status_code for answer in answers][:1] == [422]
    engine.dispose()
    shown = everything.text
    for secret in (token, "candor_guessed-key", USER, WORDS, "pseudonym.key"):
        assert secret not in shown
    for answer in answers:
        for secret in (token, "candor_guessed-key", USER):
            assert secret not in answer.text
    assert token not in keys.read_text(), "only hashes are kept"


def test_commands_do_not_print_what_the_environment_holds(candor: Candor) -> None:
    url = f"postgresql://candor:{PASSWORD}@127.0.0.1:1/candor?connect_timeout=2"
    for command in (("doctor",), ("doctor", "--json"), ("db", "upgrade"), ("audit", "verify")):
        ran = candor(*command, database_url=url)
        assert ran.code == 3, ran
        assert PASSWORD not in ran.out + ran.err
