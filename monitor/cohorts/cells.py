"""The raters of an estimate as a picture that names nobody: cells of the plane of their up-rates."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable

from monitor.cohorts.results import Plane, PlaneCell, RaterPosterior, RaterStatus

SIDE = 20


def plane_of(raters: Iterable[RaterPosterior], *, least: int, margin: float) -> Plane:
    """Where the raters lie. Cells of fewer than `least` raters are left out and counted.

    Without `unidentified` raters: their posterior is the population's, all in one place.
    """
    found: dict[tuple[int, int], list[float]] = defaultdict(list)
    unidentified = 0
    for one in raters:
        if one.status is RaterStatus.UNIDENTIFIED:
            unidentified += 1
            continue
        found[_cell(one.up_on_honest), _cell(one.up_on_lies)].append(one.p_biased)
    return Plane(
        side=SIDE,
        cells=tuple(
            PlaneCell(across=across, up=up, n=len(chances), p_biased=sum(chances) / len(chances))
            for (across, up), chances in sorted(found.items())
            if len(chances) >= least
        ),
        hidden=sum(len(chances) for chances in found.values() if len(chances) < least),
        unidentified=unidentified,
        margin=margin,
    )


def _cell(rate: float) -> int:
    return min(SIDE - 1, max(0, int(rate * SIDE)))
