"""The content-addressed manifest of a sequence of rows."""

from __future__ import annotations

import hashlib
from collections import Counter

import msgspec

from candor_guard.rows.files import Rows, iter_rows
from candor_guard.rows.row import Row, RowKind

_DOMAIN = b"candor rows v1\n"


class Manifest(msgspec.Struct, frozen=True, kw_only=True):
    """What a sequence of rows is.

    Parameters
    ----------
    digest
        SHA-256 (hex) over the rows' digests in order: any changed, missing, added or moved row
        changes it. It does not depend on the file format.
    rows
        Number of rows.
    kinds, sources
        Rows by trainer format and by `source@source_version`.
    """

    digest: str
    rows: int
    kinds: dict[str, int] = {}
    sources: dict[str, int] = {}


class ManifestBuilder:
    """Builds a manifest row by row in constant memory."""

    def __init__(self) -> None:
        self._hash = hashlib.sha256(_DOMAIN)
        self._rows = 0
        self._counts: dict[tuple[RowKind, str | None, str | None], int] = {}

    def add(self, row: Row, row_digest: bytes | None = None) -> None:
        """Append a row; `row_digest` saves computing `row.digest()` again."""
        self._hash.update(row.digest() if row_digest is None else row_digest)
        self._rows += 1
        origin = row.provenance
        told = (row.kind, origin.source, origin.source_version)
        self._counts[told] = self._counts.get(told, 0) + 1

    def build(self) -> Manifest:
        kinds: Counter[str] = Counter()
        sources: Counter[str] = Counter()
        for (kind, source, version), count in self._counts.items():
            kinds[kind.value] += count
            name = source or "unknown"
            sources[f"{name}@{version}" if version else name] += count
        return Manifest(
            digest=self._hash.hexdigest(),
            rows=self._rows,
            kinds=dict(sorted(kinds.items())),
            sources=dict(sorted(sources.items())),
        )


def manifest(rows: Rows) -> Manifest:
    """The manifest of rows, of a file or of a `datasets.Dataset`, read once."""
    builder = ManifestBuilder()
    for row in iter_rows(rows, keep_unreadable=True):
        builder.add(row)
    return builder.build()
