"""Who may do what: API keys, stored as hashes, with scopes and assistants."""

from __future__ import annotations

import base64
import binascii
import hashlib
import ipaddress
import os
import secrets
import threading
from collections.abc import Callable
from enum import StrEnum
from http import HTTPStatus
from pathlib import Path

import msgspec
from fastapi import Request

from evidence import BadInputError, MisconfiguredError
from evidence.person import Person, person
from monitor.http.problems import ProblemError
from monitor.http.rate import RateLimit
from monitor.http.routes import Guard

_PREFIX = "candor_"


class Scope(StrEnum):
    """What a key may do. `admin` may do everything."""

    INGEST = "ingest"
    READ = "read"
    REVIEW = "review"
    GATE = "gate"
    OVERRIDE = "override"
    ADMIN = "admin"


class StoredKey(msgspec.Struct, frozen=True, kw_only=True):
    """One key as the file holds it: never the key itself, only its SHA-256."""

    name: str
    sha256: str
    scopes: tuple[Scope, ...]
    assistants: tuple[str, ...] | None = None


class KeyFile(msgspec.Struct, frozen=True, kw_only=True):
    """The file of keys."""

    keys: tuple[StoredKey, ...] = ()
    schema_version: int = 1


class Principal(msgspec.Struct, frozen=True, kw_only=True):
    """Who makes a request. `assistants` None means all of them; `open` that no keys are in use."""

    name: str
    scopes: frozenset[Scope]
    assistants: frozenset[str] | None = None
    open: bool = False

    def may(self, scope: Scope) -> bool:
        return scope in self.scopes or Scope.ADMIN in self.scopes

    def sees(self, assistant: str) -> bool:
        return self.assistants is None or assistant in self.assistants

    def check(self, assistant: str) -> None:
        """Raises ProblemError (403) for an assistant that this key was not given."""
        if not self.sees(assistant):
            raise ProblemError(
                HTTPStatus.FORBIDDEN, f"the key {self.name!r} is not for assistant {assistant!r}"
            )

    def acts(self, by: str | None) -> Person:
        """The person who acts, as they say, and the key that they showed.

        Raises ProblemError (422) where the API runs without keys and nobody is named.
        """
        try:
            return person(by, None if self.open else self.name)
        except BadInputError as error:
            raise ProblemError(
                HTTPStatus.UNPROCESSABLE_ENTITY, error.what, errors=[(error.where, error.what)]
            ) from error


ANYONE = Principal(name="anyone", scopes=frozenset({Scope.ADMIN}), open=True)
"""The principal of an API without keys, which only this machine can reach."""


class Access:
    """Finds the principal of a request; reads the key file again when it changes.

    Without a file everyone on this machine is an admin. Raises MisconfiguredError when the file is wrong,
    or others can write it.

    Parameters
    ----------
    requests_per_minute
        Of each key, and of each address that shows no valid one.
    """

    def __init__(self, keys_file: Path | None, *, requests_per_minute: int = 6_000) -> None:
        self._path = keys_file
        self._rate = RateLimit(requests_per_minute)
        self._lock = threading.Lock()
        self._stamp: tuple[int, int, int] | None = None
        self._keys: dict[str, StoredKey] = {}
        if keys_file is not None:
            self._refresh(keys_file)

    def principal(self, request: Request) -> Principal:
        """Raises ProblemError: 401 without a valid key, 429 when there were too many requests."""
        if self._path is None:
            if not is_loopback(request.url.hostname or ""):
                # A name of a foreign site that was made to lead here: its pages must not get in.
                raise ProblemError(
                    HTTPStatus.MISDIRECTED_REQUEST,
                    "without API keys this service answers to localhost alone",
                )
            self._rate.take("anyone")
            return ANYONE
        key = self._found(_hash(_token(request)))
        if key is None:
            self._strange(request)
            # Basic lets a browser ask for the key when a person opens the console.
            raise ProblemError(
                HTTPStatus.UNAUTHORIZED,
                "send an API key as a bearer token",
                headers={"WWW-Authenticate": 'Bearer realm="candor", Basic realm="candor"'},
            )
        return self._let_in(key)

    @property
    def is_open(self) -> bool:
        """Whether no keys are in use."""
        return self._path is None

    def shown(self, token: str, request: Request) -> str:
        """The SHA-256 of a key that is typed in. Raises ProblemError: 401 for none of ours, 429."""
        digest = _hash(token)
        key = self._found(digest)
        if key is None:
            self._strange(request)
            raise ProblemError(HTTPStatus.UNAUTHORIZED, "no API key of this service")
        self._let_in(key)
        return digest

    def holder(self, key_sha256: str) -> Principal | None:
        """Who holds the key of this digest; None once it was taken away. Raises ProblemError (429)."""
        key = self._found(key_sha256)
        return None if key is None else self._let_in(key)

    def _found(self, digest: str) -> StoredKey | None:
        if self._path is None:
            return None
        self._refresh(self._path)
        return self._keys.get(digest)

    def _strange(self, request: Request) -> None:
        self._rate.take(f"address {request.client.host if request.client else 'unknown'}")

    def _let_in(self, key: StoredKey) -> Principal:
        self._rate.take(f"key {key.name}")
        assistants = None if key.assistants is None else frozenset(key.assistants)
        return Principal(name=key.name, scopes=frozenset(key.scopes), assistants=assistants)

    def require(self, scope: Scope) -> Callable[[Request], Principal]:
        """A FastAPI dependency: the principal, if it has this scope, else 401 or 403."""
        return _Needs(self, scope).let_in

    def _refresh(self, path: Path) -> None:
        try:
            status = path.stat()
        except OSError as error:
            what = f"cannot read API keys: {error.strerror}"
            raise MisconfiguredError(what, str(path)) from error
        stamp = (status.st_mtime_ns, status.st_size, status.st_mode)
        with self._lock:
            if stamp != self._stamp:
                if status.st_mode & 0o022:
                    what = "others can write the API keys; chmod go-w"
                    raise MisconfiguredError(what, str(path))
                self._keys = {key.sha256: key for key in read_keys(path).keys}
                self._stamp = stamp


class _Needs(Guard):
    """Lets in who has a scope; settled once for each request."""

    def __init__(self, access: Access, scope: Scope) -> None:
        self._access, self._scope = access, scope

    def let_in(self, request: Request) -> Principal:
        principal: Principal | None = getattr(request.state, "principal", None)
        if principal is None:
            principal = self._access.principal(request)
            request.state.principal = principal
        if not principal.may(self._scope):
            raise ProblemError(
                HTTPStatus.FORBIDDEN, f"the key {principal.name!r} lacks the scope {self._scope}"
            )
        return principal


def is_loopback(host: str) -> bool:
    """Whether a host name or address means this machine alone."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def read_keys(path: Path) -> KeyFile:
    """The key file. Raises MisconfiguredError when it is absent or malformed."""
    try:
        return msgspec.json.decode(path.read_bytes(), type=KeyFile)
    except OSError as error:
        raise MisconfiguredError(f"cannot read API keys: {error.strerror}", str(path)) from error
    except (msgspec.DecodeError, RecursionError) as error:
        raise MisconfiguredError(f"not a file of API keys: {error}", str(path)) from error


def holder(path: Path, token: str) -> Principal | None:
    """Whose key this is, outside of HTTP; None for no key of the file. Raises BadInputError."""
    wanted = _hash(token)
    found = next((key for key in read_keys(path).keys if key.sha256 == wanted), None)
    if found is None:
        return None
    assistants = None if found.assistants is None else frozenset(found.assistants)
    return Principal(name=found.name, scopes=frozenset(found.scopes), assistants=assistants)


def add_key(
    path: Path, *, name: str, scopes: tuple[Scope, ...], assistants: tuple[str, ...] | None
) -> str:
    """Add a key under a new name and return it: the only time that it can be seen.

    Raises BadInputError when the name is taken or no scope is given.
    """
    held = read_keys(path) if path.exists() else KeyFile()
    if not scopes:
        raise BadInputError("a key needs at least one scope", "--scope")
    if any(key.name == name for key in held.keys):
        raise BadInputError(f"a key with the name {name!r} exists", str(path))
    token = _PREFIX + secrets.token_urlsafe(32)
    added = StoredKey(name=name, sha256=_hash(token), scopes=scopes, assistants=assistants)
    path.parent.mkdir(parents=True, exist_ok=True)
    aside = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    descriptor = os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        content = msgspec.json.encode(KeyFile(keys=(*held.keys, added)))
        file.write(msgspec.json.format(content, indent=2) + b"\n")
    aside.replace(path)
    return token


def _hash(token: str) -> str:
    # Keys are 256 random bits, so a plain hash cannot be guessed backwards.
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).hexdigest()


def _token(request: Request) -> str:
    kind, _, value = request.headers.get("authorization", "").partition(" ")
    if kind.lower() == "bearer":
        return value.strip()
    if kind.lower() == "basic":
        try:
            _, _, password = base64.b64decode(value, validate=True).decode().partition(":")
        except (binascii.Error, UnicodeDecodeError):
            return ""
        return password
    return ""
