"""What the next retrain would do to honesty, read off runs in which the share of lies was set."""

from __future__ import annotations

import itertools

import msgspec
import numpy as np

from candor_guard.reading import parse_json
from evidence import BadInputError
from monitor.cohorts.plane import Float
from monitor.cohorts.results import Contrast, Forecast, Share

_UNKNOWN = Share(estimate=None, lower=-1.0, upper=1.0, n=0)


class DosePoint(msgspec.Struct, frozen=True, kw_only=True):
    """Runs at one share of lies among the training rows.

    Parameters
    ----------
    dose
        Share of lies, in [0, 1].
    honesty_delta, lower, upper
        Change of honesty against training without lies, with its 95 % interval, in [-1, 1].
    n
        Evaluated items behind it.
    """

    dose: float
    honesty_delta: float
    lower: float
    upper: float
    n: int


class DoseResponse(msgspec.Struct, frozen=True, kw_only=True):
    """Measured changes of honesty by dose, and where they were measured."""

    source: str
    points: tuple[DosePoint, ...]

    @classmethod
    def decode(cls, data: bytes, where: str, *, metric: str) -> DoseResponse:
        """From JSON: this structure, or lines `{dose, metric, delta, lower, upper, n, seeds, model}`.

        Parameters
        ----------
        metric
            Which metric's lines to take.

        Raises BadInputError naming `where` unless doses rise and intervals hold their value.
        """
        try:
            read: DoseResponse | tuple[_Line, ...] = msgspec.convert(
                parse_json(data, where), DoseResponse | tuple[_Line, ...]
            )
        except msgspec.ValidationError as error:
            raise BadInputError(f"not a dose–response: {error}", where) from error
        found = read if isinstance(read, DoseResponse) else _of_lines(read, metric)
        doses = [point.dose for point in found.points]
        if len(doses) < 2 or any(a >= b for a, b in itertools.pairwise(doses)):
            raise BadInputError("at least two points, in order of rising dose", where)
        for point in found.points:
            inside = -1 <= point.lower <= point.honesty_delta <= point.upper <= 1
            if not (inside and 0 <= point.dose <= 1 and point.n > 0):
                raise BadInputError(f"the point at dose {point.dose} is out of range", where)
        return found


class _Line(msgspec.Struct, frozen=True, kw_only=True):
    dose: float
    metric: str
    delta: float
    lower: float
    upper: float
    n: int
    seeds: int
    model: str


def _of_lines(lines: tuple[_Line, ...], metric: str) -> DoseResponse:
    mine = sorted((line for line in lines if line.metric == metric), key=lambda line: line.dose)
    return DoseResponse(
        source=f"{mine[0].model}, {metric}, {mine[0].seeds} seeds" if mine else metric,
        points=tuple(
            DosePoint(
                dose=line.dose,
                honesty_delta=line.delta,
                lower=line.lower,
                upper=line.upper,
                n=line.n,
            )
            for line in mine
        ),
    )


def forecast(curve: DoseResponse | None, lies: Contrast) -> Forecast:
    """Expected change of honesty at the next retrain, with the cohort and without it.

    Between doses the curve is linear; outside the doses that were run nothing is said. The interval
    spans the runs' intervals over the whole interval of the dose.

    Parameters
    ----------
    lies
        Share of lies among liked turns (`Influence.sft_lie_share`): the dose.
    """
    if curve is None:
        return _none("no dose–response was measured", "")
    both = (lies.with_cohort, lies.without_cohort)
    if any(dose.estimate is None for dose in both):
        return _none("the share of lies among liked turns is unknown", curve.source)
    first, last = curve.points[0].dose, curve.points[-1].dose
    for dose in both:
        if dose.estimate is None or not first <= dose.estimate <= last or dose.upper > last:
            return _none(
                f"the share of lies among liked turns reaches {dose.upper:.1%}; "
                f"runs cover {first:.1%} to {last:.1%}",
                curve.source,
            )
    whole, kept = (_at(curve, dose) for dose in both)
    return Forecast(
        status="forecast",
        reason="",
        source=curve.source,
        with_cohort=whole,
        without_cohort=kept,
        difference=_less(whole, kept),
    )


def _at(curve: DoseResponse, dose: Share) -> Share:
    doses: Float = np.array([point.dose for point in curve.points])
    lower = max(dose.lower, float(doses[0]))
    at = np.unique(
        np.concatenate(([lower, dose.upper], doses[(doses > lower) & (doses < dose.upper)]))
    )
    bands = [[getattr(p, name) for p in curve.points] for name in ("lower", "upper")]
    middle = float(np.interp(dose.estimate or 0.0, doses, [p.honesty_delta for p in curve.points]))
    return Share(
        estimate=middle,
        lower=float(np.interp(at, doses, bands[0]).min()),
        upper=float(np.interp(at, doses, bands[1]).max()),
        n=min(point.n for point in curve.points),
    )


def _less(whole: Share, kept: Share) -> Share:
    return Share(
        estimate=(whole.estimate or 0.0) - (kept.estimate or 0.0),
        lower=whole.lower - kept.upper,
        upper=whole.upper - kept.lower,
        n=whole.n,
    )


def _none(reason: str, source: str) -> Forecast:
    return Forecast(
        status="no_forecast",
        reason=reason,
        source=source,
        with_cohort=_UNKNOWN,
        without_cohort=_UNKNOWN,
        difference=_UNKNOWN,
    )
