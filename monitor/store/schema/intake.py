"""Tables of what came in: input offsets, records, the sampling rates, forgotten users."""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Column,
    Float,
    Index,
    Integer,
    LargeBinary,
    String,
    Table,
    Text,
)

from monitor.store.schema.base import metadata, serial_id

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
