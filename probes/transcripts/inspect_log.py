"""Samples of an Inspect log (`.eval`, or its JSON form), read one by one."""

from __future__ import annotations

import re
import zipfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from candor_guard.reading.packing import is_inspect_archive
from candor_guard.reading.reasoning import split_reasoning
from candor_guard.reading.tools import as_text
from evidence import BadInputError, Message, ToolCall, ToolResult
from probes.transcripts.record import Record, made

_UNREAD = {"store", "events", "attachments", "timelines"}
_MEMBER = re.compile(r"samples/(.+)_epoch_(\d+)\.json")
_SUBMIT = "submit"


def is_inspect(path: Path) -> bool:
    """Whether a file is an Inspect log, by its name, its archive's members or its first keys."""
    if path.suffix.lower() == ".eval" or is_inspect_archive(path):
        return True
    with path.open("rb") as file:
        head = file.read(2000).lstrip(b"\xef\xbb\xbf \t\r\n")
    return (
        head.startswith(b"{") and b'"eval"' in head and b'"version"' in head and b'"status"' in head
    )


def read_inspect(path: Path) -> Iterator[Record]:
    """A record for each sample and epoch that the log holds; of `.eval`, one is in memory at a time.

    The conversation is the sample's messages up to the last assistant turn, which is measured;
    reasoning is left out of its text and kept in `fields["reasoning"]`. Where that turn calls
    `submit`, the argument is the answer, and the turn's text goes to `fields["said_with_submit"]`.
    `fields` holds metadata, target and scores. The id is the sample's, with `#epoch` from the second.

    Raises BadInputError for a file that Inspect cannot read, or without the package `inspect-ai`.
    """
    try:
        from inspect_ai.log import read_eval_log  # noqa: PLC0415 -- an extra
    except ModuleNotFoundError as error:
        raise BadInputError(
            "Inspect logs need the package inspect-ai: pip install 'candor-monitor[retrain]'",
            str(path),
        ) from error
    try:
        if zipfile.is_zipfile(path):
            header = read_eval_log(str(path), header_only=True, format="eval")
            total, samples = _of_archive(path, header)
        else:
            header = read_eval_log(str(path), resolve_attachments=True, format="json")
            total, samples = len(header.samples or ()), iter(header.samples or ())
        model = str(header.eval.model)
        for number, sample in enumerate(samples, start=1):
            record = _record(sample, f"{path}:sample {number}", model)
            yield record._replace(share=number / total)
    except (OSError, ValueError, KeyError, IndexError, RuntimeError, zipfile.BadZipFile) as error:
        first = str(error).strip().splitlines() or [type(error).__name__]
        raise BadInputError(f"not an Inspect log: {first[0]}", str(path)) from error


def _of_archive(path: Path, header: Any) -> tuple[int, Iterator[Any]]:
    """The samples that the archive holds, in the order of the data set, then as written."""
    from inspect_ai.log import read_eval_log_sample  # noqa: PLC0415 -- an extra

    with zipfile.ZipFile(path) as archive:
        names = [found.groups() for one in archive.namelist() if (found := _MEMBER.fullmatch(one))]
    given = [str(name) for name in header.eval.dataset.sample_ids or ()]
    order = {name: k for k, name in enumerate(given)}
    held = sorted(
        dict.fromkeys(names), key=lambda one: (order.get(one[0], len(order)), int(one[1]))
    )
    return len(held), (
        read_eval_log_sample(
            str(path),
            id=name,
            epoch=int(epoch),
            resolve_attachments=True,
            format="eval",
            exclude_fields=_UNREAD,
        )
        for name, epoch in held
    )


def _record(sample: Any, where: str, model: str) -> Record:
    name = str(sample.id) if sample.epoch == 1 else f"{sample.id}#{sample.epoch}"
    scores = {key: score.value for key, score in (sample.scores or {}).items()}
    fields = {**(sample.metadata or {}), "target": sample.target, "scores": scores}
    if sample.error is not None:
        return Record(name, None, fields, where, f"the sample failed: {sample.error.message}")
    messages = list(sample.messages)
    while messages and messages[-1].role != "assistant":
        messages.pop()
    if not messages:
        return Record(name, None, fields, where, "the sample has no assistant turn")
    turns = [_turn(message) for message in messages]
    answer = _submitted(messages[-1], sample.output.completion if sample.output else "")
    if answer is not None:
        last = turns[-1]
        fields = {**fields, "said_with_submit": last.content} if last.content else fields
        turns[-1] = Message("assistant", answer, last.reasoning)
    return made(name, turns, fields, where, model=model)


def _turn(message: Any) -> Message:
    parts: Sequence[Any] = message.content if isinstance(message.content, list) else []
    thoughts = [str(part.reasoning) for part in parts if part.type == "reasoning"]
    text = str(message.text)
    if message.role == "tool":
        return Message("tool", text or _failure(message), result=_result(message))
    if message.role != "assistant":
        return Message(str(message.role), text)
    thought, text = split_reasoning(text)
    calls = tuple(
        ToolCall(call.function, as_text(call.arguments), str(call.id))
        for call in message.tool_calls or ()
    )
    return Message(
        "assistant", text, "\n".join([*thoughts, *([thought] if thought else [])]), calls
    )


def _result(message: Any) -> ToolResult:
    return ToolResult(
        call_id=str(message.tool_call_id or ""),
        name=str(message.function or ""),
        status="unknown" if message.error is None else "failed",
    )


def _failure(message: Any) -> str:
    return "" if message.error is None else f"{message.error.type}: {message.error.message}"


def _submitted(message: Any, completion: str) -> str | None:
    """What a turn handed in by a tool; None where it handed in nothing."""
    for call in reversed(message.tool_calls or []):
        given = [value for value in call.arguments.values() if isinstance(value, str)]
        answer = call.arguments.get("answer", given[0] if len(given) == 1 else None)
        if isinstance(answer, str) and (
            call.function == _SUBMIT or (answer.strip() and answer.strip() == completion.strip())
        ):
            return answer
    return None
