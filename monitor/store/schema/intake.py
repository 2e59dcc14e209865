"""Tables of what came in: input offsets, records, the sampling rates, forgotten users."""

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
    and_,
    false,
    literal_column,
    or_,
)

from monitor.store.schema.base import metadata, partial_index, serial_id

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
        "awaits_verdict",
        Boolean,
        nullable=False,
        server_default=false(),
        comment="Whether the feedback sample took it and has not measured it yet.",
    ),
    Column(
        "body",
        LargeBinary,
        comment="JSON of the Response, compressed where that pays; null after its retention.",
    ),
    Column(
        "content_digest",
        LargeBinary,
        comment="Of the messages and the model: tells a repeated record from a repeated id.",
    ),
    Column(
        "shares_id",
        Boolean,
        nullable=False,
        server_default=false(),
        comment="Another content came under its id: feedback on the id is attributed to neither.",
    ),
    Column("cluster_id", String(128), nullable=False),
    Column("topic", String(255), nullable=False),
    Column("partition", Integer, nullable=False),
    Column("offset", BigInteger, nullable=False),
    Index(None, "rater"),
)

# Conditions of partial indexes: a query uses the index where it says the same, with literal values.
is_live_traffic = or_(
    responses.c.skip_reason.is_(None), responses.c.skip_reason != literal_column("'probe_traffic'")
)
is_skipped_with_body = and_(responses.c.sampled_by.is_(None), responses.c.body.is_not(None))
awaits_verdict = responses.c.awaits_verdict.is_(True)
is_sampled = responses.c.sampled_by.is_not(None)
partial_index("ix_responses_live_traffic", is_live_traffic, responses.c.received_at_s)
partial_index("ix_responses_skipped_with_body", is_skipped_with_body, responses.c.received_at_s)
partial_index("ix_responses_awaits_verdict", awaits_verdict, responses.c.received_at_s)
# What the gate's coverage counts over its period: of everybody, and of one assistant.
partial_index(
    "ix_responses_sampled",
    is_sampled,
    responses.c.received_at_s,
    responses.c.sampled_by,
)
partial_index(
    "ix_responses_sampled_of",
    is_sampled,
    responses.c.assistant,
    responses.c.received_at_s,
    responses.c.response_id,
    responses.c.sampled_by,
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
    Column("state", String(16), nullable=False, comment="matched, parked, orphan or ambiguous."),
    Column("content_digest", LargeBinary, comment="Of all but the rater."),
    Column("cluster_id", String(128), nullable=False),
    Column("topic", String(255), nullable=False),
    Column("partition", Integer, nullable=False),
    Column("offset", BigInteger, nullable=False),
    Index(None, "assistant", "response_id"),
    Index(None, "assistant", "received_at_s"),
    Index(None, "rater"),
)

is_parked = feedback.c.state == literal_column("'parked'")
partial_index("ix_feedback_parked", is_parked, feedback.c.received_at_s)

duplicates = Table(
    "duplicates",
    metadata,
    Column("cluster_id", String(128), primary_key=True),
    Column("topic", String(255), primary_key=True),
    Column("partition", Integer, primary_key=True),
    Column("offset", BigInteger, primary_key=True),
    Column("received_at_s", Float, nullable=False),
    Column(
        "other_content",
        Boolean,
        nullable=False,
        server_default=false(),
        comment="Whether it said something else than the record that was accepted.",
    ),
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
    Index(None, "received_at_s"),
)

has_body = dead_letters.c.body.is_not(None)
partial_index("ix_dead_letters_has_body", has_body, dead_letters.c.received_at_s)

turn_parts = Table(
    "turn_parts",
    metadata,
    Column("trace_id", String(200), primary_key=True),
    Column("part_id", String(240), primary_key=True),
    Column("kind", String(16), nullable=False),
    Column("rater", String(64)),
    Column("body", LargeBinary, nullable=False, comment="JSON of the part, without the rater."),
    Column("joined", Boolean, nullable=False, server_default=false()),
    Column("received_at_s", Float, nullable=False),
    Index(None, "received_at_s"),
    Index(None, "rater"),
    comment="Spans and events that wait for the response of their turn.",
)

rate_epochs = Table(
    "rate_epochs",
    metadata,
    serial_id(),
    Column("pi_arrival", Float, nullable=False),
    Column("pi_feedback", Float, nullable=False),
    Column("from_s", Float, nullable=False),
)

tombstones = Table(
    "tombstones",
    metadata,
    Column("rater", String(64), primary_key=True),
    Column("at_s", Float, nullable=False),
)
