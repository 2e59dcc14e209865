"""Transcripts from files: chat JSON lines, results of MASK and DeceptionBench, logs of Inspect."""

from probes.transcripts.chat import parse_record, read_records
from probes.transcripts.formats import FORMATS, Format, find_format, open_records
from probes.transcripts.record import Record, label_of

__all__ = [
    "FORMATS",
    "Format",
    "Record",
    "find_format",
    "label_of",
    "open_records",
    "parse_record",
    "read_records",
]
