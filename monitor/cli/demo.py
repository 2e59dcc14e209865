"""`candor demo`: the whole story on one machine, put together from the real parts."""

from __future__ import annotations

import dataclasses
import logging
import tempfile
import time
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import msgspec
import typer
from rich.console import Console

from evidence import BadInputError

_DAY_S = 86_400.0
_NOT_AS_HOPED = 1
_CALIBRATION_ITEMS = 20


@dataclasses.dataclass(frozen=True)
class _Wish:
    """What the command line asks for."""

    leave: bool
    live: bool
    json_file: Path | None
    seed: int
    port: int
    picture: Path | None


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("demo")(demo)


def demo(
    *,
    leave: Annotated[bool, typer.Option("--exit", help="Stop at the end of the story.")] = False,
    live: Annotated[
        bool, typer.Option("--live", help="Sample the answers anew; takes minutes longer.")
    ] = False,
    json_file: Annotated[
        Path | None, typer.Option("--json", help="Write every figure to this file.")
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Draws answers, raters and thumbs.")] = 0,
    port: Annotated[int, typer.Option(min=0, help="Port of the API; 0 takes a free one.")] = 0,
    picture: Annotated[
        Path | None, typer.Option(help="Draw the story into this .svg or .png file.")
    ] = None,
) -> None:
    """Play the whole story: an assistant drifts into lying because biased raters liked it to.

    Embedded broker, real model, real verdicts, alarm, cohort, confirm run and gate, in five to
    eleven minutes on two cores. Serves until Ctrl-C. Exit code 1, with the reason, when something did not
    come out as a monitor should have it.

    Example: `candor demo --exit --json figures.json --picture story.svg`
    """
    from candor_guard.reading.packing import check_out  # noqa: PLC0415

    if picture is not None and picture.suffix not in {".svg", ".png"}:
        raise BadInputError("a picture's name ends in .svg or .png", "--picture")
    for file in (json_file, picture):
        if file is not None:
            check_out(None, file)
    wish = _Wish(leave, live, json_file, seed, port, picture)
    if _told(wish, time.monotonic()).failures:
        raise typer.Exit(_NOT_AS_HOPED)


def _told(wish: _Wish, started_s: float) -> Any:
    """Set up, play, show and serve; returns the figures."""
    from monitor.cli.serve import until_signal  # noqa: PLC0415 -- what runs the story loads torch
    from monitor.cli.stack import start_stack  # noqa: PLC0415
    from monitor.demo.picture import draw  # noqa: PLC0415
    from monitor.demo.play import play  # noqa: PLC0415
    from monitor.demo.screen import Screen, summary, views  # noqa: PLC0415

    console = Console(stderr=True)
    folder = Path("var") / f"demo-{datetime.now(UTC):%Y%m%d-%H%M%S}"
    folder.mkdir(parents=True)
    _log_to(folder / "demo.log")
    with ExitStack() as parts:
        stop = parts.enter_context(until_signal())
        scratch = Path(parts.enter_context(tempfile.TemporaryDirectory(prefix="candor-demo-")))
        with Screen(console) as screen:
            scene, approved = _cast(wish, scratch, screen)
            settings, key, public = _settings(folder, approved, wish.port)
            scorer = _calibrated(settings, screen)
            stack = parts.enter_context(start_stack(settings, scorer=scorer, launch=False))
            figures, material = play(
                stack,
                scene,
                screen,
                launcher=lambda: _launcher(settings, stack.engine),
                pseudonym_key=key,
                public_key=public,
                started_s=started_s,
            )
        if wish.json_file is not None:
            wish.json_file.write_bytes(msgspec.json.format(msgspec.json.encode(figures)) + b"\n")
        if wish.picture is not None:
            draw(wish.picture, figures, material)
        console.print(summary(figures))
        console.print(f"report: {figures.report}", f"API: {figures.api}", sep="\n", highlight=False)
        if not wish.leave:
            for what, address in views(figures):
                console.print(f"console, {what}: {address}", highlight=False, markup=False)
            console.print("serving until Ctrl-C")
            stack.wait(stop)
    return figures


def _calibrated(settings: Any, screen: Any) -> Any:
    """The sensor of the settings, made as `candor calibrate` makes it, and opened as a worker opens it."""
    from monitor.cli.calibrate import make_sensor  # noqa: PLC0415
    from monitor.cli.scorer import open_scorer  # noqa: PLC0415

    screen.step("calibrating the sensor on packaged items and the approved version's own answers")
    make_sensor(
        settings, "", settings.assistant.sensor, max_items=_CALIBRATION_ITEMS, progress=screen.load
    )
    return open_scorer(settings, progress=screen.load)


def _cast(wish: _Wish, scratch: Path, screen: Any) -> tuple[Any, Path]:
    """The assistant's answers and raters, and the approved version's folder."""
    from monitor.demo.assistant import build_approved, sample_both  # noqa: PLC0415
    from monitor.demo.options import DemoOptions  # noqa: PLC0415
    from monitor.demo.play import drawn, set_scene  # noqa: PLC0415
    from monitor.demo.turns import read_recording  # noqa: PLC0415
    from probes.models.local import LocalModel  # noqa: PLC0415
    from retrain.precision import evaluation_dtype  # noqa: PLC0415

    options, recording = DemoOptions(), read_recording()
    screen.step("loading the assistant")
    approved = build_approved(scratch / "approved")
    if wish.live:
        model = LocalModel.load(approved, dtype=evaluation_dtype())
        screen.step("the assistant answers, both versions")
        sampled = sample_both(model, approved, options, seed=wish.seed, progress=screen.load)
        recording = msgspec.structs.replace(recording, turns=sampled)
    honest, drifted = drawn(recording, options, wish.seed)
    scene = set_scene(honest, drifted, options, seed=wish.seed, live=wish.live, now_s=time.time())
    return scene, approved


def _settings(folder: Path, approved: Path, port: int) -> tuple[Any, bytes, Path]:
    """Settings of a stack of its own, whatever the environment says; its pseudonym key; its public key."""
    from monitor.assistants import AssistantOptions  # noqa: PLC0415
    from monitor.cohorts.options import CohortOptions  # noqa: PLC0415
    from monitor.demo.options import DemoOptions  # noqa: PLC0415
    from monitor.detect.options import DetectionOptions, HealthOptions  # noqa: PLC0415
    from monitor.http.options import ApiOptions  # noqa: PLC0415
    from monitor.ingest.keys import create_key, load_key  # noqa: PLC0415
    from monitor.ingest.options import KafkaOptions  # noqa: PLC0415
    from monitor.launch.options import RetrainOptions  # noqa: PLC0415
    from monitor.sample.options import SamplingOptions  # noqa: PLC0415
    from monitor.settings import DatabaseOptions, PseudonymOptions, Settings  # noqa: PLC0415
    from retrain.signing import generate_keypair  # noqa: PLC0415

    options = DemoOptions()
    private, public = generate_keypair(folder / "gate.pem")
    key_file = folder / "pseudonym.key"
    create_key(key_file)
    policy = folder / "policy.yaml"
    policy.write_text(
        f"version: 1\nmax_removed_share: {options.max_removed_share}\nmin_seeds: {len(options.seeds)}\n"
    )
    measured_a_day = _DAY_S / 60 / options.minutes_between_turns * options.arrival_rate
    settings = Settings(
        kafka=KafkaOptions(),
        database=DatabaseOptions(url=f"sqlite:///{folder.resolve() / 'candor.db'}"),
        pseudonym=PseudonymOptions(key_file=key_file),
        assistant=AssistantOptions(
            approved=str(approved),
            sensor=folder / "sensor",
            probes=("approved",),
            approved_answers=False,  # each takes longer than the verdict that it stands beside
        ),
        sampling=SamplingOptions(arrival_rate=options.arrival_rate, feedback_rate=1.0),
        detection=DetectionOptions(
            reference_window=options.reference_window,
            responses_per_month=30.0 * measured_a_day,
        ),
        # The story counts its own turns alone.
        health=HealthOptions(canary_share=0.0, canaries_per_hour=0.0, repeat_share=0.0),
        cohorts=CohortOptions(refresh_s=2.0),
        retrain=RetrainOptions(
            trigger="auto",
            debounce_s=0.0,
            models=(approved,),
            work_dir=folder / "confirm",
            signing_key_file=private,
            max_rows=options.max_rows,
            seeds=options.seeds,
            epochs=options.epochs,
            learning_rate=options.learning_rate,
            layer_share=options.layer_share,
            paraphrases=1,
            items_per_template=options.items_per_template,
            policy_file=policy,
        ),
        api=ApiOptions(port=port, open_on_loopback=True),
    )
    key = load_key(key_file, name="pseudonym", database_url=settings.database.url)
    return settings, key, public


def _launcher(settings: Any, engine: Any) -> Any:
    """The process that turns the alarm into a confirm run, as `candor launch` would."""
    from prometheus_client import CollectorRegistry  # noqa: PLC0415

    from monitor.cli.launching import launcher_job  # noqa: PLC0415
    from monitor.telemetry import PrometheusWorkerMetrics  # noqa: PLC0415

    return launcher_job(settings, engine, PrometheusWorkerMetrics(CollectorRegistry()))


def _log_to(path: Path) -> None:
    """Everything that the parts log goes into a file, so that the story stays readable."""
    logging.basicConfig(
        filename=path, level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s"
    )
    logging.captureWarnings(capture=True)
