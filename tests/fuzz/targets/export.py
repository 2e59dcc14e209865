"""OTLP exports at the tap, JSON and protobuf: each span is taken, refused or passed over."""

from __future__ import annotations

from monitor.http.body import JSON_TYPE
from monitor.http.otlp import PROTOBUF_TYPE, read_export
from monitor.http.problems import ProblemError
from tests.fuzz.checks import GIVEN
from tests.fuzz.choices import Choices
from tests.fuzz.documents import EXPORTS, bent_export, in_protobuf
from tests.fuzz.mutation import bent_bytes
from tests.fuzz.target import Target
from tests.fuzz.targets import otlp

_JSON, _PROTOBUF = b"J", b"P"


def make(choices: Choices) -> bytes:
    """The first byte says which encoding."""
    if choices.chance(3):
        return _JSON + otlp.make(choices)
    raw = in_protobuf(bent_export(choices)) or in_protobuf(choices.pick(EXPORTS))
    for _ in range(choices.pick((0, 0, 0, 1, 2))):
        raw = bent_bytes(raw, choices)
    return _PROTOBUF + raw


def check(data: bytes) -> str:
    kind = JSON_TYPE if data[:1] == _JSON else PROTOBUF_TYPE
    try:
        export = read_export(data[1:], kind, **GIVEN)
    except ProblemError as problem:
        return f"refused {problem.status.value}"
    assert export.answer("traces", kind).status_code == 200
    if export.errors:
        return "some are told" if export.accepted else "all are told"
    if export.accepted:
        return "taken"
    return f"passed over ({', '.join(sorted(export.passed_over))})"


TARGET = Target("export", make, check)
