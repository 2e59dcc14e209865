"""Evaluation items of our own writing, and readers for published item files."""

from retrain.items.item import ARCHETYPES, DECEPTION, MASK, Archetype, Item
from retrain.items.load import DOMAINS, load_items, read_items

__all__ = [
    "ARCHETYPES",
    "DECEPTION",
    "DOMAINS",
    "MASK",
    "Archetype",
    "Item",
    "load_items",
    "read_items",
]
