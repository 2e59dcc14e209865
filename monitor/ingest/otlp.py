"""OpenTelemetry GenAI spans as a Collector's Kafka exporter writes them (`encoding: otlp_json`).

One record holds many spans; those of chat operations become responses. Source: OTLP/JSON and the
semantic conventions for generative AI (`gen_ai.*` attributes, messages as `role` with `parts`).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

import msgspec

_CHAT = frozenset({"chat", "generate_content", "text_completion"})
_USER = ("user.id", "enduser.id")


def is_otlp(record: Mapping[str, Any]) -> bool:
    """Whether a decoded record is an OTLP trace export."""
    return isinstance(record.get("resourceSpans"), list)


def responses_in(record: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The chat spans as records of the responses topic, still to be checked like any other.

    A span without a user gets its conversation in place of one.
    """
    return [_response(span, resource) for span, resource in _spans(record) if _is_chat(span)]


def _spans(record: Mapping[str, Any]) -> Iterator[tuple[dict[str, Any], dict[str, Any]]]:
    for resource_spans in _dicts(record.get("resourceSpans")):
        resource = resource_spans.get("resource")
        shared = _attributes(resource if isinstance(resource, dict) else {})
        for scope_spans in _dicts(resource_spans.get("scopeSpans")):
            for span in _dicts(scope_spans.get("spans")):
                yield {**span, "attributes": _attributes(span)}, shared


def _is_chat(span: Mapping[str, Any]) -> bool:
    return span["attributes"].get("gen_ai.operation.name") in _CHAT


def _response(span: Mapping[str, Any], resource: Mapping[str, Any]) -> dict[str, Any]:
    given = span["attributes"]
    both = {**resource, **given}
    trace, number = span.get("traceId"), span.get("spanId")
    conversation = given.get("gen_ai.conversation.id") or trace
    user = next((both[name] for name in _USER if both.get(name)), None)
    found = {
        "response_id": given.get("gen_ai.response.id") or f"{trace}-{number}",
        "assistant": both.get("gen_ai.agent.name") or both.get("service.name"),
        "model": given.get("gen_ai.response.model") or given.get("gen_ai.request.model"),
        "conversation_id": conversation,
        "user_id": user or f"conversation {conversation}",
        "created_at": _rfc3339(span.get("endTimeUnixNano")),
        "messages": _conversation(given),
        "stakes": given.get("candor.stakes"),
        "segment": given.get("candor.segment"),
        "trace_id": trace,
        "span_id": number,
    }
    return {name: value for name, value in found.items() if value is not None}


def _conversation(given: Mapping[str, Any]) -> list[dict[str, Any]]:
    system = _parts_text(_structured(given.get("gen_ai.system_instructions")))
    messages: list[dict[str, Any]] = [{"role": "system", "content": system}] if system else []
    for name in ("gen_ai.input.messages", "gen_ai.output.messages"):
        messages += [
            {"role": message.get("role"), "content": _parts_text(message.get("parts"))}
            for message in _dicts(_structured(given.get(name)))
        ]
    return messages


def _parts_text(parts: Any) -> str:
    texts = (p.get("content") for p in _dicts(parts) if p.get("type", "text") == "text")
    return "\n".join(text for text in texts if isinstance(text, str))


def _structured(value: Any) -> Any:
    """Messages come as structured values, or as JSON text where an SDK cannot send those."""
    if not isinstance(value, str):
        return value
    try:
        return msgspec.json.decode(value)
    except msgspec.DecodeError:
        return None


def _attributes(holder: Mapping[str, Any]) -> dict[str, Any]:
    return {
        str(item.get("key")): _value(item.get("value")) for item in _dicts(holder.get("attributes"))
    }


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
