"""All of Candor in one process, put together from settings."""

from __future__ import annotations

import dataclasses
import logging
import threading
from collections.abc import Callable
from contextlib import ExitStack
from typing import Self

from prometheus_client import CollectorRegistry
from sqlalchemy import Engine

from evidence.structs import build_types
from monitor.abstain.asking import OneAtATime
from monitor.cli.launching import launcher_job
from monitor.cli.scorer import open_embedder, open_scorer
from monitor.cli.serving import asking, build_app, silence_watch
from monitor.http.server import WebServer
from monitor.score import Scorer
from monitor.settings import Settings
from monitor.store import open_store
from monitor.telemetry import PrometheusWorkerMetrics
from monitor.worker.service import broker, load_keys, run_worker

log = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True)
class RunningStack:
    """Everything that runs; a context manager that stops it in the order that loses nothing.

    Attributes
    ----------
    settings, engine, registry
        What it runs with.
    api_url, bootstrap_servers
        Where the API and the broker answer.
    """

    settings: Settings
    engine: Engine
    registry: CollectorRegistry
    api_url: str
    bootstrap_servers: str
    _parts: ExitStack
    _threads: tuple[PartThread, ...]

    @property
    def responses_topic(self) -> str:
        return self.settings.kafka.responses_topic

    @property
    def feedback_topic(self) -> str:
        return self.settings.kafka.feedback_topic

    def check(self) -> None:
        """Raise what ended a part, if one ended."""
        for thread in self._threads:
            thread.check()

    def wait(self, stop: threading.Event, *, every_s: float = 0.5) -> None:
        """Run until `stop` is set. Raises what ended a part."""
        while not stop.wait(every_s):
            self.check()

    def stop(self) -> None:
        """Stop the parts: no new requests first, then the worker, then broker and store."""
        self._parts.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()


class PartThread:
    """A part that runs until `stop` is set, in a thread; what ends it is kept for `check`."""

    def __init__(self, name: str, run: Callable[[threading.Event], None]) -> None:
        self._stop = threading.Event()
        self._error: Exception | None = None
        self._run = run
        build_types()
        self._thread = threading.Thread(target=self._body, name=name, daemon=True)
        self._thread.start()

    def check(self) -> None:
        """Raise what ended the part."""
        if self._error is not None:
            raise self._error

    def close(self, timeout_s: float = 30.0) -> None:
        self._stop.set()
        self._thread.join(timeout_s)

    def _body(self) -> None:
        try:
            self._run(self._stop)
        except Exception as error:
            self._error = error


def start_stack(
    settings: Settings,
    *,
    scorer: Scorer | None = None,
    engine: Engine | None = None,
    launch: bool = True,
    calibrate: bool = True,
) -> RunningStack:
    """Start broker (embedded unless configured), worker with its jobs, launcher, and HTTP server.

    Parameters
    ----------
    scorer
        What measures responses; the panel that the settings name when None.
    engine
        An open store, which then stays open; the one that the settings name when None.
    launch
        Whether this process also launches confirm runs; if not, another one does.
    calibrate
        Whether sensors that are needed and missing are made first.

    Raises BadInputError for settings that do not fit and UnreachableError for what does not answer.
    """
    load_keys(settings)
    parts = ExitStack()
    try:
        if engine is None:
            log.info("opening the store")
            engine = open_store(settings.database)
            parts.callback(engine.dispose)
        measuring = scorer or open_scorer(settings, engine, calibrate=calibrate)
        if settings.abstain.enabled:
            measuring = OneAtATime(measuring)
        # A scorer that is handed in says nothing of models: topics are then left out.
        embed = open_embedder() if scorer is None else None
        log.info("connecting to the broker")
        served = parts.enter_context(broker(settings))
        registry = CollectorRegistry()
        metrics = PrometheusWorkerMetrics(registry)
        store = engine

        def work(stop: threading.Event) -> None:
            run_worker(settings, store, measuring, served, metrics=metrics, stop=stop, embed=embed)

        worker = PartThread("worker", work)
        parts.callback(worker.close)
        if launch:
            parts.enter_context(launcher_job(settings, engine, metrics))
        servers = served.connection.bootstrap_servers
        parts.enter_context(silence_watch(settings, engine, metrics))
        asker = parts.enter_context(asking(settings, engine, measuring))
        app = build_app(settings, engine, registry, bootstrap_servers=servers, asker=asker)
        web = parts.enter_context(
            WebServer(app, settings.api.host, settings.api.port, options=settings.api)
        )
        log.info("ready: %s", web.url)
    except BaseException:
        parts.close()
        raise
    return RunningStack(settings, engine, registry, web.url, servers, parts, (worker,))
