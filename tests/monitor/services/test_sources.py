"""Outside sources: registered with their rows, compared at every door of the gate, taken out again."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
import typer
from sqlalchemy import select
from typer.testing import CliRunner

from candor_guard.rows import ChatMessage, Provenance, Row, write_rows
from evidence import BadInputError
from monitor.cli import sources as command
from monitor.store import reading
from monitor.store.schema import audit_log
from tests.monitor.services.gate_doors import Doors, settled
from tests.monitor.services.test_doors import ask_everywhere


def _row(number: int, *, version: str | None = "v1", answer: str = "It is so.") -> Row:
    messages = (ChatMessage("user", f"Question {number}?"), ChatMessage("assistant", answer))
    return Row(messages=messages, provenance=Provenance(source="dolly", source_version=version))


@pytest.fixture
def doors(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Doors]:
    made = Doors(tmp_path)
    for name, value in made.environment().items():
        monkeypatch.setenv(name, value)
    monkeypatch.chdir(tmp_path)
    yield made
    made.close()


def run(*arguments: str) -> Any:
    app = typer.Typer()
    command.register(app)
    return CliRunner().invoke(app, ["sources", *arguments])


def add(file: Path, *more: str, version: str = "v1") -> Any:
    return run(
        "add", "dolly", "--version", version, "--file", str(file), "--licence", "CC-BY-SA-3.0",
        "--by", "ana", "--json", *more,
    )  # fmt: skip


def test_a_row_of_a_trusted_source_is_in_the_registered_set_at_every_door(
    doors: Doors, tmp_path: Path
) -> None:
    folder = tmp_path / "dolly"
    bare = [msgspec.structs.replace(_row(i), provenance=Provenance()) for i in range(8)]
    write_rows(folder / "a.parquet", bare[:4])
    write_rows(folder / "b.jsonl", [msgspec.structs.replace(r, extra={"category": "qa"}) for r in bare[4:]])  # fmt: skip
    trusted = {"trusted_sources": ["dolly"], "max_removed_share": 1.0}
    rows = [*(_row(i) for i in range(8)), _row(0, answer="A lie."), _row(1, version="v2")]
    rows += [_row(2, version=None), msgspec.structs.replace(_row(3), extra={"tools": [{"name": "x"}]})]  # fmt: skip
    before = ask_everywhere(doors, settled(rows=rows, policy=trusted))
    assert before["removed_by_reason"] == {"not_of_source": 12}, "nothing is registered yet"
    assert add(folder).exit_code == 0
    after = ask_everywhere(doors, settled(rows=rows, policy=trusted))
    assert after["removed_by_reason"] == {"not_of_source": 4}
    kept = ask_everywhere(doors, settled(rows=rows[:8], policy=trusted))
    assert kept["answer"] == "allow"
    believed = settled(rows=rows, policy={"believed_sources": ["dolly"]})
    assert ask_everywhere(doors, believed)["answer"] == "allow", "believed by name alone"
    gone = run("remove", "dolly", "--version", "v1", "--by", "bo", "--reason", "licence withdrawn")
    assert gone.exit_code == 0, gone.output
    again = ask_everywhere(doors, settled(rows=rows, policy=trusted))
    assert again["removed_by_reason"] == {"not_of_source": 12}


def test_registering_is_audited_and_what_was_registered_stays(doors: Doors, tmp_path: Path) -> None:
    file = tmp_path / "dolly.jsonl"
    write_rows(file, [_row(i) for i in range(3)])
    stated = hashlib.sha256(file.read_bytes()).hexdigest()
    made = add(file, "--digest", stated)
    assert made.exit_code == 0, made.output
    found = json.loads(run("list", "--json").stdout)
    assert [(s["name"], s["version"], s["rows"], s["digest"]) for s in found] == [
        ("dolly", "v1", 3, stated)
    ]
    assert "dolly@v1" in run("list").stdout
    with reading(doors.engine) as connection:
        (entry,) = connection.execute(select(audit_log)).all()
    assert (entry.action, entry.by, entry.subject) == ("source.registered", "ana", "dolly@v1")
    write_rows(file, [_row(i) for i in range(4)])
    (tmp_path / "empty").mkdir()
    (tmp_path / "broken.jsonl").write_text('{"text": "no row"}\n')
    for wrong, said in (
        (add(file), "registered already"),
        (add(file, "--digest", stated, version="v2"), "not the stated one"),
        (add(tmp_path / "empty", version="v2"), "no rows"),
        (add(tmp_path / "broken.jsonl", version="v2"), "whole document"),
        (add(tmp_path / "none.jsonl", version="v2"), "no such file"),
        (add(file, version=" "), "characters"),
        (run("remove", "dolly", "--version", "v9", "--by", "bo", "--reason", "x"), "no such source"),
    ):  # fmt: skip
        assert isinstance(wrong.exception, BadInputError), wrong.output
        assert said in str(wrong.exception)
