"""Samples of an Inspect log (`.eval`, or its JSON form), read one by one."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from evidence import BadInputError, Message
from probes.transcripts.record import Record, made

_UNREAD = {"store", "events", "attachments", "timelines"}


def read_inspect(path: Path) -> Iterator[Record]:
    """A record for each sample and epoch, in the log's order; one sample is in memory at a time.

    The conversation is the sample's messages up to the last assistant turn, which is measured;
    reasoning parts of a turn are left out of its text and kept in `fields["reasoning"]`. `fields`
    holds metadata, target and scores. The id is the sample's, with `#epoch` from the second on.

    Raises BadInputError for a file that Inspect cannot read, or without the package `inspect-ai`.
    """
    try:
        from inspect_ai.log import read_eval_log, read_eval_log_samples  # noqa: PLC0415 -- an extra
    except ModuleNotFoundError as error:
        raise BadInputError(
            "Inspect logs need the package inspect-ai: pip install 'candor-monitor[retrain]'",
            str(path),
        ) from error
    try:
        header = read_eval_log(str(path), header_only=True)
        model = str(header.eval.model)
        total = header.results.total_samples if header.results else 0
        samples = read_eval_log_samples(
            str(path), all_samples_required=False, resolve_attachments=True, exclude_fields=_UNREAD
        )
        for number, sample in enumerate(samples, start=1):
            record = _record(sample, f"{path}:sample {number}", model)
            yield record._replace(share=min(1.0, number / total) if total else 0.0)
    except (OSError, ValueError, KeyError, RuntimeError) as error:
        first = str(error).strip().splitlines() or [type(error).__name__]
        raise BadInputError(f"not an Inspect log: {first[0]}", str(path)) from error


def _record(sample: Any, where: str, model: str) -> Record:
    name = str(sample.id) if sample.epoch == 1 else f"{sample.id}#{sample.epoch}"
    scores = {key: score.value for key, score in (sample.scores or {}).items()}
    fields = {**(sample.metadata or {}), "target": sample.target, "scores": scores}
    if sample.error is not None:
        return Record(name, None, fields, where, f"the sample failed: {sample.error.message}")
    turns = list(sample.messages)
    while turns and turns[-1].role != "assistant":
        turns.pop()
    if not turns:
        return Record(name, None, fields, where, "the sample has no assistant turn")
    if reasoning := _reasoning(turns[-1]):
        fields["reasoning"] = reasoning
    messages = [Message(str(turn.role), str(turn.text)) for turn in turns]
    return made(name, messages, fields, where, model=model)


def _reasoning(turn: Any) -> str:
    parts = turn.content if isinstance(turn.content, list) else []
    return "\n".join(part.reasoning for part in parts if part.type == "reasoning")
