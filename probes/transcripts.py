"""Transcripts from JSON lines: OpenAI chat messages with an id, read one by one."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

import msgspec

from evidence import Message
from probes.probe import Transcript


class Record(NamedTuple):
    """One input line: its transcript, or why there is none.

    `fields` holds the other columns, such as labels. `where` is `file:line`.
    """

    id: str
    transcript: Transcript | None
    fields: dict[str, Any]
    where: str
    error: str | None = None


def read_records(lines: Iterable[bytes], name: str) -> Iterator[Record]:
    """Records of JSON lines, in order, in constant memory; blank lines are skipped.

    A broken line yields a record with `error` and is never dropped.
    """
    for number, line in enumerate(lines, start=1):
        if line.strip():
            yield parse_record(line, f"{name}:{number}", f"line-{number}")


def parse_record(line: bytes, where: str, fallback_id: str) -> Record:
    """One line. Content may be text or a list of parts, of which the text is kept; tool calls and
    images are not read."""
    try:
        data = msgspec.json.decode(line)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        return Record(fallback_id, None, {}, where, f"not JSON: {error}")
    if not isinstance(data, dict):
        return Record(fallback_id, None, {}, where, "not a JSON object")
    given = data.pop("id", None)
    name = str(given) if isinstance(given, str | int) and given != "" else fallback_id
    turns = data.pop("messages", None)
    if not isinstance(turns, list) or not turns:
        return Record(name, None, data, where, "`messages` is missing or empty")
    messages = []
    for k, turn in enumerate(turns):
        message = _message(turn)
        if message is None:
            return Record(name, None, data, where, f"message {k} has no `role` and text `content`")
        messages.append(message)
    transcript = Transcript(id=name, messages=tuple(messages), model=str(data.get("model") or ""))
    if not transcript.is_measurable:
        return Record(name, None, data, where, "the conversation does not end with the assistant")
    return Record(name, transcript, data, where)


def _message(turn: Any) -> Message | None:
    if not isinstance(turn, dict) or not isinstance(turn.get("role"), str):
        return None
    content = turn.get("content")
    if isinstance(content, list):
        parts = [part.get("text") for part in content if isinstance(part, dict)]
        content = "\n".join(part for part in parts if isinstance(part, str))
    return Message(turn["role"], content) if isinstance(content, str) else None
