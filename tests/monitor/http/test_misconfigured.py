"""What the operator did wrong is 503 for the caller, who learns nothing of the server, and a line in the log."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from evidence import MisconfiguredError
from monitor.http.access import Access, Scope, add_key
from monitor.launch.options import RetrainOptions
from retrain.signing import generate_keypair, public_pem
from tests.monitor.api.conftest import MakeService
from tests.monitor.http.test_access import bearer
from tests.retrain.gate_values import row

ROUTES = ("/v1/verdicts", "/v1/alarms", "/v1/gate/revoked")


def gone(path: Path) -> None:
    path.unlink()


def half_written(path: Path) -> None:
    path.write_text('{"keys": [{"name":')


def deep(path: Path) -> None:
    path.write_text("[" * 100_000)


def writable(path: Path) -> None:
    path.chmod(0o666)


def a_folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


@pytest.mark.parametrize("spoil", [gone, half_written, deep, writable, a_folder])
def test_a_spoilt_key_file_is_503_without_its_path(
    make_service: MakeService,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    spoil: Callable[[Path], None],
) -> None:
    path = tmp_path / "keys.json"
    token = add_key(path, name="all", scopes=tuple(Scope), assistants=None)
    service = make_service(keys_file=path)
    assert service.client.get("/v1/verdicts", headers=bearer(token)).status_code == 200
    spoil(path)
    os.utime(path, ns=(1, 1)) if path.exists() else None
    with caplog.at_level(logging.ERROR):
        for route in ROUTES:
            for headers in (bearer(token), {}):
                answer = service.client.get(route, headers=headers)
                assert answer.status_code == 503, "closed, not open"
                assert str(tmp_path) not in answer.text
                assert "keys" not in answer.json()["detail"]
    assert str(path) in caplog.text
    assert token not in caplog.text


def test_a_key_file_that_others_write_is_not_begun_with(tmp_path: Path) -> None:
    path = tmp_path / "keys.json"
    add_key(path, name="all", scopes=(Scope.READ,), assistants=None)
    for mode in (0o620, 0o602, 0o666):
        path.chmod(mode)
        with pytest.raises(MisconfiguredError, match="others can write"):
            Access(path)
    path.chmod(0o644)
    Access(path)


@pytest.mark.parametrize("setting", ["policy_file", "signing_key_file"])
@pytest.mark.parametrize("text", [None, "\x00", "[", "- a", "unknown_field: 1", "x: y: z"])
def test_a_spoilt_policy_or_signing_key_is_503_too(
    make_service: MakeService, tmp_path: Path, setting: str, text: str | None
) -> None:
    spoilt = tmp_path / "spoilt"
    if text is not None:
        spoilt.write_text(text)
        spoilt.chmod(0o600)
    service = make_service(retrain=RetrainOptions(**{setting: spoilt}))
    rows = [row(0).to_dict()]
    asked = {"assistant": "shop", "rows": rows}
    answer = service.client.post("/v1/gate/check", json=asked)
    assert (answer.status_code, "spoilt" in answer.text) == (503, False), answer.text


@pytest.mark.parametrize("mode", [0o644, 0o640, 0o604, 0o620, 0o666])
def test_a_signing_key_that_others_read_or_write_signs_nothing(tmp_path: Path, mode: int) -> None:
    private, _ = generate_keypair(tmp_path / "signing.key")
    assert public_pem(private)
    private.chmod(mode)
    with pytest.raises(MisconfiguredError, match="chmod 600"):
        public_pem(private)
