"""What the published OpenAPI document says of all routes alike: problems, and who may call."""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI

from monitor.http.problems import FieldError, Problem

_SCHEMES: dict[str, dict[str, str]] = {
    "bearer": {
        "type": "http",
        "scheme": "bearer",
        "description": "An API key made by `candor keys create api`.",
    },
    "basic": {
        "type": "http",
        "scheme": "basic",
        "description": "The same key as the password, with any user name, for browsers.",
    },
}


def publish(app: FastAPI) -> None:
    """Complete the document that `app.openapi()` makes."""
    made = app.openapi

    def openapi() -> dict[str, Any]:
        document = made()
        components = document.setdefault("components", {})
        schemas = components.setdefault("schemas", {})
        for model in (FieldError, Problem):
            schema = model.model_json_schema(ref_template="#/components/schemas/{model}")
            schema.pop("$defs", None)
            schemas[model.__name__] = schema
        for unused in ("HTTPValidationError", "ValidationError"):
            schemas.pop(unused, None)
        components["securitySchemes"] = _SCHEMES
        return document

    app.openapi = openapi  # type: ignore[method-assign]
