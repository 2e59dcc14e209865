"""All tables. Times are seconds since the epoch (UTC); JSON columns hold msgspec-encoded records as text."""

from __future__ import annotations

from monitor.store.schema.base import metadata
from monitor.store.schema.findings import (
    alarm_events,
    alarms,
    approved_versions,
    detectors,
    evaluator_health,
    extra_evaluations,
    joint_reports,
    localisations,
    references,
    sensors,
)
from monitor.store.schema.gate import (
    confirm_runs,
    gate_decisions,
    gate_deliveries,
    review_queue,
)
from monitor.store.schema.intake import (
    awaits_verdict,
    dead_letters,
    duplicates,
    feedback,
    has_body,
    input_offsets,
    is_live_traffic,
    is_parked,
    is_skipped_with_body,
    rate_epochs,
    responses,
    tombstones,
)
from monitor.store.schema.measurement import (
    beside_live,
    findings,
    is_live,
    labels,
    verdict_log,
    verdicts,
)
from monitor.store.schema.neutral import neutral_prompts
from monitor.store.schema.operations import (
    audit_log,
    is_unpublished,
    leases,
    outbox,
    worker_heartbeats,
)
from monitor.store.schema.raters import (
    cohort_estimates,
    cohort_members,
    gap_watches,
    rated_counts,
    rater_groups,
    rater_posteriors,
)
from monitor.store.schema.sources import training_sources

__all__ = [
    "alarm_events",
    "alarms",
    "approved_versions",
    "audit_log",
    "awaits_verdict",
    "beside_live",
    "cohort_estimates",
    "cohort_members",
    "confirm_runs",
    "dead_letters",
    "detectors",
    "duplicates",
    "evaluator_health",
    "extra_evaluations",
    "feedback",
    "findings",
    "gap_watches",
    "gate_decisions",
    "gate_deliveries",
    "has_body",
    "input_offsets",
    "is_live",
    "is_live_traffic",
    "is_parked",
    "is_skipped_with_body",
    "is_unpublished",
    "joint_reports",
    "labels",
    "leases",
    "localisations",
    "metadata",
    "neutral_prompts",
    "outbox",
    "rate_epochs",
    "rated_counts",
    "rater_groups",
    "rater_posteriors",
    "references",
    "responses",
    "review_queue",
    "sensors",
    "tombstones",
    "training_sources",
    "verdict_log",
    "verdicts",
    "worker_heartbeats",
]
