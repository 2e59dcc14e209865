"""Transcripts from files: chat data in many shapes, results of MASK and DeceptionBench, Inspect logs."""

from probes.transcripts.chat import read_records
from probes.transcripts.formats import (
    FORMATS,
    Format,
    Transcripts,
    find_format,
    open_records,
    open_transcripts,
)
from probes.transcripts.record import Record

__all__ = [
    "FORMATS",
    "Format",
    "Record",
    "Transcripts",
    "find_format",
    "open_records",
    "open_transcripts",
    "read_records",
]
