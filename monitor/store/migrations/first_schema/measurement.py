"""Verdicts, their log, labels and sampling rates."""

import sqlalchemy as sa
from alembic import op

from monitor.store.migrations.first_schema.serial import SERIAL


def create() -> None:
    _verdicts()
    _verdict_log()
    _labels()
    _rate_epochs()


def _verdicts() -> None:
    op.create_table(
        "verdicts",
        sa.Column("key", sa.String(length=64), nullable=False),
        sa.Column("assistant", sa.String(length=200), nullable=False),
        sa.Column("response_id", sa.String(length=200), nullable=False),
        sa.Column("purpose", sa.String(length=16), nullable=False),
        sa.Column("repeat", sa.Integer(), nullable=False),
        sa.Column(
            "live_slot",
            sa.String(length=420),
            nullable=True,
            comment="assistant/response_id of the one live verdict that counts; null otherwise.",
        ),
        sa.Column("stratum", sa.String(length=500), nullable=False),
        sa.Column("segment", sa.String(length=200), nullable=False),
        sa.Column("stakes", sa.String(length=16), nullable=False),
        sa.Column("model", sa.String(length=300), nullable=False),
        sa.Column("kind", sa.String(length=16), nullable=False),
        sa.Column("p_lie", sa.Float(), nullable=True),
        sa.Column("p_evasion", sa.Float(), nullable=True),
        sa.Column("sampled_by", sa.String(length=16), nullable=False),
        sa.Column("inclusion_probability", sa.Float(), nullable=False),
        sa.Column("evaluator_version", sa.String(length=64), nullable=False),
        sa.Column("record", sa.Text(), nullable=False, comment="The whole Verdict as JSON."),
        sa.Column("created_at_s", sa.Float(), nullable=False),
        sa.Column("scored_at_s", sa.Float(), nullable=False),
        sa.PrimaryKeyConstraint("key", name=op.f("pk_verdicts")),
        sa.UniqueConstraint("live_slot", name=op.f("uq_verdicts_live_slot")),
    )
    op.create_index(
        op.f("ix_verdicts_assistant_response_id"),
        "verdicts",
        ["assistant", "response_id"],
        unique=False,
    )
    op.create_index(
        op.f("ix_verdicts_stratum_scored_at_s"),
        "verdicts",
        ["stratum", "scored_at_s"],
        unique=False,
    )


def _verdict_log() -> None:
    op.create_table(
        "verdict_log",
        sa.Column("id", SERIAL, autoincrement=True, nullable=False),
        sa.Column("stratum", sa.String(length=500), nullable=False),
        sa.Column("verdict_key", sa.String(length=64), nullable=False),
        sa.ForeignKeyConstraint(
            ["verdict_key"], ["verdicts.key"], name=op.f("fk_verdict_log_verdict_key")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_verdict_log")),
        sa.UniqueConstraint("verdict_key", name=op.f("uq_verdict_log_verdict_key")),
        comment="The canonical order in which live, arrival-sampled verdicts move detectors.",
    )
    op.create_index(
        op.f("ix_verdict_log_stratum_id"), "verdict_log", ["stratum", "id"], unique=False
    )


def _labels() -> None:
    op.create_table(
        "labels",
        sa.Column("assistant", sa.String(length=200), nullable=False),
        sa.Column("response_id", sa.String(length=200), nullable=False),
        sa.Column("labeller", sa.String(length=200), nullable=False),
        sa.Column("kind", sa.String(length=16), nullable=False),
        sa.Column(
            "inclusion_probability",
            sa.Float(),
            nullable=True,
            comment="Probability with which the audit chose it; null if not random.",
        ),
        sa.Column("at_s", sa.Float(), nullable=False),
        sa.PrimaryKeyConstraint("assistant", "response_id", "labeller", name=op.f("pk_labels")),
    )


def _rate_epochs() -> None:
    op.create_table(
        "rate_epochs",
        sa.Column("id", SERIAL, autoincrement=True, nullable=False),
        sa.Column("stratum", sa.String(length=500), nullable=False),
        sa.Column("pi_arrival", sa.Float(), nullable=False),
        sa.Column("pi_feedback", sa.Float(), nullable=False),
        sa.Column("from_s", sa.Float(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_rate_epochs")),
    )
    op.create_index(
        op.f("ix_rate_epochs_stratum_from_s"), "rate_epochs", ["stratum", "from_s"], unique=False
    )
