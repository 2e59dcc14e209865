"""How an evaluation ended, probe by probe: answered, unanswered or unreadable.

A verdict may look well although a probe behind it is down, because fusion goes on with the others;
evaluator health therefore reads the ends of all probes.
"""

from __future__ import annotations

from enum import StrEnum

from evidence.records import Assessment, Measurement, VerdictKind

WHOLE = "verdict"
"""The name under which the end of the evaluation as a whole stands."""

MODEL_GONE = "model_gone"
"""How the error of a probe begins whose assistant model is no longer served: nothing is wrong with the
evaluator."""

UNCALIBRATED = "uncalibrated"
"""The error of a verdict whose probes answered, and nothing says yet what their answers mean here."""


class Outcome(StrEnum):
    """`UNREADABLE`: there was an answer, and no sense could be made of it."""

    ANSWERED = "answered"
    UNANSWERED = "unanswered"
    UNREADABLE = "unreadable"


def outcomes(assessment: Assessment) -> dict[str, Outcome]:
    """The end of the evaluation under `WHOLE`, and of each probe that was asked.

    A probe that abstained has answered. An `error` verdict whose probes all abstained is an answer as
    well; without any measurement it is unanswered.
    """
    by_probe = {m.probe: _outcome(m) for m in assessment.measurements}
    return {WHOLE: _whole(assessment, by_probe), **by_probe}


def encode_outcomes(found: dict[str, Outcome]) -> str:
    """As text that sorts and groups.

    >>> encode_outcomes({"verdict": Outcome.ANSWERED, "judge": Outcome.UNREADABLE})
    'judge=unreadable verdict=answered'
    """
    return " ".join(f"{name}={found[name]}" for name in sorted(found))


def decode_outcomes(text: str) -> dict[str, Outcome]:
    """What `encode_outcomes` wrote."""
    pairs = (part.partition("=") for part in text.split())
    return {name: Outcome(value) for name, _, value in pairs}


def is_model_gone(error: str) -> bool:
    """Whether a probe's error says that the assistant's model is no longer served.

    >>> is_model_gone("model_gone: http://a/v1 serves no shop-2"), is_model_gone("timeout")
    (True, False)
    """
    return error.partition(":")[0] == MODEL_GONE


def _whole(assessment: Assessment, by_probe: dict[str, Outcome]) -> Outcome:
    if assessment.kind is not VerdictKind.ERROR:
        return Outcome.ANSWERED
    ends = set(by_probe.values())
    if Outcome.UNANSWERED in ends or not ends:
        return Outcome.UNANSWERED
    return Outcome.UNREADABLE if Outcome.UNREADABLE in ends else Outcome.ANSWERED


def _outcome(measurement: Measurement) -> Outcome:
    if measurement.unreadable:
        return Outcome.UNREADABLE
    failed = measurement.error is not None and not is_model_gone(measurement.error)
    return Outcome.UNANSWERED if failed else Outcome.ANSWERED
