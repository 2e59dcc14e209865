"""Training rows with their provenance: values, files, and the digest that a decision signs."""

from candor_guard.rows.files import Rows, iter_provenance, iter_rows, read_rows, write_rows
from candor_guard.rows.manifest import Manifest, ManifestBuilder, manifest
from candor_guard.rows.parse import parse_row, row_or_unreadable
from candor_guard.rows.removed import kept_rows, removed_bitmap
from candor_guard.rows.row import ChatMessage, Provenance, Row, RowKind, Text

__all__ = [
    "ChatMessage",
    "Manifest",
    "ManifestBuilder",
    "Provenance",
    "Row",
    "RowKind",
    "Rows",
    "Text",
    "iter_provenance",
    "iter_rows",
    "kept_rows",
    "manifest",
    "parse_row",
    "read_rows",
    "removed_bitmap",
    "row_or_unreadable",
    "write_rows",
]
