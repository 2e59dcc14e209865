"""Labelled transcripts for the benchmarks."""

from __future__ import annotations

from pathlib import Path

from probes.activation.training import Example
from probes.transcripts import read_records


def load_examples(path: Path, labels: str, kind: str = "") -> list[Example]:
    """Labelled transcripts with a response."""
    with path.open("rb") as file:
        return [
            Example(r.transcript, bool(r.fields[labels]), str(r.fields.get(kind, "")))
            for r in read_records(file, str(path))
            if r.transcript is not None and r.transcript.response.strip()
        ]
