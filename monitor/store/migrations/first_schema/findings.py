"""Detectors, references, alarms and estimates of cohorts."""

import sqlalchemy as sa
from alembic import op

from monitor.store.migrations.first_schema.serial import SERIAL


def create() -> None:
    _detectors()
    _references()
    _alarms()
    _alarm_events()
    _cohort_estimates()
    _rater_posteriors()


def _detectors() -> None:
    op.create_table(
        "detectors",
        sa.Column("stratum", sa.String(length=500), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column(
            "log_position",
            sa.BigInteger(),
            nullable=False,
            comment="verdict_log.id up to which this state has read.",
        ),
        sa.Column("version", sa.BigInteger(), nullable=False, comment="Compare-and-set counter."),
        sa.Column("updated_at_s", sa.Float(), nullable=False),
        sa.PrimaryKeyConstraint("stratum", name=op.f("pk_detectors")),
    )


def _references() -> None:
    op.create_table(
        "references",
        sa.Column("id", SERIAL, autoincrement=True, nullable=False),
        sa.Column("stratum", sa.String(length=500), nullable=False),
        sa.Column("metric", sa.String(length=32), nullable=False),
        sa.Column("evaluator_version", sa.String(length=64), nullable=False),
        sa.Column("value", sa.Float(), nullable=False),
        sa.Column("n", sa.Integer(), nullable=False),
        sa.Column(
            "source",
            sa.String(length=32),
            nullable=False,
            comment="learned, declared, person or release.",
        ),
        sa.Column("approved_by", sa.String(length=200), nullable=True),
        sa.Column("created_at_s", sa.Float(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_references")),
        sa.UniqueConstraint(
            "stratum",
            "metric",
            "evaluator_version",
            "created_at_s",
            name=op.f("uq_references_stratum_metric_evaluator_version_created_at_s"),
        ),
    )


def _alarms() -> None:
    op.create_table(
        "alarms",
        sa.Column("alarm_id", sa.String(length=64), nullable=False),
        sa.Column("subject", sa.String(length=16), nullable=False),
        sa.Column("scope", sa.String(length=500), nullable=False),
        sa.Column("metric", sa.String(length=32), nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("opened_at_s", sa.Float(), nullable=False),
        sa.Column("changed_at_s", sa.Float(), nullable=False),
        sa.Column("record", sa.Text(), nullable=False, comment="The whole Alarm as JSON."),
        sa.PrimaryKeyConstraint("alarm_id", name=op.f("pk_alarms")),
    )
    op.create_index(op.f("ix_alarms_state"), "alarms", ["state"], unique=False)


def _alarm_events() -> None:
    op.create_table(
        "alarm_events",
        sa.Column("id", SERIAL, autoincrement=True, nullable=False),
        sa.Column("alarm_id", sa.String(length=64), nullable=False),
        sa.Column("from_state", sa.String(length=16), nullable=True),
        sa.Column("to_state", sa.String(length=16), nullable=False),
        sa.Column("by", sa.String(length=200), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("at_s", sa.Float(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_alarm_events")),
    )
    op.create_index(op.f("ix_alarm_events_alarm_id"), "alarm_events", ["alarm_id"], unique=False)


def _cohort_estimates() -> None:
    op.create_table(
        "cohort_estimates",
        sa.Column("id", SERIAL, autoincrement=True, nullable=False),
        sa.Column("assistant", sa.String(length=200), nullable=False),
        sa.Column("cutoff_s", sa.Float(), nullable=False),
        sa.Column("n_raters", sa.Integer(), nullable=False),
        sa.Column("n_events", sa.Integer(), nullable=False),
        sa.Column(
            "record",
            sa.Text(),
            nullable=False,
            comment="The whole estimate as JSON, without the raters.",
        ),
        sa.Column(
            "alarm_state", sa.Text(), nullable=False, comment="What the population alarms remember."
        ),
        sa.Column("created_at_s", sa.Float(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_cohort_estimates")),
    )
    op.create_index(
        op.f("ix_cohort_estimates_assistant_id"),
        "cohort_estimates",
        ["assistant", "id"],
        unique=False,
    )


def _rater_posteriors() -> None:
    op.create_table(
        "rater_posteriors",
        sa.Column("assistant", sa.String(length=200), nullable=False),
        sa.Column("rater", sa.String(length=64), nullable=False),
        sa.Column("p_biased", sa.Float(), nullable=True),
        sa.Column(
            "status",
            sa.String(length=16),
            nullable=False,
            comment="benign, suspect, indifferent or unidentified.",
        ),
        sa.Column("n_events", sa.Integer(), nullable=False),
        sa.Column("estimate_id", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("assistant", "rater", name=op.f("pk_rater_posteriors")),
    )
