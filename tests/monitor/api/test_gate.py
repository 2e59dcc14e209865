"""The gate over HTTP: rows asked about, overridden by another person, revoked; releases to read."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient
from prometheus_client import CollectorRegistry
from sqlalchemy import Engine, select

from candor_guard import ANY_ASSISTANT, NOT_CHECKED, RefusedError, load_guarded
from candor_guard.rows import Row
from evidence import VerdictKind
from monitor.api.app import create_app
from monitor.api.context import Context
from monitor.api.state import StateReader
from monitor.http.access import Access, Scope, add_key
from monitor.launch.options import RetrainOptions
from monitor.services import decisions
from monitor.settings import ApiOptions, Settings
from monitor.store import audit, gate_queues, reading
from monitor.store.labels import Label, put_label
from monitor.store.outbox import GATES_TOPIC
from monitor.store.schema import audit_log, gate_decisions, outbox, responses
from retrain.gate import decide
from retrain.policy import Policy
from retrain.signing import generate_keypair, sign
from tests.monitor.api.conftest import KEY, NOW_S
from tests.retrain.gate_values import ASSISTANT, context, report, row

ROWS = [row(i) for i in range(6)]


@pytest.fixture
def keypair(tmp_path: Path) -> tuple[Path, Path]:
    return generate_keypair(tmp_path / "gate.pem")


@pytest.fixture
def client(engine: Engine, keypair: tuple[Path, Path]) -> TestClient:
    return _client(engine, keypair[0])


def _client(engine: Engine, key: Path | None, keys_file: Path | None = None) -> TestClient:
    settings = Settings(
        retrain=RetrainOptions(signing_key_file=key), api=ApiOptions(keys_file=keys_file)
    )
    made = Context(
        engine=engine,
        settings=settings,
        registry=CollectorRegistry(),
        state=StateReader(engine, settings.telemetry, clock=lambda: NOW_S),
        clock=lambda: NOW_S,
        access=Access(keys_file),
        pseudonym_key=KEY,
        broker_problem=lambda: None,
    )
    return TestClient(create_app(made), base_url="http://127.0.0.1", raise_server_exceptions=False)


def _override(client: TestClient, decision_id: str, **changed: Any) -> Any:
    body = {
        "by": "ana",
        "requested_by": "bo",
        "reason": "incident 7",
        "expires_at": "2025-10-10T08:00:00Z",
        **changed,
    }
    return client.post(f"/v1/gate/decisions/{decision_id}/override", json=body)


def _asked(client: TestClient, rows: list[Row] = ROWS) -> dict[str, Any]:
    answer = client.post(
        "/v1/gate/check", json={"assistant": ASSISTANT, "rows": [r.to_dict() for r in rows]}
    )
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


def test_rows_nobody_measured_are_not_released(client: TestClient, engine: Engine) -> None:
    found = _asked(client)
    assert (found["answer"], found["subject_digest"]) == ("hold", None)
    assert found["removed_by_reason"] == {"unknown_response": 6}
    assert found["good_rows_lost"] == 6.0
    with reading(engine) as connection:
        assert connection.execute(select(gate_decisions.c.answer)).scalars().all() == ["hold"]
        topics = connection.execute(select(outbox.c.topic)).scalars().all()
    assert topics == [GATES_TOPIC]


def test_a_row_no_trainer_reads_is_refused(client: TestClient) -> None:
    wrong = {"assistant": ASSISTANT, "rows": [{"prompt": "x"}]}
    assert client.post("/v1/gate/check", json=wrong).status_code == 422


def test_an_override_is_signed_announced_audited_and_never_allow(
    client: TestClient, engine: Engine, keypair: tuple[Path, Path], tmp_path: Path
) -> None:
    asked = _asked(client)
    answer = _override(client, asked["decision_id"])
    assert answer.status_code == 201, answer.text
    made = answer.json()
    assert (made["answer"], made["overridden_by"]) == ("hold", "ana")
    assert made["decision_id"] != asked["decision_id"]
    file = tmp_path / "decision.json"
    file.write_text(json.dumps(made["envelope"]))
    guarded = load_guarded(
        ROWS, file, keypair[1], assistant=ANY_ASSISTANT, revoked=NOT_CHECKED, clock=lambda: NOW_S
    )
    assert guarded.decision.overridden
    assert list(guarded) == ROWS
    with pytest.raises(RefusedError, match="expired"):
        load_guarded(
            ROWS,
            file,
            keypair[1],
            assistant=ANY_ASSISTANT,
            revoked=NOT_CHECKED,
            clock=lambda: NOW_S + 86_400,
        )
    with reading(engine) as connection:
        events = [d.event for d in gate_queues.due_deliveries(connection, now_s=NOW_S, limit=9)]
        entry = connection.execute(
            select(audit_log).where(audit_log.c.action == "decision.overridden")
        ).one()
        assert audit.verify(connection).ok
        assert gate_queues.waiting_reviews(connection, assistants=None, limit=9) == []
    assert events == ["decided", "overridden"]
    details = json.loads(entry.details)
    assert (entry.by, details["requested_by"], details["answer"]) == ("ana", "bo", "hold")
    shown = client.get("/v1/decisions", params={"assistant": ASSISTANT}).json()["decisions"]
    assert sorted((d["answer"], d["overridden_by"]) for d in shown if d["overridden_by"]) == [
        ("hold", "ana")
    ]


@pytest.mark.parametrize(
    ("changed", "status"),
    [
        ({"requested_by": "Ana"}, 422),
        ({"reason": ""}, 422),
        ({"by": None}, 422),
        ({"expires_at": "2025-10-01T08:00:00Z"}, 422),
        ({"expires_at": "2026-10-10T08:00:00Z"}, 422),
        ({"expires_at": "2025-10-10T08:00:00"}, 422),
    ],
)
def test_an_override_that_is_not_one(
    client: TestClient, changed: dict[str, Any], status: int
) -> None:
    assert _override(client, _asked(client)["decision_id"], **changed).status_code == status


def test_an_override_needs_its_scope_and_a_signing_key(
    engine: Engine, keypair: tuple[Path, Path], tmp_path: Path
) -> None:
    keys = tmp_path / "keys.json"
    asks = add_key(keys, name="bo", scopes=(Scope.GATE,), assistants=None)
    grants = add_key(keys, name="ana", scopes=(Scope.OVERRIDE,), assistants=None)
    other = add_key(keys, name="eve", scopes=(Scope.OVERRIDE,), assistants=("other",))
    client = _client(engine, keypair[0], keys)
    client.headers["Authorization"] = f"Bearer {asks}"
    decision_id = _asked(client)["decision_id"]
    assert _override(client, decision_id, by=None).status_code == 403
    client.headers["Authorization"] = f"Bearer {other}"
    assert _override(client, decision_id, by=None).status_code == 404
    client.headers["Authorization"] = f"Bearer {grants}"
    assert _override(client, decision_id, by=None, requested_by="ana").status_code == 422
    assert _override(client, decision_id, by=None).json()["overridden_by"] == "ana"
    unsigned = _client(engine, None, keys)
    unsigned.headers["Authorization"] = f"Bearer {grants}"
    assert _override(unsigned, decision_id, by=None).status_code == 409


def test_a_revoked_decision_is_listed_and_cannot_be_overridden(
    client: TestClient, engine: Engine
) -> None:
    decision_id = _asked(client)["decision_id"]
    step = {"by": "ana", "reason": "the judge was broken"}
    assert client.post("/v1/gate/decisions/none/revoke", json=step).status_code == 404
    for _ in range(2):
        answer = client.post(f"/v1/gate/decisions/{decision_id}/revoke", json=step)
        assert answer.status_code == 200
    assert client.get("/v1/gate/revoked").json() == [decision_id]
    assert _override(client, decision_id).status_code == 422
    with reading(engine) as connection:
        events = [d.event for d in gate_queues.due_deliveries(connection, now_s=NOW_S, limit=9)]
    assert events == ["decided", "revoked"]


def test_what_overrides_a_revoked_decision_is_revoked_with_it_and_not_the_other_way_round(
    client: TestClient, engine: Engine
) -> None:
    first, second = (_asked(client, rows)["decision_id"] for rows in (ROWS, ROWS[:-1]))
    one, two = (_override(client, name).json()["decision_id"] for name in (first, second))
    step = {"by": "ana", "reason": "the judge was broken"}
    for name in (first, two):
        assert client.post(f"/v1/gate/decisions/{name}/revoke", json=step).status_code == 200
    assert client.get("/v1/gate/revoked").json() == sorted({first, one, two})
    with reading(engine) as connection:
        events = [d.event for d in gate_queues.due_deliveries(connection, now_s=NOW_S, limit=9)]
        entry = connection.execute(
            select(audit_log.c.details).where(audit_log.c.subject == first)
        ).scalar_one()
    assert events.count("revoked") == 3
    assert json.loads(entry)["overrides"] == [one]


def test_a_hundred_random_rows_of_a_release_wait_for_a_person(
    client: TestClient, engine: Engine, keypair: tuple[Path, Path]
) -> None:
    rows = [row(i) for i in range(250)]
    made = decide(
        rows,
        context(250, rows=rows, at_s=NOW_S, confirm=report(rows, at_s=NOW_S)),
        Policy(),
        now_s=NOW_S,
    )
    assert made.answer.value == "allow"
    with engine.begin() as connection:
        assert decisions.record(connection, made, sign(made, keypair[0]), released=lambda: rows)
        assert not decisions.record(connection, made, sign(made, keypair[0]), released=lambda: rows)
    waiting = client.get("/v1/gate/review", params={"assistant": ASSISTANT, "limit": 1000}).json()
    digests = [item["row_digest"] for item in waiting["rows"]]
    assert len(set(digests)) == 100
    assert set(digests) <= {r.digest().hex() for r in rows}
    assert {item["inclusion_probability"] for item in waiting["rows"]} == {0.4}

    first = waiting["rows"][0]["response_id"]
    _accept(engine, first)
    label = Label(
        assistant=ASSISTANT, response_id=first, labeller="ana", kind=VerdictKind.HONEST,
        inclusion_probability=0.4, at_s=NOW_S,
    )  # fmt: skip
    with engine.begin() as connection:
        put_label(connection, label, by="ana")
    left = client.get("/v1/gate/review", params={"limit": 1000}).json()["rows"]
    assert len(left) == 99
    assert first not in {item["response_id"] for item in left}


def _accept(engine: Engine, response_id: str) -> None:
    texts = (
        "stratum",
        "segment",
        "stakes",
        "model",
        "conversation_id",
        "rater",
        "cluster_id",
        "topic",
    )
    numbers = (
        "created_at_s",
        "received_at_s",
        "u",
        "pi_arrival",
        "pi_feedback",
        "partition",
        "offset",
    )
    values: dict[str, Any] = dict.fromkeys(texts, "x") | dict.fromkeys(numbers, 0)
    with engine.begin() as connection:
        connection.execute(
            responses.insert().values(assistant=ASSISTANT, response_id=response_id, **values)
        )
