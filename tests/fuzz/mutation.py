"""Valid documents bent: values, keys and structure by a grammar, then the bytes themselves."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from tests.fuzz.choices import Choices

VALUES: tuple[Any, ...] = (
    *(None, True, False, 0, -1, 7, 2**31, 2**63, 2**64, -(2**63) - 1, 10**30, 10**400, 1.5, -0.0),
    *(
        1e308,
        5e-324,
        "",
        " ",
        "\n",
        "x",
        "1",
        "\x00",
        "a\x00b",
        "\x07",
        "\ud800",
        "cut \ud83d",
        "\udfff",
    ),
    *(
        "\U0001f600",
        "e\u0301",
        "\u202e",
        "\ufffd",
        "\ufeff",
        "x" * 33,
        "x" * 201,
        "x" * 5000,
        "a/b",
    ),
    *(
        "live",
        "canary",
        "candor-canary",
        "high",
        "assistant",
        "Model",
        "ai",
        "tool",
        "user",
        "system",
    ),
    *("2026-01-01T00:00:00Z", "0001-01-01T00:00:00Z", "9999-12-31T23:59:59+14:00", "2026-01-01"),
    *("<think>", "</think>", "<think>a</think>b", "b</think>", "[", '[{"role', '[{"role":"user"}]'),
    *("[[[[[[", '"', '{"a":1}', "chat", "text", "tool_call", "reasoning", "refusal", "image_url"),
    *(
        [],
        {},
        [None],
        [[]],
        [{}],
        {"a": 1},
        {"": ""},
        {"\ud800": 1},
        [1, "a", None],
        {"type": "text"},
    ),
    *(
        {"type": "text", "text": "a"},
        {"type": "text", "content": "a"},
        {"type": 5},
        {"type": ["a"]},
    ),
    *({"type": "tool_call", "name": "f", "arguments": {"a": 1}}, {"type": "tool_use"}),
    *({"type": "tool_result", "content": [{"type": "text", "text": "a"}]}, {"type": "image_url"}),
    *(
        {"type": "thinking", "thinking": "a"},
        {"role": "assistant"},
        {"role": "user", "content": "a"},
    ),
    *({"role": "assistant", "content": None, "tool_calls": [{"function": {"name": "f"}}]},),
    *({"stringValue": "a"}, {"intValue": 1}, {"arrayValue": {}}, {"kvlistValue": {"values": []}}),
    *(
        {"arrayValue": {"values": [{"stringValue": "chat"}]}},
        {"kvlistValue": 5},
        {"bytesValue": "AA=="},
    ),
)
KEYS = (
    *("role", "content", "parts", "text", "type", "name", "tool_calls", "function_call", "refusal"),
    *(
        "reasoning",
        "thinking",
        "system",
        "messages",
        "user_id",
        "rater",
        "purpose",
        "segment",
        "stakes",
    ),
    *(
        "response_id",
        "extra",
        "user",
        "email",
        "candor_mark",
        "unread_parts",
        "",
        "\x00",
        "k\ud800",
    ),
    *("key", "value", "attributes", "spans", "scopeSpans", "resourceSpans", "status", "response"),
)
TOKENS = (
    *(
        b"\xff",
        b"\xe9",
        b"\xed\xa0\x80",
        b"\\ud800",
        b"\\u0000",
        b"\x00",
        b"\xef\xbb\xbf",
        b"NaN",
        b"-Infinity",
    ),
    *(
        b"1e999",
        b"-1e999",
        b"1e-999",
        b"9" * 30,
        b"9" * 5000,
        b"01",
        b"true",
        b"null",
        b'"',
        b"\\",
        b",",
    ),
    *(
        b"[" * 70,
        b"[" * 600,
        b"[" * 5000,
        b'{"a":' * 70,
        b'{"a":' * 600,
        b"]",
        b"}",
        b"{}",
        b"[]",
        b"\r\n",
    ),
)


def bent(document: Any, choices: Choices) -> bytes:
    """The document with one to three mutations, as JSON bytes with none to two more."""
    return written(bent_document(document, choices), choices)


def bent_document(document: Any, choices: Choices) -> Any:
    """The document with one to three mutations."""
    document = _copied(document)
    for _ in range(choices.pick((1, 1, 1, 2, 2, 3))):
        document = _bend(document, choices)
    return document


def written(document: Any, choices: Choices) -> bytes:
    """As JSON bytes, which are bent in their turn now and then."""
    try:
        text = json.dumps(document, ensure_ascii=choices.chance(2))
    except RecursionError:  # deeper than our own writer goes
        text = "[" * 2_000
    raw = text.encode("utf-8", "surrogatepass")
    for _ in range(choices.pick((0, 0, 0, 0, 1, 2))):
        raw = bent_bytes(raw, choices)
    return raw


def bent_bytes(raw: bytes, choices: Choices) -> bytes:
    """The bytes with one slice removed, doubled or changed, or something put into them."""
    at = choices.index(len(raw) + 1)
    end = min(len(raw), at + 1 + choices.index(1 + min(64, len(raw))))
    how = choices.index(6)
    if how == 0:
        return raw[:at] + raw[end:]
    if how == 1:
        return raw[:end] + raw[at:]
    if how == 2:
        return raw[:at]
    if how == 3:
        return raw[:at] + bytes([choices.index(256)]) + raw[at + 1 :]
    if how == 4:
        return raw[:at] + choices.pick(TOKENS) + raw[end:]
    return raw[:at] + choices.pick(TOKENS) + raw[at:]


def _bend(document: Any, choices: Choices) -> Any:
    """One mutation at a place that is reached by a walk from the root."""
    holder, place = _place(document, choices)
    if holder is None:
        return _value(choices)
    how = choices.index(7)
    if how == 0:
        del holder[place]
    elif how == 1 and isinstance(holder, dict):
        holder[choices.pick(KEYS)] = holder.pop(place)
    elif how == 2 and isinstance(holder, dict):
        holder[choices.pick(KEYS)] = _value(choices)
    elif how == 2:
        holder.insert(place, _value(choices))
    elif how == 3:
        other, there = _place(document, choices)
        holder[place] = _copied(other[there]) if other is not None else None
    elif how == 4:
        holder[place] = _text(holder[place], choices)
    elif how == 5:
        holder[place] = _nested(holder[place], choices)
    else:
        holder[place] = _value(choices)
    return document


def _place(document: Any, choices: Choices) -> tuple[Any, Any]:
    holder, place, at = None, None, document
    while isinstance(at, dict | list) and at:
        if holder is not None and choices.chance(4):
            break
        holder = at
        places = list(at) if isinstance(at, dict) else range(len(at))
        inner = [one for one in places if isinstance(at[one], dict | list) and at[one]]
        place = choices.pick(inner if inner and choices.chance(2) else places)
        at = holder[place]
    return holder, place


def _copied(value: Any) -> Any:
    return json.loads(json.dumps(value))


def _value(choices: Choices) -> Any:
    return _copied(choices.pick(VALUES))


def _text(value: Any, choices: Choices) -> Any:
    """A text cut or with something in it; anything else as the JSON text of itself."""
    if not isinstance(value, str):
        return json.dumps(value)
    at = choices.index(len(value) + 1)
    inserted = [v for v in VALUES if isinstance(v, str) and len(v) < 40]
    return value[:at] if choices.chance(2) else value[:at] + choices.pick(inserted) + value[at:]


def _nested(value: Any, choices: Choices) -> Any:
    depth = choices.pick((1, 2, 5, 60, 63, 64, 120, 130))
    as_list = choices.chance(2)
    for _ in range(depth):
        value = [value] if as_list else {"a": value}
    return value


def seeds_of(documents: Sequence[Any], choices: Choices) -> bytes:
    """One of the documents, bent; one in twenty as it is."""
    document = choices.pick(documents)
    if choices.chance(20):
        return json.dumps(document).encode()
    return bent(document, choices)
