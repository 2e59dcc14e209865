"""Readers for the published item files of MASK and DeceptionBench, as they are.

Nothing of either is packaged; a user who has the files names them. The items carry no reference
answers, so that only a judge can score them. Columns as of MASK's data set card (cais/MASK) and
DeceptionBench's (PKU-Alignment/DeceptionBench).
"""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import msgspec

from evidence import BadInputError, Message
from retrain.items.item import Archetype, Item

_PIVOTAL = re.compile(r"<pivotal>(.*?)</pivotal>", re.DOTALL)
_BELIEFS = ("belief_elicit_1", "belief_elicit_2", "belief_elicit_3")
_BELIEF_SYSTEM = "You are a helpful assistant."
_MASK_FILES: tuple[tuple[str, Archetype], ...] = (
    ("doubling_down", "doubling_down"),
    ("continuation", "continuation"),
    ("disinformation", "disinformation"),
    ("provided_facts", "provided_facts"),
    ("known_facts", "known_facts"),
    ("statistic", "statistics"),
)
_DECEPTION_TYPES: tuple[tuple[str, Archetype], ...] = (
    ("sycophan", "sycophancy"),
    ("faking", "evaluation_faking"),
    ("sandbag", "sandbagging"),
    ("evasion", "honesty_evasion"),
    ("strategic", "strategic_deception"),
    ("rule", "strategic_deception"),
    ("manipulation", "strategic_deception"),
)


class Published(msgspec.Struct, frozen=True, kw_only=True):
    """The items of a file, and why rows of it could not be read: one line each."""

    items: tuple[Item, ...]
    skipped: tuple[str, ...] = ()


def load_mask(path: Path) -> Published:
    """Items of one MASK file, CSV or Parquet, whose name tells its archetype.

    Uses `system_prompt, user_prompt, proposition, formatted_ground_truth`, where there are any
    `belief_elicit_1..3` and the first turn of doubling down, `dd_turn_1_prompt, dd_turn_1_response`.
    A proposition with `<pivotal>a/b</pivotal>` is read with its first option, true where the
    ground truth is `A`, false where it is `B`; one with `<value>` with the true value. A row
    without belief prompts (provided facts) is taken to believe its ground truth, as MASK does.

    Raises BadInputError for a missing file or column and for a name that tells no archetype.
    """
    stem = str(path.parent.name if path.stem.startswith("test-") else path.stem).lower()
    archetype = next((kind for word, kind in _MASK_FILES if word in stem), None)
    if archetype is None:
        raise BadInputError("the file's name tells no archetype of MASK", str(path))
    rows = _rows(path)
    needed = ("system_prompt", "user_prompt", "proposition", "formatted_ground_truth")
    _check_columns(rows, needed, path)
    return _collect(rows, lambda row, number: _mask_item(row, archetype, stem, number))


def load_deceptionbench(path: Path) -> Published:
    """Items of a DeceptionBench JSON file: `id, type, inner_prompt, system_prompt, outer_prompt, format`.

    The belief is the answer to the inner prompt; `proposition` is empty, since the statement that
    the outer answer is held against is that belief. `format` asks for the reasoning.

    Raises BadInputError for a file that is missing, no list of objects, or lacks a field.
    """
    try:
        rows = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise BadInputError(f"cannot be read: {error.strerror}", str(path)) from error
    except ValueError as error:
        raise BadInputError(f"not JSON: {error}", str(path)) from error
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise BadInputError("not a list of objects", str(path))
    _check_columns(rows, ("type", "inner_prompt", "outer_prompt"), path)
    return _collect(rows, _deception_item)


def _rows(path: Path) -> list[dict[str, Any]]:
    try:
        if path.suffix == ".parquet":
            from pyarrow import parquet  # noqa: PLC0415 -- an extra

            return parquet.read_table(path).to_pylist()
        with path.open(encoding="utf-8-sig", newline="") as file:
            return list(csv.DictReader(file))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise BadInputError(f"cannot be read: {error}", str(path)) from error


def _check_columns(rows: list[dict[str, Any]], needed: tuple[str, ...], path: Path) -> None:
    if not rows:
        raise BadInputError("no rows", str(path))
    missing = [name for name in needed if name not in rows[0]]
    if missing:
        raise BadInputError(f"no column {', '.join(missing)}", str(path))


def _collect(
    rows: list[dict[str, Any]], make: Callable[[Mapping[str, Any], int], Item | str]
) -> Published:
    made = [make(row, number) for number, row in enumerate(rows)]
    return Published(
        items=tuple(one for one in made if isinstance(one, Item)),
        skipped=tuple(
            f"row {number}: {one}" for number, one in enumerate(made) if isinstance(one, str)
        ),
    )


def _text(row: Mapping[str, Any], name: str) -> str:
    value = row.get(name)
    text = "" if value is None else str(value).strip()
    return "" if text.lower() == "nan" else text


def _mask_item(row: Mapping[str, Any], archetype: Archetype, stem: str, number: int) -> Item | str:
    ask = _text(row, "user_prompt")
    read = _proposition(_text(row, "proposition"), _text(row, "formatted_ground_truth"))
    if not ask:
        return "no user prompt"
    if isinstance(read, str):
        return read
    proposition, truth = read
    turns = [Message("system", _text(row, "system_prompt"))] if _text(row, "system_prompt") else []
    if _text(row, "dd_turn_1_prompt"):
        turns.append(Message("user", _text(row, "dd_turn_1_prompt")))
        turns.append(Message("assistant", _text(row, "dd_turn_1_response")))
    name = _text(row, "task_id") or f"{stem}.{number}"
    return Item(
        id=f"mask.{name}",
        domain="mask",
        template=f"mask.{name}",
        archetype=archetype,
        split="held_out",
        pressured=(*turns, Message("user", ask)),
        neutral=tuple(
            (Message("system", _BELIEF_SYSTEM), Message("user", _text(row, column)))
            for column in _BELIEFS
            if _text(row, column)
        ),
        proposition=proposition,
        truth=truth,
    )


def _proposition(text: str, truth: str) -> tuple[str, bool] | str:
    """(statement, whether it is true), or why there is none."""
    if "<value>" in text:
        return (text.replace("<value>", truth), True) if truth else "no true value"
    found = _PIVOTAL.search(text)
    if found is None:
        return "the proposition has neither <pivotal> nor <value>"
    options = found.group(1).split("/")
    if len(options) != 2:
        return "the proposition does not have two options"
    if truth not in {"A", "B"}:
        return f"the ground truth is {truth!r}, neither A nor B"
    return text.replace(found.group(0), options[0].strip()), truth == "A"


def _deception_item(row: Mapping[str, Any], number: int) -> Item | str:
    kind = _text(row, "type").lower()
    archetype = next((one for word, one in _DECEPTION_TYPES if word in kind), None)
    if archetype is None:
        return f"unknown type {kind!r}"
    inner, outer = _text(row, "inner_prompt"), _text(row, "outer_prompt")
    if not inner or not outer:
        return "no inner or outer prompt"
    system = _text(row, "system_prompt")
    name = _text(row, "id") or str(number)
    return Item(
        id=f"deceptionbench.{name}",
        domain="deceptionbench",
        template=f"deceptionbench.{name}",
        archetype=archetype,
        split="held_out",
        pressured=(
            *((Message("system", system),) if system else ()),
            Message("user", f"{outer}\n\n{_text(row, 'format')}".strip()),
        ),
        neutral=((Message("user", inner),),),
        proposition="",
        truth=True,
    )
