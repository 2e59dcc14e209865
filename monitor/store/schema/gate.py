"""Tables of the retrain gate: confirm runs, decisions, their notices, and rows to read."""

from __future__ import annotations

from sqlalchemy import (
    Boolean,
    Column,
    Float,
    Index,
    Integer,
    LargeBinary,
    String,
    Table,
    Text,
    UniqueConstraint,
)

from monitor.store.schema.base import metadata, serial_id

confirm_runs = Table(
    "confirm_runs",
    metadata,
    Column("run_id", String(64), primary_key=True),
    Column("assistant", String(200), nullable=False),
    Column("alarm_id", String(64)),
    Column(
        "state",
        String(16),
        nullable=False,
        comment="proposed, waiting, running, done, failed, cancelling or cancelled.",
    ),
    Column("requested_at_s", Float, nullable=False),
    Column("started_at_s", Float),
    Column("finished_at_s", Float),
    Column("directory", Text),
    Column("report", Text),
    Column("error", Text),
    Index(None, "assistant", "requested_at_s"),
)

confirm_answers = Table(
    "confirm_answers",
    metadata,
    Column("run_id", String(64), primary_key=True),
    Column("index", Integer, primary_key=True, comment="0-based position among the items."),
    Column("differs", Boolean, nullable=False, comment="Whether arms answered otherwise."),
    Column("body", LargeBinary, nullable=False, comment="The item and its answers, compressed."),
    Index(None, "run_id", "differs", "index"),
    comment="What every arm of a confirm run answered to each item.",
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
    Column("overrides", String(64), comment="The decision that this one lets pass."),
    Index(None, "assistant", "created_at_s", "decision_id"),
    Index(None, "created_at_s", "decision_id"),
    Index(None, "overrides"),
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
    Index(None, "assistant", "response_id"),
    comment="Released rows that a person is to read.",
)

gate_rows = Table(
    "gate_rows",
    metadata,
    Column("decision_id", String(64), primary_key=True),
    Column("index", Integer, primary_key=True, comment="0-based position among the rows."),
    Column("assistant", String(200), nullable=False),
    Column("row_digest", String(64), nullable=False),
    Column("reason", String(64), comment="Why it was taken out; null where it was not."),
    Column("response_id", String(200), comment="Null for a row that is not from traffic."),
    Column("feedback_id", String(200), comment="The signal that chose it."),
    Index(None, "decision_id", "reason", "index"),
    Index(None, "assistant", "response_id"),
    comment="What the gate did with rows, and why; the signed decision names their positions.",
)
