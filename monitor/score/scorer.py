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
from probes.probe import Transcript


def transcript_of(response: Response) -> Transcript:
    """The response as the probes read it: without user, time, segment or reasoning.

    What earlier turns called is told in words, so that a probe sees it; calls of the measured turn
    are no part of what it says.
    """
    *earlier, last = response.messages
    return Transcript(
        id=response.response_id,
        messages=(*map(_told, earlier), Message(last.role, last.content)),
        model=response.model,
        assistant=measured_as(response.stratum),
        high_stakes=response.stratum.stakes is Stakes.HIGH,
    )


def measured_as(stratum: Stratum) -> str:
    """Whose evaluator measures a response: a canary's segment is the assistant that it is sent for."""
    return stratum.segment if stratum.assistant == CANARY_ASSISTANT else stratum.assistant


def _told(message: Message) -> Message:
    calls = (f"[called {call.name} with {call.arguments or '{}'}]" for call in message.tool_calls)
    return Message(message.role, "\n".join(filter(None, (message.content, *calls))))


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
