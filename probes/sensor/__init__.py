"""A sensor: what `candor calibrate` fits to one assistant, so that its figures mean what they say there."""

from probes.sensor.calibrate import CalibrationOptions, calibrate
from probes.sensor.card import Card
from probes.sensor.fitting import Fitted, Setting, fit_sensor
from probes.sensor.sensor import Sensor, read_sensor, write_sensor

__all__ = [
    "CalibrationOptions",
    "Card",
    "Fitted",
    "Sensor",
    "Setting",
    "calibrate",
    "fit_sensor",
    "read_sensor",
    "write_sensor",
]
