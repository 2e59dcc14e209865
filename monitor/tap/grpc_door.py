"""OTLP over gRPC: `TraceService/Export` and `LogsService/Export`, with the limits and checks of the HTTP door.

Needs the extra `grpc`. Source: OTLP specification (opentelemetry.io/docs/specs/otlp): what to try again is
`UNAVAILABLE`, what never to is `INVALID_ARGUMENT`; refusals of single spans stand in `partial_success`.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from types import TracebackType
from typing import Any, Self

import grpc  # type: ignore[import-untyped]

from evidence import BadInputError, UnreachableError
from evidence.structs import build_types
from monitor.http.options import ApiOptions
from monitor.http.otlp import Signal
from monitor.ingest.otlp import from_protobuf
from monitor.ingest.records import Refused
from monitor.tap.delivery import QueueFullError
from monitor.tap.taking import Taking

log = logging.getLogger(__name__)

_SERVICES: dict[str, Signal] = {
    "opentelemetry.proto.collector.trace.v1.TraceService": "traces",
    "opentelemetry.proto.collector.logs.v1.LogsService": "logs",
}
_WORKERS, _WAITING = 8, 64
"""Exports that are read at once, and that wait beside them; one more is told to come again."""
_GRACE_S = 5.0


class GrpcDoor:
    """The server, from `with` on; `address` is where it listens.

    Parameters
    ----------
    host, port
        Where to listen; port 0 takes a free one.
    """

    def __init__(self, taking: Taking, host: str, port: int, *, options: ApiOptions) -> None:
        build_types()
        self._pool = ThreadPoolExecutor(_WORKERS, thread_name_prefix="tap-grpc")
        self._server = grpc.server(
            self._pool,
            maximum_concurrent_rpcs=_WORKERS + _WAITING,
            options=(
                ("grpc.max_receive_message_length", options.max_body_bytes),
                ("grpc.max_metadata_size", 16_384),
                ("grpc.max_concurrent_streams", _WORKERS + _WAITING),
                ("grpc.max_connection_idle_ms", 600_000),
                ("grpc.so_reuseport", 0),
            ),
        )
        for service, signal in _SERVICES.items():
            handler = grpc.unary_unary_rpc_method_handler(
                partial(_export, taking, signal, options.max_body_bytes),
                # The bytes as they came: a text in them that is no UTF-8 is repaired, not refused.
                request_deserializer=None,
                response_serializer=lambda answer: answer.SerializeToString(),
            )
            self._server.add_generic_rpc_handlers(
                (grpc.method_handlers_generic_handler(service, {"Export": handler}),)
            )
        shown = f"[{host}]" if ":" in host else host
        try:
            bound = self._server.add_insecure_port(f"{shown}:{port}")
        except RuntimeError as error:
            raise BadInputError(f"cannot listen on {shown}:{port}", "tap.grpc_port") from error
        self.address = f"{shown}:{bound}"

    def __enter__(self) -> Self:
        self._server.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._server.stop(_GRACE_S).wait()
        self._pool.shutdown(wait=False, cancel_futures=True)


def _export(
    taking: Taking, signal: Signal, most_bytes: int, body: bytes, context: grpc.ServicerContext
) -> Any:
    give_up: Callable[[grpc.StatusCode, str], Any] = context.abort
    if len(body) > most_bytes:
        # The library counts what is sent, which may unpack to more.
        give_up(grpc.StatusCode.RESOURCE_EXHAUSTED, f"more than {most_bytes} bytes")
    try:
        document = from_protobuf(body) if body else {}
    except Refused:
        give_up(grpc.StatusCode.INVALID_ARGUMENT, "the body is not OTLP protobuf")
    try:
        return taking.export(document, signal).told(signal)
    except (QueueFullError, UnreachableError) as error:
        give_up(grpc.StatusCode.UNAVAILABLE, str(error))
    except Exception as error:
        log.error("an export could not be taken, which is a bug: %s", type(error).__name__)  # noqa: TRY400
        give_up(grpc.StatusCode.INTERNAL, "the export could not be taken")
