"""Tables that keep the processes together: outbox, leases, heartbeats, audit."""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Float,
    Index,
    Integer,
    LargeBinary,
    String,
    Table,
    Text,
)

from monitor.store.schema.base import metadata, partial_index, serial_id

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
    Index(None, "created_at_s"),
    Index(None, "topic", "published_cluster_id", "published_partition", "published_offset"),
    # Senders of results remember how far they are: no id is given twice.
    sqlite_autoincrement=True,
)

is_unpublished = outbox.c.published_cluster_id.is_(None)
partial_index("ix_outbox_unpublished", is_unpublished, outbox.c.id)

result_positions = Table(
    "result_positions",
    metadata,
    Column("sink", String(32), primary_key=True),
    Column(
        "outbox_id",
        BigInteger,
        nullable=False,
        comment="Up to here every result was sent, refused, or waits in result_waits.",
    ),
    Column("seen_at_s", Float, nullable=False, comment="When a sender last worked for it."),
    comment="How far each receiver of results is.",
)

result_waits = Table(
    "result_waits",
    metadata,
    Column("sink", String(32), primary_key=True),
    Column("outbox_id", BigInteger, primary_key=True),
    Column("since_s", Float, nullable=False),
    Column("tries", Integer, nullable=False),
    Column("next_at_s", Float, nullable=False),
    Index(None, "sink", "next_at_s"),
    comment="Verdicts whose span or trace has not reached the receiver yet.",
)

leases = Table(
    "leases",
    metadata,
    Column("name", String(64), primary_key=True),
    Column("owner", String(200), nullable=False),
    Column("fence", BigInteger, nullable=False),
    Column("expires_at_s", Float, nullable=False),
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
    Column(
        "evaluators",
        Text,
        comment="What it measures with: JSON list of version, calibrated, assistants, probes; null is not known.",
    ),
    Column(
        "lag_records",
        BigInteger,
        comment="Records of its partitions that it has not written; null where it holds none.",
    ),
)

console_sessions = Table(
    "console_sessions",
    metadata,
    Column("token_sha256", String(64), primary_key=True),
    Column(
        "key_sha256", String(64), comment="Whose API key was shown; null where no keys are in use."
    ),
    Column("person", String(100), comment="As they said; null where the key's name stands."),
    Column("created_at_s", Float, nullable=False),
    Column("expires_at_s", Float, nullable=False),
    Index(None, "expires_at_s"),
    comment="Who is signed in to the console. The token itself is in the browser alone.",
)
