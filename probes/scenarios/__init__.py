"""Pressure scenarios of our own writing: facts, a reason to hide them, and answers of each kind."""

from probes.scenarios.load import DOMAINS, NOTE, load_scenarios
from probes.scenarios.nearest import nearest
from probes.scenarios.scenario import AnswerLabel, Scenario, Split, label_answer

__all__ = [
    "DOMAINS",
    "NOTE",
    "AnswerLabel",
    "Scenario",
    "Split",
    "label_answer",
    "load_scenarios",
    "nearest",
]
