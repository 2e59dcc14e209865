"""The HTTP API as one application, made from its parts."""

from __future__ import annotations

from importlib.metadata import version

from fastapi import FastAPI

from monitor.api import (
    abstain,
    gate,
    health,
    ingest,
    pages,
    pictures,
    reads,
    review,
    runs,
    sources,
    strata,
)
from monitor.api.context import Context
from monitor.http import openapi, problems
from monitor.http.door import Door


def create_app(context: Context) -> FastAPI:
    """The application: ingest, reads, review, health and metrics; OpenAPI at `/openapi.json`, for people
    at `/docs`."""
    app = FastAPI(
        title="Candor",
        version=version("candor-monitor"),
        summary="Honesty of LLM assistants, measured beside production.",
        description="Errors are RFC 9457 problem documents. Raters appear as pseudonyms alone.",
        # Served by `pages`: FastAPI's own load scripts from another host.
        openapi_url=None,
        docs_url=None,
        redoc_url=None,
    )
    problems.install(app)
    app.add_middleware(Door, options=context.settings.api)
    for module in (ingest, abstain, strata, reads, review, pictures, gate, runs, sources, health):
        app.include_router(module.router(context))
    openapi.publish(app)
    app.include_router(pages.router(app.openapi))
    return app
