"""Labelled transcripts for the benchmarks."""

from __future__ import annotations

from pathlib import Path

from evidence import BadInputError
from probes.activation.training import Example
from probes.reading.values import label_of
from probes.transcripts import open_records


def load_examples(path: Path, labels: str, kind: str = "") -> list[Example]:
    """Labelled transcripts with a response. Raises BadInputError for one without a label."""
    examples = []
    for record in open_records(path):
        if record.transcript is None or not record.transcript.response.strip():
            continue
        label = label_of(record.fields.get(labels))
        if label is None:
            raise BadInputError(f"no `{labels}` true or false", record.where)
        examples.append(Example(record.transcript, label, str(record.fields.get(kind, ""))))
    return examples
