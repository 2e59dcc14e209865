"""The first schema."""

from alembic import op

from monitor.store.migrations.first_schema import findings, intake, measurement, operations

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create every table."""
    intake.create()
    measurement.create()
    findings.create()
    operations.create()


def downgrade() -> None:
    """Drop every table."""
    for name in (
        "verdict_log",
        "input_offsets",
        "responses",
        "feedback",
        "dead_letters",
        "duplicates",
        "tombstones",
        "worker_heartbeats",
        "verdicts",
        "labels",
        "rate_epochs",
        "detectors",
        "references",
        "alarms",
        "alarm_events",
        "cohort_estimates",
        "rater_posteriors",
        "audit_log",
        "confirm_runs",
        "gate_decisions",
        "leases",
        "outbox",
    ):
        op.drop_table(name)
