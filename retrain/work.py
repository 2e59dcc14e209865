"""How much of a confirm run is done."""

from __future__ import annotations


class Work:
    """The share of the run that is done; a training counts as much as three evaluations."""

    def __init__(self, trainings: int) -> None:
        self._total = 4.0 * trainings + 1.0
        self._done = 0.0

    def at(self, *, training: float = 0.0, evaluation: float = 0.0) -> float:
        return (self._done + 3.0 * training + evaluation) / self._total

    def trained(self) -> None:
        self._done += 3.0

    def evaluated(self) -> None:
        self._done += 1.0
