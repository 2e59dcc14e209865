"""Calls of a model server: tried again where that helps, ended by one deadline, left alone when down."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple, TypeVar
from urllib.parse import urlsplit

import httpcore
import httpx
from pydantic import Field

from evidence import BadInputError, UnreachableError
from evidence.errors import WrongAnswerError
from evidence.options import Options
from probes.models.breaker import CircuitBreaker

_T = TypeVar("_T")
_REFUSED = {400, 413, 422}
_MAX_REPLY_BYTES = 32 * 1024 * 1024
_DETAIL_BYTES = 20_000
_SHOWN_CHARS = 200


class ServerOptions(Options):
    """How to call a model server."""

    timeout_s: float = Field(default=30.0, gt=0)
    """Time for one call, over all its tries."""
    max_retries: int = Field(default=3, ge=0)
    """Further tries after a time-out, a dropped connection, 429 or 5xx."""
    backoff_s: float = Field(default=0.5, ge=0)
    """Mean wait before the first retry; it doubles, with full jitter, up to `max_backoff_s`."""
    max_backoff_s: float = Field(default=8.0, ge=0)
    """Longest wait between tries, also against a server's Retry-After."""
    max_concurrency: int = Field(default=16, ge=1)
    """Requests in flight."""
    max_failures: int = Field(default=5, ge=1)
    """Consecutive failed calls that open the circuit."""
    pause_s: float = Field(default=15.0, ge=0)
    """Seconds an open circuit waits before a trial."""


class AnsweredError(Exception):
    """A reply with status 200 that is an error: what it says, and the status that it stands for."""

    def __init__(self, words: str, status: int) -> None:
        super().__init__(words)
        self.status = status


class RefusedCallError(BadInputError):
    """A server that takes no such request; `detail` is all that it said about it."""

    def __init__(self, what: str, where: str, detail: str) -> None:
        super().__init__(what, where)
        self.detail = detail


class NotFoundError(WrongAnswerError):
    """A server that is up and knows no such model, or no such path (404)."""


class _Failure(NamedTuple):
    """Why one try failed. `status` is None where nothing was answered."""

    words: str
    status: int | None = None
    wait_s: float = 0.0
    detail: str = ""

    @property
    def passes(self) -> bool:
        return self.status is None or self.status in {408, 425, 429} or self.status >= 500


class Server:
    """A model server at one address.

    A redirect is an error, never followed: a transcript goes to the configured host or nowhere.
    A 4xx other than 408, 425 and 429 is not tried again.

    Parameters
    ----------
    url
        Base URL ending in `/v1`.
    headers
        Sent with every request.
    transport, clock, sleep, rng
        Handed in by tests; by default the network, monotonic time and fresh jitter.
    """

    def __init__(
        self,
        url: str,
        options: ServerOptions,
        headers: Mapping[str, str],
        *,
        transport: httpx.BaseTransport | None,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
        rng: random.Random | None = None,
    ) -> None:
        if urlsplit(url).scheme not in {"http", "https"}:
            raise BadInputError("a model server's URL starts with http:// or https://", url)
        self.url, self._options = url.rstrip("/"), options
        self._clock, self._sleep = clock, sleep
        self._rng = rng or random.Random()  # noqa: S311 (jitter)
        self._ends = _Deadline(clock)
        self._client = httpx.Client(
            timeout=options.timeout_s, follow_redirects=False, transport=transport, headers=headers
        )
        self._ends.bind(self._client)
        self._breaker = CircuitBreaker(options.max_failures, options.pause_s, clock)
        self._lock = threading.Lock()
        self._requests = self._retries = 0

    @property
    def counts(self) -> tuple[int, int]:
        """Calls and retries so far."""
        with self._lock:
            return self._requests, self._retries

    def call(
        self,
        method: str,
        path: str,
        body: Mapping[str, Any] | None,
        read: Callable[[bytes], _T],
        *,
        max_bytes: int | None = None,
    ) -> _T:
        """What `read` makes of the body of a reply; the breaker counts calls, not tries.

        A body of more than `max_bytes` (by default 32 MiB) is not read to its end.

        `read` raises ValueError for a body that is something else, AnsweredError for one that says
        it is an error. Raises BadInputError when the server refuses the request, WrongAnswerError
        when it answers with nothing of use, UnreachableError when it does not answer in time.
        """
        if not self._breaker.allows():
            raise UnreachableError(self.url, "it kept failing, so it is left alone for a while")
        self._ends.start(self._options.timeout_s)
        tries = 0
        while True:
            try:
                found = read(self._try(method, path, body, max_bytes or _MAX_REPLY_BYTES))
            except _TryError as error:
                failure = error.failure
            except AnsweredError as error:
                failure = _Failure(f"HTTP 200 with the error: {error}", error.status)
            except (ValueError, RecursionError) as error:
                failure = _Failure(f"what is not the JSON asked for: {_short(str(error))}", 200)
            else:
                self._breaker.succeeded()
                self._count(tries)
                return found
            wait_s = self._backoff(tries, failure.wait_s)
            over = tries >= self._options.max_retries or wait_s >= self._ends.left_s()
            if over or not failure.passes:
                break
            self._sleep(wait_s)
            tries += 1
        self._count(tries)
        raise self._error(failure)

    def date(self) -> str | None:
        """The `Date` header of a reply, None where none comes."""
        self._ends.start(self._options.timeout_s)
        try:
            return self._client.get(self.url + "/models").headers.get("date")
        except httpx.HTTPError:
            return None

    def close(self) -> None:
        self._client.close()

    def _error(self, failure: _Failure) -> BadInputError | UnreachableError:
        if failure.status in _REFUSED:
            self._breaker.succeeded()
            return RefusedCallError(failure.words, self.url, failure.detail or failure.words)
        if failure.status == httpx.codes.NOT_FOUND:
            self._breaker.succeeded()
            return NotFoundError(self.url, failure.words)
        self._breaker.failed()
        kind = UnreachableError if failure.status is None else WrongAnswerError
        return kind(self.url, failure.words)

    def _try(self, method: str, path: str, body: Mapping[str, Any] | None, max_bytes: int) -> bytes:
        try:
            with self._client.stream(method, self.url + path, json=body) as reply:
                content = self._content(reply, max_bytes)
        except httpx.HTTPError as error:
            late = " (no whole answer in time)" if isinstance(error, httpx.TimeoutException) else ""
            words = f"{type(error).__name__} {error}".strip() + late
            raise _TryError(_Failure(words)) from error
        if reply.status_code != httpx.codes.OK:
            text = content[:_DETAIL_BYTES].decode("utf-8", "replace")
            words = f"HTTP {reply.status_code} {_short(text)}".strip()
            raise _TryError(_Failure(words, reply.status_code, _retry_after(reply), text))
        return content

    def _content(self, reply: httpx.Response, max_bytes: int) -> bytes:
        content = bytearray()
        for part in reply.iter_bytes():
            content += part
            if len(content) > max_bytes:
                raise _TryError(_Failure(f"more than {max_bytes} bytes", 200))
            if self._ends.left_s() <= 0:
                raise httpx.ReadTimeout("the reply drips", request=reply.request)
        return bytes(content)

    def _backoff(self, attempt: int, wait_s: float) -> float:
        ceiling = min(self._options.max_backoff_s, 2 * self._options.backoff_s * 2**attempt)
        return min(self._options.max_backoff_s, max(wait_s, self._rng.uniform(0, ceiling)))

    def _count(self, retries: int) -> None:
        with self._lock:
            self._requests += 1
            self._retries += retries


class _TryError(Exception):
    def __init__(self, failure: _Failure) -> None:
        super().__init__(failure.words)
        self.failure = failure


class _Deadline(threading.local):
    """When the call of this thread ends. A client's own time-outs are for each read, not for all."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._ends_s = float("inf")

    def start(self, timeout_s: float) -> None:
        self._ends_s = self._clock() + timeout_s

    def left_s(self) -> float:
        return self._ends_s - self._clock()

    def bind(self, client: httpx.Client) -> None:
        """Bound every read and write of a client; httpx has no public way to hand in a back end."""
        for transport in (client._transport, *client._mounts.values()):
            pool = getattr(transport, "_pool", None)
            if pool is not None:
                pool._network_backend = _BoundedBackEnd(pool._network_backend, self)


class _BoundedBackEnd(httpcore.NetworkBackend):
    def __init__(self, inner: httpcore.NetworkBackend, ends: _Deadline) -> None:
        self._inner, self._ends = inner, ends

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.NetworkStream:
        left_s = _least(timeout, self._ends, httpcore.ConnectTimeout)
        stream = self._inner.connect_tcp(host, port, left_s, local_address, socket_options)
        return _BoundedStream(stream, self._ends)

    def sleep(self, seconds: float) -> None:
        self._inner.sleep(seconds)


class _BoundedStream(httpcore.NetworkStream):
    def __init__(self, inner: httpcore.NetworkStream, ends: _Deadline) -> None:
        self._inner, self._ends = inner, ends

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        return self._inner.read(max_bytes, _least(timeout, self._ends, httpcore.ReadTimeout))

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        self._inner.write(buffer, _least(timeout, self._ends, httpcore.WriteTimeout))

    def close(self) -> None:
        self._inner.close()

    def start_tls(
        self, ssl_context: Any, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore.NetworkStream:
        left_s = _least(timeout, self._ends, httpcore.ConnectTimeout)
        return _BoundedStream(
            self._inner.start_tls(ssl_context, server_hostname, left_s), self._ends
        )

    def get_extra_info(self, info: str) -> Any:
        return self._inner.get_extra_info(info)


def _least(timeout: float | None, ends: _Deadline, late: type[Exception]) -> float:
    left_s = ends.left_s()
    if left_s <= 0:
        raise late("the call's time is over")
    return left_s if timeout is None else min(timeout, left_s)


def _retry_after(reply: httpx.Response) -> float:
    value = reply.headers.get("retry-after", "")
    return float(value) if value.isdecimal() else 0.0


def _short(text: str) -> str:
    return " ".join(text.split())[:_SHOWN_CHARS]
