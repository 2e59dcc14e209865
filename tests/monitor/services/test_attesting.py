"""`candor gate attest --register`: which version of an assistant the attested weights are."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer
from sqlalchemy import Connection, select, update
from typer.testing import CliRunner

from candor_guard import RefusedError, attest
from candor_guard.decision import public_key
from candor_guard.stamp import Stamp, write_stamp
from evidence import BadInputError
from evidence.person import person
from monitor.cli import gate
from monitor.services.attesting import register_version
from monitor.services.decisions import record
from monitor.store import open_store
from monitor.store.schema import attested_versions, audit_log, gate_decisions
from retrain.gate import decide
from retrain.policy import Policy
from retrain.signing import generate_keypair, sign
from tests.retrain.gate_values import ASSISTANT, context, report, row

NOW = 1_000_000.0
ROWS = [row(i) for i in range(4)]


class Weights:
    """A stamped folder, and a store that may know its decision."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.model = folder / "model"
        self.model.mkdir()
        (self.model / "model.safetensors").write_bytes(b"weights")
        self.private, self.key = generate_keypair(folder / "gate.pem")
        self.decision = decide(
            ROWS, context(4, at_s=NOW, confirm=report(ROWS, at_s=NOW)), Policy(), now_s=NOW
        )
        self.envelope = sign(self.decision, self.private)
        write_stamp(
            self.model,
            Stamp(
                decision_id=self.decision.decision_id,
                assistant=ASSISTANT,
                subject_digest=self.decision.subject_digest or "",
                key_id=public_key(self.key).keyid,
                overridden=False,
                envelope=self.envelope,
                rows=4,
                released_rows=4,
                steps=2,
                not_checked=(),
                stamped_at_s=NOW,
            ),
        )
        self.url = f"sqlite:///{folder / 'candor.db'}"
        monkeypatch.setenv("CANDOR_DATABASE_URL", self.url)
        monkeypatch.chdir(folder)
        self.engine = open_store(self.url)

    def command(self, *arguments: str) -> Any:
        app = typer.Typer()
        gate.register(app)
        given = ["gate", "attest", str(self.model), "--key", str(self.key), *arguments]
        return CliRunner().invoke(app, given)

    def register(self, connection: Connection, **fields: Any) -> Any:
        wanted = {"assistant": ASSISTANT, "version": "m2", "by": person("ana"), "now_s": NOW}
        return register_version(connection, attest(self.model, self.key), **{**wanted, **fields})


@pytest.fixture
def weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Weights]:
    made = Weights(tmp_path, monkeypatch)
    yield made
    made.engine.dispose()


def test_the_command_registers_what_it_attested(weights: Weights) -> None:
    answer = weights.command("--register", ASSISTANT, "m2", "--by", "ana", "--json")
    assert answer.exit_code == 0, answer.output
    assert json.loads(answer.stdout)["registered"] == [ASSISTANT, "m2"]
    with weights.engine.begin() as connection:
        (kept,) = connection.execute(select(attested_versions))
        (noted,) = connection.execute(select(audit_log))
    assert (kept.assistant, kept.version, kept.attested_by) == (ASSISTANT, "m2", "ana")
    assert kept.decision_id == weights.decision.decision_id
    assert (noted.action, noted.subject) == ("model.attest", ASSISTANT)
    assert "registered: m3" in weights.command("--register", ASSISTANT, "m3", "--by", "ana").stdout


def test_other_weights_are_not_registered(weights: Weights) -> None:
    (weights.model / "model.safetensors").write_bytes(b"other")
    answer = weights.command("--register", ASSISTANT, "m2", "--by", "ana")
    assert isinstance(answer.exception, RefusedError)
    with weights.engine.begin() as connection:
        assert not list(connection.execute(select(attested_versions)))


@pytest.mark.parametrize(
    "fields",
    [{"assistant": "other"}, {"version": " "}, {"version": "a\nb"}, {"version": "v" * 301}],
)
def test_another_assistant_and_no_name_are_refused(
    weights: Weights, fields: dict[str, Any]
) -> None:
    with weights.engine.begin() as connection, pytest.raises(BadInputError):
        weights.register(connection, **fields)


def test_an_assistant_that_is_not_to_be_seen_and_a_revoked_decision_are_refused(
    weights: Weights,
) -> None:
    with weights.engine.begin() as connection:
        with pytest.raises(BadInputError):
            weights.register(connection, sees=lambda _: False)
        record(connection, weights.decision, weights.envelope, released=lambda: ROWS)
        assert weights.register(connection).version == "m2"
        connection.execute(update(gate_decisions).values(revoked_at_s=NOW))
    answer = weights.command("--register", ASSISTANT, "m2", "--by", "ana")
    assert answer.exit_code == 14
