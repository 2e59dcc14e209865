"""Table of the registered training sources."""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, Float, Integer, LargeBinary, String, Table

from monitor.store.schema.base import metadata

training_sources = Table(
    "training_sources",
    metadata,
    Column("name", String(200), primary_key=True),
    Column("version", String(200), primary_key=True),
    Column("digest", String(64), nullable=False, comment="SHA-256 of what was read."),
    Column("rows", Integer, nullable=False),
    Column("size_bytes", BigInteger, nullable=False),
    Column("licence", String(200), nullable=False),
    Column("registered_by", String(200), nullable=False),
    Column("registered_at_s", Float, nullable=False),
    Column(
        "row_digests",
        LargeBinary,
        nullable=False,
        comment="Sorted, 16 bytes for each different row: what its trainer reads.",
    ),
    comment="Data sets from outside, of which training rows may come.",
)
