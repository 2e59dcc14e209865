"""Traffic of an application that OpenTelemetry has no name for."""

from __future__ import annotations

from collections.abc import Iterator

from sqlalchemy import Engine, select

from monitor.doctor.finding import Finding, Status
from monitor.ingest.options import OTHER
from monitor.ingest.parts import SERVICE
from monitor.store.engine import reading
from monitor.store.intake import unpack_body
from monitor.store.schema import is_live_traffic, responses

_UNNAMED = "unknown_service"
"""What OpenTelemetry's SDKs call a service without a name, often with the process behind it: `unknown_service:node`."""
_NEWEST = 200
_ADVICE = (
    "set OTEL_SERVICE_NAME (or the span's gen_ai.agent.name) in the application, and declare that name in"
    " ingest.assistants: all applications without a name are one assistant here"
)


def unnamed_findings(engine: Engine) -> Iterator[Finding]:
    """A warning where some of the newest responses are of no named assistant; nothing where all have a name.

    Where assistants are declared such responses are `other`; then their span still tells.
    """
    query = (
        select(responses.c.assistant, responses.c.body)
        .where(is_live_traffic)
        .order_by(responses.c.received_at_s.desc())
        .limit(_NEWEST)
    )
    with reading(engine) as connection:
        newest = connection.execute(query).all()
    named = [_name(assistant, body) for assistant, body in newest]
    unnamed = [name for name in named if name.startswith(_UNNAMED)]
    if unnamed:
        detail = f"{len(unnamed)} of the newest {len(newest)} responses are of {', '.join(sorted(set(unnamed))[:5])}"
        yield Finding("name of the assistant", Status.WARNING, detail, _ADVICE)


def _name(assistant: str, body: bytes | None) -> str:
    if assistant != OTHER or body is None:
        return assistant
    service = unpack_body(body).extra.get(SERVICE)
    return service if isinstance(service, str) else assistant
