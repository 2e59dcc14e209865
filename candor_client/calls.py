"""Every request as a value, and what its answer means: no I/O, so that sync and async cannot differ."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any, Generic, TypeVar
from urllib.parse import quote

import httpx
import msgspec

from candor_client.errors import ClientError, UnreadableAnswerError, error_of
from candor_client.values import (
    Accepted,
    Alarm,
    AlarmPage,
    Answer,
    DecisionPage,
    Feedback,
    Gate,
    GateAnswer,
    Honesty,
    Response,
    Source,
    SourceList,
    Verdict,
    VerdictPage,
)

T = TypeVar("T")

_MOST_RECORDS, _MOST_BYTES = 500, 4_000_000
_NDJSON = "application/x-ndjson"

Record = Response | Feedback | Mapping[str, Any]


@dataclasses.dataclass(frozen=True)
class Call(Generic[T]):
    """One request and the type of its answer.

    Parameters
    ----------
    is_idempotent
        Whether it may be sent again although the first try may have arrived.
    """

    method: str
    path: str
    answer: type[T]
    params: Sequence[tuple[str, str]] = ()
    body: bytes | None = None
    content_type: str = "application/json"
    is_idempotent: bool = True
    timeout_s: float | None = None

    def request(self, client: httpx.Client | httpx.AsyncClient) -> httpx.Request:
        """The request as `client` sends it."""
        headers = {} if self.body is None else {"content-type": self.content_type}
        extra: dict[str, Any] = {} if self.timeout_s is None else {"timeout": self.timeout_s}
        return client.build_request(
            self.method,
            self.path,
            params=list(self.params) or None,
            content=self.body,
            headers=headers,
            **extra,
        )

    def read(self, answer: httpx.Response) -> T:
        """The value in an answer. Raises ApiError for a problem, UnreadableAnswerError for nonsense."""
        if not answer.is_success:
            raise _problem(answer)
        try:
            return msgspec.json.decode(answer.content, type=self.answer)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise UnreadableAnswerError(f"{self.method} {self.path}: {error}") from error


class _FieldError(msgspec.Struct):
    field: str
    message: str


class _Problem(msgspec.Struct):
    detail: str
    errors: list[_FieldError] = []


def _problem(answer: httpx.Response) -> ClientError:
    kind = error_of(answer.status_code)
    try:
        told = msgspec.json.decode(answer.content, type=_Problem)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return kind(answer.status_code, answer.reason_phrase or "no reason was given")
    return kind(answer.status_code, told.detail, [(one.field, one.message) for one in told.errors])


def key_header(api_key: str | None) -> dict[str, str]:
    """The header of a key. Raises ClientError for what cannot be one, without quoting it."""
    if api_key is None:
        return {}
    if not api_key.isascii() or not api_key.isprintable():
        raise ClientError("the API key is no line of ASCII")
    return {"authorization": f"Bearer {api_key}"}


def sends(path: str, records: Iterable[Record]) -> Iterator[Call[Accepted]]:
    """The requests for these records, each of a size that the API takes. All of a request is taken, or none."""
    lines: list[bytes] = []
    size = 0
    for record in records:
        plain = record.record() if isinstance(record, (Response, Feedback)) else record
        try:
            line = msgspec.json.encode(plain)
        except (TypeError, ValueError, OverflowError) as error:
            raise ClientError(f"a record cannot be written as JSON: {error}") from error
        if lines and (len(lines) == _MOST_RECORDS or size + len(line) > _MOST_BYTES):
            yield _send(path, lines)
            lines, size = [], 0
        lines.append(line)
        size += len(line) + 1
    if lines:
        yield _send(path, lines)


def _send(path: str, lines: Sequence[bytes]) -> Call[Accepted]:
    return Call("POST", path, Accepted, body=b"\n".join(lines), content_type=_NDJSON)


def decide(
    assistant: str,
    messages: Sequence[Mapping[str, Any]],
    *,
    model: str,
    stakes: str,
    timeout_s: float | None,
) -> Call[Answer]:
    """May this answer be shown?"""
    asked: dict[str, Any] = {
        "assistant": assistant,
        "messages": list(messages),
        "model": model,
        "stakes": stakes,
    }
    if timeout_s is not None:
        asked["timeout_s"] = timeout_s
    # The service answers in its own time; the connection waits a little longer.
    longest = None if timeout_s is None else timeout_s + 5.0
    return Call("POST", "/v1/decisions", Answer, body=_json(asked), timeout_s=longest)


def verdicts(**filters: Any) -> Call[VerdictPage]:
    """A page of verdicts."""
    return Call("GET", "/v1/verdicts", VerdictPage, params=_params(filters))


def verdict(key: str) -> Call[Verdict]:
    """One verdict, with its conversation for keys that may read it."""
    return Call("GET", f"/v1/verdicts/{quote(key, safe='')}", Verdict)


def honesty() -> Call[Honesty]:
    """Honesty of each stratum."""
    return Call("GET", "/v1/honesty", Honesty)


def alarms(**filters: Any) -> Call[AlarmPage]:
    """A page of alarms."""
    return Call("GET", "/v1/alarms", AlarmPage, params=_params(filters))


def alarm(alarm_id: str) -> Call[Alarm]:
    """One alarm with its history."""
    return Call("GET", f"/v1/alarms/{quote(alarm_id, safe='')}", Alarm)


def step(alarm_id: str, name: str, reason: str, by: str | None) -> Call[Alarm]:
    """Move an alarm: acknowledge, confirm, refute or close."""
    told = {"reason": reason} if by is None else {"reason": reason, "by": by}
    path = f"/v1/alarms/{quote(alarm_id, safe='')}/{name}"
    return Call("POST", path, Alarm, body=_json(told), is_idempotent=False)


def gate(assistant: str) -> Call[Gate]:
    """What stands before the next retrain."""
    return Call("GET", "/v1/gate", Gate, params=_params({"assistant": assistant}))


def check_rows(assistant: str, rows: Sequence[Mapping[str, Any]]) -> Call[GateAnswer]:
    """Ask the gate; the answer is recorded, so that a repeated request would be recorded twice."""
    body = _json({"assistant": assistant, "rows": list(rows)})
    return Call("POST", "/v1/gate/check", GateAnswer, body=body, is_idempotent=False)


def decisions(**filters: Any) -> Call[DecisionPage]:
    """A page of gate decisions."""
    return Call("GET", "/v1/decisions", DecisionPage, params=_params(filters))


def revoked() -> Call[list[str]]:
    """Ids of revoked decisions."""
    return Call("GET", "/v1/gate/revoked", list[str])


def sources() -> Call[SourceList]:
    """Registered training sources."""
    return Call("GET", "/v1/sources", SourceList)


def add_source(content: bytes, **told: Any) -> Call[Source]:
    """Register a training source: its file as it is."""
    return Call(
        "POST", "/v1/sources", Source, params=_params(told), body=content,
        content_type="application/octet-stream", is_idempotent=False,
    )  # fmt: skip


def remove_source(**told: Any) -> Call[dict[str, str]]:
    """Take a training source out."""
    return Call("DELETE", "/v1/sources", dict[str, str], params=_params(told), is_idempotent=False)


def _json(value: Any) -> bytes:
    try:
        return msgspec.json.encode(value)
    except (TypeError, ValueError, OverflowError) as error:
        raise ClientError(f"it cannot be written as JSON: {error}") from error


def _params(filters: Mapping[str, Any]) -> list[tuple[str, str]]:
    found = []
    for name, value in filters.items():
        many = value if isinstance(value, (list, tuple)) else [value]
        found += [(name, _param(one)) for one in many if one is not None]
    return found


def _param(value: Any) -> str:
    return value.isoformat() if isinstance(value, datetime) else str(value)


# What msgspec knows of a class is built when it is first decoded; two threads that meet there end the process.
_READ: tuple[Any, ...] = (
    *(Accepted, Alarm, AlarmPage, Answer, DecisionPage, Gate, GateAnswer, Honesty),
    *(Source, SourceList, Verdict, VerdictPage, _Problem),
)
for _class in _READ:
    msgspec.json.Decoder(_class)
