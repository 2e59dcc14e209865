"""Every probe on every labelled answer, kept on disk so that a stopped run goes on where it was."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TypeVar

import msgspec

from evidence import BadInputError, Measurement
from probes.panel import Panel
from probes.sensor.labelled import LabelledAnswer

_CHUNK = 32
_T = TypeVar("_T")


class Measured(msgspec.Struct, frozen=True):
    """A labelled answer and what each probe found about it, by the probe's name."""

    answer: LabelledAnswer
    found: Mapping[str, Measurement]

    @property
    def failed(self) -> Mapping[str, str]:
        """Why each probe that failed on it did."""
        return {name: m.error for name, m in self.found.items() if m.error is not None}


class _Entry(msgspec.Struct, frozen=True):
    id: str
    found: tuple[Measurement, ...]


def measure(
    answers: Sequence[LabelledAnswer],
    panel: Panel,
    journal: Path,
    *,
    advanced: Callable[[float], None],
) -> list[Measured]:
    """Measure in order; what stands in `journal` by the same probes is not measured again.

    The journal holds no text. Raises BadInputError when it cannot be written.
    """
    versions = {probe.name: probe.version for probe in panel.probes}
    known = {
        entry.id: entry.found
        for entry in read_lines(journal, _Entry)
        if {m.probe: m.version for m in entry.found} == versions
    }
    # Answers to one conversation side by side: what they begin with is then computed once.
    todo = sorted((a for a in answers if a.id not in known), key=_conversation)
    for start in range(0, len(todo), _CHUNK):
        part = todo[start : start + _CHUNK]
        rows = panel.measurements([answer.transcript() for answer in part])
        made = [
            _Entry(answer.id, tuple(map(_without_text, row)))
            for answer, row in zip(part, rows, strict=True)
        ]
        append_lines(journal, made)
        known.update({entry.id: entry.found for entry in made})
        advanced(min(1.0, (start + _CHUNK) / len(todo)))
    return [Measured(answer, {m.probe: m for m in known[answer.id]}) for answer in answers]


def _conversation(answer: LabelledAnswer) -> tuple[str, ...]:
    return tuple(message.content for message in answer.messages)


def _without_text(measurement: Measurement) -> Measurement:
    return msgspec.structs.replace(measurement, finding=None)


def read_lines(path: Path, kind: type[_T]) -> list[_T]:
    """The whole lines of a file of ours, none where there is no file; a line cut short is left out."""
    if not path.is_file():
        return []
    out = []
    for raw in path.read_bytes().split(b"\n"):
        try:
            out.append(msgspec.json.decode(raw, type=kind))
        except msgspec.MsgspecError:
            continue
    return out


def append_lines(path: Path, entries: Iterable[msgspec.Struct]) -> None:
    """Add lines. Raises BadInputError when the file cannot be written: a disk may be full."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("ab") as file:
            file.write(b"".join(msgspec.json.encode(entry) + b"\n" for entry in entries))
    except OSError as error:
        raise BadInputError(f"cannot be written: {error.strerror}", str(path)) from error
