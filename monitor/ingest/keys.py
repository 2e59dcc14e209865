"""Secret keys in files: read, or made once beside the SQLite database."""

from __future__ import annotations

import base64
import os
import secrets
from pathlib import Path

from cryptography.fernet import Fernet
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from sqlalchemy.engine import make_url

from evidence import BadInputError
from evidence.identity import key_chain

_MIN_BYTES = 16


def load_key(path: Path | None, *, name: str, database_url: str) -> bytes:
    """The secret in the file `path`; without a path, one made beside the SQLite database.

    Parameters
    ----------
    name
        Such as `pseudonym`: names the setting in errors and the file `<name>.key`.

    Raises BadInputError when the file is absent, readable by others, or shorter than 16 bytes, and
    when no path is given for a database that several processes share. A file of another owner may be
    readable through its group: so Kubernetes mounts a secret for a process that is not root.
    """
    if path is None:
        path = _beside(database_url, name)
        _create_once(path)
    try:
        status = path.stat()
        key = path.read_bytes().strip()
    except OSError as error:
        raise BadInputError(f"cannot read the key: {error.strerror}", str(path)) from error
    if status.st_mode & (0o077 if status.st_uid == os.geteuid() else 0o037):
        raise BadInputError("others can read the key; chmod 600", str(path))
    if len(key) < _MIN_BYTES:
        raise BadInputError(f"a key has at least {_MIN_BYTES} bytes", str(path))
    return key


def create_key(path: Path) -> None:
    """Write a new random key of 32 bytes, as hex, with mode 0600. Raises BadInputError if it exists."""
    _write_new(path, secrets.token_hex(32).encode())


def prepare_rotation(path: Path, key: bytes) -> tuple[Path, bytes]:
    """The key with a new link, written beside `path`; `finish_rotation` puts it in place.

    One that an interrupted rotation left is replaced.
    """
    beside = _next_to(path)
    beside.unlink(missing_ok=True)
    longer = key + b"\n" + secrets.token_hex(32).encode()
    _write_new(beside, longer)
    return beside, longer


def unfinished_rotation(path: Path) -> bytes | None:
    """The longer key of a rotation that was interrupted before its end; None without one."""
    beside = _next_to(path)
    return beside.read_bytes().strip() if beside.exists() else None


def finish_rotation(path: Path) -> None:
    """Put the prepared key in place of the old one."""
    _next_to(path).replace(path)


def key_path(path: Path | None, *, name: str, database_url: str) -> Path:
    """Where `load_key` reads a key. Raises BadInputError as `load_key` does."""
    return path or _beside(database_url, name)


def _next_to(path: Path) -> Path:
    return path.with_name(f"{path.name}.next")


def _write_new(path: Path, key: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    # Written aside and linked, so that no other process ever reads half a key.
    aside = path.with_name(f".{path.name}.{os.getpid()}.{secrets.token_hex(4)}")
    descriptor = os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(key + b"\n")
            file.flush()
            os.fsync(file.fileno())
        os.link(aside, path)
    except FileExistsError as error:
        raise BadInputError("the key exists already", str(path)) from error
    finally:
        aside.unlink()


def dead_letter_cipher(pseudonym_key: bytes) -> Fernet:
    """The cipher of dead-letter bodies; its key is derived (HKDF-SHA-256) from the pseudonym key.

    From the first link of a rotated one, so that letters written before can still be read.
    """
    kdf = HKDF(algorithm=SHA256(), length=32, salt=None, info=b"candor dead letters v1")
    return Fernet(base64.urlsafe_b64encode(kdf.derive(key_chain(pseudonym_key)[0])))


def _beside(database_url: str, name: str) -> Path:
    url = make_url(database_url)
    if url.get_backend_name() != "sqlite" or not url.database:
        raise BadInputError(
            "a key file is required where several processes share a database "
            "(`candor keys create`)",
            f"{name}.key_file",
        )
    return Path(url.database).parent / f"{name}.key"


def _create_once(path: Path) -> None:
    if not path.exists():
        try:
            create_key(path)
        except BadInputError:
            if not path.exists():
                raise
