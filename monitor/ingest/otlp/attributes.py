"""Attributes of OTLP's JSON as plain values."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from datetime import UTC, datetime
from typing import Any


def attributes(
    holder: Mapping[str, Any], names: Collection[str], prefixes: tuple[str, ...] = ()
) -> dict[str, Any]:
    """The attributes of these names, and those that begin with a prefix; what others hold does not matter.

    What was protobuf or a file of another tool has them as plain values by name.
    """
    found = {}
    plain = holder.get("attributes")
    if isinstance(plain, dict):
        return {
            k: v for k, v in plain.items() if k in names or (prefixes and k.startswith(prefixes))
        }
    for item in dicts(holder.get("attributes")):
        name = item.get("key")
        if isinstance(name, str) and (name in names or (prefixes and name.startswith(prefixes))):
            found[name] = value_of(item.get("value"))
    return found


def names_of(holder: Mapping[str, Any]) -> list[str]:
    """The names of all attributes."""
    given = holder.get("attributes")
    return list(given) if isinstance(given, dict) else [str(one.get("key")) for one in dicts(given)]


def value_of(value: Any) -> Any:
    """OTLP's AnyValue as a plain value."""
    if not isinstance(value, dict):
        return None
    if "arrayValue" in value:
        inner = value["arrayValue"]
        return [
            value_of(v) for v in dicts(inner.get("values") if isinstance(inner, dict) else None)
        ]
    if "kvlistValue" in value:
        inner = value["kvlistValue"]
        pairs = dicts(inner.get("values") if isinstance(inner, dict) else None)
        return {str(pair.get("key")): value_of(pair.get("value")) for pair in pairs}
    for name in ("stringValue", "boolValue", "intValue", "doubleValue"):
        if name in value:
            return value[name]
    return None


def dicts(value: Any) -> list[dict[str, Any]]:
    """The objects of a list, and nothing of anything else."""
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []


def rfc3339(nanoseconds: Any) -> str | None:
    """A time since the epoch as text; None for what is no time."""
    try:
        at_s = int(nanoseconds) / 1e9
        return datetime.fromtimestamp(at_s, UTC).isoformat()
    except (TypeError, ValueError, OverflowError, OSError):
        return None


def seconds(nanoseconds: Any) -> float | None:
    """A time since the epoch in seconds; None for what is no time."""
    try:
        at_s = int(nanoseconds) / 1e9
    except (TypeError, ValueError, OverflowError):
        return None
    return at_s if at_s > 0 else None
