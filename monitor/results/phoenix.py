"""Verdicts as span annotations of Arize Phoenix, by its REST API (`POST /v1/span_annotations`)."""

from __future__ import annotations

from collections.abc import Sequence
from http import HTTPStatus
from typing import Any

from evidence import UnreachableError
from monitor.results.result import NAME, Result, VerdictResult, error_type, explanation, facts
from monitor.results.sink import Endpoint, Outcome, is_refused, one_by_one


class PhoenixSink:
    """A `ResultSink`: `label` is the verdict, `score` is p_lie.

    Phoenix keeps one annotation of a name, span and identifier; the identifier is the verdict's key, so
    that a verdict sent again replaces itself, and one by a newer evaluator stands beside it.
    """

    name = "phoenix"

    def __init__(self, endpoint: Endpoint) -> None:
        self._endpoint = endpoint

    def send(self, results: Sequence[Result]) -> list[Outcome]:
        found: list[Outcome | None] = [_unplaced(result) for result in results]
        placed = [result for result, out in zip(results, found, strict=True) if out is None]
        sent = iter(self._annotate(placed) if placed else [])
        outcomes: list[Outcome] = []
        for out in found:
            one = next(sent, None) if out is None else out
            if one is None:
                break
            outcomes.append(one)
        return outcomes

    def check(self) -> None:
        self._endpoint.check("GET", "/v1/projects", params={"limit": 1})

    def close(self) -> None:
        self._endpoint.close()

    def _annotate(self, results: Sequence[Result]) -> list[Outcome]:
        body = {"data": [_annotation(r) for r in results if isinstance(r, VerdictResult)]}
        # Its queue would take everything at once, and forget it when Phoenix is restarted.
        answer = self._endpoint.ask(
            "POST", "/v1/span_annotations", params={"sync": "true"}, json=body
        )
        if answer.is_success:
            return [Outcome.SENT] * len(results)
        if answer.status_code == HTTPStatus.NOT_FOUND and "Not Found" in answer.text:
            raise UnreachableError("Phoenix", "HTTP 404: it takes no annotations at this address")
        if len(results) > 1:
            return one_by_one(results, self._annotate)
        return [Outcome.REJECTED if is_refused(answer) else Outcome.LATER]


def _unplaced(result: Result) -> Outcome | None:
    if not isinstance(result, VerdictResult):
        return Outcome.NOT_TAKEN
    if result.trace is None or result.trace.span_id is None:
        return Outcome.NO_TRACE
    return None


def _annotation(result: VerdictResult) -> dict[str, Any]:
    metadata: dict[str, Any] = dict(facts(result))
    if (error := error_type(result)) is not None:
        metadata["error.type"] = error
    return {
        "span_id": result.trace.span_id if result.trace else None,
        "name": NAME,
        "annotator_kind": "LLM",
        "identifier": result.verdict.key,
        "result": {
            "label": result.verdict.assessment.kind.value,
            "score": result.verdict.assessment.p_lie,
            "explanation": explanation(result),
        },
        "metadata": metadata,
    }
