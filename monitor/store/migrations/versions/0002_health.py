"""Evaluator health, localisation and reporting."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

_SERIAL = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    """Add what is new."""
    op.add_column(
        "verdicts",
        sa.Column(
            "outcomes",
            sa.String(length=200),
            nullable=True,
            comment="How the evaluation ended, probe by probe; null before schema 0002.",
        ),
    )
    op.add_column(
        "worker_heartbeats",
        sa.Column(
            "evaluator_version",
            sa.String(length=64),
            nullable=True,
            comment="What it measures with.",
        ),
    )
    _evaluator_health()
    _extra_evaluations()
    op.create_table(
        "joint_reports",
        sa.Column("id", _SERIAL, autoincrement=True, nullable=False),
        sa.Column("made_at_s", sa.Float(), nullable=False),
        sa.Column("level", sa.Float(), nullable=False),
        sa.Column("record", sa.Text(), nullable=False, comment="The whole JointReport as JSON."),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_joint_reports")),
    )
    op.create_table(
        "localisations",
        sa.Column("alarm_id", sa.String(length=64), nullable=False),
        sa.Column("record", sa.Text(), nullable=False, comment="The whole Localisation as JSON."),
        sa.Column("updated_at_s", sa.Float(), nullable=False),
        sa.PrimaryKeyConstraint("alarm_id", name=op.f("pk_localisations")),
    )


def _evaluator_health() -> None:
    op.create_table(
        "evaluator_health",
        sa.Column("evaluator_version", sa.String(length=64), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column(
            "unhealthy",
            sa.Text(),
            nullable=False,
            comment="JSON list of the checks in alarm; [] when well.",
        ),
        sa.Column(
            "suspect_since_s",
            sa.Float(),
            nullable=True,
            comment="Since when it has been failing without an alarm; null while it looks well.",
        ),
        sa.Column(
            "log_position",
            sa.BigInteger(),
            nullable=False,
            comment="verdict_log.id up to which its verdicts were looked at.",
        ),
        sa.Column("version", sa.BigInteger(), nullable=False, comment="Compare-and-set counter."),
        sa.Column("updated_at_s", sa.Float(), nullable=False),
        sa.PrimaryKeyConstraint("evaluator_version", name=op.f("pk_evaluator_health")),
    )


def _extra_evaluations() -> None:
    op.create_table(
        "extra_evaluations",
        sa.Column("id", _SERIAL, autoincrement=True, nullable=False),
        sa.Column(
            "purpose", sa.String(length=16), nullable=False, comment="canary, repeat or rescore."
        ),
        sa.Column("assistant", sa.String(length=200), nullable=False),
        sa.Column("response_id", sa.String(length=200), nullable=False),
        sa.Column(
            "evaluator_version",
            sa.String(length=64),
            nullable=False,
            comment="Who is to measure it; empty for a canary, which any evaluator measures.",
        ),
        sa.Column(
            "known", sa.String(length=16), nullable=True, comment="What a canary is known to be."
        ),
        sa.Column(
            "stratum",
            sa.String(length=500),
            nullable=True,
            comment="Whose reference a rescore is for.",
        ),
        sa.Column("asked_at_s", sa.Float(), nullable=False),
        sa.Column("due_at_s", sa.Float(), nullable=False),
        sa.Column(
            "counted",
            sa.Boolean(),
            nullable=False,
            comment="Whether health, or the rescore, has read it.",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_extra_evaluations")),
        sa.UniqueConstraint(
            "purpose",
            "assistant",
            "response_id",
            "evaluator_version",
            name=op.f("uq_extra_evaluations_once"),
        ),
        comment="Evaluations beside the live ones: asked for here, and missing when no verdict comes.",
    )
    op.create_index(
        op.f("ix_extra_evaluations_purpose_counted_due_at_s"),
        "extra_evaluations",
        ["purpose", "counted", "due_at_s"],
        unique=False,
    )


def downgrade() -> None:
    """Take it away again."""
    op.drop_table("localisations")
    op.drop_table("joint_reports")
    op.drop_index(op.f("ix_extra_evaluations_purpose_counted_due_at_s"), "extra_evaluations")
    op.drop_table("extra_evaluations")
    op.drop_table("evaluator_health")
    op.drop_column("worker_heartbeats", "evaluator_version")
    op.drop_column("verdicts", "outcomes")
