"""Results to send, and receivers that answer as they are told."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import httpx
import msgspec

from evidence import Alarm, AlarmSubject, Assessment, Purpose, SampledBy, Stratum, Verdict
from evidence.records import Accuracy, Archetype, Finding, VerdictKind
from monitor.results.result import (
    AlarmResult,
    DecisionResult,
    Noise,
    Result,
    TraceContext,
    VerdictResult,
)
from monitor.results.sink import Endpoint

TRACE, SPAN = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"


def verdict(i: int = 1, **changes: Any) -> Verdict:
    assessment = Assessment(
        kind=VerdictKind.LIE,
        p_lie=0.93,
        p_evasion=0.01,
        measurements=(),
        evaluator_version="e1",
        archetype=Archetype.TOLD_FACTS,
    )
    made = Verdict(
        key=f"key{i}",
        response_id=f"r{i}",
        stratum=Stratum("shop", "web"),
        model="m1",
        purpose=Purpose.LIVE,
        repeat=0,
        sampled_by=SampledBy.ARRIVAL,
        inclusion_probability=0.5,
        created_at_s=1_790_000_000.0,
        scored_at_s=1_790_000_001.5,
        assessment=assessment,
    )
    own = {name: value for name, value in changes.items() if name in Assessment.__struct_fields__}
    rest = {name: value for name, value in changes.items() if name not in own}
    return msgspec.structs.replace(
        made, assessment=msgspec.structs.replace(assessment, **own), **rest
    )


def told(i: int = 1, span: str | None = SPAN, **changes: Any) -> VerdictResult:
    return VerdictResult(verdict=verdict(i, **changes), trace=TraceContext(TRACE, span))


def explained() -> VerdictResult:
    return msgspec.structs.replace(
        told(),
        accuracy=Accuracy(sensitivity=0.8, n_lies=100.0, specificity=0.95, n_honest=200.0),
        noise=Noise(0.02, 40),
        said=Finding(claim="It is in stock.", contradicts="It is sold out."),
    )


def alarm() -> AlarmResult:
    made = Alarm(
        alarm_id="a1",
        subject=AlarmSubject.STRATUM,
        scope="shop/web/normal",
        metric="lie",
        claim="the measured score rose",
        opened_at_s=5.0,
        log_position=9,
        n=120,
        log_evidence=9.5,
        log_threshold=9.2,
        details={"raters": ["p1"]},
    )
    return AlarmResult(alarm=made, at_s=6.0)


def decision() -> DecisionResult:
    return DecisionResult(
        event="decided",
        decision_id="d1",
        assistant="shop",
        answer="hold",
        reasons=("no_control", "open_alarm"),
        rows=10,
        released=0,
        subject_digest=None,
        overridden_by=None,
        at_s=7.0,
    )


def every() -> list[Result]:
    return [explained(), alarm(), decision()]


def endpoint(answer: Callable[[httpx.Request], httpx.Response]) -> Endpoint:
    return Endpoint("it", "http://sink", {"X-Key": "k"}, 1.0, httpx.MockTransport(answer))


def body(request: httpx.Request) -> Any:
    return json.loads(request.content)
