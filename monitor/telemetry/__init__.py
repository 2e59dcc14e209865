"""What Candor shows of itself: declared metrics, worker counters, gauges read from the store."""

from monitor.telemetry.cached import Cached
from monitor.telemetry.collector import StateCollector
from monitor.telemetry.declaration import Declaration
from monitor.telemetry.declarations import METRICS, STATE_METRICS
from monitor.telemetry.state import (
    Bounded,
    CohortState,
    ConfirmRecord,
    DetectorReading,
    Estimate,
    EvaluatorState,
    GateRecord,
    OwnActs,
    ResultsLag,
    State,
    StratumFigures,
    WorkersState,
)
from monitor.telemetry.worker import PrometheusJobMetrics, PrometheusWorkerMetrics
from monitor.telemetry.worker_declarations import WORKER_METRICS

__all__ = [
    "METRICS",
    "STATE_METRICS",
    "WORKER_METRICS",
    "Bounded",
    "Cached",
    "CohortState",
    "ConfirmRecord",
    "Declaration",
    "DetectorReading",
    "Estimate",
    "EvaluatorState",
    "GateRecord",
    "OwnActs",
    "PrometheusJobMetrics",
    "PrometheusWorkerMetrics",
    "ResultsLag",
    "State",
    "StateCollector",
    "StratumFigures",
    "WorkersState",
]
