"""What Candor shows of itself: declared metrics, worker counters, gauges read from the store."""

from monitor.telemetry.cached import Cached
from monitor.telemetry.collector import StateCollector
from monitor.telemetry.declaration import Declaration
from monitor.telemetry.declarations import METRICS, STATE_METRICS, WORKER_METRICS
from monitor.telemetry.state import (
    Bounded,
    CohortState,
    ConfirmRecord,
    DetectorReading,
    Estimate,
    EvaluatorState,
    GateRecord,
    State,
    StratumFigures,
    WorkersState,
)
from monitor.telemetry.worker import PrometheusJobMetrics, PrometheusWorkerMetrics

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
    "PrometheusJobMetrics",
    "PrometheusWorkerMetrics",
    "State",
    "StateCollector",
    "StratumFigures",
    "WorkersState",
]
