"""Training sources over HTTP: the same acts, scopes and audit log as `candor sources`."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from sqlalchemy import select

from candor_guard.rows import ChatMessage, Provenance, Row, write_rows
from monitor.http.access import Scope, add_key
from monitor.store import reading
from monitor.store.schema import audit_log, training_sources
from retrain.sources import read_source
from tests.monitor.api.conftest import MakeService, Service

FILE = {"content-type": "application/octet-stream"}
TOLD = {"name": "org/dolly", "version": "v1", "licence": "CC-BY-SA-3.0", "by": "ana"}


def rows() -> Iterator[Row]:
    for number in range(3):
        chat = (ChatMessage("user", f"Question {number}?"), ChatMessage("assistant", "It is so."))
        yield Row(messages=chat, provenance=Provenance(source="org/dolly"))


@pytest.fixture(params=["jsonl", "parquet"])
def file(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    path = tmp_path / f"dolly.{request.param}"
    write_rows(path, rows())
    return path


def post(service: Service, body: bytes, headers: dict[str, str] = FILE, **changed: Any) -> Any:
    told = {name: value for name, value in {**TOLD, **changed}.items() if value is not None}
    return service.client.post("/v1/sources", params=told, content=body, headers=headers)


def test_a_file_is_registered_as_the_command_does_it_and_taken_out(
    service: Service, file: Path
) -> None:
    stated = hashlib.sha256(file.read_bytes()).hexdigest()
    made = post(service, file.read_bytes(), digest=stated.upper())
    assert made.status_code == 201, made.text
    assert service.client.get("/v1/sources").json() == {"sources": [made.json()]}
    of_command = read_source(file)
    with reading(service.engine) as connection:
        (kept,) = connection.execute(select(training_sources)).all()
    assert (kept.digest, kept.size_bytes, kept.rows) == (stated, file.stat().st_size, 3)
    assert kept.row_digests == of_command.row_digests
    assert (made.json()["registered_by"], made.json()["rows"]) == ("ana", 3)
    gone = {"name": "org/dolly", "version": "v1", "reason": "licence withdrawn", "by": "bo"}
    assert service.client.delete("/v1/sources", params=gone).json() == {"removed": "org/dolly@v1"}
    assert service.client.delete("/v1/sources", params=gone).status_code == 404
    assert service.client.get("/v1/sources").json() == {"sources": []}
    with reading(service.engine) as connection:
        log = connection.execute(select(audit_log).order_by(audit_log.c.id)).all()
    assert [(one.action, one.by, one.subject) for one in log] == [
        ("source.registered", "ana", "org/dolly@v1"),
        ("source.removed", "bo", "org/dolly@v1"),
    ]


def test_what_cannot_be_registered_is_refused_with_its_reason(
    service: Service, tmp_path: Path
) -> None:
    body = b"".join(msgspec.json.encode(row.to_dict()) + b"\n" for row in rows())
    assert post(service, body).status_code == 201
    for wrong, status, said in (
        (post(service, body), 409, "registered already"),
        (post(service, body, version="v2", digest="0" * 64), 422, "not the stated one"),
        (post(service, b"", version="v2"), 422, "no rows"),
        (post(service, b'{"text": "no row"}', version="v2"), 422, "body:1"),
        (post(service, b"{", version="v2"), 422, "body:1"),
        (post(service, body, version="v2", by=None), 422, "by"),
        (post(service, body, version="v2", licence=None), 422, "licence"),
        (post(service, body, name="a@b"), 422, "apart from the name"),
        (post(service, body, version=" "), 422, "characters"),
        (post(service, body, {"content-type": "application/x-www-form-urlencoded"}), 415, "octet"),
    ):
        assert wrong.status_code == status, wrong.text
        assert said in wrong.text
        assert str(tmp_path) not in wrong.text
    assert len(service.client.get("/v1/sources").json()["sources"]) == 1


def test_an_image_of_a_row_is_never_read_from_this_machine(
    service: Service, tmp_path: Path
) -> None:
    image = tmp_path / "a.png"
    image.write_bytes(b"secret")
    row = {**next(rows()).to_dict(), "image": str(image)}
    body = msgspec.json.encode(row)
    assert post(service, body).status_code == 201
    (tmp_path / "one.jsonl").write_bytes(body)
    on_this_machine = read_source(tmp_path / "one.jsonl").row_digests
    with reading(service.engine) as connection:
        kept = connection.execute(select(training_sources.c.row_digests)).scalar_one()
    assert kept != on_this_machine


def test_reading_needs_read_and_acting_needs_gate(
    make_service: MakeService, tmp_path: Path
) -> None:
    keys = tmp_path / "keys.json"
    made = {
        scope: add_key(keys, name=scope.value, scopes=(scope,), assistants=None)
        for scope in (Scope.READ, Scope.GATE, Scope.INGEST)
    }
    service = make_service(keys_file=keys)
    body = msgspec.json.encode(next(rows()).to_dict())
    gone = {"name": "org/dolly", "version": "v1", "reason": "x"}

    def codes(scope: Scope) -> list[int]:
        key = {"authorization": f"Bearer {made[scope]}"}
        return [
            service.client.get("/v1/sources", headers=key).status_code,
            post(service, body, {**FILE, **key}, by=None).status_code,
            service.client.delete("/v1/sources", params=gone, headers=key).status_code,
        ]

    assert codes(Scope.INGEST) == [403, 403, 403]
    assert codes(Scope.READ) == [200, 403, 403]
    assert codes(Scope.GATE) == [403, 201, 200]
    with reading(service.engine) as connection:
        assert {one.by for one in connection.execute(select(audit_log)).all()} == {"gate"}
