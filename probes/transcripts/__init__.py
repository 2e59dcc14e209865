"""Transcripts from files: chat data in many shapes, results of MASK and DeceptionBench, Inspect logs."""

from probes.transcripts.chat import read_records
from probes.transcripts.formats import (
    FORMATS,
    Format,
    Transcripts,
    open_records,
    open_transcripts,
)
from probes.transcripts.record import Record

__all__ = [
    "FORMATS",
    "Format",
    "Record",
    "Transcripts",
    "open_records",
    "open_transcripts",
    "read_records",
]
