from __future__ import annotations

from pathlib import Path

from pydantic import Field

from evidence.options import Options


class ApiOptions(Options):
    """The HTTP server; `candor tap` has the same limits."""

    host: str = "127.0.0.1"
    """Address to listen on."""
    port: int = Field(default=8321, ge=0, le=65535)
    """Port to listen on; 0 takes a free one."""
    max_body_bytes: int = Field(default=10_000_000, gt=0)
    """A larger request, or one that unpacks to more, is refused with 413. An OpenTelemetry SDK sends up to 512 spans at once, and loses what is refused."""
    max_batch_records: int = Field(default=1_000, gt=0)
    """Records in one request; more are refused with 413."""
    read_timeout_s: float = Field(default=30.0, gt=0)
    """Time for a client to send its headers, then its body, and to take each part of the answer; then the connection is closed."""
    max_connections: int = Field(default=1_000, gt=0)
    """Connections at once, or half of the files that the process may open if that is less. One more closes the oldest that waits without a request, or is refused with 503."""
    keys_file: Path | None = None
    """File with hashed API keys (`candor keys create api`); required unless `open_on_loopback`."""
    open_on_loopback: bool = False
    """Answer without keys, on the loopback interface alone: everyone on this machine may do everything. For trying out."""
    requests_per_minute: int = Field(default=6_000, gt=0)
    """Requests that one key may make in a minute; more are refused with 429."""
    session_s: float = Field(default=43_200.0, gt=0)
    """How long somebody stays signed in to the console."""
