"""A response that came as events, put together by its span. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from evidence import Response
from monitor.ingest.conversation import read_conversation
from monitor.ingest.parts import EXCHANGE, KIND, NO_CONTENT, PARENT, Part
from monitor.ingest.records import DeadLetter, DeadLetterReason, or_letter


def assembled(response: Response, me: Part, parts: Sequence[Part]) -> Response | Part | DeadLetter:
    """The response that an event tells of, with the model and ids that its span has; `me` where the span told it whole.

    An event of a choice gets the messages before it. Without one the answer has no question, and is refused.
    """
    mine = [part for part in parts if part.span_id == me.span_id]
    if any(part.kind == "chat" for part in mine):
        return me
    bare = next((part for part in mine if part.kind == "bare"), None)
    named = {} if bare is None else _named(bare, response)
    if response.extra.get(KIND) == EXCHANGE:
        return msgspec.structs.replace(response, **named)
    told = sorted((part for part in mine if part.kind == "message"), key=lambda p: (p.order, p.id))
    if not told:
        why = "no event brought the messages before this choice in time"
        return DeadLetter(DeadLetterReason.EMPTY_CONVERSATION, why)
    read = or_letter(lambda: read_conversation([_raw(part) for part in told]))
    if isinstance(read, DeadLetter):
        return read
    return msgspec.structs.replace(response, **named, messages=(*read.messages, *response.messages))


def settled(bare: Part, parts: Sequence[Part]) -> Part | DeadLetter:
    """A chat span without messages: a part of what its events tell, or refused where none of them came."""
    if any(part.span_id == bare.span_id and part.kind in {"choice", "chat"} for part in parts):
        return bare
    return DeadLetter(DeadLetterReason.EMPTY_CONVERSATION, NO_CONTENT)


def _raw(part: Part) -> dict[str, Any]:
    given = part.content if isinstance(part.content, dict) else {"content": part.content}
    return {**given, "role": given.get("role") or part.role}


def _named(bare: Part, response: Response) -> dict[str, Any]:
    """What the span says of the response; each choice keeps its number."""
    _, mark, number = response.response_id.rpartition("#")
    found: dict[str, Any] = {
        "response_id": f"{bare.response_id}{mark}{number}" if mark else bare.response_id,
        "model": bare.model,
        "conversation_id": bare.conversation_id,
    }
    if response.model != "unknown":
        del found["model"]
    above = {PARENT: bare.parent_id} if bare.parent_id else {}
    return {k: v for k, v in found.items() if v} | {"extra": {**response.extra, **above}}
