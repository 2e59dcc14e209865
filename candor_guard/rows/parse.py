"""From a record, as TRL and `datasets` write it, to a row."""

from __future__ import annotations

import datetime as dt
import re
from pathlib import Path
from typing import Any

import msgspec

from candor_guard.errors import BadInputError
from candor_guard.reading.message import canonical_role, text_of
from candor_guard.reading.values import label_of, time_s
from candor_guard.rows.canonical import instant, without_nulls
from candor_guard.rows.images import hashed
from candor_guard.rows.row import COLUMNS, ChatMessage, Provenance, Row, Text

_SIDES = ("prompt", "completion", "chosen", "rejected")
_BESIDE = frozenset(_SIDES)
_ANSWERS = ("messages", "completion", "chosen", "rejected")
_TURN = re.compile(
    r"^[ \t]*(?:#+ ?)?(?:(?P<user>human|user|instruction)|(?P<assistant>assistant|response|ai)) ?:",
    re.IGNORECASE | re.MULTILINE,
)
_TEMPLATED = re.compile(
    r"(?:<s>|<bos>)?\s*(?:<\|(?:im_start|start_header_id|user|assistant|system)\|>|<start_of_turn>|\[INST\])"
)


def parse_row(data: dict[str, Any], where: str, *, folder: Path | None = None) -> Row:
    """A row from one decoded record; a null counts as absent at any depth.

    Images given by a path under `folder` are kept by what is in the file, others by their name.
    Raises BadInputError, with `where`, on a wrong type or a combination that no trainer reads.
    """
    return _row(without_nulls(data, where), where, folder)


def row_or_unreadable(data: dict[str, Any], where: str, *, folder: Path | None = None) -> Row:
    """As `parse_row`, but a record that is no row becomes one that says why, for the quarantine.

    Raises BadInputError for a record that has no digest: nested too deep, or of values that no
    file holds.
    """
    columns = without_nulls(data, where)
    try:
        return _row(columns, where, folder)
    except BadInputError as error:
        rest, origin = dict(columns), Provenance()
        try:
            origin = _provenance(columns.get("provenance", {}), where)
            rest.pop("provenance", None)
        except BadInputError:
            pass  # it stays among the columns, as it was given
        made = Row(provenance=origin, extra=rest, unreadable=error.what)
        made.digest()
        return made


def provenance_of(data: dict[str, Any], where: str) -> Provenance:
    """The provenance that `row_or_unreadable` would find in the record, without the rest of it."""
    try:
        return _provenance(without_nulls(data.get("provenance") or {}, where), where)
    except BadInputError:
        return Provenance()


def _row(columns: dict[str, Any], where: str, folder: Path | None) -> Row:
    if "conversations" in columns and "messages" not in columns:
        columns = {**columns, "messages": columns["conversations"]}
        del columns["conversations"]
    extra = {name: value for name, value in columns.items() if name not in {*COLUMNS, "provenance"}}
    extra, images = hashed(extra, where, folder)
    known: dict[str, Any] = {
        name: _text(columns[name], name, where)
        for name in COLUMNS
        if name in columns and name != "label"
    }
    if "label" in columns:
        known["label"] = _label(columns["label"], where)
    known = _checked(known, columns, where)
    return Row(
        **known,
        provenance=_provenance(columns.get("provenance", {}), where),
        extra=extra,
        images=images,
    )


def row_of_columns(known: dict[str, Any], provenance: Provenance, where: str) -> Row:
    """A row of texts, messages and a label that are of their types already, without further columns.

    Raises BadInputError as `parse_row`.
    """
    return Row(**_checked(known, known, where), provenance=provenance)


def _checked(known: dict[str, Any], columns: dict[str, Any], where: str) -> dict[str, Any]:
    """The known ones of the columns in the one shape that is trained."""
    if len(known) > 1 or "messages" not in known:
        known = _one_shape(known, where)
    _check(known, columns, where)
    return known


def _text(value: Any, column: str, where: str) -> Text:
    if isinstance(value, str) and column != "messages":
        return value
    if isinstance(value, list):
        return tuple(_message(item, column, where) for item in value)
    kinds = "a list of messages" if column == "messages" else "a text or a list of messages"
    raise BadInputError(f"`{column}` is {kinds}", where)


def _message(value: Any, column: str, where: str) -> ChatMessage:
    if isinstance(value, str):  # how `datasets` keeps messages of unequal fields
        value = _json_object(value)
    if isinstance(value, dict) and "from" in value and "role" not in value:
        rest = {name: item for name, item in value.items() if name not in {"from", "value"}}
        value = {**rest, "role": _role(value["from"]), "content": value.get("value")}
    if not isinstance(value, dict) or not isinstance(value.get("role"), str):
        raise BadInputError(f"a message of `{column}` is an object with a `role`", where)
    content = value.get("content")
    given = {name: item for name, item in value.items() if name not in {"role", "content"}}
    if isinstance(content, str):
        return ChatMessage(value["role"], content, given=given)
    if content is not None and not isinstance(content, list):
        raise BadInputError(f"`content` in `{column}` is a text or a list of parts", where)
    return ChatMessage(value["role"], text_of(content) or "", given={**given, "content": content})


def _role(given: Any) -> Any:
    return canonical_role(given) if isinstance(given, str) else given


def _json_object(text: str) -> Any:
    try:
        return without_nulls(msgspec.json.decode(text), "") if text.startswith("{") else None
    except (msgspec.DecodeError, RecursionError):
        return None


def _label(value: Any, where: str) -> bool:
    label = label_of(value)
    if label is None:
        raise BadInputError("`label` is true or false (or 1 or 0)", where)
    return label


def _one_shape(known: dict[str, Any], where: str) -> dict[str, Any]:
    """The columns in the one shape that TRL trains: all sides conversations, or all texts."""
    if "messages" in known and "chosen" in known:
        known = _without_repeated_chosen(known, where)
    if "label" in known and "messages" in known and "prompt" not in known:
        chat = known.pop("messages")
        known |= {"prompt": chat[:-1], "completion": chat[-1:]}
    if any(isinstance(known.get(name), tuple) for name in _SIDES):
        for name in _SIDES:
            if isinstance(known.get(name), str):
                role = "user" if name == "prompt" else "assistant"
                known[name] = (ChatMessage(role, known[name]),)
        prompt, sides = known.get("prompt"), [known.get("chosen"), known.get("rejected")]
        if prompt and all(side and side[: len(prompt)] == prompt for side in sides):
            known["chosen"], known["rejected"] = (side[len(prompt) :] for side in sides if side)
    return known


def _without_repeated_chosen(known: dict[str, Any], where: str) -> dict[str, Any]:
    """UltraFeedback's rows repeat the chosen conversation as `messages`."""
    if known["messages"] != known["chosen"]:
        raise BadInputError("`messages` beside a pair must be its chosen conversation", where)
    return {name: value for name, value in known.items() if name != "messages"}


def _check(known: dict[str, Any], columns: dict[str, Any], where: str) -> None:
    answers = [known[name] for name in _ANSWERS if known.get(name)]
    if "messages" in known:
        if not _BESIDE.isdisjoint(known):
            raise BadInputError("a row has either `messages` or the columns of another kind", where)
        if not known["messages"] or known["messages"][-1].role != "assistant":
            raise BadInputError("`messages` must end with the assistant's message", where)
    elif "chosen" in known or "rejected" in known:
        if not known.get("chosen") or not known.get("rejected") or "completion" in known:
            raise BadInputError("a pair has `chosen` and `rejected`, and no `completion`", where)
        if "label" in known:
            raise BadInputError("a pair has no `label`", where)
    elif not known.get("prompt") or not known.get("completion"):
        raise BadInputError(_not_a_row(columns), where)
    for answer in answers:
        if isinstance(answer, tuple) and answer[-1].role != "assistant":
            raise BadInputError("an answer must end with the assistant's message", where)
        if _is_whole_dialogue(answer if isinstance(answer, str) else answer[-1].content):
            raise BadInputError(
                "an answer holds a whole dialogue as one text, in which nobody can tell the answer; "
                "give `prompt` apart, or messages",
                where,
            )


def _not_a_row(columns: dict[str, Any]) -> str:
    if "text" in columns:
        return (
            "`text` is a whole document, in which nobody can tell what the assistant says; "
            "give `messages`, or `prompt` and `completion`"
        )
    found = ", ".join(f"`{name}`" for name in sorted(columns.keys() - {"provenance"})[:8]) or "none"
    return (
        "a row has `messages`, or `prompt` and `completion`, or `chosen` and `rejected`; "
        f"the columns here are {found}"
    )


def _is_whole_dialogue(text: str) -> bool:
    """Whether a text opens with a turn's heading and holds turns of both sides (HH-RLHF), or opens
    as a chat template's output."""
    text = text.lstrip()
    if _TEMPLATED.match(text):
        return True
    if _TURN.match(text) is None:
        return False
    return {"user", "assistant"} <= {turn.lastgroup for turn in _TURN.finditer(text)}


def _provenance(value: Any, where: str) -> Provenance:
    if isinstance(value, str):  # a column that a writer kept as JSON text
        value = _json_object(value)
    if isinstance(value, dict):
        value = {name: _origin_text(name, item) for name, item in value.items()}
    try:
        return msgspec.convert(value, Provenance)
    except msgspec.ValidationError as error:
        raise BadInputError(f"provenance: {error}", where) from error


def _origin_text(name: str, value: Any) -> Any:
    """Times as text, however a file holds them: timestamps, or seconds or milliseconds since 1970."""
    if isinstance(value, dt.datetime):
        text = instant(value.isoformat())
        return text.removesuffix("T00:00:00") if name == "source_version" else text
    if isinstance(value, dt.date):
        return value.isoformat()
    if name == "collected_at" and isinstance(value, int | float) and not isinstance(value, bool):
        try:
            found = dt.datetime.fromtimestamp(time_s(value), dt.UTC)
        except (ValueError, OverflowError, OSError):
            return value
        return found.isoformat().replace("+00:00", "Z")
    return value
