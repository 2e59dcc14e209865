"""Labelled transcripts for the benchmarks."""

from __future__ import annotations

from pathlib import Path

from candor_guard.reading.values import label_of
from probes.activation.training import Example
from probes.transcripts import read_records


def load_examples(path: Path, labels: str, kind: str = "") -> list[Example]:
    """Labelled transcripts with a response; a label that says neither lie nor honest leaves one out."""
    with path.open("rb") as file:
        found = [
            (record.transcript, label_of(record.fields.get(labels)), record.fields.get(kind, ""))
            for record in read_records(file, str(path))
        ]
    return [
        Example(transcript, label, str(name))
        for transcript, label, name in found
        if transcript is not None and transcript.response.strip() and label is not None
    ]
