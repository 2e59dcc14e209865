"""The audit log, confirm runs, decisions, leases and the outbox."""

import sqlalchemy as sa
from alembic import op

from monitor.store.migrations.first_schema.serial import SERIAL


def create() -> None:
    _audit_log()
    _confirm_runs()
    _gate_decisions()
    _leases()
    _outbox()


def _audit_log() -> None:
    op.create_table(
        "audit_log",
        sa.Column("id", SERIAL, autoincrement=True, nullable=False),
        sa.Column("at_s", sa.Float(), nullable=False),
        sa.Column("by", sa.String(length=200), nullable=False),
        sa.Column("action", sa.String(length=64), nullable=False),
        sa.Column("subject", sa.String(length=500), nullable=False),
        sa.Column("details", sa.Text(), nullable=False),
        sa.Column("previous", sa.String(length=64), nullable=False),
        sa.Column("hash", sa.String(length=64), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_audit_log")),
        sa.UniqueConstraint("hash", name=op.f("uq_audit_log_hash")),
    )


def _confirm_runs() -> None:
    op.create_table(
        "confirm_runs",
        sa.Column("run_id", sa.String(length=64), nullable=False),
        sa.Column("assistant", sa.String(length=200), nullable=False),
        sa.Column("alarm_id", sa.String(length=64), nullable=True),
        sa.Column(
            "state",
            sa.String(length=16),
            nullable=False,
            comment="proposed, waiting, running, done or failed.",
        ),
        sa.Column("requested_at_s", sa.Float(), nullable=False),
        sa.Column("started_at_s", sa.Float(), nullable=True),
        sa.Column("finished_at_s", sa.Float(), nullable=True),
        sa.Column("directory", sa.Text(), nullable=True),
        sa.Column("report", sa.Text(), nullable=True),
        sa.Column("error", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("run_id", name=op.f("pk_confirm_runs")),
    )
    op.create_index(
        op.f("ix_confirm_runs_assistant_requested_at_s"),
        "confirm_runs",
        ["assistant", "requested_at_s"],
        unique=False,
    )


def _gate_decisions() -> None:
    op.create_table(
        "gate_decisions",
        sa.Column("decision_id", sa.String(length=64), nullable=False),
        sa.Column("assistant", sa.String(length=200), nullable=False),
        sa.Column("answer", sa.String(length=16), nullable=False),
        sa.Column("subject_digest", sa.String(length=64), nullable=True),
        sa.Column("envelope", sa.Text(), nullable=False, comment="The signed DSSE envelope."),
        sa.Column("created_at_s", sa.Float(), nullable=False),
        sa.Column("expires_at_s", sa.Float(), nullable=False),
        sa.Column("revoked_at_s", sa.Float(), nullable=True),
        sa.Column("overridden_by", sa.String(length=200), nullable=True),
        sa.PrimaryKeyConstraint("decision_id", name=op.f("pk_gate_decisions")),
    )
    op.create_index(
        op.f("ix_gate_decisions_assistant_created_at_s"),
        "gate_decisions",
        ["assistant", "created_at_s"],
        unique=False,
    )


def _leases() -> None:
    op.create_table(
        "leases",
        sa.Column("name", sa.String(length=64), nullable=False),
        sa.Column("owner", sa.String(length=200), nullable=False),
        sa.Column("fence", sa.BigInteger(), nullable=False),
        sa.Column("expires_at_s", sa.Float(), nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_leases")),
    )


def _outbox() -> None:
    op.create_table(
        "outbox",
        sa.Column("id", SERIAL, autoincrement=True, nullable=False),
        sa.Column("topic", sa.String(length=255), nullable=False),
        sa.Column("key", sa.LargeBinary(), nullable=True),
        sa.Column("value", sa.LargeBinary(), nullable=False),
        sa.Column("created_at_s", sa.Float(), nullable=False),
        sa.Column(
            "published_cluster_id",
            sa.String(length=128),
            nullable=True,
            comment="Null until the broker acknowledged it.",
        ),
        sa.Column("published_partition", sa.Integer(), nullable=True),
        sa.Column("published_offset", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_outbox")),
    )
    op.create_index(
        op.f("ix_outbox_published_cluster_id_id"),
        "outbox",
        ["published_cluster_id", "id"],
        unique=False,
    )
