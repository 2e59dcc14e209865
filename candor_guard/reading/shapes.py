"""What an object seems to be, for the reader that does not expect it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

_WRAPPERS = (
    "data",
    "rows",
    "items",
    "records",
    "results",
    "examples",
    "transcripts",
    "conversations",
    "responses",
    "feedback",
)
_OWN = frozenset(
    {"messages", "conversation", "prompt", "completion", "chosen", "question", "outer_prompt"}
    | {"system_prompt", "user_prompt", "stream", "score", "user_id", "response_id", "choices"}
    | {"mapping", "chat_messages", "eval", "instruction", "output", "response", "id", "uuid"}
)


def is_turn(value: Any) -> bool:
    """Whether an object is one turn of a conversation."""
    if not isinstance(value, dict):
        return False
    keys = value.keys()
    return ("role" in keys and bool(keys & {"content", "parts", "tool_calls"})) or (
        {"from", "value"} <= keys
    )


def rows_within(value: Any) -> tuple[str, list[Any]] | None:
    """The rows of an object that only wraps a list of them, with the list's key; None for others."""
    if not isinstance(value, dict) or value.keys() & _OWN:
        return None
    for key in _WRAPPERS:
        rows = value.get(key)
        if isinstance(rows, list) and rows and all(isinstance(row, dict) for row in rows):
            if any(is_turn(row) for row in rows):
                return None
            if all("row_idx" in row and isinstance(row.get("row"), dict) for row in rows):
                return key, [row["row"] for row in rows]  # the data-set viewer of a hub
            return key, rows
    return None


def looks_like(value: Any) -> str | None:
    """A few words for what an object seems to be and what to do with it; None when it is unknown."""
    if isinstance(value, list):
        return "a bare list of turns" if value and is_turn(value[0]) else None
    if not isinstance(value, dict):
        return None
    return next((words for words, fits in _SHAPES if fits(value)), None)


def _has(*keys: str) -> Callable[[dict[str, Any]], bool]:
    return lambda value: value.keys() >= set(keys)


def _chunk(value: dict[str, Any]) -> bool:
    if str(value.get("object", "")).endswith(".chunk"):
        return True
    choices = value.get("choices")
    return isinstance(choices, list) and any(isinstance(c, dict) and "delta" in c for c in choices)


_SCORED = "; `candor score` reads it"
_SHAPES: tuple[tuple[str, Callable[[dict[str, Any]], bool]], ...] = (
    ("chunks of a streamed answer; join them into one message first", _chunk),
    ("an Inspect log" + _SCORED, _has("eval", "version")),
    ("a ChatGPT export" + _SCORED, _has("mapping")),
    ("a Claude export" + _SCORED, _has("chat_messages")),
    (
        "OTLP traces; read them with `candor import otlp`, or send them to `candor tap`",
        _has("resourceSpans"),
    ),
    ("a request to OpenAI's batch API; its output file has the answers", _has("custom_id", "body")),
    ("a result of OpenAI's batch API", _has("custom_id", "response")),
    ("OpenAI preference pairs; `candor gate` reads pairs", _has("preferred_output")),
    ("UltraFeedback's completions; write each as `messages`", _has("instruction", "completions")),
    ("preference pairs", _has("chosen", "rejected")),
    ("verdicts that `candor score` wrote", _has("verdict", "p_lie")),
    ("scores for `candor detect`", _has("stream", "score")),
    ("feedback for `candor cohorts`", _has("user_id", "response_id", "value", "created_at")),
    ("a Langfuse observation; write its input and output as `messages`", _has("input", "output")),
    ("an Alpaca row" + _SCORED, _has("instruction", "output")),
    ("ShareGPT" + _SCORED, _has("conversations")),
    ("LMSYS or WildChat" + _SCORED, _has("conversation")),
    ("rows of a prompt and a completion" + _SCORED, _has("prompt", "completion")),
    ("a Gemini request or answer", lambda v: bool(v.keys() & {"contents", "candidates"})),
    ("plain text; write it as `messages`", _has("text")),
    ("transcripts" + _SCORED, _has("messages")),
)
