"""Tables of raters: estimates, posteriors, groups and what watches them."""

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
)

from monitor.store.schema.base import metadata, serial_id

cohort_estimates = Table(
    "cohort_estimates",
    metadata,
    serial_id(),
    Column("assistant", String(200), nullable=False),
    Column("cutoff_s", Float, nullable=False),
    Column("n_raters", Integer, nullable=False),
    Column("n_events", Integer, nullable=False),
    Column(
        "record", Text, nullable=False, comment="The whole estimate as JSON, without the raters."
    ),
    Column("alarm_state", Text, nullable=False, comment="What the population alarms remember."),
    Column("created_at_s", Float, nullable=False),
    Index(None, "assistant", "id"),
    # With the id, which a curve over months looks for: else every row of it is read.
    Index(None, "assistant", "created_at_s", "id"),
)

rater_posteriors = Table(
    "rater_posteriors",
    metadata,
    Column("assistant", String(200), primary_key=True),
    Column("rater", String(64), primary_key=True),
    Column("p_biased", Float),
    Column(
        "status",
        String(16),
        nullable=False,
        comment="benign, suspect, indifferent or unidentified.",
    ),
    Column("n_events", Integer, nullable=False),
    Column("estimate_id", BigInteger, nullable=False),
    # What the gauges count by.
    Index(None, "assistant", "status"),
)

rater_groups = Table(
    "rater_groups",
    metadata,
    Column("assistant", String(200), primary_key=True),
    Column("rater", String(64), primary_key=True),
    Column("group_id", String(64), nullable=False),
    Column("estimate_id", BigInteger, nullable=False),
    Index(None, "rater"),
    comment="Raters of the newest estimate's coordination groups, each in the surest of theirs.",
)

cohort_members = Table(
    "cohort_members",
    metadata,
    Column("assistant", String(200), primary_key=True),
    Column("rater", String(64), primary_key=True),
    Column("in_cohort", Boolean, nullable=False, comment="Whether the rater was a suspect."),
    Index(None, "rater"),
    comment="Who was in the cohort when it was frozen; only later responses are compared.",
)

gap_watches = Table(
    "gap_watches",
    metadata,
    Column("assistant", String(200), primary_key=True),
    Column("cutoff_s", Float, nullable=False, comment="Responses up to this time do not count."),
    Column("frozen_at_s", Float, nullable=False),
    Column("frozen_position", BigInteger, nullable=False, comment="verdict_log.id at the freeze."),
    Column(
        "log_position", BigInteger, nullable=False, comment="verdict_log.id that was read last."
    ),
    Column("state", Text, nullable=False, comment="The detector, and whether its alarm is open."),
    Column("gap", Text, nullable=False, comment="SycophancyGap as JSON, or null."),
    Column("version", BigInteger, nullable=False, comment="Compare-and-set counter."),
    comment="The honesty towards the frozen cohort, less that towards others.",
)

rated_counts = Table(
    "rated_counts",
    metadata,
    Column("assistant", String(200), primary_key=True),
    Column("n_events", BigInteger, nullable=False, comment="Matched feedback on live traffic."),
    Column(
        "n_measured",
        BigInteger,
        nullable=False,
        comment="That of it whose response has an asserted verdict.",
    ),
    comment="Kept by every transaction that changes them, so that nothing counts all feedback again.",
)
