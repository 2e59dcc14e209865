"""`candor tap`: the sidecar beside an assistant."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated

import typer

from evidence import BadInputError

if TYPE_CHECKING:
    from monitor.settings import Settings
    from monitor.tap.taking import Taking

AsJson = Annotated[bool, typer.Option("--json", help="Print the address as one line of JSON.")]


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("tap")(tap)


def tap(as_json: AsJson = False) -> None:
    """Take an assistant's responses and feedback on localhost and bring them to Kafka; nothing else.

    Accepts what `/v1/responses` and `/v1/feedback` of the API accept, and OTLP GenAI spans and events at
    `/v1/traces` and `/v1/logs`, with `tap.grpc_port` over gRPC too. A request is answered with 202 (200 for OTLP) once the broker has its records on all
    in-sync replicas; with 503 and Retry-After while it has not. Counters are at `telemetry.port`.

    Example: `CANDOR_KAFKA_BOOTSTRAP_SERVERS=kafka:9092 CANDOR_PSEUDONYM_KEY_FILE=pseudonym.key candor tap`
    """
    from prometheus_client import CollectorRegistry  # noqa: PLC0415

    from monitor.cli.serve import metrics_server, until_signal  # noqa: PLC0415
    from monitor.http.access import is_loopback  # noqa: PLC0415
    from monitor.http.server import WebServer  # noqa: PLC0415
    from monitor.ingest.connection import connect  # noqa: PLC0415
    from monitor.ingest.keys import load_key  # noqa: PLC0415
    from monitor.settings import load_settings  # noqa: PLC0415
    from monitor.tap.app import create_app  # noqa: PLC0415
    from monitor.tap.delivery import Delivery  # noqa: PLC0415
    from monitor.tap.taking import Taking, TapContext  # noqa: PLC0415

    settings = load_settings()
    if settings.kafka.bootstrap_servers is None:
        raise BadInputError("the tap needs a broker", "kafka.bootstrap_servers")
    if not is_loopback(settings.tap.host):
        raise BadInputError("the tap has no keys and serves this machine alone", "tap.host")
    if settings.pseudonym.key_file is None:
        raise BadInputError(
            "user ids leave the tap as pseudonyms: it needs the key that the workers have",
            "pseudonym.key_file",
        )
    key = load_key(settings.pseudonym.key_file, name="pseudonym", database_url="")
    registry = CollectorRegistry()
    delivery = Delivery(lambda: connect(settings.kafka), settings.tap)
    context = TapContext(
        api=settings.api,
        ingest=settings.intake,
        responses_topic=settings.kafka.responses_topic,
        feedback_topic=settings.kafka.feedback_topic,
        delivery=delivery,
        registry=registry,
        pseudonym_key=key,
    )
    taking = Taking(context)
    host, port = settings.tap.host, settings.tap.port
    try:
        with (
            until_signal() as stop,
            metrics_server(settings, registry) as metrics_url,
            WebServer(create_app(context, taking), host, port, options=settings.api) as web,
            _grpc_door(settings, taking) as grpc_address,
        ):
            told = {"tap": web.url, "metrics": metrics_url}
            if grpc_address is not None:
                told["grpc"] = grpc_address
            shown = [json.dumps(told)] if as_json else [f"{n} {url}" for n, url in told.items()]
            sys.stdout.write("\n".join(shown) + "\n")
            sys.stdout.flush()
            stop.wait()
    finally:
        delivery.close()


@contextmanager
def _grpc_door(settings: Settings, taking: Taking) -> Iterator[str | None]:
    """Where OTLP is taken over gRPC; None where no port is set."""
    if settings.tap.grpc_port is None:
        yield None
        return
    from monitor.tap.grpc_door import GrpcDoor  # noqa: PLC0415 -- needs the extra `grpc`

    options = settings.tap
    with GrpcDoor(taking, options.host, settings.tap.grpc_port, options=settings.api) as door:
        yield door.address
