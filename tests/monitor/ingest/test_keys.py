"""Key files: made once, private, refused when others can read them."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from evidence import BadInputError
from monitor.ingest.keys import create_key, dead_letter_cipher, load_key


def test_a_key_is_made_once_beside_the_database(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/var/candor.db"
    (tmp_path / "var").mkdir()
    key = load_key(None, name="pseudonym", database_url=url)
    path = tmp_path / "var" / "pseudonym.key"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert len(key) == 64
    assert load_key(None, name="pseudonym", database_url=url) == key
    assert load_key(None, name="sampling", database_url=url) != key
    assert load_key(path, name="pseudonym", database_url="postgresql://h/d") == key
    assert sorted(p.name for p in path.parent.iterdir()) == ["pseudonym.key", "sampling.key"]


def test_a_shared_database_requires_a_key_file(tmp_path: Path) -> None:
    with pytest.raises(BadInputError, match=r"pseudonym\.key_file"):
        load_key(None, name="pseudonym", database_url="postgresql://h/d")


def test_bad_key_files_are_refused(tmp_path: Path) -> None:
    url = "postgresql://h/d"
    with pytest.raises(BadInputError, match="cannot read"):
        load_key(tmp_path / "absent", name="sampling", database_url=url)
    short = tmp_path / "short"
    short.write_bytes(b"abc")
    short.chmod(0o600)
    with pytest.raises(BadInputError, match="at least 16"):
        load_key(short, name="sampling", database_url=url)
    open_to_all = tmp_path / "open"
    open_to_all.write_bytes(b"x" * 32)
    open_to_all.chmod(0o644)
    with pytest.raises(BadInputError, match="chmod 600"):
        load_key(open_to_all, name="sampling", database_url=url)


def test_a_key_is_never_overwritten(tmp_path: Path) -> None:
    path = tmp_path / "key"
    create_key(path)
    before = path.read_bytes()
    with pytest.raises(BadInputError, match="exists"):
        create_key(path)
    assert path.read_bytes() == before


def test_dead_letters_are_read_with_the_same_key_alone() -> None:
    token = dead_letter_cipher(b"a" * 32).encrypt(b"secret body")
    assert b"secret" not in token
    assert dead_letter_cipher(b"a" * 32).decrypt(token) == b"secret body"
    with pytest.raises(Exception, match=r"^$"):
        dead_letter_cipher(b"b" * 32).decrypt(token)


def test_a_secret_that_an_orchestrator_mounts_is_read_through_the_group(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mounted = tmp_path / "key"
    mounted.write_text("0123456789abcdef0123456789abcdef")
    mounted.chmod(0o440)

    def load() -> bytes:
        return load_key(mounted, name="pseudonym", database_url="postgresql://db/candor")

    with pytest.raises(BadInputError, match="chmod 600"):
        load()
    # Kubernetes' kubelet owns what it mounts; the process is another user in the file's group.
    monkeypatch.setattr("os.geteuid", lambda: mounted.stat().st_uid + 1)
    assert len(load()) == 32
    mounted.chmod(0o444)
    with pytest.raises(BadInputError, match="chmod 600"):
        load()
