"""Tables of what was found: detectors, references, alarms, the health of evaluators, reports."""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Float,
    Index,
    Integer,
    String,
    Table,
    Text,
    UniqueConstraint,
)

from monitor.store.schema.base import metadata, serial_id

detectors = Table(
    "detectors",
    metadata,
    Column("stratum", String(500), primary_key=True),
    Column("state", Text, nullable=False),
    Column(
        "log_position",
        BigInteger,
        nullable=False,
        comment="verdict_log.id up to which this state has read.",
    ),
    Column("version", BigInteger, nullable=False, comment="Compare-and-set counter."),
    Column("updated_at_s", Float, nullable=False),
)

references = Table(
    "references",
    metadata,
    serial_id(),
    Column("stratum", String(500), nullable=False),
    Column("metric", String(32), nullable=False),
    Column("evaluator_version", String(64), nullable=False),
    Column("value", Float, nullable=False),
    Column("n", Integer, nullable=False),
    Column("source", String(32), nullable=False, comment="rescored, person or release."),
    Column("approved_by", String(200)),
    Column("created_at_s", Float, nullable=False),
    UniqueConstraint("stratum", "metric", "evaluator_version", "created_at_s"),
)

approved_versions = Table(
    "approved_versions",
    metadata,
    serial_id(),
    Column("assistant", String(200), nullable=False),
    Column(
        "version",
        String(1000),
        nullable=False,
        comment="A name in the records, or a folder of weights.",
    ),
    Column("reason", Text, nullable=False),
    Column("approved_by", String(200), nullable=False),
    Column("decision_id", String(64), comment="The gate decision that released it, where one did."),
    Column("created_at_s", Float, nullable=False),
    Index(None, "assistant", "id"),
    comment="What the assistants are compared with as approved; the newest of each holds.",
)

attested_versions = Table(
    "attested_versions",
    metadata,
    serial_id(),
    Column("assistant", String(200), nullable=False),
    Column("version", String(300), nullable=False, comment="Its name in the records."),
    Column("decision_id", String(64), nullable=False, comment="The gate decision of its rows."),
    Column("weights_digest", String(64), nullable=False, comment="SHA-256, hex."),
    Column("attested_by", String(200), nullable=False),
    Column("created_at_s", Float, nullable=False),
    Index(None, "assistant", "id"),
    comment="Versions of which somebody showed the attested weights.",
)

alarms = Table(
    "alarms",
    metadata,
    Column("alarm_id", String(64), primary_key=True),
    Column("subject", String(16), nullable=False),
    Column("scope", String(500), nullable=False),
    Column("metric", String(32), nullable=False),
    Column("state", String(16), nullable=False),
    Column("opened_at_s", Float, nullable=False),
    Column("changed_at_s", Float, nullable=False),
    Column("record", Text, nullable=False, comment="The whole Alarm as JSON."),
    Index(None, "state"),
    Index(None, "opened_at_s", "alarm_id"),
    Index(None, "scope", "opened_at_s"),
)

alarm_events = Table(
    "alarm_events",
    metadata,
    serial_id(),
    Column("alarm_id", String(64), nullable=False),
    Column("from_state", String(16)),
    Column("to_state", String(16), nullable=False),
    Column("by", String(200), nullable=False),
    Column("reason", Text, nullable=False),
    Column("at_s", Float, nullable=False),
    Index(None, "alarm_id"),
)

sensors = Table(
    "sensors",
    metadata,
    Column("evaluator_version", String(64), primary_key=True),
    Column("assistant", String(200), primary_key=True),
    Column("sensitivity", Float, nullable=False),
    Column("n_lies", Float, nullable=False),
    Column("specificity", Float, nullable=False),
    Column("n_honest", Float, nullable=False),
    Column("prevalence", Float, nullable=False, comment="Share of lies in the calibration."),
    Column("card", Text, nullable=False, comment="JSON."),
    Column("seen_at_s", Float, nullable=False, comment="When a worker last began with it."),
    comment="What was measured of each evaluator on each assistant: honesty is corrected by it.",
)

evaluator_health = Table(
    "evaluator_health",
    metadata,
    Column("evaluator_version", String(64), primary_key=True),
    Column("state", Text, nullable=False),
    Column(
        "unhealthy", Text, nullable=False, comment="JSON list of the checks in alarm; [] when well."
    ),
    Column(
        "suspect_since_s",
        Float,
        comment="Since when it has been failing without an alarm; null while it looks well.",
    ),
    Column(
        "log_position",
        BigInteger,
        nullable=False,
        comment="verdict_log.id up to which its verdicts were looked at.",
    ),
    Column("version", BigInteger, nullable=False, comment="Compare-and-set counter."),
    Column("updated_at_s", Float, nullable=False),
)

extra_evaluations = Table(
    "extra_evaluations",
    metadata,
    serial_id(),
    Column("purpose", String(16), nullable=False, comment="canary, repeat or rescore."),
    Column("assistant", String(200), nullable=False),
    Column("response_id", String(200), nullable=False),
    Column(
        "evaluator_version",
        String(64),
        nullable=False,
        comment="Who is to measure it; empty for a canary, which any evaluator measures.",
    ),
    Column("known", String(16), comment="What a canary is known to be."),
    Column(
        "stratum",
        String(500),
        comment="Whose reference a rescore is for; of a canary, its own: the segment is the assistant whose evaluator measures it.",
    ),
    Column("asked_at_s", Float, nullable=False),
    Column("due_at_s", Float, nullable=False),
    Column(
        "counted", Boolean, nullable=False, comment="Whether health, or the rescore, has read it."
    ),
    UniqueConstraint(
        "purpose",
        "assistant",
        "response_id",
        "evaluator_version",
        name="uq_extra_evaluations_once",
    ),
    Index(None, "purpose", "counted", "due_at_s"),
    Index(None, "purpose", "stratum", "evaluator_version"),
    Index(None, "counted", "asked_at_s"),
    comment="Evaluations beside the live ones: asked for here, and missing when no verdict comes.",
)

joint_reports = Table(
    "joint_reports",
    metadata,
    serial_id(),
    Column("made_at_s", Float, nullable=False),
    Column("level", Float, nullable=False),
    Column("record", Text, nullable=False, comment="The whole JointReport as JSON."),
)

redteam_runs = Table(
    "redteam_runs",
    metadata,
    serial_id(),
    Column("assistant", String(200), nullable=False),
    Column("model", String(300), nullable=False, comment="As its server or folder names it."),
    Column("made_at_s", Float, nullable=False),
    Column("by", String(200), nullable=False),
    Column("seed", Integer, nullable=False),
    Column("reason", Boolean, nullable=False, comment="Whether reasoning was asked for."),
    Column("record", Text, nullable=False, comment="The summaries of the suites as JSON."),
    Index(None, "assistant", "id"),
    comment="Scorecards of red-team runs.",
)

localisations = Table(
    "localisations",
    metadata,
    Column("alarm_id", String(64), primary_key=True),
    Column("record", Text, nullable=False, comment="The whole Localisation as JSON."),
    Column("updated_at_s", Float, nullable=False),
)
