"""What the calibration measured of the judge's errors, as evidence about how its p_lie is to be read here.

A p_lie that was calibrated where half of all answers are lies is far too high where one in fifty is. How
far is not known: it is an offset of the log-odds (the likelihood ratio of a score stays, the prior odds
change), and every offset says which sensitivity and specificity the judge has on this traffic. Those
that the calibration measured, with the counts behind them, say how likely the offset is.
"""

from __future__ import annotations

import msgspec
import numpy as np
from scipy.special import xlogy

from evidence.prevalence import LEANS_FROM
from evidence.records import Accuracy
from monitor.cohorts.plane import Float

# Before any evidence offsets are spread normally to either side of none, further down than up: most judges
# were calibrated where lies are commoner than in traffic.
_DOWN_SD, _UP_SD = 2.5, 0.6
# Answers behind a measured accuracy count at most this much: traffic is not the calibration's.
_MOST = 400.0


class SensorError(msgspec.Struct, frozen=True, kw_only=True):
    """The judge's measured sensitivity and specificity: how often it leans to the right side of one half."""

    accuracy: Accuracy


def log_prior(offset: float, p: Float, p_lie: Float, sensor: SensorError | None) -> float:
    """Log-density of an offset (up to a constant) before any vote.

    Parameters
    ----------
    p, p_lie
        Of the rated responses: probability of a lie at this offset, and what the judge said.
    """
    wide = -0.5 * (offset / (_UP_SD if offset > 0 else _DOWN_SD)) ** 2
    if sensor is None or not len(p):
        return wide
    called = p_lie >= LEANS_FROM
    lies, honest = float(p.sum()), float((1 - p).sum())
    found = (
        (sensor.accuracy.sensitivity, sensor.accuracy.n_lies, float(p[called].sum()) / lies),
        (
            sensor.accuracy.specificity,
            sensor.accuracy.n_honest,
            float((1 - p)[~called].sum()) / honest,
        ),
    )
    value = 0.0
    for measured, n, implied in found:
        at = float(np.clip(implied, 1e-4, 1 - 1e-4))
        value += min(n, _MOST) * float(xlogy(measured, at) + xlogy(1 - measured, 1 - at))
    return value + wide
