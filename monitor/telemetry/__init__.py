"""What Candor shows of itself: declared metrics, worker counters, gauges read from the store."""

from monitor.telemetry.collector import CachedState, StateCollector
from monitor.telemetry.declaration import Declaration
from monitor.telemetry.declarations import METRICS, STATE_METRICS, WORKER_METRICS
from monitor.telemetry.state import (
    CohortState,
    ConfirmRecord,
    DetectorReading,
    Estimate,
    EvaluatorState,
    GateRecord,
    State,
    StratumState,
    WorkersState,
)
from monitor.telemetry.worker import PrometheusJobMetrics, PrometheusWorkerMetrics

__all__ = [
    "METRICS",
    "STATE_METRICS",
    "WORKER_METRICS",
    "CachedState",
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
    "StratumState",
    "WorkersState",
]
