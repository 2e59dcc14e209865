"""The chart's schema of `settings`, made of the settings themselves: a misspelt one is refused by helm."""

from __future__ import annotations

from typing import Any

from monitor.settings import Settings

_WORDS = frozenset({"title", "description", "default", "format"})
_DEFINITIONS = "#/$defs/"


def with_settings(values_schema: dict[str, Any]) -> dict[str, Any]:
    """The schema of the chart's values with that of `settings` put in."""
    tree = Settings.model_json_schema()
    made = _inlined({"properties": tree["properties"]}, tree["$defs"])
    return {
        **values_schema,
        "properties": {
            **values_schema["properties"],
            "settings": {
                "type": "object",
                "description": "Section → name → value, as in docs/configuration.md.",
                "additionalProperties": False,
                "properties": made["properties"],
            },
        },
    }


def _inlined(node: Any, definitions: dict[str, Any]) -> Any:
    """A node without references and words; an object's fields may be given as the text of a variable."""
    if isinstance(node, list):
        return [_inlined(item, definitions) for item in node]
    if not isinstance(node, dict):
        return node
    reference = node.get("$ref", "")
    if reference.startswith(_DEFINITIONS):
        return _inlined(definitions[reference.removeprefix(_DEFINITIONS)], definitions)
    made: dict[str, Any] = {}
    for name, value in node.items():
        if name == "properties":
            made[name] = {field: _inlined(part, definitions) for field, part in value.items()}
        elif name not in _WORDS:
            made[name] = _inlined(value, definitions)
    if "properties" in made:
        made.setdefault("additionalProperties", False)
    return made
