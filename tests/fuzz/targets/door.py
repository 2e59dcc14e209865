"""The HTTP doors and the worker are asked the same question: they give the same answer."""

from __future__ import annotations

from collections.abc import Sequence

from evidence import Feedback, Response
from monitor.http.body import JSON_TYPE, split_records
from monitor.http.problems import ProblemError
from monitor.ingest import batch
from monitor.ingest.decode import decode_feedback, decode_responses
from monitor.ingest.records import DeadLetter
from tests.fuzz.checks import GIVEN
from tests.fuzz.choices import Choices
from tests.fuzz.documents import EXPORTS, FEEDBACK, RESPONSES
from tests.fuzz.mutation import seeds_of
from tests.fuzz.target import Target

_KINDS = {
    b"R": (decode_responses, [*RESPONSES, EXPORTS[1]]),
    b"F": (decode_feedback, [FEEDBACK]),
}


def make(choices: Choices) -> bytes:
    kind = choices.pick(sorted(_KINDS))
    return kind + seeds_of(_KINDS[kind][1], choices)


def check(data: bytes) -> str:
    decode = _KINDS[data[:1]][0] if data[:1] in _KINDS else decode_responses
    body = data[1:]
    worker = _listed(decode(body, **GIVEN))
    items = _split(body)
    if items is None:
        assert all(isinstance(one, DeadLetter) for one in worker), "the worker would take it"
        return "both refuse"
    if body.removeprefix(b"\xef\xbb\xbf").lstrip().startswith(b"["):
        worker = [one for item in items for one in _listed(decode(item, **GIVEN))]
    door = batch.check(items, decode, **GIVEN)
    refused = [one for one in worker if isinstance(one, DeadLetter)]
    assert len(door.errors) == len(refused)
    assert list(door.accepted) == [one for one in worker if not isinstance(one, DeadLetter)]
    for record in door.accepted:
        assert _listed(decode(batch.encode(record), **GIVEN)) == [record]
        assert batch.routing_key(record)
    return "both refuse" if refused else "both take"


def _split(body: bytes) -> list[bytes] | None:
    try:
        return split_records(body, JSON_TYPE, 1000)
    except ProblemError:
        return None


def _listed(
    found: Response | Feedback | DeadLetter | list[Response | DeadLetter],
) -> Sequence[Response | Feedback | DeadLetter]:
    return found if isinstance(found, list) else [found]


TARGET = Target("door", make, check)
