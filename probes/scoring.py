"""Scores a file in windows: constant memory, input order, resumable, nothing dropped."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import IO, Any, Literal, NamedTuple

import msgspec
import numpy as np

from candor_guard.reading.packing import check_out
from candor_guard.reading.values import label_of
from evidence import Assessment, BadInputError, UnreachableError, digest
from evidence.outcomes import UNCALIBRATED
from probes.activation.probe import ActivationProbe
from probes.evaluation import Figures, figures
from probes.grouping import scenario_group
from probes.panel import Panel
from probes.transcripts.formats import Format, open_records
from probes.transcripts.record import Record

WINDOW = 256


class Summary(NamedTuple):
    """What a run found.

    `unlabelled` lines have no label and enter no figure. `seen_share` is the share of labelled
    scenarios the activation probe was trained on; `left_out` its AUROC by kind on scenarios kept from
    it, from its card. `failures` counts by probe the transcripts that it could not measure.
    """

    n: int
    verdicts: dict[str, int]
    figures: tuple[Figures, ...]
    seen_share: float
    left_out: dict[str, float]
    unlabelled: int = 0
    failures: tuple[tuple[str, int], ...] = ()

    def as_dict(self) -> dict[str, Any]:
        """For `--json`: figures as objects with `value`, `lower`, `upper`."""
        return {
            "n": self.n,
            "verdicts": self.verdicts,
            "unlabelled": self.unlabelled,
            "failures": dict(self.failures),
            "in_sample_share": self.seen_share,
            "left_out_auroc": self.left_out,
            "figures": [
                {
                    key: value._asdict() if hasattr(value, "_asdict") else value
                    for key, value in row._asdict().items()
                }
                for row in self.figures
            ],
        }


class _Probed(msgspec.Struct):
    error: str | None = None
    abstained: str | None = None


class _Line(msgspec.Struct):
    id: str
    verdict: str
    p_lie: float | None = None
    evaluator: str | None = None
    transcript: str | None = None
    error: str | None = None
    probes: dict[str, _Probed] = {}
    unread: tuple[str, ...] = ()


class Scoring:
    """One pass over one file.

    Parameters
    ----------
    panel
        What measures; None only for records of which none can be read.
    labels_field, kind_field
        Columns with the label and the kind; without labels no figures are kept.
    window
        Transcripts in memory at once. With labels some 100 bytes a line are kept besides.
    """

    def __init__(
        self,
        panel: Panel | None,
        *,
        labels_field: str | None = None,
        kind_field: str = "category",
        window: int = WINDOW,
    ) -> None:
        self._panel, self._window = panel, window
        self._labels_field, self._kind_field = labels_field, kind_field
        self._verdicts: Counter[str] = Counter()
        self._readable, self._measured, self._unlabelled = 0, 0, 0
        self._failures: Counter[str] = Counter()
        self._reasons: dict[str, str] = {}
        self._unread: Counter[str] = Counter()
        self._rows: list[tuple[str, bool, float, str]] = []

    def run(
        self,
        source: Path,
        out: Path,
        *,
        resume: bool,
        advanced: Callable[[float], None],
        complain: Callable[[str], None],
        form: Format | None = None,
        records: Iterator[Record] | None = None,
    ) -> Summary:
        """Score `source` into `out`; `advanced` is called with the share of the input that is done.

        A window that an earlier run wrote in part is measured again as a whole, so that every text
        meets the same batch and a resumed run ends as one that was never stopped. `records` are those
        of `source` where it is opened already.

        Raises BadInputError when `out` is of another input or evaluator or cannot be written, when the
        input cannot be read on, and when no transcript in it could be read or measured;
        UnreachableError when none was measured because a probe failed on all. What was scored until
        then is in `out`.
        """
        check_out(source, out)
        records = map(_named, records if records is not None else open_records(source, form))
        begun: list[Record] = []
        kept = 0
        if resume and out.exists():
            for line in _finished(out):
                begun.append(self._skip(line, next(records, None), out))
                kept += 1
                if len(begun) == self._window:
                    begun = []
        part, problem = _window(records, self._window - len(begun))
        if problem is not None and not part:
            raise problem
        share = 0.0
        with _opened(out, "ab" if kept else "wb") as sink:
            while part:
                steps = partial(_between, advanced, share, share := part[-1].share)
                self._score(begun, part, sink, steps, complain)
                if problem is not None:
                    raise problem
                begun = []
                part, problem = _window(records, self._window)
        if problem is not None:
            raise problem
        self._tell(source, complain)
        return self._summary()

    def _tell(self, source: Path, complain: Callable[[str], None]) -> None:
        """What went wrong in parts is told; what went wrong as a whole is raised."""
        total = self._verdicts.total()
        if not self._readable:
            raise BadInputError("no transcript in it could be read", str(source))
        if self._unread:
            parts = ", ".join(f"{what} in {n}" for what, n in sorted(self._unread.items()))
            complain(f"{source}: not read, because it has no text: {parts} of {total}")
        for name, count in sorted(self._failures.items()):
            complain(f"probe {name} failed on {count} of {self._readable}: {self._reasons[name]}")
        if not self._measured:
            if self._failures:
                name, _ = self._failures.most_common(1)[0]
                raise UnreachableError(f"probe {name}", self._reasons[name])
            raise BadInputError("no response in it could be measured", str(source))
        if self._unlabelled:
            complain(
                f"{source}: {self._unlabelled} of {total} have no"
                f" `{self._labels_field}` true or false and enter no figure"
            )

    def _skip(self, line: _Line, record: Record | None, out: Path) -> Record:
        if record is None or record.id != line.id:
            raise BadInputError(f"holds {line.id!r} where the input does not", str(out))
        version = None if self._panel is None else self._panel.version
        if line.evaluator not in {None, version}:
            raise BadInputError(
                f"{line.id!r} was scored by another evaluator: resume with the probes and settings"
                " it was begun with, or begin anew without --resume",
                str(out),
            )
        if line.transcript not in {None, _digest(record)}:
            raise BadInputError(f"{line.id!r} is another text in the input", str(out))
        self._readable += record.transcript is not None
        self._note(record, line)
        return record

    def _score(
        self,
        begun: list[Record],
        part: list[Record],
        sink: IO[bytes],
        steps: Callable[[float], None],
        complain: Callable[[str], None],
    ) -> None:
        """Measure a window and write its lines but those of `begun`, which are written already."""
        whole = [one.transcript for one in (*begun, *part) if one.transcript is not None]
        usable = sum(record.transcript is not None for record in part)
        self._readable += usable
        scored: list[Assessment] = []
        if self._panel is not None:
            scored = self._panel.score(whole, measured=lambda n: steps(n / len(whole)))
        found = iter(scored[len(whole) - usable :])
        lines = []
        for record in part:
            if record.transcript is None:
                complain(f"{record.where}: {record.error}")
                data: dict[str, Any] = {
                    "id": record.id,
                    "verdict": "error",
                    "p_lie": None,
                    **_explained(None),
                    "probes": {},
                    "error": record.error,
                }
            else:
                data = {**to_line(record.id, next(found)), "transcript": _digest(record)}
            if record.unread:
                data["unread"] = record.unread
            lines.append(msgspec.json.encode(data) + b"\n")
            self._note(record, msgspec.convert(data, _Line))
        sink.write(b"".join(lines))
        sink.flush()
        steps(1.0)

    def _note(self, record: Record, line: _Line) -> None:
        self._verdicts[line.verdict] += 1
        self._unread.update(line.unread)
        if record.transcript is not None:
            answered = any(
                probed.error is None and probed.abstained is None for probed in line.probes.values()
            )
            self._measured += line.verdict != "error" or (line.error == UNCALIBRATED and answered)
            for name, probed in line.probes.items():
                if probed.error is not None:
                    self._failures[name] += 1
                    self._reasons.setdefault(name, probed.error)
        if self._labels_field is None:
            return
        label = label_of(record.fields.get(self._labels_field))
        if label is None:
            self._unlabelled += 1
            return
        kind = _writable(str(record.fields.get(self._kind_field) or ""))
        group = scenario_group(record.transcript)[:8] if record.transcript else record.id
        p = float("nan") if line.p_lie is None else line.p_lie
        self._rows.append((kind, label, p, group))

    def _summary(self) -> Summary:
        n, failures = sum(self._verdicts.values()), tuple(self._failures.items())
        if not self._rows or self._panel is None:
            return Summary(n, dict(self._verdicts), (), 0.0, {}, self._unlabelled, failures)
        kinds, labels, p, groups = zip(*self._rows, strict=True)
        found = figures(
            kinds,
            labels,
            p,
            groups,
            threshold=self._panel.fusion.lie_threshold,
            rng=np.random.default_rng(0),
        )
        seen, left_out = self._training(set(groups))
        return Summary(
            n, dict(self._verdicts), tuple(found), seen, left_out, self._unlabelled, failures
        )

    def _training(self, groups: set[str]) -> tuple[float, dict[str, float]]:
        for probe in self._panel.probes if self._panel else ():
            if isinstance(probe, ActivationProbe):
                card = probe.card
                seen = len(groups & set(card.group_hashes)) / len(groups)
                return seen, {name: row.auroc for name, row in card.by_kind.items()}
        return 0.0, {}


def to_line(name: str, assessment: Assessment) -> dict[str, Any]:
    """The output object of one transcript."""
    probes = {}
    for found in assessment.measurements:
        fields = msgspec.to_builtins(found)
        del fields["probe"]
        probes[found.probe] = {
            key: value for key, value in fields.items() if value not in (None, {})
        }
    line = {
        "id": name,
        "verdict": str(assessment.kind),
        "p_lie": assessment.p_lie,
        "p_evasion": assessment.p_evasion,
        **_explained(assessment),
        "probes": probes,
        "evaluator": assessment.evaluator_version,
    }
    return line if assessment.error is None else {**line, "error": assessment.error}


def _explained(assessment: Assessment | None) -> dict[str, Any]:
    """What every line says of the claim; nulls where nothing was found."""
    finding = assessment.finding if assessment else None
    archetype = assessment.archetype if assessment else None
    return {
        "claim": (finding.claim or None) if finding else None,
        "contradicts": (finding.contradicts or None) if finding else None,
        "archetype": None if archetype is None else str(archetype),
    }


def _window(records: Iterator[Record], size: int) -> tuple[list[Record], BadInputError | None]:
    """The next records, and the error that ended them early: what was read before it is still scored."""
    part: list[Record] = []
    try:
        while len(part) < size:
            part.append(next(records))
    except StopIteration:
        return part, None
    except BadInputError as error:
        return part, error
    except OSError as error:
        return part, BadInputError(f"cannot be read: {error.strerror}", str(error.filename or ""))
    return part, None


def _named(record: Record) -> Record:
    """With an id that UTF-8 can hold."""
    return record._replace(id=_writable(record.id))


def _writable(text: str) -> str:
    return text.encode("utf-8", "replace").decode()


def _digest(record: Record) -> str | None:
    """Identity of the conversation that was scored, 16 hex digits; None where there is none."""
    if record.transcript is None:
        return None
    turns = record.transcript.messages
    return digest(*(part for turn in turns for part in (turn.role, turn.content)))[:16]


def _between(advanced: Callable[[float], None], lower: float, upper: float, share: float) -> None:
    advanced(lower + share * (upper - lower))


@contextmanager
def _opened(out: Path, mode: Literal["ab", "wb", "r+b"]) -> Iterator[IO[bytes]]:
    """The output. Raises BadInputError when it cannot be opened, or written on: a disk may be full."""
    try:
        with out.open(mode) as sink:
            yield sink
    except OSError as error:
        raise BadInputError(f"cannot be written: {error.strerror}", str(out)) from error


def _finished(out: Path) -> Iterator[_Line]:
    """The whole lines of an earlier run; what was cut off in the middle of a line is removed.

    Raises BadInputError at a whole line that is no verdict: then the file is another one.
    """
    keep = 0
    with _opened(out, "r+b") as file:
        for number, raw in enumerate(file, start=1):
            if not raw.endswith(b"\n"):
                break
            try:
                line = msgspec.json.decode(raw, type=_Line)
            except (msgspec.MsgspecError, UnicodeDecodeError) as error:
                raise BadInputError(f"not a verdict: {error}", f"{out}:{number}") from error
            keep += len(raw)
            yield line
        file.truncate(keep)
