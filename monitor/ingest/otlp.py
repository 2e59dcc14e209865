"""OpenTelemetry GenAI spans as a Collector's Kafka exporter writes them (`encoding: otlp_json`).

One record holds many spans; those of chat operations become responses. Source: OTLP/JSON and the
semantic conventions for generative AI (`gen_ai.*` attributes, messages as `role` with `parts`).
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

import msgspec

from candor_guard.reading.message import canonical_role
from candor_guard.reading.text import clean
from monitor.ingest.records import DeadLetter, DeadLetterReason, Refused, or_letter
from monitor.ingest.text import parse_value

_CHAT = frozenset({"chat", "generate_content", "text_completion"})
_USER = ("user.id", "enduser.id")
_SYSTEM, _INPUT, _OUTPUT = (
    "gen_ai.system_instructions",
    "gen_ai.input.messages",
    "gen_ai.output.messages",
)
_READ = frozenset(
    {"gen_ai.operation.name", "gen_ai.conversation.id", "gen_ai.response.id", "gen_ai.agent.name"}
    | {"gen_ai.response.model", "gen_ai.request.model", "service.name"}
    | {"candor.stakes", "candor.segment", *_USER, _SYSTEM, _INPUT, _OUTPUT}
)
_OTHER_CONVENTIONS = ("openinference.", "llm.", "traceloop.", "ai.", "langfuse.", "langsmith.")
_STRUCTURED = re.compile(r'\s*(?:\[\s*[\[{"\]]|\{\s*["}])')
PASSED_OVER = ("no_operation", "other_operation", "other_convention", "failed_call")
"""Why a span is no response: no `gen_ai.operation.name`, one that is no chat, attributes of another
convention, a call that failed without an answer."""


class Spans(msgspec.Struct, frozen=True):
    """The chat spans of an export, as records still to be checked, and how many others there were."""

    found: list[dict[str, Any] | DeadLetter]
    passed_over: Counter[str]


def is_otlp(record: Mapping[str, Any]) -> bool:
    """Whether a decoded record is an OTLP trace export."""
    return isinstance(record.get("resourceSpans"), list)


def read_spans(record: Mapping[str, Any]) -> Spans:
    """The chat spans as records of the responses topic; one that cannot be read spoils no other.

    A span without a user gets its conversation in place of one. Each choice of a span after the
    first is a record of its own, its id with `#1`, `#2`.
    """
    found: list[dict[str, Any] | DeadLetter] = []
    passed_over: Counter[str] = Counter()
    for span, resource in _spans(record):
        made = or_letter(lambda s=span, r=resource: _read(s, r))  # type: ignore[misc]
        if isinstance(made, str):
            passed_over[made] += 1
        else:
            found += [made] if isinstance(made, DeadLetter) else made
    return Spans(found, passed_over)


def _spans(record: Mapping[str, Any]) -> Iterator[tuple[dict[str, Any], dict[str, Any]]]:
    for resource_spans in _dicts(record.get("resourceSpans")):
        resource = resource_spans.get("resource")
        shared = resource if isinstance(resource, dict) else {}
        for scope_spans in _dicts(resource_spans.get("scopeSpans")):
            for span in _dicts(scope_spans.get("spans")):
                yield span, shared


def _read(span: Mapping[str, Any], resource: Mapping[str, Any]) -> list[dict[str, Any]] | str:
    given = _attributes(span)
    operation = given.get("gen_ai.operation.name")
    if not isinstance(operation, str) or operation not in _CHAT:
        return _why_passed_over(span, operation)
    output = _messages(given, _OUTPUT, "assistant")
    if not output and _has_failed(span):
        return "failed_call"
    prompt = _messages(given, _SYSTEM, "system") + _messages(given, _INPUT, "user")
    if not prompt and (not output or _is_plain(given.get(_OUTPUT))):
        raise Refused(
            DeadLetterReason.EMPTY_CONVERSATION,
            f"the span has no messages in `{_INPUT}` and `{_OUTPUT}`: capture of content is off, or "
            "they are in events or in attributes of an older convention, which are not read",
        )
    base = _response(span, given, {**_attributes(resource), **given})
    if len(output) < 2 or not all(_is_assistants(m["role"]) for m in output):
        return [{**base, "messages": prompt + output}]
    return [
        {**base, **_numbered(base, number), "messages": [*prompt, choice]}
        for number, choice in enumerate(output)
    ]


def _is_assistants(role: Any) -> bool:
    return isinstance(role, str) and canonical_role(role) == "assistant"


def _is_plain(value: Any) -> bool:
    return isinstance(value, str) and not _STRUCTURED.match(value)


def _numbered(base: Mapping[str, Any], number: int) -> dict[str, Any]:
    name = base.get("response_id")
    return {"response_id": f"{name}#{number}"} if number and isinstance(name, str) else {}


def _why_passed_over(span: Mapping[str, Any], operation: Any) -> str:
    if operation is not None:
        return "other_operation"
    names = (str(item.get("key")) for item in _dicts(span.get("attributes")))
    other = any(name.startswith(_OTHER_CONVENTIONS) for name in names)
    return "other_convention" if other else "no_operation"


def _has_failed(span: Mapping[str, Any]) -> bool:
    status = span.get("status")
    return isinstance(status, dict) and status.get("code") in (2, "STATUS_CODE_ERROR")


def _response(
    span: Mapping[str, Any], given: Mapping[str, Any], both: Mapping[str, Any]
) -> dict[str, Any]:
    trace, number = span.get("traceId"), span.get("spanId")
    conversation = given.get("gen_ai.conversation.id") or trace
    user = next((both[name] for name in _USER if both.get(name)), None)
    made = f"{trace}-{number}" if trace and number else None
    found = {
        "response_id": given.get("gen_ai.response.id") or made,
        "assistant": both.get("gen_ai.agent.name") or both.get("service.name"),
        "model": given.get("gen_ai.response.model") or given.get("gen_ai.request.model"),
        "conversation_id": conversation,
        "user_id": str(user) if isinstance(user, int) else user or f"conversation {conversation}",
        "created_at": _rfc3339(span.get("endTimeUnixNano")),
        "stakes": given.get("candor.stakes"),
        "segment": given.get("candor.segment"),
        "trace_id": trace,
        "span_id": number,
    }
    return {name: value for name, value in found.items() if value is not None}


def _messages(given: Mapping[str, Any], name: str, role: str) -> list[dict[str, Any]]:
    """The messages of an attribute: structured, JSON text, or plain text. `role` where none is told."""
    value = given.get(name)
    if isinstance(value, str):
        value = _from_text(value, name)
    items = value if isinstance(value, list) else [] if value in (None, "") else [value]
    if name == _SYSTEM and items and not any(_is_message(item) for item in items):
        return [{"role": role, "content": items}]
    return [_message(item, name, role) for item in items]


def _message(item: Any, name: str, role: str) -> dict[str, Any]:
    if isinstance(item, str):
        return {"role": role, "content": item}
    if not isinstance(item, dict):
        what = type(item).__name__
        raise Refused(DeadLetterReason.UNREAD_CONTENT, f"`{name}` holds a {what}, not messages")
    told = item.get("role")
    if told is None and name == _INPUT:
        raise Refused(DeadLetterReason.MISSING_FIELD, f"`{name}` holds a message without `role`")
    return {**item, "role": role if told is None else told}


def _is_message(item: Any) -> bool:
    return isinstance(item, dict) and ("role" in item or "parts" in item)


def _from_text(text: str, name: str) -> Any:
    if not _STRUCTURED.match(text):
        return text
    try:
        return parse_value(clean(text).encode())
    except Refused as refused:
        why = f"`{name}` is no whole JSON text; a limit on the length of attributes cuts it"
        raise Refused(DeadLetterReason.UNREAD_CONTENT, why) from refused


def _attributes(holder: Mapping[str, Any]) -> dict[str, Any]:
    """The attributes that are read; what others hold does not matter."""
    found = {}
    for item in _dicts(holder.get("attributes")):
        name = item.get("key")
        if isinstance(name, str) and name in _READ:
            found[name] = _value(item.get("value"))
    return found


def _value(value: Any) -> Any:
    """OTLP's AnyValue as a plain value."""
    if not isinstance(value, dict):
        return None
    if "arrayValue" in value:
        inner = value["arrayValue"]
        return [_value(v) for v in _dicts(inner.get("values") if isinstance(inner, dict) else None)]
    if "kvlistValue" in value:
        inner = value["kvlistValue"]
        pairs = _dicts(inner.get("values") if isinstance(inner, dict) else None)
        return {str(pair.get("key")): _value(pair.get("value")) for pair in pairs}
    for name in ("stringValue", "boolValue", "intValue", "doubleValue"):
        if name in value:
            return value[name]
    return None


def _dicts(value: Any) -> list[dict[str, Any]]:
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []


def _rfc3339(nanoseconds: Any) -> str | None:
    try:
        at_s = int(nanoseconds) / 1e9
        return datetime.fromtimestamp(at_s, UTC).isoformat()
    except (TypeError, ValueError, OverflowError, OSError):
        return None
