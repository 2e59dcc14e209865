"""What is sent: a verdict, an alarm or a gate decision, with what is known about it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import msgspec

from evidence import Alarm, Verdict
from evidence.confidence import clopper_pearson
from evidence.records import Accuracy, Finding

NAME = "candor.verdict"
"""The name of the evaluation, wherever a receiver wants one."""

_TRACE, _SPAN = re.compile(r"(?:tr-)?([0-9a-f]{32})"), re.compile(r"[0-9a-f]{16}")
_CODE = re.compile(r"[A-Za-z][A-Za-z0-9_.]{0,63}")


class TraceContext(msgspec.Struct, frozen=True):
    """The span that a response was told in, as lower-case hex; `span_id` None where only its trace is known."""

    trace_id: str
    span_id: str | None = None

    @classmethod
    def of(cls, extra: Mapping[str, Any]) -> TraceContext | None:
        """From a record's `trace_id` and `span_id`; None where there is no id that OpenTelemetry would take."""
        trace = _TRACE.fullmatch(str(extra.get("trace_id", "")).lower())
        span = _SPAN.fullmatch(str(extra.get("span_id", "")).lower())
        if trace is None or not trace[1].strip("0"):
            return None
        return cls(trace[1], span[0] if span is not None and span[0].strip("0") else None)


class Noise(msgspec.Struct, frozen=True):
    """How far two measurements of one response lie apart: the mean difference of p_lie, over `n` responses."""

    difference: float
    n: int


class VerdictResult(msgspec.Struct, frozen=True, kw_only=True):
    """A verdict. `accuracy` and `noise` are its evaluator's, `said` what it rests on where that may be sent."""

    verdict: Verdict
    trace: TraceContext | None = None
    accuracy: Accuracy | None = None
    noise: Noise | None = None
    said: Finding | None = None


class AlarmResult(msgspec.Struct, frozen=True, kw_only=True):
    """An alarm that opened or moved, at `at_s` seconds since the epoch."""

    alarm: Alarm
    at_s: float


class DecisionResult(msgspec.Struct, frozen=True, kw_only=True):
    """A gate decision that was made, overridden or revoked, at `at_s`; without the signed envelope."""

    event: str
    decision_id: str
    assistant: str
    answer: str
    reasons: tuple[str, ...]
    rows: int
    released: int
    subject_digest: str | None
    overridden_by: str | None
    at_s: float


Result = VerdictResult | AlarmResult | DecisionResult


def explanation(result: VerdictResult) -> str:
    """The verdict in one sentence; it quotes the conversation only where `said` is given."""
    assessment = result.verdict.assessment
    words = [str(assessment.kind.value)]
    if assessment.p_lie is not None:
        words.append(f"p_lie {assessment.p_lie:.3f}")
    if assessment.archetype is not None:
        words.append(f"about {assessment.archetype.value}")
    text = ", ".join(words)
    if result.said is not None and result.said.claim:
        text += f": “{result.said.claim}”"
        if result.said.contradicts:
            text += f" against “{result.said.contradicts}”"
    return text


def error_type(result: VerdictResult) -> str | None:
    """A short word for what went wrong, `_OTHER` where the error has none; None for a verdict that is no error."""
    error = result.verdict.assessment.error
    if error is None:
        return None
    code = _CODE.match(error)
    return code[0] if code is not None and error[code.end() :][:1] in ("", ":") else "_OTHER"


def facts(result: VerdictResult) -> dict[str, str | int | float]:
    """Everything that no convention has a name for, as `candor.*`; what is not known is left out.

    Sensitivity and specificity are the evaluator's on labelled answers, each with its count `n` and
    the ends of its 95 % interval (Clopper and Pearson).
    """
    verdict = result.verdict
    found: dict[str, str | int | float | None] = {
        "candor.verdict.key": verdict.key,
        "candor.assistant": verdict.stratum.assistant,
        "candor.segment": verdict.stratum.segment,
        "candor.stakes": verdict.stratum.stakes.value,
        "candor.model": verdict.model,
        "candor.p_lie": verdict.assessment.p_lie,
        "candor.p_evasion": verdict.assessment.p_evasion,
        "candor.archetype": verdict.assessment.archetype and verdict.assessment.archetype.value,
        "candor.sampled_by": verdict.sampled_by.value,
        "candor.inclusion_probability": verdict.inclusion_probability,
        "candor.evaluator.version": verdict.assessment.evaluator_version,
    }
    if result.accuracy is not None:
        found |= _rate("sensitivity", result.accuracy.sensitivity, result.accuracy.n_lies)
        found |= _rate("specificity", result.accuracy.specificity, result.accuracy.n_honest)
    if result.noise is not None:
        found["candor.noise_floor"] = result.noise.difference
        found["candor.noise_floor.n"] = result.noise.n
    return {name: value for name, value in found.items() if value is not None}


def _rate(name: str, share: float, n: float) -> dict[str, float]:
    interval = clopper_pearson(share * n, n)
    name = f"candor.evaluator.{name}"
    return {
        name: share,
        f"{name}.lower": interval.lower,
        f"{name}.upper": interval.upper,
        f"{name}.n": n,
    }
