"""API, metrics and console over one store, put together from settings."""

from __future__ import annotations

import secrets
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from fastapi import FastAPI
from prometheus_client import CollectorRegistry
from sqlalchemy import Engine

from evidence import BadInputError
from monitor import console
from monitor.abstain.asking import Asker
from monitor.api.app import create_app
from monitor.api.context import ApiSettings, Context
from monitor.api.state import StateReader
from monitor.api.visible import visible
from monitor.cli.packaged import shipped
from monitor.cli.scorer import open_scorer
from monitor.doctor.examine import examine
from monitor.http.access import Access, is_loopback
from monitor.ingest.keys import load_key
from monitor.jobs.clock import SteadyClock
from monitor.jobs.job import Runner
from monitor.jobs.metrics import JobMetrics
from monitor.jobs.silence import SilenceWatch
from monitor.score import Scorer
from monitor.settings import Settings, shown_settings
from monitor.telemetry import Cached, State, StateCollector

_BROKER_TIMEOUT_S = 1.0
_PAGE_AGES = 6.0
"""How many times `telemetry.max_age_s` a page's state may be old while the next is read."""


def build_app(
    settings: Settings,
    engine: Engine,
    registry: CollectorRegistry,
    *,
    bootstrap_servers: str | None,
    asker: Asker | None = None,
) -> FastAPI:
    """The application with its state gauges registered in `registry`.

    Raises BadInputError when the API would be open to other machines, or a key file is wrong.
    """
    access = open_access(settings)
    clock = SteadyClock()
    reader = StateReader(engine, settings.telemetry, clock=clock)
    state = Cached(reader, clock=time.monotonic, max_age_s=settings.telemetry.max_age_s)
    registry.register(StateCollector(state))
    pseudonym_key = load_key(
        settings.pseudonym.key_file, name="pseudonym", database_url=settings.database.url
    )
    app = create_app(
        Context(
            engine=engine,
            settings=api_settings(settings),
            registry=registry,
            state=state,
            clock=clock,
            access=access,
            pseudonym_key=pseudonym_key,
            broker_problem=lambda: broker_problem(bootstrap_servers),
            asker=asker,
        )
    )
    app.include_router(
        console.router(
            console_context(settings, engine, access, shown_by_pages(state, settings), clock=clock)
        )
    )
    return app


def shown_by_pages(state: Cached[State], settings: Settings) -> Callable[[], State]:
    """The state without a wait for its next reading: a page says when it was read."""
    most_s = _PAGE_AGES * settings.telemetry.max_age_s
    return lambda: state.soon(most_s)


def console_context(
    settings: Settings,
    engine: Engine,
    access: Access,
    state: Callable[[], State],
    *,
    clock: Callable[[], float],
) -> console.ConsoleContext:
    """What the console works with."""
    return console.ConsoleContext(
        engine=engine,
        access=access,
        state=lambda principal: visible(state(), principal),
        clock=clock,
        detection=settings.detection,
        retrain=settings.retrain,
        telemetry=settings.telemetry,
        session_s=settings.api.session_s,
        min_group=settings.cohorts.min_group,
        examine=lambda: examine(settings, lambda _part: None),
        settings=shown_settings(settings),
        runbook=shipped("docs/runbook.md").read_text(encoding="utf-8"),
    )


def api_settings(settings: Settings) -> ApiSettings:
    """The sections that the API uses."""
    return ApiSettings(
        api=settings.api,
        ingest=settings.intake,
        kafka=settings.kafka,
        detection=settings.detection,
        abstain=settings.abstain,
        retrain=settings.retrain,
        telemetry=settings.telemetry,
    )


def open_access(settings: Settings) -> Access:
    """The API's keys. Raises BadInputError when there are none, unless this machine may go without."""
    options = settings.api
    if options.keys_file is None:
        if not options.open_on_loopback:
            raise BadInputError(
                "the API has no keys: make one with `candor keys create api` and set "
                "CANDOR_API_KEYS_FILE; to try Candor out on this machine alone, set "
                "CANDOR_API_OPEN_ON_LOOPBACK=true",
                "api.keys_file",
            )
        if not is_loopback(options.host):
            raise BadInputError(
                f"without API keys the API listens on this machine alone, not on {options.host}; "
                "make a key with `candor keys create api`",
                "api.keys_file",
            )
    return Access(options.keys_file, requests_per_minute=options.requests_per_minute)


def broker_problem(bootstrap_servers: str | None) -> str | None:
    """None when one of the servers takes a connection, else what is wrong."""
    if bootstrap_servers is None:
        return "no broker is configured (kafka.bootstrap_servers)"
    problem = f"{bootstrap_servers}: no server"
    for server in bootstrap_servers.split(","):
        host, _, port = server.strip().rpartition(":")
        try:
            socket.create_connection((host.strip("[]"), int(port)), _BROKER_TIMEOUT_S).close()
        except (OSError, ValueError, OverflowError) as error:
            problem = f"{server.strip()}: {error}"
        else:
            return None
    return problem


@contextmanager
def asking(
    settings: Settings, engine: Engine, scorer: Scorer | None = None
) -> Iterator[Asker | None]:
    """What measures answers on request, if the settings ask for it: with `scorer`, or a panel of its own.

    Raises as `open_scorer` does.
    """
    options = settings.abstain
    if not options.enabled:
        yield None
        return
    measuring = scorer or open_scorer(settings, engine, answers=False)
    asker = Asker(
        lambda transcript: measuring.score([transcript])[0], max_waiting=options.max_waiting
    )
    try:
        yield asker
    finally:
        asker.close()


@contextmanager
def silence_watch(settings: Settings, engine: Engine, metrics: JobMetrics) -> Iterator[None]:
    """Raise the alarm when every worker falls silent, until the context ends."""
    watch = SilenceWatch(
        engine,
        silence_s=settings.health.silence_s,
        owner=f"serve-{secrets.token_hex(6)}",
        clock=SteadyClock(),
    )
    runner = Runner(watch, interval_s=min(5.0, settings.health.silence_s / 4.0), metrics=metrics)
    runner.start()
    try:
        yield
    finally:
        runner.stop()
