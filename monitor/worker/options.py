"""The settings that a worker reads."""

from __future__ import annotations

import dataclasses

from monitor.detect.options import DetectionOptions, HealthOptions
from monitor.ingest.options import IngestOptions, KafkaOptions
from monitor.sample.options import SamplingOptions
from monitor.score.options import ScoringOptions


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class WorkerOptions:
    """Each section as its package defines it."""

    kafka: KafkaOptions = dataclasses.field(default_factory=KafkaOptions)
    ingest: IngestOptions = dataclasses.field(default_factory=IngestOptions)
    sampling: SamplingOptions = dataclasses.field(default_factory=SamplingOptions)
    scoring: ScoringOptions = dataclasses.field(default_factory=ScoringOptions)
    detection: DetectionOptions = dataclasses.field(default_factory=DetectionOptions)
    health: HealthOptions = dataclasses.field(default_factory=HealthOptions)
