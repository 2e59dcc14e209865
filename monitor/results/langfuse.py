"""Verdicts as scores of Langfuse, by its REST API (`POST /api/public/ingestion`)."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import msgspec

from evidence import UnreachableError
from monitor.results.result import NAME, Result, TraceContext, VerdictResult, explanation, facts
from monitor.results.sink import Endpoint, Outcome, is_refused, one_by_one


class _Told(msgspec.Struct):
    """What became of one event."""

    id: str
    status: int


class _Answer(msgspec.Struct):
    """Langfuse answers 207 with one entry for each event."""

    successes: list[_Told]
    errors: list[_Told]


class LangfuseSink:
    """A `ResultSink`: a score `candor.verdict` with the verdict, and `candor.p_lie` with its number.

    A score's id is the verdict's key: sent again it is written over itself. Langfuse takes scores of
    traces that have not come yet.
    """

    name = "langfuse"

    def __init__(self, endpoint: Endpoint) -> None:
        self._endpoint = endpoint

    def send(self, results: Sequence[Result]) -> list[Outcome]:
        events = [event for result in results for event in _events(result)]
        failed: dict[str, int] = {}
        if events:
            answer = self._endpoint.ask("POST", "/api/public/ingestion", json={"batch": events})
            if is_refused(answer):
                if len(results) > 1:
                    return one_by_one(results, self.send)
                return [Outcome.REJECTED]
            failed = _failed(answer.content)
        found = []
        for result in results:
            out = _outcome(result, failed)
            if out is None:
                break  # it is overloaded: this one and what follows is sent again
            found.append(out)
        if not found:
            raise UnreachableError("Langfuse", "it could not take the scores")
        return found

    def check(self) -> None:
        self._endpoint.check("GET", "/api/public/projects")

    def close(self) -> None:
        self._endpoint.close()


def _failed(content: bytes) -> dict[str, int]:
    try:
        answer = msgspec.json.decode(content, type=_Answer)
    except msgspec.DecodeError as error:
        raise UnreachableError("Langfuse", "its answer is not that of its ingestion") from error
    return {told.id: told.status for told in answer.errors}


def _outcome(result: Result, failed: dict[str, int]) -> Outcome | None:
    """None where the receiver failed for a while."""
    if not isinstance(result, VerdictResult):
        return Outcome.NOT_TAKEN
    if result.trace is None:
        return Outcome.NO_TRACE
    statuses = {failed.get(event["id"], 201) for event in _events(result)}
    if any(status == 429 or status >= 500 for status in statuses):
        return None
    return Outcome.REJECTED if any(status >= 400 for status in statuses) else Outcome.SENT


def _events(result: Result) -> list[dict[str, Any]]:
    if not isinstance(result, VerdictResult) or result.trace is None:
        return []
    assessment = result.verdict.assessment
    scores: list[tuple[str, str, Any]] = [(NAME, "CATEGORICAL", assessment.kind.value)]
    if assessment.p_lie is not None:
        scores.append(("candor.p_lie", "NUMERIC", assessment.p_lie))
    return [_event(result, result.trace, *score) for score in scores]


def _event(
    result: VerdictResult, trace: TraceContext, name: str, kind: str, value: Any
) -> dict[str, Any]:
    at = datetime.fromtimestamp(result.verdict.scored_at_s, UTC).isoformat().replace("+00:00", "Z")
    identity = f"{name}-{result.verdict.key}"
    body = {
        "id": identity,
        "traceId": trace.trace_id,
        "observationId": trace.span_id,
        "name": name,
        "value": value,
        "dataType": kind,
        "comment": explanation(result),
        "metadata": facts(result),
    }
    return {
        "id": identity,
        "type": "score-create",
        "timestamp": at,
        "body": {field: value for field, value in body.items() if value is not None},
    }
