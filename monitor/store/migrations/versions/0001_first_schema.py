"""The first schema."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

# SQLite makes only INTEGER primary keys autoincrement.
_SERIAL = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    """Create every table."""
    _intake()
    _measurement()
    _findings()
    _operations()


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


def _intake() -> None:
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
    op.create_table(
        "tombstones",
        sa.Column("rater", sa.String(length=64), nullable=False),
        sa.Column("at_s", sa.Float(), nullable=False),
        sa.PrimaryKeyConstraint("rater", name=op.f("pk_tombstones")),
    )
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


def _measurement() -> None:
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
    op.create_table(
        "verdict_log",
        sa.Column("id", _SERIAL, autoincrement=True, nullable=False),
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
    op.create_table(
        "rate_epochs",
        sa.Column("id", _SERIAL, autoincrement=True, nullable=False),
        sa.Column("stratum", sa.String(length=500), nullable=False),
        sa.Column("pi_arrival", sa.Float(), nullable=False),
        sa.Column("pi_feedback", sa.Float(), nullable=False),
        sa.Column("from_s", sa.Float(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_rate_epochs")),
    )
    op.create_index(
        op.f("ix_rate_epochs_stratum_from_s"), "rate_epochs", ["stratum", "from_s"], unique=False
    )


def _findings() -> None:
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
    op.create_table(
        "references",
        sa.Column("id", _SERIAL, autoincrement=True, nullable=False),
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
    op.create_table(
        "alarm_events",
        sa.Column("id", _SERIAL, autoincrement=True, nullable=False),
        sa.Column("alarm_id", sa.String(length=64), nullable=False),
        sa.Column("from_state", sa.String(length=16), nullable=True),
        sa.Column("to_state", sa.String(length=16), nullable=False),
        sa.Column("by", sa.String(length=200), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("at_s", sa.Float(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_alarm_events")),
    )
    op.create_index(op.f("ix_alarm_events_alarm_id"), "alarm_events", ["alarm_id"], unique=False)
    op.create_table(
        "cohort_estimates",
        sa.Column("id", _SERIAL, autoincrement=True, nullable=False),
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


def _operations() -> None:
    op.create_table(
        "audit_log",
        sa.Column("id", _SERIAL, autoincrement=True, nullable=False),
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
    op.create_table(
        "leases",
        sa.Column("name", sa.String(length=64), nullable=False),
        sa.Column("owner", sa.String(length=200), nullable=False),
        sa.Column("fence", sa.BigInteger(), nullable=False),
        sa.Column("expires_at_s", sa.Float(), nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_leases")),
    )
    op.create_table(
        "outbox",
        sa.Column("id", _SERIAL, autoincrement=True, nullable=False),
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
