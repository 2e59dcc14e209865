"""One export holds many spans or events; those that tell of a turn become records."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Any

import msgspec

from monitor.ingest.otlp.attributes import dicts
from monitor.ingest.otlp.events import WHY_PASSED_OVER as WHY_EVENTS
from monitor.ingest.otlp.events import read_event
from monitor.ingest.otlp.protobuf import may_be_protobuf
from monitor.ingest.otlp.spans import WHY_PASSED_OVER, read_span
from monitor.ingest.records import DeadLetter, or_letter

PASSED_OVER = (*WHY_PASSED_OVER, *WHY_EVENTS)
"""Why a span or an event is no record: see `spans.WHY_PASSED_OVER` and `events.WHY_PASSED_OVER`."""

_BEGINS = re.compile(rb'\s*\{\s*"resource(?:Spans|Logs)"')
_Record = tuple[dict[str, Any], dict[str, Any]]


class Spans(msgspec.Struct, frozen=True):
    """The records of an export, still to be checked, and how many spans and events are none."""

    found: list[dict[str, Any] | DeadLetter]
    passed_over: Counter[str]


def is_otlp(record: Mapping[str, Any]) -> bool:
    """Whether a decoded record is an OTLP export of traces or logs."""
    return any(isinstance(record.get(name), list) for name in ("resourceSpans", "resourceLogs"))


def looks_like_export(raw: bytes) -> bool:
    """Whether bytes may be an export, by how they begin: a longer record is then read to see."""
    return may_be_protobuf(raw) or _BEGINS.match(raw) is not None


def read_chats(record: Mapping[str, Any]) -> Spans:
    """The spans and events as records of the input topics; one that cannot be read spoils no other.

    A span without a user gets its conversation in place of one. Each choice of a span after the
    first is a record of its own, its id with `#1`, `#2`. An event that tells a whole exchange is read as
    its span would be: where both come, one is the repetition of the other.
    """
    found: list[dict[str, Any] | DeadLetter] = []
    passed_over: Counter[str] = Counter()
    for read in (*_spans(record), *_events(record)):
        made = or_letter(read)
        if isinstance(made, str):
            passed_over[made] += 1
        else:
            found += [made] if isinstance(made, DeadLetter) else made
    return Spans(found, passed_over)


_Read = Callable[[], list[dict[str, Any]] | str]


def _spans(record: Mapping[str, Any]) -> Iterator[_Read]:
    for resource, scope in _scopes(record, "resourceSpans", "scopeSpans"):
        for span in dicts(scope.get("spans")):
            yield partial(read_span, span, resource)


def _events(record: Mapping[str, Any]) -> Iterator[_Read]:
    number = 0
    for resource, scope in _scopes(record, "resourceLogs", "scopeLogs"):
        for event in dicts(scope.get("logRecords")):
            number += 1
            yield partial(read_event, event, resource, number)


def _scopes(record: Mapping[str, Any], outer: str, inner: str) -> Iterator[_Record]:
    for resource in dicts(record.get(outer)):
        shared = resource.get("resource")
        for scope in dicts(resource.get(inner)):
            yield shared if isinstance(shared, dict) else {}, scope
