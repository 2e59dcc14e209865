"""The HTTP API as one application, made from its parts."""

from __future__ import annotations

from importlib.metadata import version

from fastapi import FastAPI

from monitor.api import abstain, gate, health, ingest, pictures, reads, review
from monitor.api.context import Context
from monitor.http import problems


def create_app(context: Context) -> FastAPI:
    """The application: ingest, reads, review, health and metrics; OpenAPI at `/openapi.json`."""
    app = FastAPI(
        title="Candor",
        version=version("candor-monitor"),
        summary="Honesty of LLM assistants, measured beside production.",
        description="Errors are RFC 9457 problem documents. Raters appear as pseudonyms alone.",
        # The interactive pages load scripts from another host, which the console's policy forbids.
        docs_url=None,
        redoc_url=None,
    )
    problems.install(app)
    for module in (ingest, abstain, reads, review, pictures, gate, health):
        app.include_router(module.router(context))
    problems.publish(app)
    return app
