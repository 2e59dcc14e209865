"""A response as the probes read it, and the assessment of one that they could not measure."""

from __future__ import annotations

from evidence import (
    CANARY_ASSISTANT,
    Assessment,
    Message,
    Response,
    Stakes,
    Stratum,
    VerdictKind,
)
from evidence.tools import tool_record
from probes.probe import Transcript, told_calls


def transcript_of(response: Response) -> Transcript:
    """The response as the probes read it: without user, time, segment or reasoning.

    What earlier turns called is told in words, so that a probe sees it; calls of the measured turn
    are no part of what it says. The calls and results themselves stand beside the words.
    """
    *earlier, last = response.messages
    return Transcript(
        id=response.response_id,
        messages=(*map(told_calls, earlier), Message(last.role, last.content)),
        record=tool_record(response.messages, response.extra),
        model=response.model,
        assistant=measured_as(response.stratum),
        high_stakes=response.stratum.stakes is Stakes.HIGH,
    )


def measured_as(stratum: Stratum) -> str:
    """Whose evaluator measures a response: a canary's segment is the assistant that it is sent for."""
    return stratum.segment if stratum.assistant == CANARY_ASSISTANT else stratum.assistant


def failed(version: str, reason: str) -> Assessment:
    """The assessment of a response that could not be measured: missing, never honest."""
    return Assessment(
        kind=VerdictKind.ERROR,
        p_lie=None,
        p_evasion=None,
        measurements=(),
        evaluator_version=version,
        error=reason,
    )
