"""Conventions that spread a conversation over numbered attributes, told in the names of the current one.

Sources: OpenInference's semantic conventions (`llm.input_messages.0.message.role`, as Arize Phoenix and its
instrumentations write them) and OpenLLMetry's (`gen_ai.prompt.0.role`, as Traceloop and GenAI conventions before
1.37 had them).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from monitor.ingest.otlp import parts

_KIND, _TRACELOOP = "openinference.span.kind", "traceloop.span.kind"
_OPERATIONS = {"llm": "chat", "tool": parts.TOOL, "agent": "invoke_agent"}
_ENTITY = "traceloop.entity."
NAMES = frozenset(
    {_KIND, "llm.model_name", "session.id", "llm.request.type", "input.value", "output.value"}
    | {"input.mime_type", "output.mime_type", "agent.name"}
    | {"tool.name", "tool.id", "tool.parameters", "tool_call.id"}
    | {_TRACELOOP, f"{_ENTITY}name", f"{_ENTITY}input", f"{_ENTITY}output"}
    | {"traceloop.association.properties.session_id", "traceloop.association.properties.user_id"}
)
_TOOLS, _FUNCTIONS = "llm.tools.", "llm.request.functions."
PREFIXES = (
    *("llm.input_messages.", "llm.output_messages.", _TOOLS),
    *("gen_ai.prompt.", "gen_ai.completion.", _FUNCTIONS),
)
_NUMBER = re.compile(r"(\d{1,6})\.(.+)", re.DOTALL)
_PLAIN = (None, "", "text/plain")


def told(given: Mapping[str, Any]) -> dict[str, Any]:
    """The attributes with those of a numbered convention in the current names; as they are without one."""
    if any(
        isinstance(given.get(f"gen_ai.{way}.messages"), (str, list)) for way in ("input", "output")
    ):
        return dict(given)
    if _KIND in given:
        return {**given, **_open_inference(given)}
    if isinstance(given.get(_TRACELOOP), str):
        return {**given, **_entity(given)}
    if any(name.startswith(PREFIXES[3:5]) for name in given):
        return {**given, **_open_llmetry(given)}
    return dict(given)


def _open_inference(given: Mapping[str, Any]) -> dict[str, Any]:
    kind = str(given[_KIND]).lower()
    if kind == "tool":
        return _tool(given)
    asked = _messages(given, "llm.input_messages.", "message.") or _whole(given, "input", "user")
    said = _messages(given, "llm.output_messages.", "message.") or _whole(
        given, "output", "assistant"
    )
    return {
        "gen_ai.operation.name": _OPERATIONS.get(kind, kind),
        "gen_ai.input.messages": asked,
        "gen_ai.output.messages": said,
        "gen_ai.request.model": given.get("gen_ai.request.model") or given.get("llm.model_name"),
        "gen_ai.conversation.id": given.get("gen_ai.conversation.id") or given.get("session.id"),
        "gen_ai.agent.name": given.get("gen_ai.agent.name") or given.get("agent.name"),
        "gen_ai.tool.definitions": given.get("gen_ai.tool.definitions") or _tools(given),
    }


def _tool(given: Mapping[str, Any]) -> dict[str, Any]:
    """A TOOL span; `tool.parameters` holds the arguments, in some instrumentations their schema."""
    return {
        "gen_ai.operation.name": parts.TOOL,
        parts.NAME: _first(given, parts.NAME, "tool.name"),
        parts.CALL_ID: _first(given, parts.CALL_ID, "tool_call.id", "tool.id"),
        parts.ARGUMENTS: _first(given, parts.ARGUMENTS, "input.value", "tool.parameters"),
        parts.RESULT: _first(given, parts.RESULT, "output.value"),
    }


def _entity(given: Mapping[str, Any]) -> dict[str, Any]:
    """A span of OpenLLMetry's decorators."""
    kind = str(given[_TRACELOOP]).lower()
    told_as = {"gen_ai.operation.name": _OPERATIONS.get(kind, kind)}
    if kind != "tool":
        return told_as
    return told_as | {
        parts.NAME: _first(given, parts.NAME, f"{_ENTITY}name"),
        parts.ARGUMENTS: _first(given, parts.ARGUMENTS, f"{_ENTITY}input"),
        parts.RESULT: _first(given, parts.RESULT, f"{_ENTITY}output"),
    }


def _first(given: Mapping[str, Any], *names: str) -> Any:
    return next((given[name] for name in names if given.get(name) is not None), None)


def _open_llmetry(given: Mapping[str, Any]) -> dict[str, Any]:
    properties = "traceloop.association.properties."
    kind = given.get("gen_ai.operation.name") or given.get("llm.request.type") or "chat"
    return {
        "gen_ai.operation.name": "text_completion" if kind == "completion" else kind,
        "gen_ai.input.messages": _messages(given, "gen_ai.prompt.", ""),
        "gen_ai.output.messages": _messages(given, "gen_ai.completion.", ""),
        "gen_ai.conversation.id": given.get("gen_ai.conversation.id")
        or given.get(f"{properties}session_id"),
        "user.id": given.get("user.id") or given.get(f"{properties}user_id"),
        "gen_ai.tool.definitions": given.get("gen_ai.tool.definitions") or _tools(given),
    }


def _whole(given: Mapping[str, Any], way: str, role: str) -> list[dict[str, Any]]:
    """What a span holds as one plain text."""
    text, kind = given.get(f"{way}.value"), given.get(f"{way}.mime_type")
    plain = isinstance(text, str) and text and kind in _PLAIN
    return [{"role": role, "content": text}] if plain else []


def _messages(given: Mapping[str, Any], prefix: str, inner: str) -> list[dict[str, Any]]:
    return [_message(fields, inner) for fields in _numbered(given, prefix)]


def _numbered(given: Mapping[str, Any], prefix: str) -> list[dict[str, Any]]:
    """The attributes below `prefix`, by their number and in its order."""
    found: dict[int, dict[str, Any]] = {}
    for name, value in given.items():
        match = _NUMBER.fullmatch(name.removeprefix(prefix)) if name.startswith(prefix) else None
        if match is not None:
            found.setdefault(int(match[1]), {})[match[2]] = value
    return [found[number] for number in sorted(found)]


def _message(fields: Mapping[str, Any], inner: str) -> dict[str, Any]:
    """One message in the shape of OpenAI's chat."""
    made = {
        name: fields[f"{inner}{name}"]
        for name in ("role", "content", "name", "tool_call_id")
        if fields.get(f"{inner}{name}") is not None
    }
    parts = [_part(part) for part in _numbered(fields, f"{inner}contents.")]
    if parts and "content" not in made:
        made["content"] = parts
    calls = [_call(call) for call in _numbered(fields, f"{inner}tool_calls.")]
    if calls:
        made["tool_calls"] = calls
    return made


def _tools(given: Mapping[str, Any]) -> list[Any] | None:
    """The tools on offer, each as JSON text or by name and description."""
    schemas = [fields.get("tool.json_schema") for fields in _numbered(given, _TOOLS)]
    return [one for one in (*schemas, *_numbered(given, _FUNCTIONS)) if one] or None


def _part(fields: Mapping[str, Any]) -> dict[str, Any]:
    kind = fields.get("message_content.type") or "text"
    if kind == "text":
        return {"type": "text", "text": fields.get("message_content.text")}
    return {"type": kind}


def _call(fields: Mapping[str, Any]) -> dict[str, Any]:
    def field(*names: str) -> Any:
        return next((fields[name] for name in names if fields.get(name) is not None), None)

    return {
        "id": field("tool_call.id", "id"),
        "type": "function",
        "function": {
            "name": field("tool_call.function.name", "name"),
            "arguments": field("tool_call.function.arguments", "arguments") or "",
        },
    }
