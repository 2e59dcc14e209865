"""Operations through the command: exit codes, JSON, and one clear line on failure."""

from __future__ import annotations

import sqlite3
import stat
from pathlib import Path

import pytest

from evidence import pseudonym
from monitor.http.access import read_keys
from tests.monitor.cli.conftest import Candor, Ran


def failed(ran: Ran, code: int) -> str:
    """The one line on stderr of a failed command."""
    assert ran.code == code, ran
    lines = ran.err.strip().splitlines()
    assert len(lines) == 1, ran.err
    assert lines[0].startswith("candor: ")
    assert "Traceback" not in ran.err
    return lines[0]


def test_db_upgrade(candor: Candor) -> None:
    first = candor("db", "upgrade", "--json")
    assert first.code == 0, first.err
    assert first.json["before"] is None
    again = candor("db", "upgrade", "--json")
    assert again.json == {"before": first.json["after"], "after": first.json["after"]}
    assert (candor.folder / "var/candor.db").exists()


def test_an_unreachable_database_is_exit_3(candor: Candor) -> None:
    url = "postgresql://nobody:hush@127.0.0.1:1/none"
    line = failed(candor("db", "upgrade", database_url=url), 3)
    assert "unreachable" in line
    assert "hush" not in line, "a password is never shown"


@pytest.mark.parametrize("url", ["nonsense", "mysql://x/y", "sqlite://"])
def test_a_wrong_database_is_exit_2(candor: Candor, url: str) -> None:
    assert "database.url" in failed(candor("db", "upgrade", database_url=url), 2)


def test_wrong_settings_are_exit_2_and_name_the_setting(candor: Candor) -> None:
    assert "api.port" in failed(candor("db", "upgrade", api_port="many"), 2)
    assert "kafka.nonsense" in failed(candor("db", "upgrade", kafka_nonsense="x"), 2)
    (candor.folder / "candor.toml").write_text("[api\n")
    failed(candor("db", "upgrade"), 2)


@pytest.mark.parametrize("kind", ["pseudonym", "sampling"])
def test_secret_keys(candor: Candor, kind: str) -> None:
    made = candor("keys", "create", kind, "--out", "secrets/k.key", "--json")
    assert made.code == 0, made.err
    path = candor.folder / "secrets/k.key"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert made.json["setting"] == f"CANDOR_{kind.upper()}_KEY_FILE=secrets/k.key"
    before = path.read_bytes()
    assert "exists" in failed(candor("keys", "create", kind, "--out", "secrets/k.key"), 2)
    assert path.read_bytes() == before


def test_signing_key(candor: Candor) -> None:
    made = candor("keys", "create", "signing", "--json")
    assert made.code == 0, made.err
    private = candor.folder / made.json["private key"]
    assert "PRIVATE" in private.read_text()
    assert stat.S_IMODE(private.stat().st_mode) == 0o600
    assert "PUBLIC KEY" in (candor.folder / made.json["public key"]).read_text()


def test_api_keys(candor: Candor) -> None:
    arguments = ["--name", "ci", "--scope", "ingest", "--scope", "read", "--assistant", "shop"]
    made = candor("keys", "create", "api", *arguments, "--json")
    assert made.code == 0, made.err
    (key,) = read_keys(candor.folder / made.json["file"]).keys
    assert (key.name, key.scopes, key.assistants) == ("ci", ("ingest", "read"), ("shop",))
    assert made.json["key"] not in (candor.folder / made.json["file"]).read_text()
    assert "ingest, read" in failed(
        candor("keys", "create", "api", "--name", "x", "--scope", "everything"), 2
    )
    failed(candor("keys", "create", "api", "--scope", "read"), 2)
    failed(candor("keys", "create", "sampling", "--name", "x"), 2)


def test_forget_leaves_a_tombstone(candor: Candor) -> None:
    candor("db", "upgrade")
    done = candor("forget", "alice", "--json")
    assert done.code == 0, done.err
    key = (candor.folder / "var/pseudonym.key").read_bytes().strip()
    assert done.json["rater"] == pseudonym("alice", key)
    with sqlite3.connect(candor.folder / "var/candor.db") as database:
        assert database.execute("SELECT rater FROM tombstones").fetchall() == [
            (done.json["rater"],)
        ]


def test_audit_verify(candor: Candor) -> None:
    candor("db", "upgrade")
    candor("forget", "alice")
    good = candor("audit", "verify", "--json")
    assert (good.code, good.json["ok"], good.json["entries"]) == (0, True, 1)
    head = good.json["head"]
    candor("forget", "bob")
    assert candor("audit", "verify", "--head", head).code == 0
    database = sqlite3.connect(candor.folder / "var/candor.db")
    with database:
        database.execute("UPDATE audit_log SET by = 'eve' WHERE id = 1")
    assert "changed" in failed(candor("audit", "verify"), 2)
    with database:
        database.execute("DELETE FROM audit_log")
    cut = candor("audit", "verify", "--head", head, "--json")
    assert (cut.code, cut.json["ok"]) == (2, False)
    assert "cut off" in cut.err


def test_worker_needs_a_shared_broker(candor: Candor) -> None:
    assert "kafka.bootstrap_servers" in failed(candor("worker"), 2)


def test_worker_beyond_sqlite_needs_key_files(candor: Candor) -> None:
    line = failed(
        candor(
            "worker", kafka_bootstrap_servers="127.0.0.1:1", database_url="postgresql://h/candor"
        ),
        2,
    )
    assert "pseudonym.key_file" in line


def test_worker_without_its_broker_is_exit_3(candor: Candor) -> None:
    keys = {}
    for name in ("pseudonym", "sampling"):
        candor("keys", "create", name, "--out", f"{name}.key")
        keys[f"{name}_key_file"] = f"{name}.key"
    line = failed(candor("worker", kafka_bootstrap_servers="127.0.0.1:1", **keys), 3)
    assert "Kafka is unreachable" in line


@pytest.mark.parametrize("command", ["worker", "up"])
@pytest.mark.parametrize("given", [(), ("pseudonym",), ("sampling",)])
def test_a_shared_broker_with_keys_made_on_the_spot_is_refused(
    candor: Candor, command: str, given: tuple[str, ...]
) -> None:
    keys = {}
    for name in given:
        candor("keys", "create", name, "--out", f"{name}.key")
        keys[f"{name}_key_file"] = f"{name}.key"
    line = failed(candor(command, kafka_bootstrap_servers="127.0.0.1:1", **keys), 2)
    for needed in ("CANDOR_PSEUDONYM_KEY_FILE", "CANDOR_SAMPLING_KEY_FILE", "CANDOR_DATABASE_URL"):
        assert needed in line
    assert not (candor.folder / "var").exists(), "nothing was made"


@pytest.mark.parametrize(
    "command",
    [
        ("forget", "alice"),
        ("audit", "verify"),
        ("alarms", "list"),
        ("keys", "rotate", "pseudonym"),
        ("gate", "revoked"),
        ("retrain", "collect", "--assistant", "a", "--out", "rows.jsonl"),
    ],
)
def test_a_mistyped_database_is_an_error_and_is_not_created(
    candor: Candor, command: tuple[str, ...]
) -> None:
    line = failed(candor(*command, database_url="sqlite:///typo/candor.db"), 2)
    assert "typo/candor.db: there is no such database" in line
    assert not (candor.folder / "typo").exists()


def test_serve_refuses_to_be_open_to_the_network(candor: Candor) -> None:
    assert "api.keys_file" in failed(candor("serve", api_host="0.0.0.0"), 2)  # noqa: S104


def test_help_teaches_with_examples(candor: Candor) -> None:
    for command in (
        ("up",),
        ("worker",),
        ("serve",),
        ("db", "upgrade"),
        ("keys", "create"),
        ("forget",),
        ("audit", "verify"),
        ("doctor",),
    ):
        shown = candor(*command, "--help")
        assert shown.code == 0
        assert "Example" in shown.out
        assert "--json" in shown.out


def test_nothing_is_written_outside_var(candor: Candor) -> None:
    candor("db", "upgrade")
    candor("forget", "alice")
    assert [path.name for path in Path(candor.folder).iterdir()] == ["var"]
