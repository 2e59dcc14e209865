"""What exports of several tools have in common, told as a span of OTLP or as a record of feedback."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import msgspec

from candor_guard.reading.text import decode_json
from candor_guard.reading.values import time_s
from monitor.ingest.opinions import opinion
from monitor.ingest.otlp.attributes import rfc3339
from monitor.ingest.records import DeadLetterReason, Refused

_MAX_DEPTH = 16


class Told(NamedTuple):
    """A span in the shape of OTLP's JSON, its attributes plain, or a record of feedback."""

    span: dict[str, Any] | None = None
    feedback: dict[str, Any] | None = None


def span(
    ids: tuple[Any, Any, Any],
    times: tuple[Any, Any],
    attributes: Mapping[str, Any],
    *,
    name: Any = None,
    failed: str | None = None,
) -> Told:
    """A span of (trace, span, parent), from one time to another; `failed` is why it did, None where it went well."""
    trace, own, above = ids
    began, ended = (nanoseconds(at) for at in times)
    found = {
        "traceId": trace,
        "spanId": own,
        "parentSpanId": above,
        "name": name,
        "startTimeUnixNano": began,
        "endTimeUnixNano": ended or began,
        "attributes": {key: value for key, value in attributes.items() if value is not None},
    }
    if failed is not None:
        found["status"] = {"code": 2, "message": failed}
    return Told(span={key: value for key, value in found.items() if value is not None})


def said(
    *,
    name: Any,
    about: Any,
    user: Any,
    at: Any,
    opinion_of: tuple[Any, Any],
    text: Any,
    own_id: Any,
    assistant: str,
) -> Told:
    """A user's feedback; `opinion_of` are score and label. Raises Refused where they say nothing that is known."""
    value = opinion(*opinion_of)
    if value is None:
        why = "a score that is no number from -1 to 1, with a label that is no word that is known"
        raise Refused(DeadLetterReason.WRONG_VALUE, why)
    made = hashlib.blake2b(
        msgspec.json.encode((str(about), str(name), str(user), str(at))), digest_size=16
    ).hexdigest()
    return Told(
        feedback={
            "feedback_id": str(own_id or made),
            "assistant": assistant,
            "response_id": about,
            "user_id": str(user or "unknown"),
            "created_at": rfc3339(nanoseconds(at)),
            "value": value,
            "kind": str(name or "annotation")[:32],
            **({"text": text} if isinstance(text, str) and text else {}),
        }
    )


def nanoseconds(at: Any) -> int | None:
    """A time in any form that files have, as nanoseconds since the epoch; None for what is no time."""
    try:
        return None if at in (None, "") else int(time_s(at) * 1e9)
    except (ValueError, TypeError, OverflowError):
        return None


def from_text(value: Any) -> Any:
    """What a JSON text holds; any other value as it is."""
    if isinstance(value, str) and value.lstrip()[:1] in {"{", "[", '"'}:
        found, problem = decode_json(value.encode("utf-8", "replace"))
        return value if problem else found
    return value


def flat(
    value: Any, known: frozenset[str], prefix: str = "", depth: int = 0
) -> Iterator[tuple[str, Any]]:
    """Nested attributes under their dotted names; what is `known` by name is kept whole.

    >>> dict(flat({"llm": {"input_messages": [{"message.role": "user"}]}}, frozenset()))
    {'llm.input_messages.0.message.role': 'user'}
    """
    inner: Any = ()
    if isinstance(value, Mapping):
        inner = value.items()
    elif isinstance(value, list):
        inner = enumerate(value)
    if prefix in known or not inner or depth > _MAX_DEPTH:
        if prefix:
            yield prefix, value
        return
    for name, below in inner:
        yield from flat(below, known, f"{prefix}.{name}" if prefix else str(name), depth + 1)
