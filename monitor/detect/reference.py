"""A reference as the scores of a window bound it."""

from __future__ import annotations

from collections.abc import Sequence

from evidence.confidence import upper_bound
from monitor.detect.options import DetectionOptions
from monitor.detect.records import METRICS, Reference

LEAST = 20
"""Fewer scores bound nothing: a re-scored or moved reference needs as many."""


def reference_of(
    scores: Sequence[float], *, source: str, log_position: int, options: DetectionOptions
) -> Reference:
    """The upper bound of the mean of scores, which errs for any of the metrics with `reference_error`."""
    error = options.reference_error / len(METRICS)
    return Reference(
        value=upper_bound(scores, error),
        source=source,
        log_position=log_position,
        n=len(scores),
        estimate=sum(scores) / len(scores),
        error=error,
    )
