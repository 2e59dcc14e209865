"""TLS and SASL settings as kafka-python is given them; what does not fit together is said."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar

import pytest

from evidence import BadInputError, UnreachableError
from monitor.ingest import connection as module
from monitor.ingest.options import KafkaOptions


class Refusing:
    """Keeps what the client was given."""

    given: ClassVar[dict[str, Any]] = {}

    def __init__(self, **arguments: Any) -> None:
        Refusing.given = arguments
        raise OSError("nobody there")


@pytest.fixture
def given(monkeypatch: pytest.MonkeyPatch) -> type[Refusing]:
    monkeypatch.setattr(module, "KafkaAdminClient", Refusing)
    return Refusing


def files(folder: Path) -> dict[str, Path]:
    for name in ("ca", "cert", "key"):
        (folder / name).write_text("PEM")
    (folder / "password").write_text("hush\n")
    return {
        "ssl_ca_file": folder / "ca",
        "ssl_cert_file": folder / "cert",
        "ssl_key_file": folder / "key",
    }


def test_every_setting_reaches_the_client(given: type[Refusing], tmp_path: Path) -> None:
    options = KafkaOptions(
        bootstrap_servers="a:1,b:2",
        security_protocol="SASL_SSL",
        sasl_mechanism="SCRAM-SHA-512",
        sasl_username="candor",
        sasl_password_file=tmp_path / "password",
        **files(tmp_path),
    )
    with pytest.raises(UnreachableError) as refused:
        module.connect(options)
    assert "hush" not in str(refused.value)
    assert given.given == {
        "bootstrap_servers": ["a:1", "b:2"],
        "security_protocol": "SASL_SSL",
        "bootstrap_timeout_ms": 5_000,
        "ssl_cafile": str(tmp_path / "ca"),
        "ssl_certfile": str(tmp_path / "cert"),
        "ssl_keyfile": str(tmp_path / "key"),
        "sasl_mechanism": "SCRAM-SHA-512",
        "sasl_plain_username": "candor",
        "sasl_plain_password": "hush",
    }


@pytest.mark.parametrize(
    ("changes", "setting"),
    [
        ({"ssl_key_file": None}, "kafka.ssl_cert_file"),
        ({"ssl_ca_file": Path("/nowhere/ca")}, "kafka.ssl_ca_file"),
        ({"sasl_password_file": Path("/nowhere/p")}, "kafka.sasl_password_file"),
        ({"sasl_username": None}, "kafka.security_protocol"),
    ],
)
def test_what_does_not_fit_is_bad_input(
    given: type[Refusing], tmp_path: Path, changes: dict[str, Any], setting: str
) -> None:
    options = KafkaOptions(
        bootstrap_servers="a:1",
        security_protocol="SASL_SSL",
        sasl_mechanism="PLAIN",
        sasl_username="candor",
        sasl_password_file=tmp_path / "password",
        **files(tmp_path),
    ).model_copy(update=changes)
    with pytest.raises(BadInputError, match=setting.replace(".", r"\.")):
        module.connect(options)
