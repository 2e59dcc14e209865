"""An answered turn on its way to the recorder: what all adapters share."""

from __future__ import annotations

import dataclasses
import uuid
from collections.abc import Mapping, Sequence
from typing import Any

from candor_client.recorder import Recorder
from candor_client.values import Response


@dataclasses.dataclass(frozen=True)
class Turns:
    """Takes turns of one assistant.

    Parameters
    ----------
    recorder
        Sends in the background; the caller closes it.
    assistant
        The name under which the assistant is declared.
    stakes, segment
        Of every turn.
    """

    recorder: Recorder
    assistant: str
    stakes: str = "normal"
    segment: str | None = None

    def put(
        self,
        response_id: str | None,
        model: str | None,
        messages: Sequence[Mapping[str, Any]],
        *,
        user_id: Any = None,
        conversation_id: Any = None,
        tools: Any = None,
    ) -> None:
        """Queue one turn, under the span that is open now where OpenTelemetry is in use; `tools` are those on offer."""
        conversation = str(conversation_id) if conversation_id else uuid.uuid4().hex
        turn = Response(
            assistant=self.assistant,
            model=model or "unknown",
            messages=messages,
            # Without a user each conversation counts as one of its own.
            user_id=str(user_id) if user_id else f"conversation {conversation}",
            conversation_id=conversation,
            response_id=response_id or uuid.uuid4().hex,
            stakes=self.stakes,
            segment=self.segment,
            extra={**_open_span(), **({"tools": [plain(tool) for tool in tools]} if tools else {})},
        )
        self.recorder.put(turn)


def plain(message: Any) -> dict[str, Any]:
    """A message as JSON has it, whether it is a mapping or a library's object."""
    if isinstance(message, Mapping):
        return dict(message)
    dumped: dict[str, Any] = message.model_dump(mode="json", exclude_none=True)
    return dumped


def _open_span() -> dict[str, Any]:
    try:
        from opentelemetry import trace  # noqa: PLC0415 -- only where the application has it
    except ImportError:
        return {}
    context = trace.get_current_span().get_span_context()
    if not context.is_valid:
        return {}
    return {"trace_id": f"{context.trace_id:032x}", "span_id": f"{context.span_id:016x}"}
