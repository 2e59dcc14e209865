"""`candor detect`: alarms with a guaranteed run length over files of scores."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import msgspec
import typer
from rich.console import Console
from rich.table import Table

from candor_guard.reading.values import field, text
from candor_guard.reading.values import number as finite
from evidence.errors import BadInputError
from monitor.cli.reading import read_rows

if TYPE_CHECKING:
    from monitor.detect.plain import PlainStream, Plan, Summary

_PLOTTED = 12
_SHOWN = 40


def register(app: typer.Typer) -> None:
    app.command("detect")(detect)


def detect(  # noqa: PLR0917  (typer reads options from the signature)
    scores: Annotated[
        Path,
        typer.Argument(
            help="Rows `{stream, score, propensity?}` as JSON lines, CSV or another form of docs/formats.md; `-` reads stdin."
        ),
    ],
    reference: Annotated[
        float | None,
        typer.Option(
            help="Mean score of an honest assistant. Without it each stream's first window."
        ),
    ] = None,
    average_run_length: Annotated[
        float, typer.Option(min=2, help="Scores to a false alarm, over all streams together.")
    ] = 10_000,
    tolerance: Annotated[
        float, typer.Option(min=0, max=1, help="Rise of the mean that is no alarm.")
    ] = 0.0,
    min_propensity: Annotated[
        float, typer.Option(help="Declared minimum of the propensities; caps the bets.")
    ] = 1.0,
    window: Annotated[
        int, typer.Option(min=2, help="Scores from which a missing reference is learned.")
    ] = 200,
    reference_error: Annotated[
        float, typer.Option(help="Probability that a learned reference lies below the true mean.")
    ] = 0.05,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    plot: Annotated[
        Path | None, typer.Option(help="Write a picture of the evidence to this PNG.")
    ] = None,
) -> None:
    """Find streams whose mean score rose, with a guaranteed false-alarm rate.

    Scores lie in [0, 1], higher is worse. P(a false alarm within t scores) is at most
    t / average run length, over all streams together, however the scores vary or depend on each
    other, as long as their conditional mean stays at or below reference + tolerance.

    Example: `printf '{"stream":"support","score":0.2}\\n' | candor detect - --reference 0.1`
    """
    from candor_guard.reading.packing import check_out  # noqa: PLC0415
    from monitor.detect.plain import Plan  # noqa: PLC0415

    if plot is not None:
        check_out(None if str(scores) == "-" else scores, plot)
    plan = Plan(
        reference=reference,
        average_run_length=average_run_length,
        tolerance=tolerance,
        min_propensity=min_propensity,
        window=window,
        reference_error=reference_error,
    )
    _check(plan)
    streams = _run(scores, plan)
    summaries = [stream.summary() for stream in streams.values()]
    if plot is not None:
        _plot(list(streams.values()), plan, plot)
    if as_json:
        sys.stdout.write(json.dumps(_report(summaries, plan)) + "\n")
    else:
        _print(summaries, plan)


def _check(plan: Plan) -> None:
    """Refuse a plan no stream could run under, before any line is read."""
    from evidence.e_process import bet_grid  # noqa: PLC0415

    if not 0.0 < plan.reference_error < 1.0:
        raise BadInputError(
            f"must lie in (0, 1), not {plan.reference_error!r}", "--reference-error"
        )
    bound = 0.5 if plan.reference is None else plan.reference + plan.tolerance
    bet_grid(bound, horizon=plan.average_run_length, min_propensity=plan.min_propensity)


def _run(path: Path, plan: Plan) -> dict[str, PlainStream]:
    from monitor.detect.plain import PlainStream  # noqa: PLC0415

    streams: dict[str, PlainStream] = {}
    for where, number, row in read_rows(path):
        name = field(row, "stream", text, where)
        score = field(row, "score", finite, where)
        propensity = field(row, "propensity", finite, where, 1.0)
        stream = streams.get(name)
        if stream is None:
            stream = streams[name] = PlainStream(name, plan)
        try:
            stream.take(score, propensity, number)
        except BadInputError as error:
            raise BadInputError(error.what, where) from error
    if not streams:
        raise BadInputError("no scores", str(path))
    return streams


def _report(summaries: list[Summary], plan: Plan) -> dict[str, object]:
    return {
        "average_run_length": plan.average_run_length,
        "tolerance": plan.tolerance,
        "min_propensity": plan.min_propensity,
        "reference": plan.reference,
        "scores": sum(s.n for s in summaries),
        "alarms": [msgspec.to_builtins(s) for s in _alarmed(summaries)],
        "streams": [msgspec.to_builtins(s) for s in summaries],
    }


def _alarmed(summaries: list[Summary]) -> list[Summary]:
    return sorted((s for s in summaries if s.alarm), key=lambda s: s.alarm.line if s.alarm else 0)


def _print(summaries: list[Summary], plan: Plan) -> None:
    console = Console(highlight=False)
    alarmed = _alarmed(summaries)
    if alarmed:
        table = Table(title="Streams whose measured score rose")
        for name in ("stream", "n", "alarm at", "line", "rose at", "evidence", "reference"):
            table.add_column(name, justify="left" if name == "stream" else "right")
        table.add_column("mean since the alarm", justify="right")
        for s in alarmed[:_SHOWN]:
            table.add_row(*_row(s))
        console.print(table)
        if len(alarmed) > _SHOWN:
            console.print(f"and {len(alarmed) - _SHOWN} more; --json lists all")
    scores = sum(s.n for s in summaries)
    console.print(
        f"{len(alarmed)} of {len(summaries)} streams in alarm over {scores} scores; a false alarm "
        f"within them has a probability of at most {min(1.0, scores / plan.average_run_length):.3g} "
        f"(average run length {plan.average_run_length:g})"
    )
    _print_references(console, summaries, plan)


def _print_references(console: Console, summaries: list[Summary], plan: Plan) -> None:
    if plan.reference is not None:
        return
    learning = sum(s.reference is None for s in summaries)
    blind = sum(s.reference is not None and s.reference + plan.tolerance >= 1.0 for s in summaries)
    console.print(
        f"references were learned from each stream's first {plan.window} scores (upper bound of the "
        f"mean; each is too low with a probability of at most {plan.reference_error:g}): whatever was "
        "wrong then is taken for normal"
    )
    if learning:
        console.print(f"{learning} streams are too short to have a reference and were not watched")
    if blind:
        console.print(f"{blind} streams have a reference of 1 and cannot alarm")


def _row(s: Summary) -> list[str]:
    assert s.alarm is not None  # noqa: S101
    since = s.alarm.since
    return [
        s.stream,
        str(s.n),
        str(s.alarm.sample),
        str(s.alarm.line),
        f"{since.position} [{since.lower}, {since.upper}]" if since else "unknown",
        f"e^{s.alarm.log_evidence:.2f}",
        f"{s.reference:.4f}",
        f"{s.after.mean:.3f} [{s.after.lower:.3f}, {s.after.upper:.3f}] n={s.after.n}"
        if s.after
        else "no score yet",
    ]


def _plot(streams: list[PlainStream], plan: Plan, path: Path) -> None:
    import math  # noqa: PLC0415

    from monitor.telemetry.pictures import EvidenceLine, draw_evidence  # noqa: PLC0415

    drawn = [stream for stream in streams if stream.trace]
    drawn.sort(key=lambda stream: -max(value for _, value in stream.trace))
    draw_evidence(
        [
            EvidenceLine(s.name, [n for n, _ in s.trace], [v for _, v in s.trace])
            for s in drawn[:_PLOTTED]
        ],
        math.log(plan.average_run_length),
        path,
    )
