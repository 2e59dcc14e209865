"""A span as records of the responses topic: a chat's is a response, a tool's or an agent's a part of one.

Source: OTLP/JSON and the semantic conventions for generative AI (`gen_ai.*` attributes, messages as `role` with
`parts`); what other conventions hold is told in their names first (`numbered`).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from candor_guard.reading.message import canonical_role
from candor_guard.reading.text import clean
from monitor.ingest.otlp import parts
from monitor.ingest.otlp.attributes import attributes, names_of, rfc3339
from monitor.ingest.otlp.numbered import NAMES, PREFIXES, told
from monitor.ingest.parts import KIND, NO_CONTENT, PARENT, PART, SERVICE
from monitor.ingest.records import DeadLetterReason, Refused
from monitor.ingest.text import parse_value

_CHAT = frozenset({"chat", "generate_content", "text_completion"})
USER = ("user.id", "enduser.id")
_SYSTEM, _INPUT, _OUTPUT = (
    "gen_ai.system_instructions",
    "gen_ai.input.messages",
    "gen_ai.output.messages",
)
TOOLS = "gen_ai.tool.definitions"
READ = frozenset(
    {"gen_ai.operation.name", "gen_ai.conversation.id", "gen_ai.response.id", "gen_ai.agent.name"}
    | {"gen_ai.response.model", "gen_ai.request.model", "service.name"}
    | {"candor.stakes", "candor.segment", *USER, _SYSTEM, _INPUT, _OUTPUT, TOOLS}
    | parts.READ
)
_ANY = READ | NAMES
_OTHER_CONVENTIONS = ("traceloop.", "ai.", "langfuse.", "langsmith.", "llm.")
_STRUCTURED = re.compile(r'\s*(?:\[\s*[\[{"\]]|\{\s*["}])')
WHY_PASSED_OVER = (
    *("no_operation", "other_operation", "other_convention", "failed_call", "no_trace"),
)
"""Why a span is no response and no part of one: no `gen_ai.operation.name`, one that is not read, attributes of
another convention, a call that failed without an answer, a tool or an agent without the ids of trace and span."""


def read_span(span: Mapping[str, Any], resource: Mapping[str, Any]) -> list[dict[str, Any]] | str:
    """The records that a span holds, or why it is none. Raises Refused for a chat span that cannot be read."""
    given = told(attributes(span, _ANY, PREFIXES))
    operation = given.get("gen_ai.operation.name")
    if not isinstance(operation, str):
        return _why_passed_over(span, operation)
    both = {**attributes(resource, READ), **given}
    if operation in parts.AGENTS:
        return _agent(operation, span, given, both)
    if operation not in _CHAT:
        return _part(operation, span, given, both)
    return _chat(span, given, both)


def _chat(
    span: Mapping[str, Any], given: Mapping[str, Any], both: Mapping[str, Any]
) -> list[dict[str, Any]] | str:
    output = _messages(given, _OUTPUT, "assistant")
    if not output and parts.has_failed(span):
        return "failed_call"
    prompt = _prompt(given)
    base = _response(span, given, both)
    if not (prompt or output) and span.get("traceId") and span.get("spanId"):
        return [_bare(span, base, both)]
    if not prompt and (not output or _is_plain(given.get(_OUTPUT))):
        raise Refused(DeadLetterReason.EMPTY_CONVERSATION, NO_CONTENT)
    if len(output) < 2 or not all(_is_assistants(m["role"]) for m in output):
        return [{**base, "messages": prompt + output}]
    return [
        {**base, **_numbered(base, number), "messages": [*prompt, choice]}
        for number, choice in enumerate(output)
    ]


def _agent(
    operation: str, span: Mapping[str, Any], given: Mapping[str, Any], both: Mapping[str, Any]
) -> list[dict[str, Any]] | str:
    """An agent whose span tells model, question and answer may be a response; else it is a part alone."""
    placed = _part(operation, span, given, both)
    if isinstance(placed, str) or parts.has_failed(span):
        return placed
    try:
        prompt, output = _prompt(given), _messages(given, _OUTPUT, "assistant")
    except Refused:
        return placed
    base = _response(span, given, both)
    if not (prompt and output and "model" in base and _is_assistants(output[-1]["role"])):
        return placed
    return [{**base, KIND: "agent", "messages": prompt + output}]


def _part(
    operation: str, span: Mapping[str, Any], given: Mapping[str, Any], both: Mapping[str, Any]
) -> list[dict[str, Any]] | str:
    placed = parts.place(span, both, assistant_of(both), user_of(both))
    part = parts.read_part_of(operation, span, given, placed)
    if part is None:
        return "other_operation"
    return [part] if placed.get("trace_id") and placed.get("span_id") else "no_trace"


def _bare(
    span: Mapping[str, Any], base: Mapping[str, Any], both: Mapping[str, Any]
) -> dict[str, Any]:
    """A chat span whose messages may stand in events of their own."""
    named = ("response_id", "model", "conversation_id")
    told = {name: str(base[name]) for name in named if name in base}
    return {PART: "bare", **parts.place(span, both, assistant_of(both), user_of(both)), **told}


def _prompt(given: Mapping[str, Any]) -> list[dict[str, Any]]:
    return _messages(given, _SYSTEM, "system") + _messages(given, _INPUT, "user")


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
    other = any(name.startswith(_OTHER_CONVENTIONS) for name in names_of(span))
    return "other_convention" if other else "no_operation"


def assistant_of(both: Mapping[str, Any]) -> Any:
    """Whose span or event it is; `both` are the attributes of it and of its resource."""
    return both.get("gen_ai.agent.name") or both.get("service.name")


def user_of(both: Mapping[str, Any]) -> Any:
    """The user that the attributes name, or None."""
    user = next((both[name] for name in USER if both.get(name)), None)
    return str(user) if isinstance(user, int) else user


def _response(
    span: Mapping[str, Any], given: Mapping[str, Any], both: Mapping[str, Any]
) -> dict[str, Any]:
    trace, number = span.get("traceId"), span.get("spanId")
    conversation = given.get("gen_ai.conversation.id") or trace
    above = span.get("parentSpanId") or None
    made = f"{trace}-{number}" if trace and number else None
    found = {
        "response_id": given.get("gen_ai.response.id") or made,
        "assistant": assistant_of(both),
        "model": given.get("gen_ai.response.model") or given.get("gen_ai.request.model"),
        "conversation_id": conversation,
        "user_id": user_of(both) or f"conversation {conversation}",
        "created_at": rfc3339(span.get("endTimeUnixNano")),
        "stakes": given.get("candor.stakes"),
        "segment": given.get("candor.segment"),
        "tools": given.get(TOOLS),
        "trace_id": trace,
        "span_id": number,
        PARENT: above,
        SERVICE: None if above is None else both.get("service.name"),
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
    known = item.get("role")
    if known is None and name == _INPUT:
        raise Refused(DeadLetterReason.MISSING_FIELD, f"`{name}` holds a message without `role`")
    return {**item, "role": role if known is None else known}


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
