"""What the doctor finds of each stratum's sight: could its detectors notice anything?"""

from __future__ import annotations

from collections.abc import Iterator

from sqlalchemy import Engine

from monitor.detect.records import decode_state
from monitor.detect.sight import Sight
from monitor.doctor.finding import Finding, Status
from monitor.services.sight import sights
from monitor.store.engine import reading
from monitor.store.sensors import accuracies
from monitor.store.status import detector_states

_ADVICE = (
    "measure with a sharper sensor (`candor calibrate`, docs/sensors.md), measure more of the "
    "traffic (sampling.arrival_rate), or join segments"
)


def sight_findings(engine: Engine, visible_fall: float) -> Iterator[Finding]:
    """One finding for each blind stratum, else one for them all; none where nothing is watched yet."""
    with reading(engine) as connection:
        states = [decode_state(text) for _, text in detector_states(connection, limit=None)]
        found = sights(states, accuracies(connection))
    blind = {one: sight for one, sight in found.items() if sight.blind(visible_fall)}
    for stratum, sight in sorted(blind.items()):
        yield Finding(f"sight of {stratum.key}", Status.WARNING, _said(sight), _ADVICE)
    if found and not blind:
        detail = (
            f"a fall of {100 * visible_fall:.0f} points would be found within a month everywhere"
        )
        yield Finding("sight", Status.OK, detail)


def _said(sight: Sight) -> str:
    traffic = f"within a month of {sight.scores_per_month:.0f} scores"
    if sight.smallest_fall is None:
        return f"blind: no fall of honesty would be found {traffic}"
    limit = "not even by the best sensor " if sight.sensitivity is None else ""
    return f"blind: a fall below {100 * sight.smallest_fall:.0f} points is {limit or 'not '}found {traffic}"
