"""`candor import`: a first look at yesterday's traffic from an exported file, without Kafka and without a store."""

from __future__ import annotations

import json
import secrets
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from evidence import BadInputError

if TYPE_CHECKING:
    from evidence import Feedback
    from monitor.services.days import Day
    from probes.scoring import Summary
    from probes.transcripts import Record

FORMATS = ("phoenix", "langfuse", "mlflow", "otlp", "openai")

_Form = Annotated[
    str,
    typer.Argument(
        metavar="FORMAT",
        help="`phoenix`, `langfuse`, `mlflow`, `otlp` or `openai`: whose export it is.",
    ),
]
_File = Annotated[
    Path,
    typer.Argument(
        metavar="FILE",
        help="The exported file, JSON or JSON lines, for `phoenix` also CSV or Parquet, for `otlp` also"
        " protobuf; compressed or not.",
    ),
]
_Out = Annotated[
    Path | None, typer.Option(help="Keep the verdicts here, a line each, as `candor score` writes.")
]
_FeedbackOut = Annotated[
    Path | None,
    typer.Option(help="Write users' feedback in the file here, as records for `/v1/feedback`."),
]
_Name = Annotated[
    str,
    typer.Option(
        help="Whose traffic it is: the assistant's section, and its name where the file has none."
    ),
]
_Sensor = Annotated[
    Path | None, typer.Option(help="Folder of a sensor that `candor calibrate` made.")
]


def register(app: typer.Typer) -> None:
    """Add `candor import`."""
    app.command("import")(import_file)


def import_file(  # noqa: PLR0917  (typer reads options from the signature)
    form: _Form,
    file: _File,
    assistant: _Name = "assistant",
    sensor: _Sensor = None,
    probes: Annotated[str, typer.Option(help="Probes to run; empty takes the default.")] = "",
    out: _Out = None,
    feedback: _FeedbackOut = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Score an exported file of traces and print honesty by day, with its band. Needs no Kafka and no store.

    Spans of tools and agents are joined into their turns first, so that claims about acts are held against
    what was done. Honesty is corrected for what the sensor gets wrong, and missing, with the reason, where
    nothing says how often that is; the score rate is the bare share of verdicts, and no honesty.

    What to export: phoenix: spans of `GET /v1/projects/NAME/spans`, or a data frame of them, and annotations;
    langfuse: traces with observations and scores; mlflow: traces as JSON; otlp: what the Collector's
    file exporter writes; openai: stored completions or responses. docs/telemetry.md has the fields.

    Exit 2: the file holds nothing of this form, or nothing could be measured. Exit 3: a probe failed on all.

    Example: `candor import langfuse traces.jsonl --sensor var/sensors/shop`

    Example: `candor import otlp spans.jsonl --out verdicts.jsonl --json`
    """
    if form not in FORMATS:
        raise BadInputError(f"no format {form!r}; there are {', '.join(FORMATS)}", "FORMAT")
    from candor_guard.reading.packing import check_file, check_out  # noqa: PLC0415

    check_file(file)
    for target in (out, feedback):
        if target is not None:
            check_out(file, target)
    err = Console(stderr=True, highlight=False, soft_wrap=True)

    def complain(text: str) -> None:
        err.print(f"candor: {text}", markup=False)

    records, said = _opened(form, file, assistant, complain, keep=feedback is not None)
    if feedback is not None:
        _write_feedback(feedback, said)
    with tempfile.TemporaryDirectory() as folder:
        verdicts = out or Path(folder) / "verdicts.jsonl"
        days, summary = _score(file, records, verdicts, (assistant, probes, sensor), complain)
    if as_json:
        typer.echo(json.dumps(_as_dict(days, summary, said), allow_nan=False))
    else:
        _print(days, summary, said)


def _opened(
    form: str, file: Path, assistant: str, complain: Any, *, keep: bool
) -> tuple[Iterator[Record], Sequence[Feedback]]:
    """The conversations of a file, and what users said of them."""
    if form == "openai":
        from probes.transcripts import open_transcripts  # noqa: PLC0415

        return open_transcripts(file, "chat").records, ()
    from monitor.ingest.files import FORMS, read_traffic  # noqa: PLC0415
    from monitor.ingest.keys import load_key  # noqa: PLC0415
    from monitor.settings import load_settings  # noqa: PLC0415

    settings = load_settings()
    # Pseudonyms matter where they are written; else a key for this run alone will do.
    key = secrets.token_bytes(32)
    if keep:
        given = {"name": "pseudonym", "database_url": settings.database.url}
        key = load_key(settings.pseudonym.key_file, **given)
    named = next(one for one in FORMS if one == form)
    traffic = read_traffic(
        file, named, assistant=assistant, options=settings.ingest, key=key, now_s=time.time()
    )
    for where, why in traffic.refused[:20]:
        complain(f"{where}: {why}")
    if len(traffic.refused) > 20:
        complain(f"{file}: {len(traffic.refused) - 20} more could not be read")
    if traffic.passed_over:
        told = ", ".join(f"{n} {why}" for why, n in sorted(traffic.passed_over.items()))
        complain(f"{file}: passed over: {told}")
    if not traffic.responses:
        raise BadInputError("no response in it could be read", str(file))
    from monitor.score import transcript_of  # noqa: PLC0415
    from probes.transcripts import Record  # noqa: PLC0415

    n = len(traffic.responses)

    def records() -> Iterator[Record]:
        for k, (where, one) in enumerate(traffic.responses, start=1):
            fields = {"created_at": one.created_at_s}
            yield Record(one.response_id, transcript_of(one), fields, where, share=k / n)

    return records(), traffic.feedback


def _score(
    file: Path,
    records: Iterator[Record],
    verdicts: Path,
    measured_as: tuple[str, str, Path | None],
    complain: Any,
) -> tuple[list[Day], Summary]:
    from monitor.cli.score import opened_panel, panel_options, progress_bar  # noqa: PLC0415
    from monitor.services.days import by_day, day_of  # noqa: PLC0415
    from monitor.settings import load_settings  # noqa: PLC0415
    from probes.scoring import Scoring  # noqa: PLC0415 -- loads torch

    assistant, probes, sensor = measured_as
    section = assistant if assistant in load_settings().assistants else None
    options = panel_options(probes, section, {} if sensor is None else {"sensor_dir": sensor})
    at: list[str | None] = []

    def noted() -> Iterator[Record]:
        for record in records:
            at.append(day_of(record.fields))
            yield record

    err = Console(stderr=True, highlight=False, soft_wrap=True)
    with progress_bar(err) as progress:
        panel = opened_panel(options, progress)
        task = progress.add_task("scoring", total=1.0)
        summary = Scoring(panel).run(
            file,
            verdicts,
            resume=False,
            advanced=lambda share: progress.update(task, completed=share),
            complain=complain,
            records=noted(),
        )
    accuracy = next((one.accuracy for one in panel.figures), None)
    with verdicts.open("rb") as lines:
        return by_day(zip(at, lines, strict=True), accuracy), summary


def _write_feedback(path: Path, said: Sequence[Feedback]) -> None:
    from monitor.ingest.encode import encode_feedback  # noqa: PLC0415

    path.write_bytes(b"".join(encode_feedback(one) + b"\n" for one in said))


def _as_dict(days: Sequence[Day], summary: Summary, said: Sequence[Feedback]) -> dict[str, Any]:
    import msgspec  # noqa: PLC0415

    return {
        "n": summary.n,
        "verdicts": summary.verdicts,
        "feedback": len(said),
        "days": msgspec.to_builtins(days),
    }


def _print(days: Sequence[Day], summary: Summary, said: Sequence[Feedback]) -> None:
    console = Console()
    counts = ", ".join(f"{count} {name}" for name, count in sorted(summary.verdicts.items()))
    beside = f"; users' feedback: {len(said)}" if said else ""
    console.print(f"{summary.n} responses: {counts}{beside}")
    table = Table("day (UTC)", "responses", "decided", "honesty", "worst, best", "score rate")
    for day in days:
        honesty = day.honesty
        table.add_row(
            day.day or "no time",
            str(day.n),
            str(day.decided),
            "missing"
            if honesty is None
            else f"{honesty.value:.3f} [{honesty.lower:.3f}, {honesty.upper:.3f}]",
            "–" if honesty is None else f"{honesty.worst:.3f}, {honesty.best:.3f}",
            "–"
            if day.score_rate is None
            else f"{day.score_rate:.3f} [{day.score_rate_lower:.3f}, {day.score_rate_upper:.3f}]",
        )
    console.print(table)
    for why in dict.fromkeys(day.why_missing for day in days if day.why_missing):
        console.print(f"honesty is missing: {why}", markup=False)
