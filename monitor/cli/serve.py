"""`candor up`, `worker`, `serve` and `launch`: the long-running processes."""

from __future__ import annotations

import json
import logging
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from types import FrameType
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

from evidence import BadInputError

if TYPE_CHECKING:
    from prometheus_client import CollectorRegistry
    from sqlalchemy import Engine

    from monitor.jobs.metrics import WorkerMetrics
    from monitor.jobs.pulse import Pulse
    from monitor.settings import Settings

log = logging.getLogger(__name__)

AsJson = Annotated[bool, typer.Option("--json", help="Print the addresses as one line of JSON.")]

Calibrate = Annotated[
    bool,
    typer.Option(
        help="First make the sensors that are needed and missing, as `candor calibrate` does; without,"
        " such an assistant's verdicts are errors of kind `uncalibrated`."
    ),
]


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command("up")(up)
    app.command("worker")(worker)
    app.command("serve")(serve)
    app.command("launch")(launch)


def up(*, calibrate: Calibrate = True, as_json: AsJson = False) -> None:
    """Run everything in one process: broker unless one is configured, worker, API, confirm runs.

    Example: `CANDOR_API_OPEN_ON_LOOPBACK=true candor up`, then `curl -H 'content-type: application/json' -d @turn.json
    http://127.0.0.1:8321/v1/responses`
    """
    with until_signal() as stop:
        log.info("starting all parts in one process")
        from monitor.cli.stack import start_stack  # noqa: PLC0415
        from monitor.settings import load_settings  # noqa: PLC0415

        with start_stack(load_settings(), calibrate=calibrate) as stack:
            addresses = {
                "api": stack.api_url,
                "console": stack.api_url,
                "bootstrap_servers": stack.bootstrap_servers,
            }
            if not as_json and _is_empty(stack.engine):
                addresses["next"] = (
                    f"nothing was measured yet; {stack.api_url}/ shows how to send a first turn"
                )
            _tell(addresses, as_json)
            stack.wait(stop)


def worker(*, calibrate: Calibrate = True, as_json: AsJson = False) -> None:
    """Measure responses: read the input topics, write verdicts, detectors and alarms to the store.

    Example: `CANDOR_KAFKA_BOOTSTRAP_SERVERS=kafka:9092 candor worker`
    """
    from monitor.settings import load_settings  # noqa: PLC0415

    settings = load_settings()
    if settings.kafka.bootstrap_servers is None:
        raise BadInputError(
            "`candor worker` needs a broker that other processes share; "
            "an embedded one is part of `candor up`",
            "kafka.bootstrap_servers",
        )
    with until_signal() as stop, ExitStack() as parts:
        log.info("starting a worker")
        from monitor.cli.scorer import open_embedder, open_scorer  # noqa: PLC0415
        from monitor.jobs.pulse import Pulse  # noqa: PLC0415
        from monitor.store import open_store  # noqa: PLC0415
        from monitor.worker.service import broker, load_keys, run_worker  # noqa: PLC0415

        load_keys(settings)
        engine = open_store(settings.database)
        parts.callback(engine.dispose)
        served = parts.enter_context(broker(settings))
        scorer = open_scorer(settings, engine, calibrate=calibrate)
        pulse = Pulse(settings.telemetry.still_s)
        with _counters(settings, pulse) as (metrics, url):
            _tell({"metrics": url}, as_json)
            run_worker(
                settings,
                engine,
                scorer,
                served,
                metrics=metrics,
                stop=stop,
                embed=open_embedder(),
                pulse=pulse,
            )


def serve(as_json: AsJson = False) -> None:
    """Serve the API, the metrics and the console.

    Example: `CANDOR_API_HOST=0.0.0.0 CANDOR_API_KEYS_FILE=keys.json candor serve`
    """
    from prometheus_client import CollectorRegistry  # noqa: PLC0415

    from monitor.cli.serving import asking, build_app, silence_watch  # noqa: PLC0415
    from monitor.http.server import WebServer  # noqa: PLC0415
    from monitor.settings import load_settings  # noqa: PLC0415
    from monitor.store import open_store  # noqa: PLC0415
    from monitor.telemetry import PrometheusJobMetrics  # noqa: PLC0415

    settings = load_settings()
    engine = open_store(settings.database)
    servers = settings.kafka.bootstrap_servers
    registry = CollectorRegistry()
    with (
        until_signal() as stop,
        asking(settings, engine) as asker,
        silence_watch(settings, engine, PrometheusJobMetrics(registry)),
    ):
        app = build_app(settings, engine, registry, bootstrap_servers=servers, asker=asker)
        address = (settings.api.host, settings.api.port)
        with WebServer(app, *address, options=settings.api) as web:
            _tell({"api": web.url}, as_json)
            stop.wait()
    engine.dispose()


def launch(as_json: AsJson = False) -> None:
    """Start confirm runs on alarms, within `retrain`'s budget, and record the gate's decisions.

    Of several launchers on one store one works; the others wait. Runs survive their launcher.

    Example: `CANDOR_RETRAIN_MODELS='["/models/assistant"]' candor launch`
    """
    from monitor.cli.launching import launcher_job  # noqa: PLC0415
    from monitor.settings import load_settings  # noqa: PLC0415
    from monitor.store import open_store  # noqa: PLC0415

    settings = load_settings()
    engine = open_store(settings.database)
    with (
        until_signal() as stop,
        _counters(settings) as (metrics, url),
        launcher_job(settings, engine, metrics),
    ):
        _tell({"metrics": url}, as_json)
        stop.wait()
    engine.dispose()


@contextmanager
def until_signal() -> Iterator[threading.Event]:
    """An event that SIGTERM or SIGINT sets, with a log on stderr; the handlers come back at the end.

    A second signal interrupts at once.
    """
    logging.basicConfig(
        level=logging.INFO,
        stream=sys.stderr,
        format="%(asctime)s %(levelname)s %(name)s: %(message)s",
    )
    for chatty in ("alembic", "httpx"):
        logging.getLogger(chatty).setLevel(logging.WARNING)
    stop = threading.Event()

    def handle(_number: int, _frame: FrameType | None) -> None:
        if stop.is_set():
            raise KeyboardInterrupt
        stop.set()

    before = {number: signal.signal(number, handle) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def _counters(
    settings: Settings, pulse: Pulse | None = None
) -> Iterator[tuple[WorkerMetrics, str]]:
    """Counters of this process and the address that serves them."""
    from prometheus_client import CollectorRegistry  # noqa: PLC0415

    from monitor.telemetry import PrometheusWorkerMetrics  # noqa: PLC0415

    registry = CollectorRegistry()
    metrics = PrometheusWorkerMetrics(registry)
    with metrics_server(settings, registry, pulse) as url:
        yield metrics, url


@contextmanager
def metrics_server(
    settings: Settings, registry: CollectorRegistry, pulse: Pulse | None = None
) -> Iterator[str]:
    """Serve a registry on `telemetry.host` and `telemetry.port`; yields the address.

    `/healthz` answers 503 while the loop that beats `pulse` stands still.
    """
    from monitor.http.exposition import ExpositionServer  # noqa: PLC0415

    address = (settings.telemetry.host, settings.telemetry.port)
    problem = (lambda: None) if pulse is None else (lambda: pulse.problem)
    with ExpositionServer(registry, *address, problem=problem) as server:
        yield f"{server.url}/metrics"


def _is_empty(engine: Engine) -> bool:
    from monitor.store import reading  # noqa: PLC0415
    from monitor.store.status import last_response_s  # noqa: PLC0415

    with reading(engine) as connection:
        return last_response_s(connection) is None


def _tell(addresses: dict[str, str], as_json: bool) -> None:
    if as_json:
        sys.stdout.write(json.dumps(addresses) + "\n")
        sys.stdout.flush()
        return
    for name, address in addresses.items():
        Console(highlight=False).print(f"{name}: {address}", markup=False)
