"""`candor cohorts`: who favours lies, how many, and what they carry, from a file of feedback."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import msgspec
import typer
from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TextColumn
from rich.table import Table

from candor_guard.reading.values import field, text, time_s, truth, within
from evidence.errors import BadInputError
from evidence.identity import digest
from monitor.cli.reading import read_rows

if TYPE_CHECKING:
    from evidence import Alarm
    from monitor.cohorts.events import EventTable, RatedEvent
    from monitor.cohorts.options import CohortOptions
    from monitor.cohorts.results import CohortEstimate, Contrast, Forecast, Share
    from monitor.cohorts.sensor import SensorError

_SHOWN = 20
_LOOKS = 12


_Feedback = Annotated[
    Path,
    typer.Argument(
        help="Rows `{user_id, response_id, value, p_lie, created_at, topic?}` as JSON lines, CSV or"
        " another form of docs/formats.md; `-` reads stdin."
    ),
]


def register(app: typer.Typer) -> None:
    app.command("cohorts")(cohorts)


def cohorts(  # noqa: PLR0917  (typer reads options from the signature)
    feedback: _Feedback,
    labels: Annotated[
        Path | None,
        typer.Option(help="Rows `{response_id, is_lie}` of a random audit."),
    ] = None,
    sensor: Annotated[
        Path | None,
        typer.Option(help="Folder of the sensor that made p_lie (`candor calibrate`): its errors."),
    ] = None,
    limit: Annotated[float, typer.Option(help="Biased share above which the alarm rises.")] = 0.05,
    false_share: Annotated[
        float, typer.Option(help="Bound on the expected share of benign raters among suspects.")
    ] = 0.10,
    margin: Annotated[
        float, typer.Option(help="Biased: ups on lies exceed ups on honest answers by this much.")
    ] = 0.1,
    dose_response: Annotated[
        Path | None,
        typer.Option(
            help="JSON with measured changes of honesty by the share of lies: forecasts the next retrain."
        ),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    plot: Annotated[
        Path | None, typer.Option(help="Write a picture of the raters to this PNG.")
    ] = None,
    plot_share: Annotated[
        Path | None,
        typer.Option(help="Write the biased share over time with its band to this PNG."),
    ] = None,
) -> None:
    """Estimate which raters favour lies, how many they are, and how much of the signal they carry.

    `value` lies in [-1, 1]; `p_lie` is the calibrated probability that the response is dishonest (leave
    it out where nothing measured it); `created_at` is RFC 3339, or an epoch in seconds
    or a finer unit.
    User ids are shown as the file gives them: it is yours. The running service holds pseudonyms only.

    Example: `candor simulate feedback --out f.jsonl --biased 0.1 && candor cohorts f.jsonl`
    """
    from candor_guard.reading.packing import check_out  # noqa: PLC0415
    from monitor.cohorts.estimate import estimate  # noqa: PLC0415
    from monitor.cohorts.events import EventTable  # noqa: PLC0415
    from monitor.services.dose import read_dose_response  # noqa: PLC0415

    for picture in (plot, plot_share):
        if picture is not None:
            check_out(feedback, picture)
    options = _options(limit=limit, false_share=false_share, margin=margin)
    curve = read_dose_response(dose_response, options.dose_metric)
    events = EventTable.from_events(read_feedback(feedback))
    if not len(events):
        raise BadInputError("no feedback", str(feedback))
    truth = None if labels is None else _read_labels(labels)
    errors = None if sensor is None else _read_sensor(sensor)
    with _busy(f"estimating from {len(events):,} events"):
        found = estimate(events, options=options, labels=truth, sensor=errors, curve=curve)
    alarms = _alarms(found, str(feedback), len(events), options)
    if plot is not None:
        _plot(found, plot, margin)
    if plot_share is not None:
        _plot_share(events, options, truth, errors, plot_share)
    if as_json:
        sys.stdout.write(
            msgspec.json.encode(report(found, [a.metric for a in alarms])).decode() + "\n"
        )
    else:
        _print(found, [a.claim for a in alarms])


def _alarms(found: CohortEstimate, scope: str, n: int, options: CohortOptions) -> list[Alarm]:
    from monitor.cohorts.alarm import population_alarms  # noqa: PLC0415

    _, alarms = population_alarms(
        None, found, scope=scope, at_s=found.cutoff_s, log_position=n, options=options
    )
    return alarms


def read_feedback(path: Path) -> Iterator[RatedEvent]:
    """Events of a file, `-` for stdin. Raises BadInputError naming file and line.

    A line without `feedback_id` is known by its content, so that the lines' order means nothing.
    """
    from monitor.cohorts.events import RatedEvent  # noqa: PLC0415

    for where, _, row in read_rows(path):
        name = field(row, "feedback_id", text, where, "")
        yield RatedEvent(
            feedback_id=name or digest(json.dumps(row, sort_keys=True, default=str)),
            rater=field(row, "user_id", text, where),
            response_id=field(row, "response_id", text, where),
            value=field(row, "value", within(-1, 1), where),
            p_lie=field(row, "p_lie", within(0, 1), where, None),
            created_at_s=field(row, "created_at", time_s, where),
            topic=str(row.get("topic") or ""),
            kind=str(row.get("kind") or "thumb"),
        )


def report(found: CohortEstimate, alarms: list[str]) -> dict[str, Any]:
    """The estimate as `candor cohorts --json` prints it: raters under `user_id`."""
    record: dict[str, Any] = msgspec.to_builtins(found)
    record["alarms"] = alarms
    # It stands in for the raters, who are all there.
    record.pop("plane")
    record["raters"] = [{"user_id": rater.pop("rater"), **rater} for rater in record["raters"]]
    return record


def _options(**given: float) -> Any:
    from pydantic import ValidationError  # noqa: PLC0415

    from monitor.cohorts.options import CohortOptions  # noqa: PLC0415

    try:
        return CohortOptions(**given)
    except ValidationError as error:
        first = error.errors()[0]
        raise BadInputError(first["msg"], "--" + str(first["loc"][0]).replace("_", "-")) from error


def _read_labels(path: Path) -> dict[str, bool]:
    return {
        field(row, "response_id", text, where): field(row, "is_lie", truth, where)
        for where, _, row in read_rows(path)
    }


@contextmanager
def _busy(what: str) -> Iterator[None]:
    columns = (SpinnerColumn(), TextColumn(what))
    err = Console(stderr=True)
    with Progress(*columns, console=err, transient=True, disable=not err.is_terminal) as progress:
        progress.add_task("", total=None)
        yield


def _plot(found: CohortEstimate, path: Path, margin: float) -> None:
    from monitor.telemetry.cohort_plot import RaterPoints, draw_raters  # noqa: PLC0415

    points = RaterPoints(
        up_on_honest=[r.up_on_honest for r in found.raters],
        up_on_lies=[r.up_on_lies for r in found.raters],
        p_biased=[r.p_biased for r in found.raters],
        n_events=[r.n_events for r in found.raters],
    )
    draw_raters(
        points, path, margin=margin, title=f"biased: {_percent(found.biased_fraction)} of raters"
    )


def _read_sensor(folder: Path) -> SensorError:
    from monitor.cohorts.sensor import SensorError  # noqa: PLC0415
    from probes.sensor.sensor import read_sensor  # noqa: PLC0415

    made, _ = read_sensor(folder)
    return SensorError(accuracy=made.accuracy)


def _plot_share(
    events: EventTable,
    options: CohortOptions,
    truth: dict[str, bool] | None,
    sensor: SensorError | None,
    path: Path,
) -> None:
    """The share as it would have been seen after each twelfth of the events."""
    from monitor.cohorts.estimate import estimate  # noqa: PLC0415
    from monitor.telemetry.cohort_plot import SharePoint, draw_share  # noqa: PLC0415

    points = []
    for look in range(1, _LOOKS + 1):
        seen = len(events) * look // _LOOKS
        if not seen:
            continue
        with _busy(f"estimating from {seen:,} events"):
            found = estimate(
                events.select(slice(seen)), options=options, labels=truth, sensor=sensor
            )
        share = found.biased_fraction
        points.append(SharePoint(found.cutoff_s, share.estimate, share.lower, share.upper))
    draw_share(points, path, limit=options.limit)


def _percent(share: Share) -> str:
    if share.estimate is None:
        return "unknown"
    return f"{share.estimate:.1%} [{share.lower:.1%}, {share.upper:.1%}]"


def _contrast(contrast: Contrast) -> str:
    whole, kept, difference = (
        contrast.with_cohort.estimate,
        contrast.without_cohort.estimate,
        contrast.difference,
    )
    if whole is None or kept is None:
        return "unknown"
    return (
        f"{whole:.3f} with the cohort, {kept:.3f} without, difference {whole - kept:+.3f} "
        f"[{difference.lower:+.3f}, {difference.upper:+.3f}]"
    )


def _forecast(said: Forecast) -> str:
    if said.status != "forecast":
        return f"{said.status}: {said.reason}"
    whole, kept = said.with_cohort, said.without_cohort
    return (
        f"honesty {whole.estimate or 0.0:+.3f} [{whole.lower:+.3f}, {whole.upper:+.3f}] with the cohort, "
        f"{kept.estimate or 0.0:+.3f} [{kept.lower:+.3f}, {kept.upper:+.3f}] without ({said.source})"
    )


def _print(found: CohortEstimate, claims: list[str]) -> None:
    console = Console(highlight=False, soft_wrap=True)
    for claim in claims:
        console.print(f"ALARM: {claim}", style="bold red", markup=False)
    if found.reasons:
        console.print(
            f"{found.answer.value}: {'; '.join(found.reasons)}", style="bold yellow", markup=False
        )
    console.print(
        f"biased raters         {_percent(found.biased_fraction)} of {found.biased_fraction.n:,}"
    )
    console.print(
        f"biased liked weight   {_percent(found.biased_weight)} of {found.biased_weight.n:,} liked turns"
    )
    console.print(f"lies in liked turns   {_contrast(found.influence.sft_lie_share)}")
    console.print(f"push towards lies     {_contrast(found.influence.kto_push)}")
    console.print(f"next retrain          {_forecast(found.influence.forecast)}", markup=False)
    console.print(
        f"events                {found.n_events:,} measured, {found.n_unmeasured:,} unmeasured, "
        f"{found.n_superseded:,} superseded"
    )
    contested = [topic.topic for topic in found.topics if topic.contested]
    if contested:
        console.print(f"contested topics      {', '.join(contested)}", markup=False)
    suspects = sorted((r for r in found.raters if r.status == "suspect"), key=lambda r: -r.p_biased)
    console.print(
        f"suspects              {len(suspects):,}, of whom {found.expected_false_suspects:.1f} expected "
        f"benign; quarantine loses {found.benign_liked_lost:.1%} of benign liked weight"
    )
    if suspects:
        table = Table("user", "p biased", "events", "lies", "ups on honest", "ups on lies")
        for r in suspects[:_SHOWN]:
            table.add_row(
                r.rater,
                f"{r.p_biased:.2f}",
                str(r.n_events),
                f"{r.effective_lies:.1f}",
                f"{r.up_on_honest:.2f}",
                f"{r.up_on_lies:.2f}",
            )
        console.print(table)
    for group in found.groups:
        console.print(
            f"group {group.group_id}: {len(group.raters)} raters, {group.pattern}, {group.direction} on "
            f"{len(group.responses)} responses; shared {group.observed}, expected {group.expected:.2f}, "
            f"for lies {group.odds_of_harm:.1f} to 1"
        )
    for burst in found.bursts:
        console.print(
            f"burst of {burst.n_raters} raters, {burst.pattern}, {burst.direction} on "
            f"{len(burst.responses)} responses: not for lies, nobody is named"
        )
