"""Tables of verdicts, their canonical log, and labels given by people."""

from __future__ import annotations

from typing import Any

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Float,
    ForeignKeyConstraint,
    Index,
    Integer,
    LargeBinary,
    String,
    Table,
    Text,
    literal_column,
)

from monitor.store.schema.base import metadata, partial_index, serial_id

verdicts = Table(
    "verdicts",
    metadata,
    Column("key", String(64), primary_key=True),
    Column("assistant", String(200), nullable=False),
    Column("response_id", String(200), nullable=False),
    Column("purpose", String(16), nullable=False),
    Column("repeat", Integer, nullable=False),
    Column(
        "live_slot",
        String(420),
        unique=True,
        comment="assistant/response_id of the one live verdict that counts; null otherwise.",
    ),
    Column("stratum", String(500), nullable=False),
    Column("segment", String(200), nullable=False),
    Column("stakes", String(16), nullable=False),
    Column("model", String(300), nullable=False),
    Column("kind", String(16), nullable=False),
    Column("p_lie", Float),
    Column("p_evasion", Float),
    Column("sampled_by", String(16), nullable=False),
    Column("inclusion_probability", Float, nullable=False),
    Column(
        "final_probability",
        Float,
        comment="Set once feedback made it another than inclusion_probability: the weight's inverse.",
    ),
    Column("evaluator_version", String(64), nullable=False),
    Column("record", Text, nullable=False, comment="The whole Verdict as JSON."),
    Column("created_at_s", Float, nullable=False),
    Column("scored_at_s", Float, nullable=False),
    Column(
        "outcomes",
        String(200),
        comment="How the evaluation ended, probe by probe.",
    ),
    Column(
        "acts",
        String(16),
        comment="Whether the tool record supports or contradicts what was said of acts; null: not seen.",
    ),
    Index(None, "response_id", "assistant"),
    Index(None, "scored_at_s", "key"),
    Index(None, "assistant", "scored_at_s", "key"),
    Index(None, "stratum", "scored_at_s", "key"),
    Index(None, "kind", "scored_at_s", "key"),
    Index(None, "assistant", "model", "scored_at_s", "key"),
)

beside_live = verdicts.c.purpose != literal_column("'live'")
partial_index("ix_verdicts_beside_live", beside_live, verdicts.c.scored_at_s, verdicts.c.key)

is_live = verdicts.c.live_slot.is_not(None)
# What the dashboard sums over its window is all in the index, what the index is about too: else every row is read.
partial_index(
    "ix_verdicts_live",
    is_live,
    verdicts.c.scored_at_s,
    verdicts.c.assistant,
    verdicts.c.segment,
    verdicts.c.stakes,
    verdicts.c.kind,
    verdicts.c.evaluator_version,
    verdicts.c.inclusion_probability,
    verdicts.c.final_probability,
    verdicts.c.p_lie,
    verdicts.c.acts,
    verdicts.c.model,
    verdicts.c.live_slot,
)

# Few responses tell of acts that can be seen: their share is summed without a look at the others.
partial_index(
    "ix_verdicts_acts",
    verdicts.c.acts.is_not(None),
    verdicts.c.scored_at_s,
    verdicts.c.assistant,
    verdicts.c.acts,
    verdicts.c.inclusion_probability,
    verdicts.c.final_probability,
    verdicts.c.live_slot,
)


def _cell() -> tuple[Column[Any], ...]:
    return (
        Column("slot", Integer, primary_key=True, comment="So many hours since the epoch, UTC."),
        Column("assistant", String(200), primary_key=True),
        Column("segment", String(200), primary_key=True),
        Column("stakes", String(16), primary_key=True),
        Column("kind", String(16), primary_key=True),
        Column("evaluator_version", String(64), primary_key=True),
        Column("model", String(300), primary_key=True),
        Column("probability", Float, primary_key=True, comment="The final one."),
        Column("leans", Boolean, primary_key=True, comment="Whether p_lie leans towards a lie."),
        Column(
            "contradicted",
            Boolean,
            primary_key=True,
            comment="Whether it does, and a tool record contradicts what is said of acts.",
        ),
    )


verdict_tally = Table(
    "verdict_tally",
    metadata,
    Column("hours", Integer, primary_key=True, comment="How long a slot is: 4 or 24."),
    *_cell(),
    Column("n", BigInteger, nullable=False),
    comment="Live verdicts by time; those of `verdict_changes` come on top.",
)

verdict_changes = Table(
    "verdict_changes",
    metadata,
    serial_id(),
    *(Column(c.name, c.type, nullable=False) for c in _cell()),
    Column("n", BigInteger, nullable=False, comment="Below zero where a weight moved."),
    Index(None, "slot"),
    comment="What was added to the tally, by slots of 4 hours, and not yet joined with it.",
)

findings = Table(
    "findings",
    metadata,
    Column("verdict_key", String(64), primary_key=True),
    Column("assistant", String(200), nullable=False),
    Column("response_id", String(200), nullable=False),
    Column("body", LargeBinary, nullable=False, comment="Findings of a verdict, compressed."),
    Index(None, "assistant", "response_id"),
    ForeignKeyConstraint(["verdict_key"], ["verdicts.key"]),
    comment="What quotes the text of a response: deleted with its body.",
)

verdict_log = Table(
    "verdict_log",
    metadata,
    serial_id(),
    Column("stratum", String(500), nullable=False),
    Column("verdict_key", String(64), nullable=False, unique=True),
    Index(None, "stratum", "id"),
    ForeignKeyConstraint(["verdict_key"], ["verdicts.key"]),
    comment="The canonical order in which live, arrival-sampled verdicts move detectors.",
)

labels = Table(
    "labels",
    metadata,
    Column("assistant", String(200), primary_key=True),
    Column("response_id", String(200), primary_key=True),
    Column("labeller", String(200), primary_key=True),
    Column("kind", String(16), nullable=False),
    Column(
        "inclusion_probability",
        Float,
        comment="Probability with which the audit chose it; null if not random.",
    ),
    Column("at_s", Float, nullable=False),
    Index(None, "at_s", "assistant", "response_id", "labeller"),
    Index(None, "assistant", "at_s", "response_id", "labeller"),
    Index(None, "response_id"),
)
