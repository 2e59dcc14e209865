"""Conversations in the shapes that chat data have, one object or list of turns each."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from candor_guard.reading import Item, line_items
from candor_guard.reading.shapes import is_turn
from probes.transcripts.conversations import find_conversation
from probes.transcripts.record import Record, made
from probes.transcripts.turns import BadTurnError, parse_turns

NAMES = ("id", "uuid", "conversation_id", "conversation_hash", "custom_id", "prompt_id")


def chat_record(item: Item) -> Record:
    """The record of one value of a file."""
    if item.error is not None:
        return Record(item.name, None, {}, item.where, item.error, item.share)
    turns = isinstance(item.value, list) and item.value and is_turn(item.value[0])
    data = {"messages": item.value} if turns else item.value
    if not isinstance(data, dict):
        return Record(item.name, None, {}, item.where, "not a JSON object", item.share)
    return record_of(data, item.where, item.name)._replace(share=item.share)


def read_records(lines: Iterable[bytes], name: str) -> Iterator[Record]:
    """Records of JSON lines, in order; a broken line is one with `error`, blank lines are skipped."""
    return map(chat_record, line_items(lines, name))


def record_of(data: dict[str, Any], where: str, fallback_id: str) -> Record:
    """The record of one decoded object."""
    key = next((key for key in NAMES if _is_name(data.get(key))), None)
    name = fallback_id if key is None else str(data[key])
    found = find_conversation(data)
    read = {"id"} if isinstance(found, str) else {"id", *found.keys}
    fields = {field: value for field, value in data.items() if field not in read}
    if isinstance(found, str):
        return Record(name, None, fields, where, found)
    try:
        turns = parse_turns(found.turns)
    except BadTurnError as error:
        return Record(name, None, fields, where, str(error))
    model = str(data.get("model") or "")
    return made(name, turns.messages, fields, where, model=model, unread=turns.unread)


def _is_name(given: Any) -> bool:
    return isinstance(given, str | int) and not isinstance(given, bool) and given != ""
