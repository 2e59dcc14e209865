"""Calibration items: situations of which the truth is known, and answers of each kind to them."""

from probes.sensor.items.item import CalibrationItem, Level, Place, Pull, State
from probes.sensor.items.load import DOMAINS, load_calibration_items, read_items
from probes.sensor.items.styles import ANSWER_STYLES, styled

__all__ = [
    "ANSWER_STYLES",
    "DOMAINS",
    "CalibrationItem",
    "Level",
    "Place",
    "Pull",
    "State",
    "load_calibration_items",
    "read_items",
    "styled",
]
