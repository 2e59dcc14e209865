"""A file of exported traffic, read whole: its responses with what belongs to their turns, and feedback on them."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Literal, get_args

import msgspec

from candor_guard.reading import Item, read_items
from candor_guard.reading.packing import check_file
from evidence import BadInputError, Feedback, Response
from monitor.ingest.assembling import settled
from monitor.ingest.decode import decode_spans
from monitor.ingest.files import langfuse, mlflow, phoenix
from monitor.ingest.files.telling import Told
from monitor.ingest.joining import as_part, join, waits
from monitor.ingest.options import IngestOptions
from monitor.ingest.otlp import Spans, from_protobuf, is_otlp, read_chats
from monitor.ingest.otlp.protobuf import may_be_protobuf
from monitor.ingest.otlp.spans import read_span
from monitor.ingest.parts import SPAN, TRACE, Part
from monitor.ingest.records import DeadLetter, Refused, or_letter

Form = Literal["phoenix", "langfuse", "mlflow", "otlp"]
FORMS: tuple[Form, ...] = get_args(Form)
_TELL: Mapping[str, Callable[[Mapping[str, Any], str], Iterator[Told]]] = {
    "phoenix": phoenix.told,
    "langfuse": langfuse.told,
    "mlflow": mlflow.told,
}
_MAX_PROTOBUF_BYTES = 1 << 28


@dataclasses.dataclass(slots=True)
class Traffic:
    """What a file holds.

    Parameters
    ----------
    responses
        In the file's order, each joined with the calls of its turn, `where` it stands beside it.
    feedback
        On these responses, under their ids.
    refused
        (where, why) of what could not be read.
    passed_over
        How many spans and events are no part of this, by reason; `no_response` is feedback on what is not there.
    """

    responses: list[tuple[str, Response]] = dataclasses.field(default_factory=list)
    feedback: list[Feedback] = dataclasses.field(default_factory=list)
    refused: list[tuple[str, str]] = dataclasses.field(default_factory=list)
    passed_over: Counter[str] = dataclasses.field(default_factory=Counter)


def read_traffic(
    path: Path, form: Form, *, assistant: str, options: IngestOptions, key: bytes, now_s: float
) -> Traffic:
    """The traffic in a file. All of it is in memory: spans of a turn may stand anywhere.

    Parameters
    ----------
    assistant
        Whose it is, where the file does not say.
    options, key, now_s
        As in `decode_responses`.

    Raises BadInputError for a file that cannot be read, or that holds nothing of this form.
    """
    check_file(path)
    found = Traffic()
    parts: dict[str, dict[str, Part]] = {}
    waiting: list[tuple[str, Response | Part]] = []
    feedback: list[Feedback] = []
    for where, spans in _spans(path, form, assistant):
        found.passed_over += spans.passed_over
        for one in decode_spans(spans, options=options, key=key, now_s=now_s):
            if isinstance(one, DeadLetter):
                found.refused.append((where, f"{one.reason.value}: {one.detail}"))
            elif isinstance(one, Feedback):
                feedback.append(one)
            else:
                if isinstance(one, Part) or waits(one):
                    part = one if isinstance(one, Part) else as_part(one)
                    parts.setdefault(part.trace_id, {})[part.id] = part
                if isinstance(one, Response) or waits(one):
                    waiting.append((where, one))
    seen: set[tuple[str, str]] = set()
    for where, one in waiting:
        _settle(found, where, one, parts, seen)
    _attribute(found, feedback)
    if not (found.responses or found.refused):
        told = ", ".join(f"{n} {why}" for why, n in sorted(found.passed_over.items()))
        raise BadInputError(
            f"holds no response of the form {form} ({told or 'no spans'})", str(path)
        )
    return found


def _settle(
    found: Traffic,
    where: str,
    one: Response | Part,
    parts: Mapping[str, Mapping[str, Part]],
    seen: set[tuple[str, str]],
) -> None:
    outcome: Response | Part | DeadLetter = one
    if isinstance(one, Part):
        outcome = settled(one, list(parts[one.trace_id].values()))
    elif waits(one):
        outcome = join(one, list(parts[as_part(one).trace_id].values())).outcome
    if isinstance(outcome, DeadLetter):
        found.refused.append((where, f"{outcome.reason.value}: {outcome.detail}"))
    elif isinstance(outcome, Part):
        found.passed_over["repeats_another"] += isinstance(one, Response)
    elif not outcome.messages[-1].content.strip():
        found.passed_over["tool_step"] += 1
    elif (key := (outcome.stratum.assistant, outcome.response_id)) in seen:
        found.passed_over["repeated"] += 1
    else:
        seen.add(key)
        found.responses.append((where, outcome))


def _attribute(found: Traffic, feedback: list[Feedback]) -> None:
    """Feedback names a response's id, its span, or its trace, whose last response it then is about."""
    names: dict[str, Response] = {}
    for _, response in found.responses:
        for name in (response.extra.get(TRACE), response.extra.get(SPAN), response.response_id):
            if isinstance(name, str):
                names[name] = response
    for one in feedback:
        about = names.get(one.response_id)
        if about is None:
            found.passed_over["no_response"] += 1
            continue
        named = {"response_id": about.response_id, "assistant": about.stratum.assistant}
        found.feedback.append(msgspec.structs.replace(one, **named))


def _spans(path: Path, form: Form, assistant: str) -> Iterator[tuple[str, Spans]]:
    if form == "otlp" and _is_protobuf(path):
        if path.stat().st_size > _MAX_PROTOBUF_BYTES:
            raise BadInputError("larger than 256 MiB; split it", str(path))
        try:
            yield str(path), read_chats(from_protobuf(path.read_bytes()))
        except Refused as refused:
            raise BadInputError(str(refused), str(path)) from refused
        return
    for item in read_items(path):
        yield item.where, _of_item(item, form, assistant)


def _is_protobuf(path: Path) -> bool:
    if str(path) == "-":
        return False
    with path.open("rb") as file:
        head = file.read(64)
    return may_be_protobuf(head) and not head.lstrip().startswith((b"{", b"["))


def _of_item(item: Item, form: Form, assistant: str) -> Spans:
    if item.error is not None or not isinstance(item.value, dict):
        raise BadInputError(item.error or "not a JSON object", item.where)
    if form == "otlp":
        if not is_otlp(item.value):
            raise BadInputError(
                "no OTLP export: it has no `resourceSpans` or `resourceLogs`", item.where
            )
        return read_chats(item.value)
    records: list[dict[str, Any] | DeadLetter] = []
    passed_over: Counter[str] = Counter()
    told = _TELL[form](item.value, assistant)
    while True:
        made = or_letter(lambda: _next(told, assistant))
        if made is None:
            return Spans(records, passed_over)
        if isinstance(made, str):
            passed_over[made] += 1
        else:
            records += [made] if isinstance(made, DeadLetter) else made
            if isinstance(made, DeadLetter):
                return Spans(records, passed_over)


def _next(told: Iterator[Told], assistant: str) -> list[dict[str, Any]] | str | None:
    one = next(told, None)
    if one is None:
        return None
    if one.feedback is not None:
        return [{k: v for k, v in one.feedback.items() if v is not None}]
    span = one.span or {}
    attributes = {"service.name": assistant, **span["attributes"]}
    if not any(attributes.get(f"gen_ai.{way}.model") for way in ("request", "response")):
        attributes["gen_ai.request.model"] = attributes.get("llm.model_name") or "unknown"
    return read_span({**span, "attributes": attributes}, {})
