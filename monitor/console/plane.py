"""The plane of raters as circles of an SVG: ups on honest answers across, ups on lies upwards."""

from __future__ import annotations

import math

import msgspec

from monitor.cohorts.results import Plane

SIZE, _EDGE = 320.0, 40.0
_LEAST, _MOST = 2.5, 11.0
_SUSPECT, _DOUBTFUL = 0.5, 0.1


class Spot(msgspec.Struct, frozen=True, kw_only=True):
    """The raters of one cell: `kind` is suspect, doubtful or benign by their mean p_biased."""

    x: float
    y: float
    radius: float
    kind: str
    n: int
    p_biased: float
    on_honest: tuple[float, float]
    on_lies: tuple[float, float]


class Picture(msgspec.Struct, frozen=True, kw_only=True):
    """What a template draws; `line` is the edge beyond which somebody favours lies."""

    spots: tuple[Spot, ...]
    line: tuple[float, float, float, float]
    hidden: int
    unidentified: int


def picture_of(plane: Plane) -> Picture:
    """The area of a circle grows with its raters."""
    most = max((cell.n for cell in plane.cells), default=1)
    spots = [
        Spot(
            x=_x((cell.across + 0.5) / plane.side),
            y=_y((cell.up + 0.5) / plane.side),
            radius=round(max(_LEAST, _MOST * math.sqrt(cell.n / most)), 1),
            kind=_kind(cell.p_biased),
            n=cell.n,
            p_biased=cell.p_biased,
            on_honest=(cell.across / plane.side, (cell.across + 1) / plane.side),
            on_lies=(cell.up / plane.side, (cell.up + 1) / plane.side),
        )
        for cell in plane.cells
    ]
    return Picture(
        # Large circles first, so that small ones stay to be seen.
        spots=tuple(sorted(spots, key=lambda spot: -spot.radius)),
        line=(_x(0.0), _y(plane.margin), _x(1.0 - plane.margin), _y(1.0)),
        hidden=plane.hidden,
        unidentified=plane.unidentified,
    )


def _kind(p_biased: float) -> str:
    if p_biased >= _SUSPECT:
        return "suspect"
    return "doubtful" if p_biased >= _DOUBTFUL else "benign"


def _x(rate: float) -> float:
    return round(_EDGE + rate * (SIZE - _EDGE - 10.0), 1)


def _y(rate: float) -> float:
    return round(SIZE - _EDGE - rate * (SIZE - _EDGE - 10.0), 1)
