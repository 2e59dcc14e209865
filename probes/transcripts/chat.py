"""OpenAI chat messages with an id, one JSON object a line."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from evidence import Message
from probes.transcripts.record import Record, made
from probes.transcripts.tables import decoded, read_rows

_INSTEAD = ("tool_calls", "function_call", "refusal")
"""What an OpenAI turn without content holds instead."""


def read_chat(path: Path) -> Iterator[Record]:
    """Records of a file of JSON lines, or of one JSON array of such objects, in constant memory."""
    with path.open("rb") as file:
        is_array = file.read(1 << 12).lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"[")
        file.seek(0)
        if not is_array:
            yield from read_records(file, str(path), path.stat().st_size)
            return
    for row in read_rows(path):
        where, name = f"{path}:{row.line}", f"line-{row.line}"
        if row.error is not None:
            yield Record(name, None, {}, where, row.error, row.share)
        else:
            yield record_of(row.values, where, name)._replace(share=row.share)


def read_records(lines: Iterable[bytes], name: str, size: int = 0) -> Iterator[Record]:
    """Records of JSON lines of `size` bytes, in order, in constant memory; blank lines are skipped.

    A broken line yields a record with `error` and is never dropped.
    """
    read = 0
    for number, line in enumerate(lines, start=1):
        read += len(line)
        if line.strip():
            record = parse_record(line, f"{name}:{number}", f"line-{number}")
            yield record._replace(share=read / size) if size else record


def parse_record(line: bytes, where: str, fallback_id: str) -> Record:
    """One line. Content may be text or a list of parts, of which the text is kept.

    Tool calls and images are not read: a turn that only calls a tool is an empty one.
    """
    data, problem = decoded(line)
    if problem is not None:
        return Record(fallback_id, None, {}, where, problem)
    if not isinstance(data, dict):
        return Record(fallback_id, None, {}, where, "not a JSON object")
    return record_of(data, where, fallback_id)


def record_of(data: dict[str, Any], where: str, fallback_id: str) -> Record:
    """The record of one decoded object."""
    given = data.pop("id", None)
    is_name = isinstance(given, str | int) and not isinstance(given, bool) and given != ""
    name = str(given) if is_name else fallback_id
    turns = data.pop("messages", None)
    if not isinstance(turns, list) or not turns:
        return Record(name, None, data, where, "`messages` is missing or empty")
    messages = []
    for k, turn in enumerate(turns):
        message = _message(turn)
        if message is None:
            return Record(name, None, data, where, f"message {k} has no `role` and text `content`")
        messages.append(message)
    return made(name, messages, data, where, model=str(data.get("model") or ""))


def _message(turn: Any) -> Message | None:
    if not isinstance(turn, dict) or not isinstance(turn.get("role"), str):
        return None
    content = turn.get("content")
    if isinstance(content, list):
        parts = [part.get("text") for part in content if isinstance(part, dict)]
        content = "\n".join(part for part in parts if isinstance(part, str))
    elif content is None and any(turn.get(key) for key in _INSTEAD):
        refusal = turn.get("refusal")
        content = refusal if isinstance(refusal, str) else ""
    return Message(turn["role"], content) if isinstance(content, str) else None
