"""What a receiver of results is to the sender, and the HTTP that all of them share."""

from __future__ import annotations

import base64
import re
from collections.abc import Callable, Mapping, Sequence
from enum import StrEnum
from pathlib import Path
from typing import Any, Protocol

import httpx

from evidence import BadInputError, UnreachableError
from monitor.results.result import Result

_HEADER = re.compile(r"([!#$%&'*+.^_`|~0-9A-Za-z-]+):[ \t]*([\x20-\x7e]*)")
_TOO_BIG_OR_WRONG = frozenset({400, 413, 422})


class Outcome(StrEnum):
    """What became of a result at a receiver."""

    SENT = "sent"
    """It is there; sending it again would change nothing."""
    LATER = "later"
    """Its span or trace has not come there yet."""
    NO_TRACE = "no_trace"
    """The response came without the ids that this receiver needs."""
    NOT_TAKEN = "not_taken"
    """This receiver has no place for results of this kind."""
    REJECTED = "rejected"
    """The receiver will not have it, however often it is sent."""


class ResultSink(Protocol):
    """A receiver of results."""

    @property
    def name(self) -> str:
        """Its name in settings and metrics."""
        ...

    def send(self, results: Sequence[Result]) -> list[Outcome]:
        """Send in order; returns the outcomes of the first of them, of one at least.

        What is left out was not tried. Raises UnreachableError when the receiver is away, refuses the key
        or asks to wait: nothing of what was given is lost by that.
        """
        ...

    def check(self) -> None:
        """Ask it for something harmless, with the key. Raises UnreachableError where results would not arrive."""
        ...

    def close(self) -> None:
        """Close the connections."""
        ...


class Endpoint:
    """One server with its headers. Redirects are not followed: a key is for one receiver.

    Parameters
    ----------
    name
        What errors call it.
    """

    def __init__(
        self,
        name: str,
        url: str,
        headers: Mapping[str, str],
        timeout_s: float,
        transport: httpx.BaseTransport | None = None,
    ) -> None:
        self._name = name
        self._client = httpx.Client(
            base_url=url, headers=dict(headers), timeout=timeout_s, transport=transport
        )

    def ask(self, method: str, path: str, **request: Any) -> httpx.Response:
        """The answer, of which the caller reads 2xx, 400, 404, 413 and 422. Raises UnreachableError for others."""
        try:
            answer = self._client.request(method, path, **request)
        except httpx.HTTPError as error:
            raise UnreachableError(self._name, str(error) or type(error).__name__) from error
        if answer.is_success or answer.status_code in _TOO_BIG_OR_WRONG | {404}:
            return answer
        raise UnreachableError(self._name, f"HTTP {answer.status_code}")

    def check(self, method: str, path: str, **request: Any) -> None:
        """Raises UnreachableError unless the answer is a success."""
        answer = self.ask(method, path, **request)
        if not answer.is_success:
            raise UnreachableError(self._name, f"HTTP {answer.status_code} for {path}")

    def close(self) -> None:
        self._client.close()


def is_refused(answer: httpx.Response) -> bool:
    """Whether the receiver calls the request wrong or too large."""
    return answer.status_code in _TOO_BIG_OR_WRONG


def one_by_one(
    results: Sequence[Result], send: Callable[[Sequence[Result]], list[Outcome]]
) -> list[Outcome]:
    """Send each alone, so that one that is refused spoils no other; the first outcomes when one fails."""
    found: list[Outcome] = []
    for result in results:
        try:
            found += send([result])
        except UnreachableError:
            if not found:
                raise
            break
    return found


def read_headers(path: Path | None) -> dict[str, str]:
    """The headers of a file, a line each. Raises BadInputError that does not quote them."""
    found: dict[str, str] = {}
    if path is None:
        return found
    for number, line in enumerate(_lines(path), start=1):
        if not line.strip():
            continue
        header = _HEADER.fullmatch(line.strip())
        if header is None:
            raise BadInputError("is no header: write `Name: value`", f"{path}:{number}")
        found[header[1]] = header[2]
    return found


def basic_authorization(user: str, path: Path) -> dict[str, str]:
    """The header of HTTP's basic authentication, the password from a file. Raises BadInputError."""
    lines = [line.strip() for line in _lines(path) if line.strip()]
    if len(lines) != 1:
        raise BadInputError("holds one line, the key", str(path))
    pair = base64.b64encode(f"{user}:{lines[0]}".encode()).decode()
    return {"Authorization": f"Basic {pair}"}


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text(encoding="utf-8").splitlines()
    except OSError as error:
        raise BadInputError(f"cannot be read: {error.strerror}", str(path)) from error
    except UnicodeDecodeError as error:
        raise BadInputError("is not UTF-8", str(path)) from error
