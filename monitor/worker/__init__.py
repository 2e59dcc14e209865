"""The poll-transaction loop: the only place that joins Kafka, store and stages."""

from monitor.worker.metrics import WorkerMetrics
from monitor.worker.publisher import Publisher
from monitor.worker.worker import Worker, WorkerKeys

__all__ = ["Publisher", "Worker", "WorkerKeys", "WorkerMetrics"]
