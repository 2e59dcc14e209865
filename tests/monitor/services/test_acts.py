"""Who acts is compared once, at every door: override, revoke, alarms, references, runs."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer
from fastapi.testclient import TestClient
from prometheus_client import CollectorRegistry
from sqlalchemy import Engine, select
from typer.testing import CliRunner

from candor_guard.rows import write_rows
from evidence import Alarm, AlarmSubject, BadInputError
from monitor.api.app import create_app
from monitor.api.context import Context
from monitor.api.state import StateReader
from monitor.cli import alarms, gate, references, retrain
from monitor.http.access import Access, Scope, add_key
from monitor.launch.options import RetrainOptions
from monitor.settings import ApiOptions, DatabaseOptions, Settings
from monitor.store import confirm_runs, detectors, open_store, reading
from monitor.store.schema import alarm_events, audit_log
from retrain.signing import generate_keypair
from tests.monitor.api.conftest import KEY
from tests.retrain.gate_values import ASSISTANT, row

NOW_S = 1_760_000_000.0
REQUESTERS = [
    "bo",
    "Bo ",
    "BO",
    "\uff42o",
    "\u042c\u043e",
    "b\u043e",
    "ana",
    "\u0430na",
    "ANA\u200b",
]
"""Names of the person who acts, or of their key, as a requester might write them."""


class Office:
    """The doors at which people act, with API keys in use: `ana` may override, `eve` only read."""

    def __init__(self, folder: Path) -> None:
        self.url = f"sqlite:///{folder / 'candor.db'}"
        self.engine: Engine = open_store(self.url)
        self.folder = folder
        self.private, _ = generate_keypair(folder / "gate.pem")
        keys = folder / "keys.json"
        every = (Scope.OVERRIDE, Scope.GATE, Scope.REVIEW, Scope.READ)
        self.tokens = {
            "ana": add_key(keys, name="ana", scopes=every, assistants=None),
            "eve": add_key(keys, name="eve", scopes=(Scope.READ,), assistants=None),
            "other": add_key(keys, name="other", scopes=every, assistants=("other",)),
        }
        for name, token in self.tokens.items():
            (folder / f"{name}.key").write_text(token)
        settings = Settings(
            database=DatabaseOptions(url=self.url),
            retrain=RetrainOptions(signing_key_file=self.private),
            api=ApiOptions(keys_file=keys),
        )
        context = Context(
            engine=self.engine, settings=settings, registry=CollectorRegistry(),
            state=StateReader(self.engine, settings.telemetry, clock=lambda: NOW_S),
            clock=lambda: NOW_S, access=Access(keys), pseudonym_key=KEY, broker_problem=lambda: None,
        )  # fmt: skip
        self.client = TestClient(create_app(context), base_url="http://127.0.0.1")
        self._app = typer.Typer()
        for family in (gate, alarms, references, retrain):
            family.register(self._app)
        self.environment = {
            "CANDOR_DATABASE_URL": self.url,
            "CANDOR_RETRAIN_SIGNING_KEY_FILE": str(self.private),
            "CANDOR_API_KEYS_FILE": str(keys),
        }

    def command(self, *arguments: str, key: str | None = "ana") -> Any:
        shown = () if key is None else ("--api-key-file", str(self.folder / f"{key}.key"))
        return CliRunner().invoke(self._app, [*arguments, *shown])

    def post(self, path: str, body: dict[str, Any], key: str = "ana") -> Any:
        headers = {"Authorization": f"Bearer {self.tokens[key]}"}
        return self.client.post(path, json=body, headers=headers)

    def held_decision(self) -> str:
        rows = [row(i) for i in range(3)]
        answer = self.post(
            "/v1/gate/check", {"assistant": ASSISTANT, "rows": [r.to_dict() for r in rows]}
        )
        return str(answer.json()["decision_id"])

    def open_alarm(
        self, alarm_id: str = "3f0a11", scope: str = f"{ASSISTANT}/other/normal"
    ) -> None:
        alarm = Alarm(
            alarm_id=alarm_id, subject=AlarmSubject.STRATUM, scope=scope, metric="lie", claim="rose",
            opened_at_s=1.0, log_position=1, n=1, log_evidence=9.0, log_threshold=8.0,
        )  # fmt: skip
        with self.engine.begin() as connection:
            detectors.latch(connection, [alarm], by="detection", topic=None, now_s=1.0)

    def stored(self, table: Any) -> list[Any]:
        with reading(self.engine) as connection:
            return list(connection.execute(select(table)))


@pytest.fixture
def office(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Office]:
    made = Office(tmp_path)
    for name, value in made.environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.chdir(tmp_path)
    yield made
    made.engine.dispose()


@pytest.mark.parametrize("requester", REQUESTERS)
def test_who_asked_does_not_override_at_any_door(office: Office, requester: str) -> None:
    decision = office.held_decision()
    arguments = [
        "gate", "override", decision, "--by", "bo", f"--requested-by={requester}", "--reason", "x",
        "--hours", "1", "--out", str(office.folder / "d.json"),
    ]  # fmt: skip
    assert isinstance(office.command(*arguments).exception, BadInputError)
    body = {
        "by": "bo", "requested_by": requester, "reason": "x", "expires_at": "2025-10-10T00:00:00Z",
    }  # fmt: skip
    assert office.post(f"/v1/gate/decisions/{decision}/override", body).status_code == 422
    assert not [e for e in office.stored(audit_log) if e.action == "decision.overridden"]


def test_an_override_names_the_person_and_the_key(office: Office) -> None:
    decision = office.held_decision()
    body = {
        "by": "bo", "requested_by": "cy", "reason": "x", "expires_at": "2025-10-10T00:00:00Z",
    }  # fmt: skip
    made = office.post(f"/v1/gate/decisions/{decision}/override", body)
    assert made.json()["overridden_by"] == "bo via ana"


@pytest.mark.parametrize(
    "arguments",
    [
        ("gate", "revoke", "DECISION", "--reason", "x"),
        ("alarms", "acknowledge", "3f0a11", "--reason", "x"),
        ("alarms", "confirm", "3f0a11", "--reason", "x"),
        ("alarms", "refute", "3f0a11", "--reason", "x"),
        ("reference", "move", f"{ASSISTANT}/other/normal", "--value", "lie=0.1", "--reason", "x"),
        ("retrain", "runs", "start", "--assistant", ASSISTANT, "--reason", "x"),
        ("retrain", "runs", "approve", "run-1", "--reason", "x"),
        ("retrain", "runs", "cancel", "run-1", "--reason", "x"),
    ],
)
def test_where_keys_are_in_use_every_act_needs_one_with_its_scope(
    office: Office, arguments: tuple[str, ...]
) -> None:
    decision = office.held_decision()
    office.open_alarm()
    arguments = tuple(a.replace("DECISION", decision) for a in arguments)
    before = len(office.stored(audit_log))
    for key in (None, "eve", "other"):
        done = office.command(*arguments, "--by", "ana", key=key)
        assert isinstance(done.exception, BadInputError), (key, done.output)
    assert len(office.stored(audit_log)) == before


def test_a_step_is_signed_by_the_key_and_an_acknowledged_alarm_stays_so(office: Office) -> None:
    office.open_alarm()
    for _ in range(2):
        done = office.command("alarms", "acknowledge", "3f0a11", "--by", "bo", "--reason", "x")
        assert done.exit_code == 0, done.exception
        assert office.post("/v1/alarms/3f0a11/acknowledge", {"reason": "x"}).status_code == 200
    assert [e.by for e in office.stored(alarm_events)] == ["detection", "bo via ana"]


def test_an_alarm_is_found_by_how_its_id_begins(office: Office) -> None:
    office.open_alarm("3f0a11" + "0" * 26)
    office.open_alarm("3fbb22" + "0" * 26)
    listed = office.command("alarms", "list", key=None)
    assert "3f0a11" + "0" * 26 in listed.stdout
    shown = office.command("alarms", "show", "3f0a", "--json", key=None)
    assert json.loads(shown.stdout)["alarm"]["alarm_id"] == "3f0a11" + "0" * 26
    for wrong in ("3f", "4", "", "%"):
        done = office.command("alarms", "show", wrong, key=None)
        assert isinstance(done.exception, BadInputError), wrong


def test_a_proposed_run_is_approved_or_cancelled_by_a_person(office: Office) -> None:
    with office.engine.begin() as connection:
        for name in ("run-1", "run-2"):
            confirm_runs.add_run(
                connection, name, ASSISTANT, alarm_id=name, state=confirm_runs.PROPOSED, now_s=1.0
            )
    approved = office.post("/v1/gate/runs/run-1/approve", {"reason": "look"})
    assert approved.json()["state"] == "waiting"
    assert office.post("/v1/gate/runs/run-1/approve", {"reason": "look"}).status_code == 409
    assert office.post("/v1/gate/runs/none/approve", {"reason": "look"}).status_code == 404
    assert office.post("/v1/gate/runs/run-2/cancel", {"reason": "no"}, "other").status_code == 404
    done = office.command("retrain", "runs", "cancel", "run-2", "--reason", "no", "--json")
    assert json.loads(done.stdout)["state"] == "cancelled"
    listed = office.command("retrain", "runs", "list", "--json", key=None)
    assert {r["run_id"]: r["state"] for r in json.loads(listed.stdout)} == {
        "run-1": "waiting",
        "run-2": "cancelled",
    }
    acts = [(e.action, e.by) for e in office.stored(audit_log)]
    assert acts == [("run.approved", "ana"), ("run.cancelled", "ana")]


def test_a_run_is_asked_for_as_of_now(office: Office) -> None:
    office.held_decision()
    body = {"assistant": ASSISTANT, "reason": "before the retrain"}
    made = office.post("/v1/gate/runs", body)
    assert (made.status_code, made.json()["state"]) == (201, "waiting")
    assert made.json()["requested_at"].startswith("2025-10-09T08:53:20")
    assert office.post("/v1/gate/runs", {**body, "assistant": "typo"}).status_code == 422


def test_collecting_for_nobody_is_an_error(office: Office) -> None:
    out = office.folder / "rows.jsonl"
    for assistant in ("typo", ASSISTANT):
        done = office.command(
            "retrain", "collect", "--assistant", assistant, "--out", str(out), key=None
        )
        assert isinstance(done.exception, BadInputError)
        assert not out.exists()


@pytest.mark.parametrize(
    "arguments",
    [
        ("alarms", "list"), ("alarms", "show", "x"), ("reference", "show"), ("gate", "revoked"),
        ("retrain", "runs", "list"), ("retrain", "collect", "--assistant", "a", "--out", "r.jsonl"),
        ("gate", "check", "rows.jsonl", "--assistant", "a"),
    ],
)  # fmt: skip
def test_a_mistyped_database_is_an_error_and_is_not_made(
    office: Office, monkeypatch: pytest.MonkeyPatch, arguments: tuple[str, ...]
) -> None:
    write_rows(office.folder / "rows.jsonl", [row(0)])
    monkeypatch.setenv("CANDOR_DATABASE_URL", f"sqlite:///{office.folder}/no/such.db")
    done = office.command(*arguments, key=None)
    assert isinstance(done.exception, BadInputError), done.output
    assert not (office.folder / "no").exists()
