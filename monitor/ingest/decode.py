"""From the bytes of one input record to accepted records or a dead letter."""

from __future__ import annotations

import re
from functools import partial
from typing import Any, TypeVar

import msgspec

from candor_guard.reading.text import clean
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
from monitor.ingest.conversation import Conversation, read_conversation
from monitor.ingest.encode import encode_feedback, encode_response
from monitor.ingest.marks import is_ours
from monitor.ingest.options import OTHER, IngestOptions
from monitor.ingest.otlp import Spans, from_protobuf, is_otlp, looks_like_export, read_chats
from monitor.ingest.otlp.protobuf import may_be_protobuf
from monitor.ingest.parts import Part, encode_part, is_part, read_part
from monitor.ingest.records import DeadLetter, DeadLetterReason, Refused, or_letter
from monitor.ingest.text import clean_all, parse_json
from monitor.ingest.wire import WireFeedback, WireResponse

UNREAD, CLAIMED = "unread_parts", "claimed_purpose"
"""Unknown fields of our own: which parts of messages are not text, and a purpose without our mark."""

_GROWTH, _OVERHEAD_BYTES = 8, 1_000
_USER_KEYS = frozenset({"user_id", "userid", "user", "enduser.id", "user.id", "rater", "email"})
_RESPONSE_FIELDS = frozenset(WireResponse.__struct_fields__)
_FEEDBACK_FIELDS = frozenset(WireFeedback.__struct_fields__)
_Wire = TypeVar("_Wire", WireResponse, WireFeedback)
_Accepted = TypeVar("_Accepted", Response, Feedback, Part)
Decoded = Response | Part | Feedback | DeadLetter
"""What a record of the responses topic may hold; feedback stands there as an event of OpenTelemetry alone."""


def decode_response(
    raw: bytes | None, *, options: IngestOptions, key: bytes, now_s: float
) -> Response | DeadLetter:
    """Decode one record of the responses topic; whatever it holds, nothing is raised.

    Parameters
    ----------
    raw
        The record's value as it came.
    key
        Pseudonym key: the user id is replaced before anything else sees the record.
    now_s
        The current time, against which `created_at` is checked.
    """
    return or_letter(
        lambda: _can_travel(_response(_parse(raw, options), options, key, now_s), raw, options)
    )


def decode_responses(
    raw: bytes | None, *, options: IngestOptions, key: bytes, now_s: float
) -> list[Decoded]:
    """Decode one record: a response, a part of one, or an OTLP export with many; never empty.

    Parameters as in `decode_response`.
    """
    record = or_letter(lambda: _parse(raw, options))
    if isinstance(record, DeadLetter):
        return [record]
    if not is_otlp(record):
        return [or_letter(lambda: _record(record, raw, options, key, now_s))]
    found = decode_spans(read_chats(record), options=options, key=key, now_s=now_s)
    return found or [DeadLetter(DeadLetterReason.NO_RESPONSE, "an export without a chat span")]


def decode_spans(
    spans: Spans, *, options: IngestOptions, key: bytes, now_s: float
) -> list[Decoded]:
    """Check what `read_chats` found; parameters as in `decode_response`."""

    def checked(record: dict[str, Any]) -> Decoded:
        if "feedback_id" in record:
            return _can_travel(_feedback(record, options, key, now_s), None, options)
        return _record(record, None, options, key, now_s)

    return [
        one if isinstance(one, DeadLetter) else or_letter(partial(checked, one))
        for one in spans.found
    ]


def decode_feedback(
    raw: bytes | None, *, options: IngestOptions, key: bytes, now_s: float
) -> Feedback | DeadLetter:
    """Decode one record of the feedback topic; parameters as in `decode_response`."""
    return or_letter(
        lambda: _can_travel(_feedback(_parse(raw, options), options, key, now_s), raw, options)
    )


def _record(
    record: dict[str, Any], raw: bytes | None, options: IngestOptions, key: bytes, now_s: float
) -> Decoded:
    if is_part(record):
        return _can_travel(_part(record, options, key), raw, options)
    return _can_travel(_response(record, options, key, now_s), raw, options)


def _part(record: dict[str, Any], options: IngestOptions, key: bytes) -> Part:
    try:
        part = read_part(record, key)
    except msgspec.ValidationError as error:
        raise _refusal(error) from error
    return msgspec.structs.replace(part, assistant=_assistant(part.assistant, options))


def _response(record: dict[str, Any], options: IngestOptions, key: bytes, now_s: float) -> Response:
    wire = _convert(record, WireResponse)
    rater, raw_id = _rater(wire, key)
    conversation = _conversation(record, raw_id)
    extra = _extra(record, _RESPONSE_FIELDS, raw_id)
    if conversation.unread:
        extra[UNREAD] = list(conversation.unread)
    claims = wire.purpose != Purpose.LIVE.value or wire.assistant == CANARY_ASSISTANT
    found = Response(
        response_id=wire.response_id,
        stratum=_as_given(wire) if claims else _stratum(wire, options),
        model=clean(wire.model),
        conversation_id=_conversation_id(wire.conversation_id, raw_id, key),
        rater=rater,
        created_at_s=_time(wire, options, now_s),
        messages=_checked(conversation.messages),
        purpose=Purpose(wire.purpose),
        extra=extra,
    )
    return _believed(found, wire, options, key) if claims else found


def _as_given(wire: WireResponse) -> Stratum:
    return Stratum(wire.assistant, wire.segment or OTHER, Stakes(wire.stakes))


def _believed(found: Response, wire: WireResponse, options: IngestOptions, key: bytes) -> Response:
    """A purpose of its own is believed with Candor's mark alone; without it the response is live."""
    if is_ours(found, key):
        return found
    if wire.assistant == CANARY_ASSISTANT:
        raise Refused(DeadLetterReason.NOT_OURS, "`assistant` is Candor's own name")
    return msgspec.structs.replace(
        found,
        stratum=_stratum(wire, options),
        purpose=Purpose.LIVE,
        extra={**found.extra, CLAIMED: found.purpose.value},
    )


def _feedback(record: dict[str, Any], options: IngestOptions, key: bytes, now_s: float) -> Feedback:
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
        extra=_extra(record, _FEEDBACK_FIELDS, raw_id),
    )


def _parse(raw: bytes | None, options: IngestOptions) -> dict[str, Any]:
    if not raw:
        raise Refused(DeadLetterReason.EMPTY_RECORD, "the record has no value")
    limit = options.max_export_bytes if looks_like_export(raw) else options.max_record_bytes
    if len(raw) > limit:
        raise Refused(DeadLetterReason.TOO_LARGE, f"{len(raw)} bytes, at most {limit} are accepted")
    try:
        record = parse_json(raw)
    except Refused:
        if may_be_protobuf(raw):
            return from_protobuf(raw)
        raise
    if len(raw) > options.max_record_bytes and not is_otlp(record):
        limit = options.max_record_bytes
        raise Refused(DeadLetterReason.TOO_LARGE, f"{len(raw)} bytes, at most {limit} are accepted")
    return record


def _convert(record: dict[str, Any], kind: type[_Wire]) -> _Wire:
    try:
        return msgspec.convert(record, kind)
    except msgspec.ValidationError as error:
        raise _refusal(error) from error


def _refusal(error: msgspec.ValidationError) -> Refused:
    # The message about an enumeration quotes the value, which may be anything.
    message = re.sub(r"Invalid enum value .*(?= - at )", "Not one of the values", str(error))
    message = re.sub(r"matching regex .*(?= - at )", "without what an id may not hold", message)
    return Refused(reason_of(message), message)


def reason_of(message: str) -> DeadLetterReason:
    """The reason behind msgspec's message about a field."""
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


def _conversation_id(name: str, raw_id: str | None, key: bytes) -> str:
    """The conversation's id; a pseudonym of it where it holds the user's id."""
    if raw_id is None or raw_id.casefold() not in name.casefold():
        return name
    return pseudonym(name, key)


def _stratum(wire: WireResponse, options: IngestOptions) -> Stratum:
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


def _conversation(record: dict[str, Any], raw_id: str | None) -> Conversation:
    system = record.get("system")
    told = [{"role": "system", "content": system}] if system else []
    try:
        return read_conversation([*told, *record["messages"]])
    except Refused as refused:
        if raw_id is None or raw_id not in refused.letter.detail:
            raise
        # A user id where a name belongs is not told in the clear.
        raise Refused(refused.letter.reason, "`messages` holds content that is not read") from None


def _checked(messages: tuple[Message, ...]) -> tuple[Message, ...]:
    if not messages:
        raise Refused(DeadLetterReason.EMPTY_CONVERSATION, "`messages` is empty")
    last = messages[-1]
    if last.role != "assistant":
        raise Refused(DeadLetterReason.ENDS_WITH_USER, "the last message is not the assistant's")
    if not last.content.strip() and not last.tool_calls:
        why = "only reasoning" if last.reasoning else "no text"
        raise Refused(DeadLetterReason.EMPTY_RESPONSE, f"the assistant's message has {why}")
    return messages


def _can_travel(found: _Accepted, raw: bytes | None, options: IngestOptions) -> _Accepted:
    """Refuse what has no room once it is written anew, as a door does: its worker would refuse that.

    Writing anew makes a record at most `_GROWTH` times longer.
    """
    limit = options.max_record_bytes
    if raw is not None and len(raw) * _GROWTH + _OVERHEAD_BYTES <= limit:
        return found
    size = len(_encoded(found))
    if size > limit:
        shown = f"{size} bytes once it is written anew, at most {limit} are accepted"
        raise Refused(DeadLetterReason.TOO_LARGE, shown)
    return found


def _encoded(found: Response | Feedback | Part) -> bytes:
    if isinstance(found, Response):
        return encode_response(found)
    return encode_part(found) if isinstance(found, Part) else encode_feedback(found)


def _extra(record: dict[str, Any], known: frozenset[str], raw_id: str | None) -> dict[str, Any]:
    if record.keys() <= known:
        return {}
    return {
        clean(name): clean_all(_without_user(value, raw_id))
        for name, value in record.items()
        if name not in known and name.lower() not in _USER_KEYS
    }


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
