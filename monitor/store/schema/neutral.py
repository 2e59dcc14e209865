"""Table of the neutral texts of system prompts."""

from __future__ import annotations

from sqlalchemy import Column, Float, Index, String, Table, Text

from monitor.store.schema.base import metadata

neutral_prompts = Table(
    "neutral_prompts",
    metadata,
    Column("assistant", String(200), primary_key=True),
    Column("key", String(64), primary_key=True),
    Column("role", String(16), nullable=False),
    Column("original", Text, nullable=False),
    Column("neutral", Text, nullable=False),
    Column("state", String(16), nullable=False, comment="auto, reviewed or refused."),
    Column("reason", Text, nullable=False),
    Column(
        "made_by", String(200), nullable=False, comment="Digest of the rewriter, or the person."
    ),
    Column("at_s", Float, nullable=False),
    Index(None, "assistant", "state", "at_s"),
    comment="System prompts, which are configuration, without their pressure.",
)
