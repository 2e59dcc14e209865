"""`candor gate`: decisions about the store's evidence are recorded; a person may override one, in the open."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import typer
from sqlalchemy import select
from typer.testing import CliRunner

from candor_guard import ANY_ASSISTANT, NOT_CHECKED, load_guarded
from candor_guard.rows import write_rows
from evidence import BadInputError
from monitor.cli import gate
from monitor.http.access import Scope, add_key
from monitor.store import open_store
from monitor.store.schema import audit_log, gate_decisions
from retrain.signing import generate_keypair
from tests.retrain.gate_values import ASSISTANT, row


class Gate:
    """The command on a store of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.private, self.public = generate_keypair(folder / "gate.pem")
        self.rows = folder / "rows.jsonl"
        write_rows(self.rows, [row(i) for i in range(4)])
        self.url = f"sqlite:///{folder / 'candor.db'}"
        self._app = typer.Typer()
        gate.register(self._app)

    def __call__(self, *arguments: str) -> Any:
        return CliRunner().invoke(self._app, ["gate", *arguments])

    def stored(self, table: Any) -> list[Any]:
        engine = open_store(self.url)
        with engine.begin() as connection:
            found = list(connection.execute(select(table)))
        engine.dispose()
        return found

    def held(self) -> str:
        """The id of a decision that does not release: nothing here was measured."""
        answer = self("check", str(self.rows), "--assistant", ASSISTANT, "--json")
        assert answer.exit_code == 11, answer.output
        return str(json.loads(answer.stdout)["decision_id"])

    def override(self, decision_id: str, *more: str) -> Any:
        return self(
            "override", decision_id, "--requested-by", "bo", "--reason", "incident 7", "--hours", "4",
            "--out", str(self.folder / "decision.json"), "--key", str(self.private), "--json", *more,
        )  # fmt: skip


@pytest.fixture
def command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Gate:
    made = Gate(tmp_path)
    monkeypatch.setenv("CANDOR_DATABASE_URL", made.url)
    monkeypatch.chdir(tmp_path)
    open_store(made.url).dispose()
    return made


def test_lineage_leads_from_a_signal_to_decisions_and_back(command: Gate) -> None:
    decision_id = command.held()
    made = json.loads(command.override(decision_id, "--by", "ana").stdout)["decision_id"]
    found = command("lineage", str(command.rows), "--feedback", "f2-u0", "--json")
    (line,) = [json.loads(text) for text in found.stdout.splitlines()]
    assert (line["index"], line["response_id"]) == (2, "r2")
    assert line["digest"] == row(2).digest().hex()
    uses = {use["decision_id"]: use["may_train"] for use in line["decisions"]}
    assert uses == {decision_id: False, made: True}
    trained = command("lineage", str(command.rows), "--decision", made, "--json")
    assert [json.loads(text)["index"] for text in trained.stdout.splitlines()] == [0, 1, 2, 3]
    held = command("lineage", str(command.rows), "--decision", decision_id, "--json")
    assert (held.exit_code, held.stdout) == (0, "")
    assert "does not" in command("lineage", str(command.rows), "--response", "r1").stdout
    write_rows(command.rows, [row(i) for i in range(3)])
    other = command("lineage", str(command.rows), "--decision", made)
    assert isinstance(other.exception, BadInputError)


def test_a_decision_on_the_store_is_recorded_and_can_be_overridden(command: Gate) -> None:
    decision_id = command.held()
    assert [d.decision_id for d in command.stored(gate_decisions)] == [decision_id]
    answer = command.override(decision_id, "--by", "ana")
    assert answer.exit_code == 0, answer.output
    made = json.loads(answer.stdout)
    assert (made["answer"], made["override"]["by"]) == ("hold", "ana")
    guarded = load_guarded(
        command.rows,
        command.folder / "decision.json",
        command.public,
        assistant=ANY_ASSISTANT,
        revoked=NOT_CHECKED,
    )
    assert guarded.decision.overridden
    stored = {d.decision_id: (d.answer, d.overridden_by) for d in command.stored(gate_decisions)}
    assert stored == {decision_id: ("hold", None), made["decision_id"]: ("hold", "ana")}
    assert [e.action for e in command.stored(audit_log)] == ["decision.overridden"]


@pytest.mark.parametrize("more", [(), ("--by", "BO"), ("--by", "ana", "--hours", "1000")])
def test_an_override_without_another_person_or_an_end_is_refused(
    command: Gate, more: tuple[str, ...]
) -> None:
    answer = command.override(command.held(), *more)
    assert isinstance(answer.exception, BadInputError)
    assert not (command.folder / "decision.json").exists()


def test_with_api_keys_the_person_is_the_keys_and_needs_the_scope(
    command: Gate, monkeypatch: pytest.MonkeyPatch
) -> None:
    keys = command.folder / "keys.json"
    reads = add_key(keys, name="eve", scopes=(Scope.GATE,), assistants=None)
    grants = add_key(keys, name="ana", scopes=(Scope.OVERRIDE,), assistants=None)
    monkeypatch.setenv("CANDOR_API_KEYS_FILE", str(keys))
    decision_id = command.held()
    assert isinstance(command.override(decision_id, "--by", "ana").exception, BadInputError)
    file = command.folder / "key"
    for token in ("", "candor_wrong", reads):
        file.write_text(token)
        answer = command.override(decision_id, "--api-key-file", str(file))
        assert isinstance(answer.exception, BadInputError)
    file.write_text(grants + "\n")
    answer = command.override(decision_id, "--api-key-file", str(file))
    assert json.loads(answer.stdout)["override"]["by"] == "ana"
