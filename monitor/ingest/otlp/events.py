"""Log records that are events of generative AI, as records of the input topics.

Source: the semantic conventions for generative AI: `gen_ai.client.inference.operation.details` and
`gen_ai.evaluation.result`; `gen_ai.user.message` and its like and `gen_ai.choice` of conventions before 1.37.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

import msgspec

from monitor.ingest.opinions import opinion
from monitor.ingest.otlp.attributes import attributes, names_of, rfc3339, value_of
from monitor.ingest.otlp.parts import place
from monitor.ingest.otlp.spans import READ, USER, assistant_of, read_span, user_of
from monitor.ingest.parts import EXCHANGE, KIND, PART, SERVICE
from monitor.ingest.records import DeadLetterReason, Refused
from monitor.ingest.text import parse_value

NAME = "event.name"
DETAILS = "gen_ai.client.inference.operation.details"
CHOICE = "gen_ai.choice"
RESULT = "gen_ai.evaluation.result"
MESSAGES = {f"gen_ai.{role}.message": role for role in ("system", "user", "assistant", "tool")}
EVALUATION = "gen_ai.evaluation."
EVENT_READ = frozenset(
    {NAME, "gen_ai.event.content", "gen_ai.response.id", "gen_ai.agent.name", "log.record.uid"}
    | {"gen_ai.response.model", "gen_ai.request.model", "gen_ai.conversation.id", "service.name"}
    | {f"{EVALUATION}{name}" for name in ("name", "score.value", "score.label", "explanation")}
    | set(USER)
)
WHY_PASSED_OVER = ("other_event", "not_a_users", "no_content")
"""Why an event is no record: one that is not read; an evaluation that names no user, or is Candor's own; a message
without its content."""
_SAID = ("content", "tool_calls", "parts", "refusal")
_MAX_DEPTH = 64
"""Of a body that is text: it is written anew within a record, which has its own levels."""
_OURS = "candor."


def read_event(
    event: Mapping[str, Any], resource: Mapping[str, Any], number: int
) -> list[dict[str, Any]] | str:
    """The records that a log record holds, or why it is none. `number` is its place in the export.

    Raises Refused for an event of a known name that cannot be read.
    """
    name = event.get("eventName") or attributes(event, (NAME,)).get(NAME)
    at = event.get("timeUnixNano") or event.get("observedTimeUnixNano")
    timed = {**event, "endTimeUnixNano": at}
    if name == DETAILS:
        return _exchange(read_span(timed, resource))
    given = attributes(event, EVENT_READ)
    both = {**attributes(resource, READ), **given}
    if name == RESULT:
        return _feedback(timed, given, both)
    if name != CHOICE and name not in MESSAGES:
        return "other_event"
    placed = place(timed, both, assistant_of(both), user_of(both))
    if not (placed.get("trace_id") and placed.get("span_id")):
        why = f"`{name}` without the ids of the trace and the span that it belongs to"
        raise Refused(DeadLetterReason.MISSING_FIELD, why)
    body = _body(event, given)
    inner = body["message"] if isinstance(body.get("message"), dict) else body
    if not any(inner.get(key) for key in _SAID):
        return "no_content"
    if name == CHOICE:
        return [_choice(timed, body, given, both)]
    message = {"role": MESSAGES[name], **body}
    if MESSAGES[name] == "tool" and "id" in message:
        message["tool_call_id"] = message.pop("id")
    order = int(str(at)) if str(at).isdecimal() and len(str(at)) < 20 else 0
    told = {"role": MESSAGES[name], "content": message, "order": [order, number]}
    return [{PART: "message", **placed, **told}]


def _exchange(found: list[dict[str, Any]] | str) -> list[dict[str, Any]] | str:
    """What an event tells with all its messages; its span, and with it what stands above, comes apart."""
    if isinstance(found, str):
        return found
    return [one if PART in one else {KIND: EXCHANGE} | one for one in found]


def _choice(
    event: Mapping[str, Any],
    body: dict[str, Any],
    given: Mapping[str, Any],
    both: Mapping[str, Any],
) -> dict[str, Any]:
    """A response whose question stands in other events, and whose model and id on its span."""
    trace, span, index = event.get("traceId"), event.get("spanId"), body.get("index")
    message = body["message"] if isinstance(body.get("message"), dict) else body
    number = f"#{index}" if str(index).isdecimal() and str(index) != "0" else ""
    conversation = given.get("gen_ai.conversation.id") or trace
    found = {
        "response_id": (given.get("gen_ai.response.id") or f"{trace}-{span}") + number,
        "assistant": assistant_of(both),
        "model": given.get("gen_ai.response.model")
        or given.get("gen_ai.request.model")
        or "unknown",
        "conversation_id": conversation,
        "user_id": user_of(both) or f"conversation {conversation}",
        "created_at": rfc3339(event.get("endTimeUnixNano")),
        "messages": [{**message, "role": "assistant"}],
        "trace_id": trace,
        "span_id": span,
        KIND: "choice",
        SERVICE: both.get("service.name"),
    }
    return {name: value for name, value in found.items() if value is not None}


def _feedback(
    event: Mapping[str, Any], given: Mapping[str, Any], both: Mapping[str, Any]
) -> list[dict[str, Any]] | str:
    user = user_of(given)
    if not user or any(name.startswith(_OURS) for name in names_of(event)):
        return "not_a_users"
    score, label = given.get(f"{EVALUATION}score.value"), given.get(f"{EVALUATION}score.label")
    value = opinion(score, label)
    if value is None:
        why = f"`{EVALUATION}score.value` is no number from -1 to 1, and the label no word that is known"
        raise Refused(DeadLetterReason.WRONG_VALUE, why)
    trace, span = event.get("traceId"), event.get("spanId")
    about = given.get("gen_ai.response.id") or (f"{trace}-{span}" if trace and span else None)
    name = str(given.get(f"{EVALUATION}name") or "evaluation")
    text, at = given.get(f"{EVALUATION}explanation"), event.get("endTimeUnixNano")
    told = msgspec.json.encode((about, name, user, str(at)))
    found = {
        "feedback_id": given.get("log.record.uid")
        or f"otel-{hashlib.blake2b(told, digest_size=16).hexdigest()}",
        "assistant": assistant_of(both),
        "response_id": about,
        "user_id": user,
        "created_at": rfc3339(at),
        "value": value,
        "kind": name[:32],
        "text": text if isinstance(text, str) else None,
    }
    return [{name: value for name, value in found.items() if value is not None}]


def _body(event: Mapping[str, Any], given: Mapping[str, Any]) -> dict[str, Any]:
    """What an event says: its body, or the attribute that an older SDK used, as an object."""
    body = value_of(event.get("body"))
    if body in (None, ""):
        body = given.get("gen_ai.event.content")
    if isinstance(body, str) and body.lstrip().startswith("{"):
        body = parse_value(body.encode("utf-8", "replace"), depth=_MAX_DEPTH)
    return body if isinstance(body, dict) else {} if body is None else {"content": body}
