"""What came in: offsets, responses, feedback, and what was refused or forgotten."""

import sqlalchemy as sa
from alembic import op


def create() -> None:
    _input_offsets()
    _responses()
    _feedback()
    _dead_letters()
    _duplicates()
    _tombstones()
    _worker_heartbeats()


def _input_offsets() -> None:
    op.create_table(
        "input_offsets",
        sa.Column("cluster_id", sa.String(length=128), nullable=False),
        sa.Column("topic", sa.String(length=255), nullable=False),
        sa.Column("partition", sa.Integer(), nullable=False),
        sa.Column("next_offset", sa.BigInteger(), nullable=False),
        sa.Column(
            "fence",
            sa.BigInteger(),
            nullable=False,
            comment="Raised by each assignment; a write with an older one is lost.",
        ),
        sa.Column("updated_at_s", sa.Float(), nullable=False),
        sa.PrimaryKeyConstraint("cluster_id", "topic", "partition", name=op.f("pk_input_offsets")),
    )


def _responses() -> None:
    op.create_table(
        "responses",
        sa.Column("assistant", sa.String(length=200), nullable=False),
        sa.Column("response_id", sa.String(length=200), nullable=False),
        sa.Column("stratum", sa.String(length=500), nullable=False),
        sa.Column("segment", sa.String(length=200), nullable=False),
        sa.Column("stakes", sa.String(length=16), nullable=False),
        sa.Column("model", sa.String(length=300), nullable=False),
        sa.Column("conversation_id", sa.String(length=200), nullable=False),
        sa.Column("rater", sa.String(length=64), nullable=False),
        sa.Column("created_at_s", sa.Float(), nullable=False),
        sa.Column("received_at_s", sa.Float(), nullable=False),
        sa.Column("u", sa.Float(), nullable=False),
        sa.Column("pi_arrival", sa.Float(), nullable=False),
        sa.Column("pi_feedback", sa.Float(), nullable=False),
        sa.Column(
            "sampled_by",
            sa.String(length=16),
            nullable=True,
            comment="arrival, feedback, or null while skipped.",
        ),
        sa.Column("skip_reason", sa.String(length=64), nullable=True),
        sa.Column(
            "body",
            sa.LargeBinary(),
            nullable=True,
            comment="zlib-compressed JSON of the Response; null after its retention.",
        ),
        sa.Column("cluster_id", sa.String(length=128), nullable=False),
        sa.Column("topic", sa.String(length=255), nullable=False),
        sa.Column("partition", sa.Integer(), nullable=False),
        sa.Column("offset", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("assistant", "response_id", name=op.f("pk_responses")),
    )
    op.create_index(op.f("ix_responses_rater"), "responses", ["rater"], unique=False)
    op.create_index(
        op.f("ix_responses_sampled_by_received_at_s"),
        "responses",
        ["sampled_by", "received_at_s"],
        unique=False,
    )
    op.create_index(
        op.f("ix_responses_stratum_created_at_s"),
        "responses",
        ["stratum", "created_at_s"],
        unique=False,
    )


def _feedback() -> None:
    op.create_table(
        "feedback",
        sa.Column("assistant", sa.String(length=200), nullable=False),
        sa.Column("feedback_id", sa.String(length=200), nullable=False),
        sa.Column("response_id", sa.String(length=200), nullable=False),
        sa.Column("rater", sa.String(length=64), nullable=False),
        sa.Column("created_at_s", sa.Float(), nullable=False),
        sa.Column("received_at_s", sa.Float(), nullable=False),
        sa.Column("value", sa.Float(), nullable=False),
        sa.Column("kind", sa.String(length=32), nullable=False),
        sa.Column("text", sa.Text(), nullable=True),
        sa.Column(
            "state", sa.String(length=16), nullable=False, comment="matched, parked or orphan."
        ),
        sa.Column("cluster_id", sa.String(length=128), nullable=False),
        sa.Column("topic", sa.String(length=255), nullable=False),
        sa.Column("partition", sa.Integer(), nullable=False),
        sa.Column("offset", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("assistant", "feedback_id", name=op.f("pk_feedback")),
    )
    op.create_index(
        op.f("ix_feedback_assistant_response_id"),
        "feedback",
        ["assistant", "response_id"],
        unique=False,
    )
    op.create_index(op.f("ix_feedback_rater"), "feedback", ["rater"], unique=False)
    op.create_index(
        op.f("ix_feedback_state_received_at_s"),
        "feedback",
        ["state", "received_at_s"],
        unique=False,
    )


def _dead_letters() -> None:
    op.create_table(
        "dead_letters",
        sa.Column("cluster_id", sa.String(length=128), nullable=False),
        sa.Column("topic", sa.String(length=255), nullable=False),
        sa.Column("partition", sa.Integer(), nullable=False),
        sa.Column("offset", sa.BigInteger(), nullable=False),
        sa.Column("reason", sa.String(length=64), nullable=False),
        sa.Column("detail", sa.String(length=500), nullable=False),
        sa.Column(
            "body", sa.LargeBinary(), nullable=True, comment="Encrypted; null after its retention."
        ),
        sa.Column("received_at_s", sa.Float(), nullable=False),
        sa.PrimaryKeyConstraint(
            "cluster_id", "topic", "partition", "offset", name=op.f("pk_dead_letters")
        ),
    )


def _duplicates() -> None:
    op.create_table(
        "duplicates",
        sa.Column("cluster_id", sa.String(length=128), nullable=False),
        sa.Column("topic", sa.String(length=255), nullable=False),
        sa.Column("partition", sa.Integer(), nullable=False),
        sa.Column("offset", sa.BigInteger(), nullable=False),
        sa.Column("received_at_s", sa.Float(), nullable=False),
        sa.PrimaryKeyConstraint(
            "cluster_id", "topic", "partition", "offset", name=op.f("pk_duplicates")
        ),
        comment="Records whose key was already accepted: counted, never accepted twice.",
    )


def _tombstones() -> None:
    op.create_table(
        "tombstones",
        sa.Column("rater", sa.String(length=64), nullable=False),
        sa.Column("at_s", sa.Float(), nullable=False),
        sa.PrimaryKeyConstraint("rater", name=op.f("pk_tombstones")),
    )


def _worker_heartbeats() -> None:
    op.create_table(
        "worker_heartbeats",
        sa.Column("worker", sa.String(length=200), nullable=False),
        sa.Column("seen_at_s", sa.Float(), nullable=False),
        sa.Column(
            "expected",
            sa.BigInteger(),
            nullable=False,
            comment="Responses sampled for measurement so far.",
        ),
        sa.Column(
            "actual",
            sa.BigInteger(),
            nullable=False,
            comment="Verdicts that are not errors so far.",
        ),
        sa.Column("paused", sa.Boolean(), nullable=False),
        sa.PrimaryKeyConstraint("worker", name=op.f("pk_worker_heartbeats")),
    )
