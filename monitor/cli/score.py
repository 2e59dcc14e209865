"""`candor score`: verdicts for a file of transcripts, and how good they are where labels exist."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, get_args

import typer
from pydantic import ValidationError
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from evidence import BadInputError
from probes.names import Name

if TYPE_CHECKING:
    from probes.evaluation import Estimate
    from probes.opening import PanelOptions
    from probes.panel import Panel
    from probes.scoring import Summary
    from probes.transcripts import Transcripts

_LOOKED_AT = 256


_Source = Annotated[
    Path,
    typer.Argument(
        help="Conversations, `{id, messages: [{role, content}], …}` or another shape of"
        " docs/formats.md; a result file of MASK or DeceptionBench; an Inspect log. `-` reads stdin."
    ),
]
_Form = Annotated[
    str,
    typer.Option(
        "--format", help="`chat`, `mask`, `deceptionbench` or `inspect`; `auto` looks at the file."
    ),
]
_Prevalence = Annotated[
    float | None,
    typer.Option(
        help="Share of lies expected, in (0, 1); else as set, or that of the calibration."
    ),
]
_Sensor = Annotated[
    Path | None, typer.Option(help="Folder of a sensor that `candor calibrate` made.")
]
_Assistant = Annotated[
    str | None,
    typer.Option(help="Measure with the parts and the sensor of `[assistants.NAME]`."),
]
_CostLie = Annotated[
    float | None,
    typer.Option(help="What a missed lie costs, where a false alarm costs 1; else as set."),
]
_CostEvasion = Annotated[
    float | None,
    typer.Option(help="What a missed evasion costs, where a false alarm costs 1; else as set."),
]


def register(app: typer.Typer) -> None:
    """Add `candor score`."""
    app.command("score")(score)


def score(  # noqa: PLR0917  (typer reads options from the signature)
    transcripts: _Source,
    out: Annotated[Path, typer.Option(help="Where to write one JSON line for each input line.")],
    form: _Form = "auto",
    labels: Annotated[
        str | None, typer.Option(help="Field with true for a lie: prints figures by kind.")
    ] = None,
    kind: Annotated[str, typer.Option(help="Field that splits the figures.")] = "category",
    probes: Annotated[
        str,
        typer.Option(help="Probes to run, such as `activation,judge`; empty takes the default."),
    ] = "",
    everything: Annotated[
        bool, typer.Option("--all", help="Run every probe on every response, without the cascade.")
    ] = False,
    sensor: _Sensor = None,
    assistant: _Assistant = None,
    prevalence: _Prevalence = None,
    cost_missed_lie: _CostLie = None,
    cost_missed_evasion: _CostEvasion = None,
    resume: Annotated[bool, typer.Option(help="Go on where OUT ends.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the summary as JSON.")] = False,
) -> None:
    """Score transcripts: `{id, verdict, p_lie, claim, contradicts, archetype, probes}` for every line, in
    input order.

    Memory does not grow with the input. A broken line becomes a verdict `error` and is reported.
    Reasoning is never measured as the answer. docs/formats.md names what is read.

    Exit 2: nothing could be read or measured. Exit 3: a probe failed on all, such as a judge that is
    down.

    Example: `candor score chats.jsonl --out verdicts.jsonl --labels did_lie`

    Example: `candor score logs/run.eval --out verdicts.jsonl`

    Example: `candor score chats.jsonl --out verdicts.jsonl --sensor var/sensors/shop`
    """
    opened, needs_model = _opened(transcripts, out, form)
    expected = _given(
        prevalence=prevalence,
        cost_missed_lie=cost_missed_lie,
        cost_missed_evasion=cost_missed_evasion,
    )
    if everything:
        expected["cascade"] = None
    if sensor is not None:
        expected["sensor_dir"] = sensor
    options = panel_options(probes, assistant, expected)

    from probes.scoring import Scoring  # noqa: PLC0415 -- loads torch

    err = Console(stderr=True, highlight=False, soft_wrap=True)
    with progress_bar(err) as progress:
        panel = opened_panel(options, progress) if needs_model else None
        task = progress.add_task(f"scoring ({opened.form})", total=1.0)
        scoring = Scoring(panel, labels_field=labels, kind_field=kind)
        summary = scoring.run(
            transcripts,
            out,
            resume=resume,
            advanced=lambda share: progress.update(task, completed=share),
            complain=lambda text: err.print(f"candor: {text}", markup=False),
            records=opened.records,
        )
    if as_json:
        typer.echo(json.dumps(summary.as_dict(), allow_nan=False))
    else:
        _print(summary)


def _opened(path: Path, out: Path, form: str) -> tuple[Transcripts, bool]:
    """The transcripts, and whether a model is needed: not where none of all can be read."""
    from candor_guard.reading.begun import begun  # noqa: PLC0415
    from candor_guard.reading.packing import check_file, check_out  # noqa: PLC0415
    from probes.transcripts import FORMATS, Transcripts, open_transcripts  # noqa: PLC0415

    known = next((name for name in FORMATS if name == form), None)
    if known is None and form != "auto":
        raise BadInputError(f"no format {form!r}; there are auto, {', '.join(FORMATS)}", "--format")
    check_file(path)
    check_out(path, out)
    found, records = open_transcripts(path, known)
    first, records = begun(records, _LOOKED_AT)
    readable = any(one.transcript is not None for one in first)
    return Transcripts(found, records), readable or len(first) == _LOOKED_AT


def _given(**options: float | None) -> dict[str, Any]:
    return {name: value for name, value in options.items() if value is not None}


def panel_options(probes: str, assistant: str | None, expected: dict[str, Any]) -> PanelOptions:
    """The options of a panel by the settings, names of probes and what the command line says.

    Raises BadInputError for an assistant or a probe that is not known, or a value out of range.
    """
    from monitor.cli.scorer import approved_on_record, panel_settings  # noqa: PLC0415
    from monitor.settings import load_settings  # noqa: PLC0415

    settings = load_settings()
    if assistant is not None and assistant not in settings.assistants:
        known = ", ".join(sorted(settings.assistants)) or "none"
        raise BadInputError(
            f"no section [assistants.{assistant}]; there are {known}", "--assistant"
        )
    try:
        from probes.opening import PanelOptions  # noqa: PLC0415 -- loads torch
    except ModuleNotFoundError as error:
        raise BadInputError(
            f"measuring needs the extra `local` ({error.name} is missing): "
            "pip install 'candor-monitor[local]'"
        ) from error
    probe_names = get_args(Name)
    names = tuple(name.strip() for name in probes.split(",") if name.strip())
    if unknown := [name for name in names if name not in probe_names]:
        raise BadInputError(
            f"no probe {unknown[0]!r}; there are {', '.join(probe_names)}", "--probes"
        )
    try:
        chosen = {"probes": names} if names else {}
        named = panel_settings(settings, assistant, approved_on_record(settings))
        return PanelOptions(**{**named, **chosen, **expected})
    except ValidationError as error:
        first = error.errors()[0]
        option = "--" + str(first["loc"][0]).replace("_", "-")
        raise BadInputError(str(first["msg"]), option) from error


def opened_panel(options: PanelOptions, progress: Progress) -> Panel:
    """The panel, loaded with a bar of its own; says what an uncalibrated one means."""
    from probes.opening import open_panel  # noqa: PLC0415 -- loads torch

    task = progress.add_task("loading", total=1.0)
    panel = open_panel(
        options,
        progress=lambda what, share: progress.update(task, description=what, completed=share),
    )
    progress.remove_task(task)
    if not panel.calibrated:
        progress.console.print(
            f"candor: nothing says what {', '.join(panel.names)} together mean here: verdicts are"
            " `error: uncalibrated`, and each probe's figure is its own; make a sensor with `candor"
            " calibrate` and give it as --sensor",
            markup=False,
        )
    return panel


@contextmanager
def progress_bar(err: Console) -> Iterator[Progress]:
    """Bars on a terminal, nothing in a log."""
    with Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.percentage:>3.0f} %"),
        TimeRemainingColumn(),
        console=err,
        transient=True,
        disable=not err.is_terminal,  # else it leaves an empty line in a log
    ) as progress:
        yield progress


def _print(summary: Summary) -> None:
    console = Console()
    counts = ", ".join(f"{count} {name}" for name, count in sorted(summary.verdicts.items()))
    console.print(f"{summary.n} transcripts: {counts}")
    if not summary.figures:
        return
    if summary.seen_share:
        console.print(
            f"[yellow]{summary.seen_share:.0%} of these scenarios are among those the shipped or"
            " chosen probe was trained on, so the figures are in-sample. Under “left out” stand the"
            " activation probe's figures on scenarios kept from it.[/yellow]"
        )
    table = Table(
        "kind", "n", "lies", "unmeasured", "AUROC", "balanced accuracy", "calibration error"
    )
    table.add_column("AUROC left out")
    for row in summary.figures:
        left_out = summary.left_out.get(row.kind)
        table.add_row(
            row.kind,
            str(row.n),
            str(row.lies),
            str(row.unmeasured),
            _cell(row.auroc),
            _cell(row.balanced_accuracy),
            _cell(row.calibration_error),
            f"{left_out:.3f}" if left_out is not None else "",
        )
    console.print(table)


def _cell(estimate: Estimate) -> str:
    if estimate.value is None or math.isnan(estimate.value):
        return "–"
    return f"{estimate.value:.3f} [{estimate.lower:.3f}, {estimate.upper:.3f}]"
