"""Parts of a turn that come apart from its response: a tool's span, an agent's, an event of one message.

As a record of the responses topic a part is JSON with the field `turn_part`, as `candor tap` writes it; read from an
OTLP export it never takes that form.
"""

from __future__ import annotations

import hashlib
import math
from typing import Any, Literal

import msgspec

from candor_guard.reading.text import clean
from evidence import pseudonym
from evidence.tools import bounded
from monitor.ingest.text import clean_all
from monitor.ingest.wire import Id, Name, Pseudonym, User

PART, KIND = "turn_part", "span_kind"
"""Field that makes a record a part, and field of a response that says which span but a chat's it was."""
TRACE, SPAN, PARENT, SERVICE = "trace_id", "span_id", "parent_span_id", "service"
"""Fields of a response, and of a part, that place it in its trace."""
EXCHANGE = "exchange"
"""Value of `KIND` for a response that one event tells with all its messages."""

Kind = Literal["tool", "agent", "link", "chat", "choice", "message", "bare"]
"""A call of a tool; an agent; a span between others; a response; one that came as an event; another message of it; a
chat span without its messages."""
NO_CONTENT = (
    "the span has no messages in `gen_ai.input.messages` and `gen_ai.output.messages`, and no event of its span "
    "brought them in time: capture of content is off, or they are in a convention that is not read"
)
EVIDENCE = frozenset({"tool", "message"})
"""Kinds that say nothing where no turn comes for them; the others only tell what belongs together."""


class Part(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A part of the turn in whose trace it stands.

    Parameters
    ----------
    span_id, parent_id
        Its span and the one above; "" above a root, or where it is not told.
    assistant, service
        Whose it is, and the `service.name`: times are compared within a service alone.
    started_at_s, ended_at_s
        Seconds since the epoch by the sender's clock.
    name, call_id, arguments, result, status
        Of a tool's call.
    tools
        Of an agent: the tools that it had.
    said
        Of a response or agent: digest of its last text.
    role, content, order
        Of a message: the message as it was told, when (nanoseconds since the epoch), and its place among those told
        with it.
    response_id, model, conversation_id
        Of a chat span without its messages.
    """

    kind: Kind
    trace_id: str
    span_id: str
    parent_id: str = ""
    assistant: str = "other"
    service: str = ""
    rater: str | None = None
    started_at_s: float | None = None
    ended_at_s: float | None = None
    name: str = ""
    call_id: str = ""
    arguments: str = ""
    result: str | None = None
    status: str = ""
    tools: Any = None
    said: str = ""
    role: str = ""
    content: Any = None
    order: tuple[int, int] = (0, 0)
    response_id: str = ""
    model: str = ""
    conversation_id: str = ""

    @property
    def id(self) -> str:
        """Its key within the trace. A span has many messages; each is told apart by what it says and when."""
        if self.kind != "message":
            return f"{self.kind}:{self.span_id}"
        told = msgspec.json.encode((self.role, self.content, self.order[0]))
        return f"{self.span_id}:{hashlib.blake2b(told, digest_size=8).hexdigest()}"


class _Wire(msgspec.Struct, frozen=True, kw_only=True):
    """A part as a record has it. One of `user_id` and `rater` may be given."""

    turn_part: Kind
    trace_id: Id
    span_id: Id
    parent_span_id: Id | None = None
    assistant: Name = "other"
    service: str = ""
    user_id: User | None = None
    rater: Pseudonym | None = None
    started_at_s: float | None = None
    ended_at_s: float | None = None
    name: str = ""
    call_id: str = ""
    arguments: str = ""
    result: str | None = None
    status: Literal["", "ok", "failed"] = ""
    tools: Any = None
    said: str = ""
    role: str = ""
    content: Any = None
    order: tuple[int, int] = (0, 0)
    response_id: str = ""
    model: str = ""
    conversation_id: str = ""


_SHORT = ("service", "name", "call_id", "said", "role", "response_id", "conversation_id")


def is_part(record: dict[str, Any]) -> bool:
    """Whether a decoded record is a part of a turn."""
    return PART in record


def read_part(record: dict[str, Any], key: bytes) -> Part:
    """The part that a record holds, its texts cleaned and bounded, the user as a pseudonym under `key`.

    Raises msgspec.ValidationError for a field of another type.
    """
    wire = msgspec.convert(record, _Wire)
    rater = wire.rater if wire.user_id is None else pseudonym(wire.user_id, key)
    return Part(
        kind=wire.turn_part,
        trace_id=wire.trace_id,
        span_id=wire.span_id,
        parent_id=wire.parent_span_id or "",
        assistant=wire.assistant,
        rater=rater,
        started_at_s=_finite(wire.started_at_s),
        ended_at_s=_finite(wire.ended_at_s),
        arguments=bounded(clean(wire.arguments)),
        result=None if wire.result is None else bounded(clean(wire.result)),
        status=wire.status,
        tools=clean_all(wire.tools),
        content=clean_all(wire.content),
        order=wire.order,
        model=clean(wire.model[:300]),
        **{name: clean(getattr(wire, name)[:200]) for name in _SHORT},
    )


def encode_part(part: Part) -> bytes:
    """The record that `read_part` reads back as the same part."""
    told = msgspec.to_builtins(part)
    del told["kind"]
    above = told.pop("parent_id", None)
    beside = {} if above is None else {PARENT: above}
    return msgspec.json.encode({PART: part.kind, **beside, **told})


def _finite(at_s: float | None) -> float | None:
    return at_s if at_s is None or math.isfinite(at_s) else None
