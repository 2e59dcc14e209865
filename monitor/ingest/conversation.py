"""Messages in the shapes that SDKs write, as one conversation; nothing of it is passed over in silence.

What is said is read (text, refusals, results of tools), reasoning and tool calls are kept apart, pictures
and other media are named as not read. A shape that is not known is refused, because an answer that is
judged without its context is judged wrongly.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from evidence import Message, ToolCall
from evidence.reasoning import split_reasoning
from monitor.ingest.records import DeadLetterReason, Refused
from probes.reading.text import clean

_ROLES = {"ai": "assistant", "bot": "assistant", "model": "assistant", "human": "user"}
_KNOWN = frozenset({"assistant", "user", "system", "developer", "tool", "function"})
_TEXT = frozenset({"text", "input_text", "output_text"})
_REASONING = frozenset({"reasoning", "thinking", "redacted_thinking", "reasoning_text"})
_CALLS = frozenset({"tool_call", "tool_use", "server_tool_use", "function_call", "tool-call"})
_RESULTS = frozenset(
    {"tool_call_response", "tool_result", "tool-result", "function_call_output", "tool_response"}
)
_MEDIA = frozenset(
    {"image", "image_url", "image_file", "input_image", "audio", "input_audio", "output_audio"}
    | {"video", "video_url", "input_video", "file", "input_file", "document", "media"}
    | {"blob", "uri", "file_data", "inline_data"}
)
_SAID = ("content", "parts", "text")
_THOUGHT = ("reasoning", "reasoning_content", "thinking", "thought")
# Beside what is said; none of them carries words of the conversation.
_ASIDE = frozenset(
    {"role", "id", "name", "tool_call_id", "finish_reason", "annotations", "cache_control", "index"}
    | {"type", "status", "created_at", "timestamp", "metadata", "logprobs", "refusal"}
)
_NAME = re.compile(r"[a-z_]{1,40}\Z", re.IGNORECASE)


class Conversation(msgspec.Struct, frozen=True):
    """Messages, and which parts of them are not text (`messages[1]: image_url`)."""

    messages: tuple[Message, ...]
    unread: tuple[str, ...] = ()


def read_conversation(raws: Sequence[Mapping[str, Any]]) -> Conversation:
    """The conversation that `messages` of a record holds.

    Raises Refused (`unread_content`) naming the place and the kind of what is not known.
    """
    messages: list[Message] = []
    unread: list[str] = []
    for number, raw in enumerate(raws):
        simple = _simple(raw)
        if simple is not None:
            messages.append(simple)
            continue
        reader = _Reader(f"messages[{number}]")
        messages += reader.read(raw)
        unread += reader.unread
    return Conversation(tuple(messages), tuple(unread))


def _simple(raw: Mapping[str, Any]) -> Message | None:
    """The message of most records, a role with a text, read at once; None for any other."""
    content = raw.get("content")
    if len(raw) != 2 or not isinstance(content, str) or "<" in content or "[" in content:
        return None
    return Message(clean(role_of(raw["role"])), clean(content))


def role_of(given: str) -> str:
    """The role by the name that chat templates know; an unknown one stays as it is.

    >>> role_of("Model"), role_of("critic")
    ('assistant', 'critic')
    """
    low = given.strip().lower()
    if low in _KNOWN:
        return "tool" if low == "function" else low
    return _ROLES.get(low, given)


class _Reader:
    """Of one message."""

    def __init__(self, at: str) -> None:
        self._at = at
        self._texts: list[str] = []
        self._thoughts: list[str] = []
        self._calls: list[ToolCall] = []
        self._results: list[str] = []
        self.unread: list[str] = []

    def read(self, raw: Mapping[str, Any]) -> list[Message]:
        """The message, after the results of tools that stand in it."""
        role = clean(role_of(raw["role"]))
        for name in _SAID:
            self._content(raw.get(name))
            if self._has_read():
                break
        if raw.get("refusal"):
            self._texts.append(self._text_of(raw["refusal"], "refusal"))
        self._thoughts += [raw[k] for k in _THOUGHT if isinstance(raw.get(k), str)]
        for call in _list(raw.get("tool_calls")):
            self._call(call)
        if raw.get("function_call"):
            self._call(raw["function_call"])
        if not (self._has_read() or self._thoughts):
            self._refuse_unknown(raw)
        return self._made(role)

    def _made(self, role: str) -> list[Message]:
        text = "\n".join(self._texts)
        if role == "assistant":
            thought, answer = split_reasoning(text)
            if thought or len(answer) < len(text.strip()):
                text = answer
                self._thoughts.append(thought)
        results = "\n".join(self._results)
        if role == "tool" and not self._calls:
            return [Message(role, clean("\n".join(filter(None, (text, results)))))]
        thoughts = clean("\n".join(filter(None, self._thoughts)))
        message = Message(role, clean(text), thoughts, tuple(self._calls))
        if not results:
            return [message]
        alone = not (text or self._calls or thoughts)
        return [Message("tool", clean(results)), *([] if alone else [message])]

    def _content(self, content: Any) -> None:
        if isinstance(content, str):
            if content:
                self._texts.append(content)
        elif isinstance(content, list):
            for part in content:
                self._part(part)
        elif content is not None:
            self._part(content)

    def _part(self, part: Any) -> None:
        if isinstance(part, str):
            self._texts.append(part)
            return
        if not isinstance(part, dict):
            raise self._unknown(f"a part of type {type(part).__name__}")
        kind = part.get("type")
        if kind is None:
            self._untyped(part)
        elif not isinstance(kind, str):
            raise self._unknown("a part whose type is no text")
        elif kind in _REASONING or part.get("thought") is True:
            self._thoughts.append(_words(part))
        elif kind in _TEXT:
            self._texts.append(self._text_of(_first(part, ("text", "content")), kind))
        elif kind == "refusal":
            self._texts.append(self._text_of(_first(part, ("refusal", "content", "text")), kind))
        elif kind in _CALLS:
            self._call(part)
        elif kind in _RESULTS:
            self._results.append(self._result(part))
        elif kind in _MEDIA:
            self.unread.append(f"{self._at}: {kind}")
        else:
            raise self._unknown(f"a part of type {_shown(kind)}")

    def _untyped(self, part: Mapping[str, Any]) -> None:
        given = _first(part, ("text", "content"))
        if part.get("thought") is True:
            self._thoughts.append(_words(part))
        elif isinstance(given, str):
            self._texts.append(given)
        elif isinstance(part.get("parts"), list):
            self._content(part["parts"])
        else:
            raise self._unknown("a part without type and text")

    def _text_of(self, value: Any, kind: str) -> str:
        if isinstance(value, dict):
            value = value.get("value")
        if not isinstance(value, str):
            raise self._unknown(f"a part of type {kind} without text")
        return value

    def _call(self, given: Any) -> None:
        if not isinstance(given, dict):
            raise self._unknown("a tool call that is no object")
        inner = given.get("function")
        call = inner if isinstance(inner, dict) else given
        name = _first(call, ("name", "toolName", "tool_name"))
        if not isinstance(name, str):
            raise self._unknown("a tool call without a name")
        arguments = _first(call, ("arguments", "input", "args"))
        self._calls.append(ToolCall(clean(name), clean(_as_text(arguments))))

    def _result(self, part: Mapping[str, Any]) -> str:
        given = _first(part, ("response", "result", "output", "content"))
        if not isinstance(given, list):
            return _as_text(given)
        # Anthropic writes the result as parts of its own.
        inner = _Reader(self._at)
        try:
            inner._content(given)
        except Refused:
            return _as_text(given)
        self.unread += inner.unread
        return "\n".join(inner._texts)

    def _has_read(self) -> bool:
        return bool(self._texts or self._calls or self._results or self.unread or self._thoughts)

    def _refuse_unknown(self, raw: Mapping[str, Any]) -> None:
        known = (*_SAID, *_THOUGHT, "tool_calls", "function_call")
        others = sorted(
            _shown(name)
            for name, value in raw.items()
            if name not in _ASIDE and name not in known and value not in (None, "", [], {}, False)
        )
        if others:
            raise self._unknown(f"nothing but {', '.join(others[:5])}")

    def _unknown(self, what: str) -> Refused:
        return Refused(DeadLetterReason.UNREAD_CONTENT, f"`{self._at}` holds {what}")


def _first(part: Mapping[str, Any], names: Sequence[str]) -> Any:
    return next((part[name] for name in names if part.get(name) is not None), None)


def _words(part: Mapping[str, Any]) -> str:
    """What a part with reasoning says; providers that hide it send none."""
    given = _first(part, ("thinking", "reasoning", "content", "text", "summary"))
    return "\n".join(text for item in _list(given) if (text := _said(item)))


def _said(item: Any) -> str:
    given = _first(item, ("text", "content")) if isinstance(item, dict) else item
    return given if isinstance(given, str) else ""


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [] if value is None else [value]


def _as_text(value: Any) -> str:
    if value is None:
        return ""
    return value if isinstance(value, str) else msgspec.json.encode(value).decode()


def _shown(name: str) -> str:
    """A name as an error may show it: it must not carry a value."""
    return f"`{name}`" if _NAME.match(name) else "(a name that is not shown)"
