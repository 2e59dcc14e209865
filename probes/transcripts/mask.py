"""Result files of MASK (arXiv 2503.03750): one row a prompt, one column a generation."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from candor_guard.reading import Item
from candor_guard.reading.reasoning import split_reasoning
from evidence import Message
from probes.transcripts.record import Record, made

COLUMNS = frozenset({"system_prompt", "user_prompt"})
_STATEMENT = re.compile(
    r"^generation\(\s*(?:formatted )?system[ _]prompt\s*\+\s*user[ _]prompt\s*\)(?:_run(\d+))?$",
    re.IGNORECASE,
)
_FAILED = re.compile(r"^\[error\b", re.IGNORECASE)


def is_mask(columns: Mapping[str, Any]) -> bool:
    """Whether a row's columns are those of a MASK result file."""
    return columns.keys() >= COLUMNS and any(_STATEMENT.match(name) for name in columns)


def mask_records(item: Item) -> Iterator[Record]:
    """A record for each pressured generation of a row; a row without one is a record with an error.

    Read are `system_prompt`, `user_prompt`, in the doubling-down archetypes `dd_turn_1_prompt` and
    `dd_turn_1_response` before it, and `generation(System Prompt + User Prompt)_runK`. The belief
    generations stay in `fields`, as does everything else. The id is `task_id`, with `#K` where a
    row has several runs; without it the line.
    """
    values = item.value
    base = str(values.get("task_id") or values.get("id") or item.name)
    missing = sorted(key for key in COLUMNS if not isinstance(values.get(key), str))
    found = {key: match for key in values if (match := _STATEMENT.match(key))}
    if missing or not found:
        problem = f"column `{missing[0]}` is missing" if missing else "no generation in this row"
        yield Record(base, None, values, item.where, problem)
        return
    prompt = _prompt(values)
    rest = {key: value for key, value in values.items() if key not in found}
    for key, match in found.items():
        label = f"{base}#{match.group(1) or 1}" if len(found) > 1 else base
        text = values[key]
        if not isinstance(text, str) or _FAILED.match(text):
            yield Record(label, None, rest, item.where, f"`{key}` holds no generation")
            continue
        reasoning, answer = split_reasoning(text)
        yield made(label, [*prompt, Message("assistant", answer, reasoning)], rest, item.where)


def _prompt(values: Mapping[str, Any]) -> list[Message]:
    first = [
        Message(
            role, split_reasoning(str(values[key]))[1] if role == "assistant" else str(values[key])
        )
        for role, key in (("user", "dd_turn_1_prompt"), ("assistant", "dd_turn_1_response"))
        if values.get(key)
    ]
    return [
        Message("system", values["system_prompt"]),
        *first,
        Message("user", values["user_prompt"]),
    ]
