"""OpenTelemetry exports as records of the responses topic: traces and events, JSON and protobuf."""

from monitor.ingest.otlp.exports import (
    PASSED_OVER,
    Spans,
    is_otlp,
    looks_like_export,
    read_chats,
)
from monitor.ingest.otlp.protobuf import from_protobuf

__all__ = ["PASSED_OVER", "Spans", "from_protobuf", "is_otlp", "looks_like_export", "read_chats"]
