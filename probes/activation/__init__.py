"""Activation probe: hidden states of a reader model, a calibrated head, and its artefact on disk.

Importing it needs the `local` extra.
"""

from probes.activation.artefact import Artefact, Card, load, load_card
from probes.activation.probe import ActivationProbe
from probes.activation.reader import Reader

__all__ = ["ActivationProbe", "Artefact", "Card", "Reader", "load", "load_card"]
