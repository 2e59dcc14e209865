"""Files as people have them, read alike by every command: without torch, Kafka, SQL or a terminal."""

from candor_guard.reading.item import Item
from candor_guard.reading.items import items_of, line_items, object_of, read_items, read_objects
from candor_guard.reading.shapes import looks_like
from candor_guard.reading.text import decode_json, parse_json

__all__ = [
    "Item",
    "decode_json",
    "items_of",
    "line_items",
    "looks_like",
    "object_of",
    "parse_json",
    "read_items",
    "read_objects",
]
