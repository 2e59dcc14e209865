"""JSON Schemas of the input records, made from the types that check them."""

from __future__ import annotations

from typing import Any

import msgspec

from monitor.ingest.wire import WireFeedback, WireResponse


def response_schema() -> dict[str, Any]:
    """Schema of one response."""
    return _inlined(WireResponse)


def feedback_schema() -> dict[str, Any]:
    """Schema of one feedback."""
    return _inlined(WireFeedback)


def _inlined(kind: type[msgspec.Struct]) -> dict[str, Any]:
    """The schema with its references filled in, so that it can stand inside an OpenAPI document."""
    schema = msgspec.json.schema(kind)
    definitions = schema.get("$defs", {})
    filled = _fill(schema, definitions)
    if not isinstance(filled, dict):
        raise TypeError("a schema is an object")
    filled.pop("$defs", None)
    return filled


def _fill(node: Any, definitions: dict[str, Any]) -> Any:
    if isinstance(node, list):
        return [_fill(item, definitions) for item in node]
    if not isinstance(node, dict):
        return node
    if "$ref" in node:
        return _fill(definitions[node["$ref"].rsplit("/", 1)[1]], definitions)
    filled = {name: _fill(item, definitions) for name, item in node.items() if name != "$defs"}
    if isinstance(filled.get("pattern"), str):
        # Python's end of text, which the regular expressions of JSON Schema write as `$`.
        filled["pattern"] = filled["pattern"].replace(r"\Z", "$")
    return filled
