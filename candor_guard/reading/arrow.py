"""Records of Arrow tables as the JSON that they were made of."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from candor_guard.reading.text import decode_json


def arrow_records(table: Any) -> Iterator[dict[str, Any]]:
    """Records of a table or batch: maps as objects, values kept as JSON text (`datasets`) as values.

    Raises ValueError for a map with a key twice and for JSON text that is none.
    """
    decoders = {field.name: found for field in table.schema if (found := _json_decoder(field.type))}
    try:
        for record in table.to_pylist(maps_as_pydicts="strict"):
            for name, decode in decoders.items():
                record[name] = decode(record[name])
            yield record
    except KeyError as error:
        raise ValueError(f"a map holds a key twice: {error}") from error


def _json_decoder(kind: Any) -> Callable[[Any], Any] | None:
    """What turns the JSON texts inside a value of this Arrow type into values; None without any."""
    import pyarrow as pa  # noqa: PLC0415 -- an extra

    if getattr(kind, "extension_name", "") == "arrow.json":
        return lambda value: None if value is None else _decoded(value)
    if pa.types.is_list(kind) or pa.types.is_large_list(kind):
        inner = _json_decoder(kind.value_type)
        return inner and (lambda value: value and [inner(item) for item in value])
    if pa.types.is_struct(kind):
        parts = {field.name: found for field in kind if (found := _json_decoder(field.type))}
        if parts:
            return lambda value: (
                value
                and {
                    name: parts[name](item) if name in parts else item
                    for name, item in value.items()
                }
            )
    return None


def _decoded(text: str) -> Any:
    value, problem = decode_json(text.encode())
    if problem is not None:
        raise ValueError(problem)
    return value
