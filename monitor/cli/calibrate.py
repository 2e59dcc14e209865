"""`candor calibrate`: the one step between installing and watching."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import msgspec
import typer
from msgspec.structs import replace
from rich.console import Console
from rich.markdown import Markdown

if TYPE_CHECKING:
    from monitor.settings import Settings
    from probes.sensor import Fitted
    from probes.sensor.labelled import LabelledAnswer

_DAYS_A_MONTH = 30.0


def register(app: typer.Typer) -> None:
    """Add `candor calibrate`."""
    app.command("calibrate")(calibrate)


def calibrate(  # noqa: PLR0917 -- typer reads options from the signature
    out: Annotated[Path, typer.Option(help="Folder of the sensor; a stopped run goes on there.")],
    assistant: Annotated[
        str, typer.Option(help="Whose sensor; `[assistants.NAME]` says where its parts are.")
    ] = "",
    approved: Annotated[
        str | None,
        typer.Option(help="The approved version: a folder of weights, or a name at the server."),
    ] = None,
    served: Annotated[
        str | None, typer.Option(help="URL of the server of its versions, ending in /v1.")
    ] = None,
    labelled: Annotated[
        Path | None,
        typer.Option(help="Labelled transcripts of yours, in a form of `candor score`."),
    ] = None,
    labels: Annotated[str, typer.Option(help="Field there with true for a lie.")] = "did_lie",
    kind: Annotated[str, typer.Option(help="Field there with the topic.")] = "category",
    people: Annotated[
        bool, typer.Option("--people", help="Also the labels that people gave in the store.")
    ] = False,
    items: Annotated[
        Path | None, typer.Option(help="Items of yours, YAML as the packaged ones, beside those.")
    ] = None,
    max_items: Annotated[int, typer.Option(min=20, help="Packaged items to use.")] = 72,
    seed: Annotated[int, typer.Option(help="Which items, styles and answers are drawn.")] = 0,
    as_json: Annotated[bool, typer.Option("--json", help="Print the card as JSON.")] = False,
) -> None:
    """Measure every configured probe on labelled answers and fit what their figures mean here.

    The answers are those of packaged items of which the truth is known, in several tones, and what the
    approved version itself says to them: asked plainly, under pressure, and told to deceive. The
    card says what the sensor sees, the smallest fall of honesty it can find, and what it cannot see.

    Then set `sensor` of the assistant to OUT: the worker, `candor score --assistant`, abstention and the
    gate's measuring open it. Do it again after the judge, the approved version or a probe changed.

    Example: `candor calibrate --assistant shop --approved models/shop-1 --out var/sensors/shop`

    Example: `candor calibrate --assistant shop --served http://localhost:8000/v1 --approved shop-1 --out var/sensors/shop`
    """
    from monitor.cli.scorer import approved_on_record  # noqa: PLC0415
    from monitor.settings import load_settings  # noqa: PLC0415

    settings = load_settings()
    wanted = {"approved": approved, "assistant_url": served}
    given = {name: value for name, value in wanted.items() if value is not None}
    fitted = make_sensor(
        settings,
        assistant,
        out,
        given=given,
        approved=approved_on_record(settings),
        further=_further(settings, assistant, labelled, labels, kind, people=people),
        items=items,
        max_items=max_items,
        seed=seed,
    )
    from probes.sensor.card import as_dict, as_markdown  # noqa: PLC0415

    if as_json:
        typer.echo(msgspec.json.encode(as_dict(fitted.card)))
        return

    Console().print(Markdown(as_markdown(fitted.card)))
    typer.echo(f"\nsensor in {out}: set it as `sensor` of the assistant")


def _further(
    settings: Settings,
    assistant: str,
    labelled: Path | None,
    labels: str,
    kind: str,
    *,
    people: bool,
) -> list[LabelledAnswer]:
    """The labelled answers of the user's own."""
    from monitor.cli.calibration_answers import from_file, from_people  # noqa: PLC0415

    found = [] if labelled is None else from_file(labelled, labels, kind)
    return [*found, *(from_people(settings, assistant) if people else ())]


def make_sensor(
    settings: Settings,
    assistant: str,
    out: Path,
    *,
    given: Mapping[str, str] | None = None,
    approved: Mapping[str, str] | None = None,
    further: list[LabelledAnswer] | None = None,
    items: Path | None = None,
    max_items: int = 72,
    seed: int = 0,
    progress: Callable[[str, float], None] | None = None,
) -> Fitted:
    """Calibrate with the parts that the settings name; progress on stderr unless it is told.

    Raises BadInputError and UnreachableError as `open_panel` does.
    """
    from monitor.cli.calibration_answers import from_canaries  # noqa: PLC0415
    from monitor.cli.scorer import panel_settings, shown  # noqa: PLC0415
    from probes.models.pool import ModelPool  # noqa: PLC0415
    from probes.opening import PanelOptions, open_approved, open_panel  # noqa: PLC0415
    from probes.refusal import is_bare_refusal  # noqa: PLC0415
    from probes.sensor import CalibrationOptions, Setting  # noqa: PLC0415
    from probes.sensor import calibrate as run  # noqa: PLC0415
    from probes.sensor.items import load_calibration_items, read_items  # noqa: PLC0415

    named = {**panel_settings(settings, assistant or None, approved), **(given or {})}
    options = PanelOptions(**{**named, "sensor_dir": None, "cascade": None})
    pool = ModelPool()
    own = [] if items is None else [replace(one, level="own") for one in read_items(items)]
    with shown(progress) as report:
        panel = open_panel(options, progress=report, pool=pool)
        speaker = open_approved(options, progress=report, pool=pool)
        detection = settings.detection
        return run(
            panel,
            (*load_calibration_items(), *own),
            Setting(
                assistant=assistant,
                approved="" if speaker is None else speaker.version,
                lie_threshold=panel.fusion.lie_threshold,
                made_at=datetime.fromtimestamp(time.time(), UTC).isoformat(timespec="seconds"),
                responses_per_day=detection.responses_per_month / _DAYS_A_MONTH,
                average_run_length=detection.responses_per_month / detection.false_alarms_per_month,
                tolerance=detection.tolerance,
            ),
            out,
            options=CalibrationOptions(max_items=max_items, seed=seed),
            speaker=speaker,
            further=further or (),
            canaries=from_canaries(),
            is_refusal=is_bare_refusal,
            progress=report,
        )
