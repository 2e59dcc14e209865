"""One message in the shapes that SDKs, data sets and exports write; nothing of it is passed over in silence.

What is said is read (text, refusals, results of tools), reasoning and tool calls are kept apart, pictures
and other media are named. What is not known is named too, for a caller that refuses it: an answer that is
judged without its context is judged wrongly.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import msgspec

from candor_guard.messages import Message, ToolCall
from candor_guard.reading.reasoning import split_reasoning
from candor_guard.reading.text import clean
from candor_guard.reading.tools import (
    CALLS,
    RESULTS,
    as_text,
    call_in_text,
    first,
    read_call,
    read_result,
    written_answer,
    written_calls,
)

SAID = ("content", "parts", "text")
THOUGHT = ("reasoning", "reasoning_content", "thinking", "thought")
_THOUGHT_KEYS = frozenset(THOUGHT)
_SAID_IN_PART = ("refusal", "text", "content", "parts")
_ROLES = {
    **dict.fromkeys(("user", "human", "prompter"), "user"),
    **dict.fromkeys(("assistant", "model", "ai", "bot", "chatbot", "gpt", "chatgpt"), "assistant"),
    **dict.fromkeys(("tool", "function", "observation", "ipython"), "tool"),
    "system": "system",
    "developer": "developer",
}
_CALL_ROLES = frozenset({"function_call", "tool_call", "function-call"})
"""Whose message is nothing but a call, written as JSON, in ShareGPT's files."""
_ROLE_KEYS = ("role", "from", "sender", "author", "type")
_TEXT = frozenset(
    {"text", "input_text", "output_text", "summary_text", "refusal", "audio_transcription"}
    | {"multimodal_text", "code", "execution_output", "tether_quote"}
)
_THOUGHTS = frozenset(
    {"reasoning", "thinking", "redacted_thinking", "reasoning_text", "thought", "thoughts"}
    | {"analysis"}
)
_ITEMS = _THOUGHTS | CALLS | RESULTS
"""What stands as a message of its own, without a role, in OpenAI's responses."""

_MEDIA = frozenset(
    {"image", "image_url", "image_file", "input_image", "image_asset_pointer", "audio"}
    | {"input_audio", "output_audio", "audio_asset_pointer", "video", "video_url", "input_video"}
    | {"file", "input_file", "document", "media", "blob", "uri"}
    | {"file_data", "inline_data", "filedata", "inlinedata"}
)
_SILENT = frozenset({"analysis", "thoughts", "reasoning"})
_BESIDE = frozenset({"attachments", "files", "images"})
_NAME = re.compile(r"[a-z_]{1,40}\Z", re.IGNORECASE)
_WORDS = ("thinking", "reasoning", "content", "text", "summary", "thoughts")


class Said(NamedTuple):
    """What one message holds.

    Parameters
    ----------
    messages
        The results of tools that stand in it, then the message itself.
    thought
        The reasoning of a message that is nothing else, which belongs to the assistant's next one.
    unread
        The kinds of parts that are not text.
    unknown
        What is not known, in words that quote no value.
    is_empty
        Whether nothing at all was found in it.
    """

    messages: tuple[Message, ...] = ()
    thought: str | None = None
    unread: tuple[str, ...] = ()
    unknown: tuple[str, ...] = ()
    is_empty: bool = False


def read_message(raw: Mapping[str, Any], *, names: Sequence[str] = SAID) -> Said:
    """What a message holds. `names` are the keys under which its words may stand, the first that has any.

    No shape raises. A message of no known role is one of the assistant where it calls a tool.
    """
    role, parts = role_of(raw), _Parts()
    if role is not None and role.lower() in _CALL_ROLES:
        role = "assistant"
        call = call_in_text(text_of(first(raw, names)) or "")
        if call is not None:
            return Said((Message("assistant", "", "", (call,)),))
    kind = "" if "role" in raw else _kind_of(raw)
    if kind in _ITEMS:
        parts.add(raw)
    else:
        parts.add_message(raw, names)
        if role == "tool":
            parts.beside = raw
    is_silent = kind in _THOUGHTS
    if "channel" in raw and role in {None, "assistant"}:
        is_silent = is_silent or str(raw["channel"]).lower() in _SILENT
    return parts.as_said(role, is_silent)


def is_item(raw: Mapping[str, Any]) -> bool:
    """Whether it is an item that stands without a role: reasoning, a call or a result."""
    return _kind_of(raw) in _ITEMS


def text_of(content: Any) -> str | None:
    """The text of a content in any shape; None when it holds none."""
    parts = _Parts()
    parts.add(content)
    return _joined(parts.texts) or None


def with_thoughts(message: Message, thoughts: Iterable[str]) -> Message:
    """The message with reasoning that was told before it."""
    return msgspec.structs.replace(message, reasoning=_joined([*thoughts, message.reasoning]))


def canonical_role(role: str) -> str:
    """The role by the name that chat templates know; one that is not known stays as it is.

    >>> [canonical_role(role) for role in ("Human", "GPT", "Narrator")]
    ['user', 'assistant', 'Narrator']
    """
    return _ROLES.get(role.strip().lower(), role)


def role_of(raw: Mapping[str, Any]) -> str | None:
    """Whose message it is, as `canonical_role`; None where that is not said."""
    for key in _ROLE_KEYS:
        role = raw.get(key)
        if isinstance(role, dict):
            role = role.get("role")
        if isinstance(role, str) and (key != "type" or role.strip().lower() in _ROLES):
            return canonical_role(role)
    return None


def shown(name: str) -> str:
    """A name as an error may show it: it must not carry a value."""
    return f"`{name}`" if _NAME.match(name) else "(a name that is not shown)"


class _Parts:
    """What the parts of a message hold."""

    def __init__(self) -> None:
        self.texts: list[str] = []
        self.thoughts: list[str] = []
        self.calls: list[ToolCall] = []
        self.results: list[Message] = []
        self.beside: Mapping[str, Any] = {}
        self.unread: list[str] = []
        self.unknown: list[str] = []

    @property
    def holds(self) -> bool:
        return bool(
            self.texts or self.calls or self.results or self.thoughts or self.unread or self.unknown
        )

    def add_message(self, raw: Mapping[str, Any], names: Sequence[str]) -> None:
        for name in names:
            given = raw.get(name)
            if given or isinstance(given, dict):
                self.add(given)
                if self.holds:
                    break
        for name, given in raw.items():
            if not given or name in names:
                continue
            if name == "tool_calls" and isinstance(given, list):
                for call in given:
                    self._call(call)
            elif name in {"tool_calls", "function_call"}:
                self._call(given)
            elif name == "refusal":
                self._text(given, "refusal")
            elif name in _THOUGHT_KEYS:
                self._think(given)
            elif name in _BESIDE:
                self.unread.append(name)
        audio = raw.get("audio")
        if not self.texts and isinstance(audio, dict) and isinstance(audio.get("transcript"), str):
            self.texts.append(audio["transcript"])

    def add(self, content: Any) -> None:
        if isinstance(content, str):
            self.texts.append(content)
        elif isinstance(content, list):
            for part in content:
                self.add(part)
        elif isinstance(content, dict):
            self._part(content)
        else:
            self.unknown.append(f"a part of type {type(content).__name__}")

    def as_said(self, role: str | None, is_silent: bool) -> Said:
        named = (tuple(self.unread), tuple(self.unknown), not self.holds)
        results = self._answers()
        text = _joined(self.texts)
        if role in {"assistant", None}:
            text, written = written_calls(text)
            self.calls += written
        has_speaker = role is not None or bool(self.calls)
        role = "assistant" if role is None else role
        if is_silent:
            self.thoughts.append(text)
            text = ""
        elif role == "assistant" and text:
            thought, answer = split_reasoning(text)
            if thought or len(answer) < len(text.strip()):
                text = answer
                self.thoughts.append(thought)
        reasoning = clean(_joined(self.thoughts))
        if is_silent and not (self.calls or results):
            return Said((), reasoning, *named)
        spoken = text or self.calls or reasoning
        if (results and not spoken) or not has_speaker:
            return Said(tuple(results), None, *named)
        result = read_result(self.beside)
        if role == "tool":
            text = written_answer(text) or as_text(self.beside.get("error"))
        message = Message(clean(role), clean(text), reasoning, tuple(self.calls), result)
        return Said((*results, message), None, *named)

    def _answers(self) -> list[Message]:
        """The results that stand as parts; one alone in a tool's message is what the message tells of."""
        told = read_result(self.beside)
        if told is None or len(self.results) != 1 or self.results[0].result is not None:
            return self.results
        return [msgspec.structs.replace(self.results[0], result=told)]

    def _part(self, part: Mapping[str, Any]) -> None:
        kind = _kind_of(part)
        if kind is None:
            self.unknown.append("a part whose type is no text")
        elif kind in _THOUGHTS or part.get("thought") is True:
            self._think(first(part, _WORDS))
        elif kind in CALLS:
            self._call(part)
            if kind == "mcp_call" and part.get("output"):
                self._result(part)
        elif kind in RESULTS:
            self._result(part)
        elif kind in _MEDIA:
            self.unread.append(kind)
            self.texts += [part[n] for n in ("text", "transcript") if isinstance(part.get(n), str)]
        elif kind in _TEXT:
            self._text(first(part, _SAID_IN_PART), kind)
        else:
            self._other(part, kind)

    def _other(self, part: Mapping[str, Any], kind: str) -> None:
        """A part of no kind, or of one that is not known: its text is read, and the kind named."""
        if kind:
            self.unknown.append(f"a part of type {shown(kind)}")
        given = first(part, _SAID_IN_PART)
        if isinstance(given, str | list):
            self.add(given)
        elif isinstance(part.get("functionCall"), dict):
            self._call(part["functionCall"])
        elif isinstance(part.get("functionResponse"), dict):
            self._result(part["functionResponse"])
        elif media := [name for name in part if name.lower() in _MEDIA]:
            self.unread += media
        elif not kind:
            self.unknown.append("a part without type and text")

    def _text(self, value: Any, kind: str) -> None:
        if isinstance(value, dict):
            value = value.get("value")
        if isinstance(value, str | list):
            self.add(value)
        else:
            self.unknown.append(f"a part of type {kind} without text")

    def _think(self, given: Any) -> None:
        if isinstance(given, list):
            for one in given:
                self._think(one)
        elif isinstance(given, dict):
            self._think(first(given, _WORDS))
        elif isinstance(given, str) and given:
            self.thoughts.append(given)

    def _call(self, given: Any) -> None:
        if not isinstance(given, dict):
            self.unknown.append("a tool call that is no object")
            return
        call, is_named = read_call(given)
        if not is_named:
            self.unknown.append("a tool call without a name")
        self.calls.append(call)

    def _result(self, part: Mapping[str, Any]) -> None:
        given = first(part, ("response", "result", "output", "content", "error"))
        told, inner = read_result(part), _Parts()
        if isinstance(given, list):
            # Anthropic writes the result as parts of its own.
            inner.add(given)
        if not isinstance(given, list) or inner.unknown:
            self.results.append(Message("tool", clean(as_text(given)), result=told))
            return
        self.unread += inner.unread
        self.results.append(Message("tool", clean(_joined(inner.texts)), result=told))


def _kind_of(part: Mapping[str, Any]) -> str | None:
    """The kind in lower case, empty where none is given; None where it is no text."""
    kind = part.get("type")
    if kind is None:
        kind = part.get("content_type")
    return "" if kind is None else kind.lower() if isinstance(kind, str) else None


def _joined(texts: Sequence[str]) -> str:
    if len(texts) < 2:
        return texts[0] if texts else ""
    return "\n".join(filter(None, texts))
