"""The published description of the API: `/openapi.json`, and `/docs` for people, which loads nothing."""

from __future__ import annotations

import base64
import functools
import hashlib
import json
from collections.abc import Callable, Iterator
from html import escape
from typing import Any

from fastapi import APIRouter, Response
from fastapi.responses import HTMLResponse

from monitor.http.routes import DoorRoute

_STYLE = """
:root { color-scheme: light dark; font: 15px/1.5 system-ui, sans-serif; }
body { max-width: 60rem; margin: 1.5rem auto; padding: 0 1rem; }
summary { cursor: pointer; padding: .3rem 0; } code { font-size: .95em; }
details { border-bottom: 1px solid #8884; } details > :not(summary) { margin-left: 1.2rem; }
pre { overflow-x: auto; background: #8882; padding: .6rem; }
table { border-collapse: collapse; } th, td { text-align: left; padding: .2rem .8rem .2rem 0; }
"""
_HASH = "sha256-" + base64.b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode()
_HEADERS = {
    "Content-Security-Policy": (
        f"default-src 'none'; style-src '{_HASH}'; base-uri 'none'; form-action 'none'; "
        "frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
}
_INLINED = 6
"""References are followed so deep; a schema that holds itself ends there."""


def router(document: Callable[[], dict[str, Any]]) -> APIRouter:
    """Both pages, which need no key: they say what the API can do, and nothing of what it holds."""
    routes = APIRouter(route_class=DoorRoute, include_in_schema=False)

    @functools.cache
    def made() -> tuple[bytes, str]:
        described = document()
        return json.dumps(described).encode(), _page(described)

    @routes.get("/openapi.json")
    def get_document() -> Response:
        return Response(made()[0], media_type="application/json")

    @routes.get("/docs")
    def get_docs() -> HTMLResponse:
        return HTMLResponse(made()[1], headers=_HEADERS)

    return routes


def _page(document: dict[str, Any]) -> str:
    info = document["info"]
    schemas = document["components"]["schemas"]
    groups: dict[str, list[str]] = {}
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            group = next(iter(operation.get("tags", ())), "other")
            groups.setdefault(group, []).append(_operation(method, path, operation, schemas))
    body = "".join(f"<h2>{_text(name)}</h2>{''.join(parts)}" for name, parts in groups.items())
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{_text(info['title'])} API</title><style>{_STYLE}</style></head><body><main>"
        f"<h1>{_text(info['title'])} {_text(info['version'])}</h1>"
        f"<p>{_text(info['description'])}</p>"
        "<p>Keys: <code>Authorization: Bearer KEY</code>, or the key as the password of Basic. "
        '<a href="/openapi.json">OpenAPI document</a></p>'
        f"{body}</main></body></html>"
    )


def _operation(method: str, path: str, operation: dict[str, Any], schemas: dict[str, Any]) -> str:
    parts = [
        f"<p>{_text(operation.get('description', ''))}</p>",
        "" if "security" in operation else "<p>Needs no key.</p>",
        _parameters(operation.get("parameters", ())),
    ]
    for title, content in _contents(operation):
        schema = json.dumps(_inlined(content, schemas), indent=2)
        parts.append(f"<p>{_text(title)}</p><pre>{_text(schema)}</pre>")
    return (
        f"<details><summary><code>{_text(method.upper())} {_text(path)}</code> "
        f"{_text(operation.get('summary', ''))}</summary>{''.join(parts)}</details>"
    )


def _parameters(parameters: list[dict[str, Any]]) -> str:
    rows = "".join(
        f"<tr><td><code>{_text(p['name'])}</code></td><td>{_text(p['in'])}</td>"
        f"<td>{'required' if p.get('required') else ''}</td>"
        f"<td>{_text(p.get('description', ''))}</td></tr>"
        for p in parameters
    )
    return f"<table><tbody>{rows}</tbody></table>" if rows else ""


def _contents(operation: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """What goes in and out, with a title each; of the answers those that succeed."""
    for kind, content in operation.get("requestBody", {}).get("content", {}).items():
        yield f"Body ({kind})", content.get("schema", {})
    refused = []
    for status, answer in operation["responses"].items():
        if not str(status).startswith("2"):
            refused.append(f"{status} {answer['description']}")
            continue
        for kind, content in answer.get("content", {}).items():
            yield f"{status} {answer['description']} ({kind})", content.get("schema", {})
    yield "Problems", {"description": ", ".join(refused)}


def _inlined(node: Any, schemas: dict[str, Any], depth: int = 0) -> Any:
    if isinstance(node, list):
        return [_inlined(item, schemas, depth) for item in node]
    if not isinstance(node, dict):
        return node
    reference = node.get("$ref")
    if isinstance(reference, str):
        name = reference.rsplit("/", 1)[1]
        return _inlined(schemas[name], schemas, depth + 1) if depth < _INLINED else {"title": name}
    return {key: _inlined(value, schemas, depth) for key, value in node.items()}


def _text(value: str) -> str:
    return escape(value, quote=True)
