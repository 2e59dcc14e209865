"""The retrain gate's additions: who asked for an override, webhook deliveries, released rows to review."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

_SERIAL = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    """Add what is new."""
    op.add_column(
        "gate_decisions",
        sa.Column("requested_by", sa.String(200), comment="Who asked for the override."),
    )
    op.create_table(
        "gate_deliveries",
        sa.Column("id", _SERIAL, autoincrement=True, nullable=False),
        sa.Column("decision_id", sa.String(64), nullable=False),
        sa.Column(
            "event", sa.String(16), nullable=False, comment="decided, overridden or revoked."
        ),
        sa.Column("body", sa.LargeBinary(), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("next_at_s", sa.Float(), comment="Null once delivered or given up."),
        sa.Column("delivered_at_s", sa.Float()),
        sa.Column("error", sa.String(300), comment="Why the last attempt failed."),
        sa.PrimaryKeyConstraint("id", name="pk_gate_deliveries"),
        comment="Notices of the gate that wait for the webhook.",
    )
    op.create_index("ix_gate_deliveries_next_at_s", "gate_deliveries", ["next_at_s"])
    op.create_table(
        "review_queue",
        sa.Column("id", _SERIAL, autoincrement=True, nullable=False),
        sa.Column("assistant", sa.String(200), nullable=False),
        sa.Column(
            "decision_id", sa.String(64), nullable=False, comment="The release that chose the row."
        ),
        sa.Column("row_digest", sa.String(64), nullable=False),
        sa.Column(
            "response_id", sa.String(200), comment="Null for a row that is not from traffic."
        ),
        sa.Column(
            "inclusion_probability",
            sa.Float(),
            nullable=False,
            comment="With which a row of the release was chosen.",
        ),
        sa.Column("queued_at_s", sa.Float(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_review_queue"),
        sa.UniqueConstraint("decision_id", "row_digest", name="uq_review_queue_once"),
        comment="Released rows that a person is to read.",
    )
    op.create_index(
        "ix_review_queue_assistant_queued_at_s", "review_queue", ["assistant", "queued_at_s"]
    )


def downgrade() -> None:
    """Take it away again."""
    op.drop_table("review_queue")
    op.drop_table("gate_deliveries")
    op.drop_column("gate_decisions", "requested_by")
