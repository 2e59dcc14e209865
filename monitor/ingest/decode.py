"""From the bytes of one input record to accepted records or a dead letter."""

from __future__ import annotations

import re
from typing import Any, TypeVar

import msgspec

from evidence import (
    CANARY_ASSISTANT,
    Feedback,
    Message,
    Purpose,
    Response,
    Stakes,
    Stratum,
    pseudonym,
)
from monitor.ingest.options import IngestOptions
from monitor.ingest.otlp import is_otlp, responses_in
from monitor.ingest.records import DeadLetter, DeadLetterReason, Refused
from monitor.ingest.text import clean, clean_all, parse_json
from monitor.ingest.wire import WireFeedback, WireResponse

OTHER = "other"
_USER_KEYS = frozenset({"user_id", "userid", "user", "enduser.id", "user.id", "rater", "email"})
_Wire = TypeVar("_Wire", WireResponse, WireFeedback)
_KNOWN = {kind: frozenset(kind.__struct_fields__) for kind in (WireResponse, WireFeedback)}


def decode_response(
    raw: bytes | None, *, options: IngestOptions, key: bytes, now_s: float
) -> Response | DeadLetter:
    """Decode one record of the responses topic.

    Parameters
    ----------
    raw
        The record's value as it came.
    key
        Pseudonym key: the user id is replaced before anything else sees the record.
    now_s
        The current time, against which `created_at` is checked.
    """
    try:
        return _response(_parse(raw, options), options, key, now_s)
    except Refused as refused:
        return refused.letter


def decode_responses(
    raw: bytes | None, *, options: IngestOptions, key: bytes, now_s: float
) -> list[Response | DeadLetter]:
    """Decode one record that may be an OTLP trace export with many responses; never empty.

    Parameters as in `decode_response`.
    """
    try:
        record = _parse(raw, options)
    except Refused as refused:
        return [refused.letter]
    if not is_otlp(record):
        return [_response_or_letter(record, options, key, now_s)]
    found = [_response_or_letter(one, options, key, now_s) for one in responses_in(record)]
    return found or [DeadLetter(DeadLetterReason.NO_RESPONSE, "a trace without a chat span")]


def _response_or_letter(
    record: dict[str, Any], options: IngestOptions, key: bytes, now_s: float
) -> Response | DeadLetter:
    try:
        return _response(record, options, key, now_s)
    except Refused as refused:
        return refused.letter


def _response(record: dict[str, Any], options: IngestOptions, key: bytes, now_s: float) -> Response:
    wire = _convert(record, WireResponse)
    rater, raw_id = _rater(wire, key)
    return Response(
        response_id=wire.response_id,
        stratum=_stratum(wire, options),
        model=clean(wire.model),
        conversation_id=_conversation(wire.conversation_id, raw_id, key),
        rater=rater,
        created_at_s=_time(wire, options, now_s),
        messages=_messages(wire),
        purpose=Purpose(wire.purpose),
        extra=_extra(record, WireResponse, raw_id),
    )


def decode_feedback(
    raw: bytes | None, *, options: IngestOptions, key: bytes, now_s: float
) -> Feedback | DeadLetter:
    """Decode one record of the feedback topic; parameters as in `decode_response`."""
    try:
        record = _parse(raw, options)
        wire = _convert(record, WireFeedback)
        rater, raw_id = _rater(wire, key)
        return Feedback(
            feedback_id=wire.feedback_id,
            assistant=_assistant(wire.assistant, options),
            response_id=wire.response_id,
            rater=rater,
            created_at_s=_time(wire, options, now_s),
            value=wire.value,
            kind=clean(wire.kind),
            text=None if wire.text is None else clean(wire.text),
            extra=_extra(record, WireFeedback, raw_id),
        )
    except Refused as refused:
        return refused.letter


def _parse(raw: bytes | None, options: IngestOptions) -> dict[str, Any]:
    if not raw:
        raise Refused(DeadLetterReason.EMPTY_RECORD, "the record has no value")
    if len(raw) > options.max_record_bytes:
        limit = options.max_record_bytes
        raise Refused(DeadLetterReason.TOO_LARGE, f"{len(raw)} bytes, at most {limit} are accepted")
    return parse_json(raw)


def _convert(record: dict[str, Any], kind: type[_Wire]) -> _Wire:
    try:
        return msgspec.convert(record, kind)
    except msgspec.ValidationError as error:
        # The message about an enumeration quotes the value, which may be anything.
        message = re.sub(r"Invalid enum value .*(?= - at )", "Not one of the values", str(error))
        raise Refused(_reason(message), message) from error


def _reason(message: str) -> DeadLetterReason:
    if message.startswith("Object missing required field"):
        return DeadLetterReason.MISSING_FIELD
    if message.startswith("Expected `") and ", got `" in message:
        return DeadLetterReason.WRONG_TYPE
    return DeadLetterReason.WRONG_VALUE


def _rater(wire: WireResponse | WireFeedback, key: bytes) -> tuple[str, str | None]:
    if wire.user_id is not None:
        return pseudonym(wire.user_id, key), wire.user_id
    if wire.rater is not None:
        return wire.rater, None
    raise Refused(DeadLetterReason.MISSING_FIELD, "Object missing required field `user_id`")


def _conversation(name: str, raw_id: str | None, key: bytes) -> str:
    """The conversation's id; a pseudonym of it where it holds the user's id."""
    if raw_id is None or raw_id.casefold() not in name.casefold():
        return name
    return pseudonym(name, key)


def _stratum(wire: WireResponse, options: IngestOptions) -> Stratum:
    if Purpose(wire.purpose) is Purpose.CANARY and wire.assistant == CANARY_ASSISTANT:
        return Stratum(CANARY_ASSISTANT, OTHER, Stakes(wire.stakes))
    assistant = _assistant(wire.assistant, options)
    declared = options.assistants.get(assistant, ())
    segment = wire.segment if wire.segment in declared else OTHER
    return Stratum(assistant, segment or OTHER, Stakes(wire.stakes))


def _assistant(name: str, options: IngestOptions) -> str:
    return name if not options.assistants or name in options.assistants else OTHER


def _time(wire: WireResponse | WireFeedback, options: IngestOptions, now_s: float) -> float:
    at_s = wire.created_at.timestamp()
    if at_s > now_s + options.max_clock_skew_s:
        raise Refused(DeadLetterReason.CLOCK, f"`created_at` is {at_s - now_s:.0f} s in the future")
    if at_s < now_s - options.max_age_s:
        raise Refused(DeadLetterReason.CLOCK, f"`created_at` is {now_s - at_s:.0f} s in the past")
    return at_s


def _messages(wire: WireResponse) -> tuple[Message, ...]:
    messages = tuple(Message(clean(m.role), clean(_text(m.content))) for m in wire.messages)
    if not messages:
        raise Refused(DeadLetterReason.EMPTY_CONVERSATION, "`messages` is empty")
    if messages[-1].role != "assistant":
        raise Refused(DeadLetterReason.ENDS_WITH_USER, "the last message is not the assistant's")
    if not messages[-1].content.strip():
        raise Refused(DeadLetterReason.EMPTY_RESPONSE, "the assistant's message has no text")
    return messages


def _text(content: str | list[dict[str, Any]] | None) -> str:
    if content is None:
        return ""
    if isinstance(content, str):
        return content
    parts = (part.get("text") for part in content if part.get("type", "text") == "text")
    return "\n".join(part for part in parts if isinstance(part, str))


def _extra(record: dict[str, Any], kind: type[_Wire], raw_id: str | None) -> dict[str, Any]:
    known = _KNOWN[kind]
    if record.keys() <= known:
        return {}
    unknown = {name: value for name, value in record.items() if name not in known}
    scrubbed = _without_user(unknown, raw_id)
    cleaned = clean_all(scrubbed)
    if not isinstance(cleaned, dict):
        raise TypeError("scrubbing keeps an object an object")
    return cleaned


def _without_user(value: Any, raw_id: str | None) -> Any:
    if isinstance(value, dict):
        return {
            name: _without_user(item, raw_id)
            for name, item in value.items()
            if name.lower() not in _USER_KEYS
        }
    if isinstance(value, list):
        return [_without_user(item, raw_id) for item in value]
    return None if raw_id is not None and value == raw_id else value
