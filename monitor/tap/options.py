from __future__ import annotations

from pydantic import Field

from evidence.options import Options


class TapOptions(Options):
    """The sidecar beside an assistant (`candor tap`)."""

    host: str = "127.0.0.1"
    """Address to listen on: of the loopback interface, which the containers of a pod share."""
    port: int = Field(default=4318, ge=0, le=65535)
    """Port to listen on, by default OTLP's over HTTP; 0 takes a free one."""
    grpc_port: int | None = Field(default=None, ge=0, le=65535)
    """Port for OTLP over gRPC on the same address, by custom 4317; needs the extra `grpc`. Unset: none."""
    max_queue_records: int = Field(default=2_000, gt=0)
    """Records that wait for the broker; more are refused with 503 and Retry-After."""
    delivery_timeout_s: float = Field(default=10.0, gt=0)
    """Time for the broker to acknowledge a request's records; then 503, and the sender tries again."""
