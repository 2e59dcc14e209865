"""Verdicts as assessments of MLflow traces, by its REST API (`/api/3.0/mlflow/traces/…`)."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from evidence import UnreachableError
from monitor.results.result import (
    NAME,
    Result,
    TraceContext,
    VerdictResult,
    error_type,
    explanation,
    facts,
)
from monitor.results.sink import Endpoint, Outcome, is_refused, one_by_one

_KEY = "candor.verdict.key"


class MlflowSink:
    """A `ResultSink`: the value is the verdict, p_lie stands in the metadata.

    MLflow gives every assessment an id of its own, so the trace is read before one is added: a verdict
    whose key is there is not sent again. One sender works at a time, under a lease.
    """

    name = "mlflow"

    def __init__(self, endpoint: Endpoint) -> None:
        self._endpoint = endpoint

    def send(self, results: Sequence[Result]) -> list[Outcome]:
        return one_by_one(results, self._each)

    def check(self) -> None:
        self._endpoint.check("GET", "/api/2.0/mlflow/experiments/search", params={"max_results": 1})

    def close(self) -> None:
        self._endpoint.close()

    def _each(self, results: Sequence[Result]) -> list[Outcome]:
        return [self._one(result) for result in results]

    def _one(self, result: Result) -> Outcome:
        if not isinstance(result, VerdictResult):
            return Outcome.NOT_TAKEN
        if result.trace is None:
            return Outcome.NO_TRACE
        # MLflow's id of a trace that came over OTLP.
        path = f"/api/3.0/mlflow/traces/tr-{result.trace.trace_id}"
        found = self._endpoint.ask("GET", path)
        if not found.is_success:
            if "RESOURCE_DOES_NOT_EXIST" not in found.text:
                raise UnreachableError("MLflow", f"HTTP {found.status_code} for a trace")
            return Outcome.LATER
        if result.verdict.key in _keys(found.json()):
            return Outcome.SENT
        answer = self._endpoint.ask(
            "POST", f"{path}/assessments", json={"assessment": _assessment(result, result.trace)}
        )
        if is_refused(answer):
            return Outcome.REJECTED
        return Outcome.SENT if answer.is_success else Outcome.LATER


def _keys(answer: Any) -> set[str]:
    """The verdicts that a trace has. Raises UnreachableError when this is no trace of MLflow's."""
    try:
        assessments = answer["trace"]["trace_info"].get("assessments", [])
        return {str(one.get("metadata", {}).get(_KEY)) for one in assessments}
    except (KeyError, TypeError, AttributeError) as error:
        raise UnreachableError("MLflow", "its answer holds no trace") from error


def _assessment(result: VerdictResult, trace: TraceContext) -> dict[str, Any]:
    verdict = result.verdict
    at = datetime.fromtimestamp(verdict.scored_at_s, UTC).isoformat().replace("+00:00", "Z")
    feedback: dict[str, Any] = {"value": verdict.assessment.kind.value}
    if (error := error_type(result)) is not None:
        feedback["error"] = {"error_code": error}
    made: dict[str, Any] = {
        "assessment_name": NAME,
        "trace_id": f"tr-{trace.trace_id}",
        "source": {
            "source_type": "LLM_JUDGE",
            "source_id": f"candor/{verdict.assessment.evaluator_version}",
        },
        "create_time": at,
        "last_update_time": at,
        "feedback": feedback,
        "rationale": explanation(result),
        # Texts alone are allowed here.
        "metadata": {name: str(value) for name, value in facts(result).items()},
        "valid": True,
    }
    if trace.span_id is not None:
        made["span_id"] = trace.span_id
    return made
