"""Training rows with their provenance: values, files, and the digest that a decision signs."""

from retrain.rows.files import iter_rows, read_rows, write_rows
from retrain.rows.manifest import Manifest, ManifestBuilder, manifest
from retrain.rows.row import ChatMessage, Provenance, Row, RowKind, parse_row

__all__ = [
    "ChatMessage",
    "Manifest",
    "ManifestBuilder",
    "Provenance",
    "Row",
    "RowKind",
    "iter_rows",
    "manifest",
    "parse_row",
    "read_rows",
    "write_rows",
]
