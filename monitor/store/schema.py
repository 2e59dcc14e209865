"""All tables. Times are seconds since the epoch (UTC); JSON columns hold msgspec-encoded records as text."""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Float,
    ForeignKeyConstraint,
    Index,
    Integer,
    LargeBinary,
    String,
    Table,
    Text,
    UniqueConstraint,
)

from monitor.store.schema_base import metadata, serial_id
from monitor.store.schema_cohorts import (
    cohort_estimates,
    cohort_members,
    gap_watches,
    rater_groups,
    rater_posteriors,
)
from monitor.store.schema_findings import (
    alarm_events,
    alarms,
    detectors,
    evaluator_health,
    extra_evaluations,
    joint_reports,
    localisations,
    references,
)

__all__ = [
    "alarm_events",
    "alarms",
    "audit_log",
    "cohort_estimates",
    "cohort_members",
    "confirm_runs",
    "dead_letters",
    "detectors",
    "duplicates",
    "evaluator_health",
    "extra_evaluations",
    "feedback",
    "gap_watches",
    "gate_decisions",
    "gate_deliveries",
    "input_offsets",
    "joint_reports",
    "labels",
    "leases",
    "localisations",
    "metadata",
    "outbox",
    "rate_epochs",
    "rater_groups",
    "rater_posteriors",
    "references",
    "responses",
    "review_queue",
    "tombstones",
    "verdict_log",
    "verdicts",
    "worker_heartbeats",
]

input_offsets = Table(
    "input_offsets",
    metadata,
    Column("cluster_id", String(128), primary_key=True),
    Column("topic", String(255), primary_key=True),
    Column("partition", Integer, primary_key=True),
    Column("next_offset", BigInteger, nullable=False),
    Column(
        "fence",
        BigInteger,
        nullable=False,
        comment="Raised by each assignment; a write with an older one is lost.",
    ),
    Column("updated_at_s", Float, nullable=False),
)

responses = Table(
    "responses",
    metadata,
    Column("assistant", String(200), primary_key=True),
    Column("response_id", String(200), primary_key=True),
    Column("stratum", String(500), nullable=False),
    Column("segment", String(200), nullable=False),
    Column("stakes", String(16), nullable=False),
    Column("model", String(300), nullable=False),
    Column("conversation_id", String(200), nullable=False),
    Column("rater", String(64), nullable=False),
    Column("created_at_s", Float, nullable=False),
    Column("received_at_s", Float, nullable=False),
    Column("u", Float, nullable=False),
    Column("pi_arrival", Float, nullable=False),
    Column("pi_feedback", Float, nullable=False),
    Column("sampled_by", String(16), comment="arrival, feedback, or null while skipped."),
    Column("skip_reason", String(64)),
    Column(
        "body",
        LargeBinary,
        comment="zlib-compressed JSON of the Response; null after its retention.",
    ),
    Column("cluster_id", String(128), nullable=False),
    Column("topic", String(255), nullable=False),
    Column("partition", Integer, nullable=False),
    Column("offset", BigInteger, nullable=False),
    Index(None, "stratum", "created_at_s"),
    Index(None, "rater"),
    Index(None, "sampled_by", "received_at_s"),
)

feedback = Table(
    "feedback",
    metadata,
    Column("assistant", String(200), primary_key=True),
    Column("feedback_id", String(200), primary_key=True),
    Column("response_id", String(200), nullable=False),
    Column("rater", String(64), nullable=False),
    Column("created_at_s", Float, nullable=False),
    Column("received_at_s", Float, nullable=False),
    Column("value", Float, nullable=False),
    Column("kind", String(32), nullable=False),
    Column("text", Text),
    Column("state", String(16), nullable=False, comment="matched, parked or orphan."),
    Column("cluster_id", String(128), nullable=False),
    Column("topic", String(255), nullable=False),
    Column("partition", Integer, nullable=False),
    Column("offset", BigInteger, nullable=False),
    Index(None, "assistant", "response_id"),
    Index(None, "rater"),
    Index(None, "state", "received_at_s"),
)

duplicates = Table(
    "duplicates",
    metadata,
    Column("cluster_id", String(128), primary_key=True),
    Column("topic", String(255), primary_key=True),
    Column("partition", Integer, primary_key=True),
    Column("offset", BigInteger, primary_key=True),
    Column("received_at_s", Float, nullable=False),
    comment="Records whose key was already accepted: counted, never accepted twice.",
)

dead_letters = Table(
    "dead_letters",
    metadata,
    Column("cluster_id", String(128), primary_key=True),
    Column("topic", String(255), primary_key=True),
    Column("partition", Integer, primary_key=True),
    Column("offset", BigInteger, primary_key=True),
    Column("reason", String(64), nullable=False),
    Column("detail", String(500), nullable=False),
    Column("body", LargeBinary, comment="Encrypted; null after its retention."),
    Column("received_at_s", Float, nullable=False),
)

verdicts = Table(
    "verdicts",
    metadata,
    Column("key", String(64), primary_key=True),
    Column("assistant", String(200), nullable=False),
    Column("response_id", String(200), nullable=False),
    Column("purpose", String(16), nullable=False),
    Column("repeat", Integer, nullable=False),
    Column(
        "live_slot",
        String(420),
        unique=True,
        comment="assistant/response_id of the one live verdict that counts; null otherwise.",
    ),
    Column("stratum", String(500), nullable=False),
    Column("segment", String(200), nullable=False),
    Column("stakes", String(16), nullable=False),
    Column("model", String(300), nullable=False),
    Column("kind", String(16), nullable=False),
    Column("p_lie", Float),
    Column("p_evasion", Float),
    Column("sampled_by", String(16), nullable=False),
    Column("inclusion_probability", Float, nullable=False),
    Column("evaluator_version", String(64), nullable=False),
    Column("record", Text, nullable=False, comment="The whole Verdict as JSON."),
    Column("created_at_s", Float, nullable=False),
    Column("scored_at_s", Float, nullable=False),
    Column(
        "outcomes",
        String(200),
        comment="How the evaluation ended, probe by probe; null before schema 0002.",
    ),
    Index(None, "stratum", "scored_at_s"),
    Index(None, "assistant", "response_id"),
)

verdict_log = Table(
    "verdict_log",
    metadata,
    serial_id(),
    Column("stratum", String(500), nullable=False),
    Column("verdict_key", String(64), nullable=False, unique=True),
    Index(None, "stratum", "id"),
    ForeignKeyConstraint(["verdict_key"], ["verdicts.key"]),
    comment="The canonical order in which live, arrival-sampled verdicts move detectors.",
)

outbox = Table(
    "outbox",
    metadata,
    serial_id(),
    Column("topic", String(255), nullable=False),
    Column("key", LargeBinary),
    Column("value", LargeBinary, nullable=False),
    Column("created_at_s", Float, nullable=False),
    Column("published_cluster_id", String(128), comment="Null until the broker acknowledged it."),
    Column("published_partition", Integer),
    Column("published_offset", BigInteger),
    Index(None, "published_cluster_id", "id"),
)

confirm_runs = Table(
    "confirm_runs",
    metadata,
    Column("run_id", String(64), primary_key=True),
    Column("assistant", String(200), nullable=False),
    Column("alarm_id", String(64)),
    Column(
        "state", String(16), nullable=False, comment="proposed, waiting, running, done or failed."
    ),
    Column("requested_at_s", Float, nullable=False),
    Column("started_at_s", Float),
    Column("finished_at_s", Float),
    Column("directory", Text),
    Column("report", Text),
    Column("error", Text),
    Index(None, "assistant", "requested_at_s"),
)

gate_decisions = Table(
    "gate_decisions",
    metadata,
    Column("decision_id", String(64), primary_key=True),
    Column("assistant", String(200), nullable=False),
    Column("answer", String(16), nullable=False),
    Column("subject_digest", String(64)),
    Column("envelope", Text, nullable=False, comment="The signed DSSE envelope."),
    Column("created_at_s", Float, nullable=False),
    Column("expires_at_s", Float, nullable=False),
    Column("revoked_at_s", Float),
    Column("overridden_by", String(200)),
    Column("requested_by", String(200), comment="Who asked for the override."),
    Index(None, "assistant", "created_at_s"),
)

gate_deliveries = Table(
    "gate_deliveries",
    metadata,
    serial_id(),
    Column("decision_id", String(64), nullable=False),
    Column("event", String(16), nullable=False, comment="decided, overridden or revoked."),
    Column("body", LargeBinary, nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("next_at_s", Float, comment="Null once delivered or given up."),
    Column("delivered_at_s", Float),
    Column("error", String(300), comment="Why the last attempt failed."),
    Index(None, "next_at_s"),
    comment="Notices of the gate that wait for the webhook.",
)

review_queue = Table(
    "review_queue",
    metadata,
    serial_id(),
    Column("assistant", String(200), nullable=False),
    Column("decision_id", String(64), nullable=False, comment="The release that chose the row."),
    Column("row_digest", String(64), nullable=False),
    Column("response_id", String(200), comment="Null for a row that is not from traffic."),
    Column(
        "inclusion_probability",
        Float,
        nullable=False,
        comment="With which a row of the release was chosen.",
    ),
    Column("queued_at_s", Float, nullable=False),
    UniqueConstraint("decision_id", "row_digest", name="uq_review_queue_once"),
    Index(None, "assistant", "queued_at_s"),
    comment="Released rows that a person is to read.",
)

labels = Table(
    "labels",
    metadata,
    Column("assistant", String(200), primary_key=True),
    Column("response_id", String(200), primary_key=True),
    Column("labeller", String(200), primary_key=True),
    Column("kind", String(16), nullable=False),
    Column(
        "inclusion_probability",
        Float,
        comment="Probability with which the audit chose it; null if not random.",
    ),
    Column("at_s", Float, nullable=False),
)

leases = Table(
    "leases",
    metadata,
    Column("name", String(64), primary_key=True),
    Column("owner", String(200), nullable=False),
    Column("fence", BigInteger, nullable=False),
    Column("expires_at_s", Float, nullable=False),
)

rate_epochs = Table(
    "rate_epochs",
    metadata,
    serial_id(),
    Column("stratum", String(500), nullable=False),
    Column("pi_arrival", Float, nullable=False),
    Column("pi_feedback", Float, nullable=False),
    Column("from_s", Float, nullable=False),
    Index(None, "stratum", "from_s"),
)

tombstones = Table(
    "tombstones",
    metadata,
    Column("rater", String(64), primary_key=True),
    Column("at_s", Float, nullable=False),
)

audit_log = Table(
    "audit_log",
    metadata,
    serial_id(),
    Column("at_s", Float, nullable=False),
    Column("by", String(200), nullable=False),
    Column("action", String(64), nullable=False),
    Column("subject", String(500), nullable=False),
    Column("details", Text, nullable=False),
    Column("previous", String(64), nullable=False),
    Column("hash", String(64), nullable=False, unique=True),
)

worker_heartbeats = Table(
    "worker_heartbeats",
    metadata,
    Column("worker", String(200), primary_key=True),
    Column("seen_at_s", Float, nullable=False),
    Column(
        "expected", BigInteger, nullable=False, comment="Responses sampled for measurement so far."
    ),
    Column("actual", BigInteger, nullable=False, comment="Verdicts that are not errors so far."),
    Column("paused", Boolean, nullable=False),
    Column("evaluator_version", String(64), comment="What it measures with."),
)
