"""One turn of a conversation in the ways that chat formats write it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import msgspec

from evidence.reasoning import split_reasoning

_ROLES = {
    "user": "user",
    "human": "user",
    "prompter": "user",
    "assistant": "assistant",
    "model": "assistant",
    "ai": "assistant",
    "bot": "assistant",
    "chatbot": "assistant",
    "gpt": "assistant",
    "chatgpt": "assistant",
    "system": "system",
    "developer": "developer",
    "tool": "tool",
    "function": "tool",
    "observation": "tool",
    "ipython": "tool",
}
_ROLE_KEYS = ("role", "from", "sender", "author", "type")
_CONTENT_KEYS = ("content", "value", "parts", "text")
_THOUGHT_KEYS = ("reasoning_content", "reasoning", "thinking", "thought")
_THOUGHT_TYPES = {"reasoning", "thinking", "redacted_thinking", "thought", "thoughts", "analysis"}
_CALL_TYPES = {"tool_use", "tool_call", "function_call", "server_tool_use", "mcp_call"}
_RESULT_TYPES = {"tool_result", "function_call_output", "web_search_tool_result", "tool_response"}
_SILENT_CHANNELS = {"analysis", "thoughts", "reasoning"}


class Turn(NamedTuple):
    """Who said what; `reasoning` is what the model thought before, `unread` what has no text.

    `calls` tells in words which tools it called.
    """

    role: str
    content: str
    reasoning: str = ""
    calls: tuple[str, ...] = ()
    unread: tuple[str, ...] = ()


class BadTurnError(ValueError):
    """A turn that says nothing that can be read."""


def parse_turns(raw: list[Any]) -> list[Turn]:
    """Turns in one wording. Raises BadTurnError naming the turn.

    Roles are read in any case and under the names that other vendors use. Reasoning goes to the
    assistant's turn that follows it. What a tool answered is a turn of its own; a tool call is told
    in words, and a picture is named in `unread`.
    """
    turns: list[Turn] = []
    thoughts: list[str] = []
    for k, given in enumerate(raw):
        for turn in _of(given, k):
            if turn.role == "reasoning":
                thoughts.append(turn.reasoning)
            elif turn.role == "assistant" and thoughts:
                whole = "\n".join([*thoughts, *([turn.reasoning] if turn.reasoning else [])])
                turns.append(turn._replace(reasoning=whole))
                thoughts = []
            else:
                turns.append(turn)
    if thoughts:
        turns.append(Turn("assistant", "", "\n".join(thoughts)))
    return turns


def text_of(content: Any) -> str | None:
    """The text of a content that holds nothing else; None when there is none."""
    found = _Content()
    found.add(content)
    return "\n".join(found.texts) if found.texts else None


def told_call(name: str, arguments: Any) -> str:
    """A call of a tool in words, as probes read it."""
    if not isinstance(arguments, str):
        arguments = msgspec.json.encode(arguments, enc_hook=str).decode()
    return f"[called {name} with {arguments}]"


def canonical_role(role: str) -> str:
    """The role under the name that chat templates know; one that is not known stays.

    >>> [canonical_role(role) for role in ("Human", "GPT", "Narrator")]
    ['user', 'assistant', 'narrator']
    """
    plain = role.strip().lower()
    return _ROLES.get(plain, plain)


def role_of(given: dict[str, Any]) -> str | None:
    """Whose turn it is, as `canonical_role`; None where that is not said."""
    for key in _ROLE_KEYS:
        role = given.get(key)
        if isinstance(role, dict):
            role = role.get("role")
        if isinstance(role, str) and (key != "type" or role.strip().lower() in _ROLES):
            return canonical_role(role)
    return None


def _of(given: Any, k: int) -> Iterator[Turn]:
    if not isinstance(given, dict):
        raise BadTurnError(f"message {k} has no `role` and text `content`")
    role = role_of(given)
    content = _Content()
    content.add(next((given[key] for key in _CONTENT_KEYS if given.get(key) is not None), None))
    for key in _THOUGHT_KEYS:
        content.think(given.get(key))
    if _is_silent(given):
        content.think(given.get("summary"))
        content.thoughts += content.texts
        yield Turn("reasoning", "", "\n".join(content.thoughts))
        return
    content.add_instead(given)
    for result in content.results:
        yield Turn("tool", result)
    if role is None:
        if not content.results and not content.calls:
            raise BadTurnError(f"message {k} has no `role` and text `content`")
        role = "assistant"
        if content.results:
            return
    if not content.is_read:
        raise BadTurnError(f"message {k} has no `role` and text `content`")
    if content.results and not (content.texts or content.calls or content.unread):
        return
    text = "\n".join(content.texts)
    if role == "assistant":
        thought, text = split_reasoning(text)
        content.thoughts += [thought] if thought else []
    yield Turn(role, text, "\n".join(content.thoughts), tuple(content.calls), tuple(content.unread))


def _is_silent(given: dict[str, Any]) -> bool:
    channel = given.get("channel")
    if isinstance(channel, str) and channel.lower() in _SILENT_CHANNELS:
        return True
    return "role" not in given and _kind(given) in _THOUGHT_TYPES


def _kind(part: dict[str, Any]) -> str:
    kind = part.get("type") or part.get("content_type")
    return kind.lower() if isinstance(kind, str) else ""


class _Content:
    """What a turn holds: texts, thoughts, results of tools, and what has no text."""

    def __init__(self) -> None:
        self.texts: list[str] = []
        self.thoughts: list[str] = []
        self.results: list[str] = []
        self.calls: list[str] = []
        self.unread: list[str] = []
        self._empty = False

    @property
    def is_read(self) -> bool:
        held = (self.texts, self.thoughts, self.results, self.calls, self.unread)
        return self._empty or any(held)

    def add(self, content: Any) -> None:
        if isinstance(content, str):
            self.texts += [content] if content else []
            self._empty = self._empty or not content
        elif isinstance(content, list):
            for part in content:
                self.add(part)
            self._empty = self._empty or not content
        elif isinstance(content, dict):
            self._add_part(content)

    def think(self, thought: Any) -> None:
        if isinstance(thought, list):
            for part in thought:
                self.think(part)
        elif isinstance(thought, dict):
            keys = ("text", "thinking", "reasoning", "content", "summary")
            self.think(next((thought[key] for key in keys if thought.get(key)), None))
        elif isinstance(thought, str) and thought:
            self.thoughts.append(thought)

    def add_instead(self, turn: dict[str, Any]) -> None:
        """What an OpenAI turn holds beside its content, or instead of it."""
        if not self.texts and isinstance(turn.get("refusal"), str) and turn["refusal"]:
            self.texts.append(turn["refusal"])
        audio = turn.get("audio")
        if not self.texts and isinstance(audio, dict) and isinstance(audio.get("transcript"), str):
            self.texts.append(audio["transcript"])
        calls = turn.get("tool_calls")
        for call in [*(calls if isinstance(calls, list) else []), turn.get("function_call")]:
            self._call(call)
        kind = _kind(turn)
        if kind in _CALL_TYPES and "role" not in turn:
            self._call(turn)
        elif kind in _RESULT_TYPES and "role" not in turn:
            self.results.append(text_of(turn.get("output")) or "")

    def _call(self, given: Any) -> None:
        if not isinstance(given, dict):
            return
        inner = given.get("function")
        call = inner if isinstance(inner, dict) else given
        name = next((call[k] for k in ("name", "toolName", "tool_name") if call.get(k)), "a tool")
        arguments: Any = next((call[k] for k in ("arguments", "input", "args") if call.get(k)), {})
        self.calls.append(told_call(str(name), arguments))

    def _add_part(self, part: dict[str, Any]) -> None:
        kind = _kind(part)
        if kind in _THOUGHT_TYPES or part.get("thought") is True:
            keys = ("text", "thinking", "reasoning", "summary", "thoughts", "content")
            self.think(next((part[key] for key in keys if part.get(key)), None))
        elif kind in _RESULT_TYPES or "functionResponse" in part:
            self.results.append(text_of(part.get("content", part.get("output"))) or "")
        elif kind in _CALL_TYPES or "functionCall" in part:
            self._call(part.get("functionCall", part))
        else:
            text = next(
                (part[key] for key in ("text", "content", "parts", "refusal") if key in part), None
            )
            if isinstance(text, dict):
                text = text.get("value")
            if isinstance(text, str | list):
                self.add(text)
            else:
                self.unread.append(kind or "part")
