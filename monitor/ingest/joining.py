"""A turn joined from what came apart: its response, calls of tools, agents and messages of one trace. Pure.

A call belongs to a turn where the turn's messages name its id, where its span stands below the response's, or where
both stand below the turn's agent; where the spans between are not known, the trace decides. Clocks are compared within one
service alone: a call that began after the response's end is another turn's.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from evidence import Feedback, Response, digest
from evidence.tools import MAX_ACTS, TOOL_SPANS, TOOLS
from monitor.ingest.assembling import assembled
from monitor.ingest.parts import EXCHANGE, KIND, PARENT, SERVICE, SPAN, TRACE, Kind, Part
from monitor.ingest.records import DeadLetter

_KINDS: Mapping[Any, Kind] = {"agent": "agent", "choice": "choice", EXCHANGE: "choice"}
_MAX_ABOVE = 64
_MAX_CHARS = 400_000
"""Characters of calls that are added to one response, the last ones first."""


class Joined(msgspec.Struct, frozen=True):
    """What became of a response, and the ids of the parts that went into it.

    `outcome` is a part where the response only repeats another of its trace.
    """

    outcome: Response | Part | DeadLetter
    used: tuple[str, ...] = ()


class _Place(msgspec.Struct, frozen=True):
    """The agents above a span, the nearest first, and whether all spans above it are known."""

    agents: tuple[str, ...]
    known: bool


def waits(given: Response | Part | Feedback | DeadLetter) -> bool:
    """Whether parts of its turn may stand elsewhere: a span that is not alone in its trace, or that does not hold
    all of its turn."""
    if not isinstance(given, Response):
        return isinstance(given, Part) and given.kind == "bare"
    extra = given.extra
    placed = isinstance(extra.get(TRACE), str) and isinstance(extra.get(SPAN), str)
    return placed and (isinstance(extra.get(PARENT), str) or KIND in extra)


def as_part(response: Response) -> Part:
    """What others of its trace need to know of a response that waits."""
    extra = response.extra
    return Part(
        kind=_KINDS.get(extra.get(KIND), "chat"),
        trace_id=_short(extra[TRACE]),
        span_id=_short(extra[SPAN]),
        parent_id=_short(extra.get(PARENT)),
        assistant=response.stratum.assistant,
        service=_short(extra.get(SERVICE)),
        rater=response.rater,
        ended_at_s=response.created_at_s,
        said=digest(response.messages[-1].content)[:32],
    )


def join(response: Response, parts: Sequence[Part]) -> Joined:
    """The response with what of the parts of its trace belongs to its turn.

    The calls are added as `tool_spans` beside the messages, so that what was said, and with it what tells a
    repeated record, stays as it is.
    """
    parts = list({part.id: part for part in parts}.values())
    trace = _Trace(parts)
    me = as_part(response)
    if me.kind == "agent" and trace.repeats(me):
        return Joined(me)
    told: tuple[str, ...] = ()
    if me.kind == "choice":
        made = assembled(response, me, parts)
        if not isinstance(made, Response):
            return Joined(made)
        told = tuple(
            p.id for p in parts if p.kind in {"message", "bare"} and p.span_id == me.span_id
        )
        response, me = made, as_part(made)
    agent = me.span_id if me.kind == "agent" else next(iter(trace.place(me).agents), None)
    named = {call.id for message in response.messages for call in message.tool_calls if call.id}
    named |= {m.result.call_id for m in response.messages if m.result and m.result.call_id}
    calls = [
        part
        for part in parts
        if part.kind == "tool" and (part.call_id in named or trace.is_of(part, me, agent))
    ]
    extra = dict(response.extra)
    used = [*told, *(part.id for part in calls)]
    if calls:
        extra[TOOL_SPANS] = _tool_spans(extra.get(TOOL_SPANS), calls)
    above = trace.agent(agent)
    if above is not None:
        used.append(above.id)
        if above.tools and not extra.get(TOOLS):
            extra[TOOLS] = above.tools
    return Joined(msgspec.structs.replace(response, extra=extra), tuple(used))


class _Trace:
    """The spans of a trace as they stand above each other; cycles and gaps are no error."""

    def __init__(self, parts: Sequence[Part]) -> None:
        self._parts = parts
        self._spans: dict[str, Part] = {}
        for part in parts:
            known = self._spans.get(part.span_id)
            if part.kind not in {"message", "choice"} and (known is None or known.kind != "agent"):
                self._spans[part.span_id] = part

    def agent(self, span_id: str | None) -> Part | None:
        """The agent of this span."""
        found = self._spans.get(span_id or "")
        return found if found is not None and found.kind == "agent" else None

    def place(self, part: Part) -> _Place:
        agents: list[str] = []
        seen = {part.span_id}
        span = self._spans.get(part.span_id)  # an event does not say what stands above its span
        above = part.parent_id or (span.parent_id if span is not None else "")
        while above and above not in seen and len(seen) < _MAX_ABOVE:
            seen.add(above)
            span = self._spans.get(above)
            if span is None:
                return _Place(tuple(agents), known=False)
            if span.kind == "agent":
                agents.append(above)
            above = span.parent_id
        return _Place(tuple(agents), known=not above)

    def is_of(self, call: Part, me: Part, agent: str | None) -> bool:
        """Whether a call belongs to the turn of a response, by where and when it stands."""
        if call.parent_id == me.span_id:
            return True
        began_s = call.ended_at_s if call.started_at_s is None else call.started_at_s
        same_clock = bool(me.service) and me.service == call.service
        if same_clock and began_s is not None and began_s > (me.ended_at_s or began_s):
            return False
        place = self.place(call)
        return agent is None or agent in place.agents or not place.known

    def repeats(self, me: Part) -> bool:
        """Whether an agent's answer is that of a chat which it made, or of an agent below it."""
        for part in self._parts:
            if (
                part.kind not in {"chat", "choice", "agent"}
                or part.span_id == me.span_id
                or not part.said
            ):
                continue
            place = self.place(part)
            nearest = next(iter(place.agents), None)
            if part.kind != "agent" and (nearest == me.span_id or not place.known):
                return True
            if part.said == me.said and me.span_id in place.agents:
                return True
        return False


def _tool_spans(given: Any, calls: Sequence[Part]) -> list[dict[str, Any]]:
    """The calls as `evidence.tools` reads them, in the order in which they ended, within the bounds."""
    known = [one for one in given if isinstance(one, Mapping)] if isinstance(given, list) else []
    made = [
        *map(dict, known),
        *map(_told, sorted(calls, key=lambda c: (c.ended_at_s or 0.0, c.id))),
    ]
    kept: list[dict[str, Any]] = []
    room = _MAX_CHARS
    for one in reversed(made[-MAX_ACTS:]):
        room -= sum(len(value) for value in one.values() if isinstance(value, str))
        if room < 0 and kept:
            break
        kept.append(one)
    return kept[::-1]


def _told(call: Part) -> dict[str, Any]:
    fields = {
        "name": call.name,
        "call_id": call.call_id,
        "arguments": call.arguments,
        "result": call.result,
        "status": call.status,
        "at_s": call.ended_at_s,
    }
    return {name: value for name, value in fields.items() if value not in (None, "")}


def _short(value: Any) -> str:
    return value[:200] if isinstance(value, str) else ""
