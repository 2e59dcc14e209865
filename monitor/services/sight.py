"""What every stratum can see: its detector of lies beside the sensor's measured accuracy."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from evidence import Stratum
from evidence.records import Accuracy
from monitor.detect.records import StratumState
from monitor.detect.sight import Sight, sight_of
from monitor.store.sensors import Key


def sights(
    states: Iterable[StratumState], accuracies: Mapping[Key, Accuracy]
) -> dict[Stratum, Sight]:
    """Of each stratum's detector of lies under its latest evaluator; strata that still learn are left out."""
    found = {}
    for state in states:
        stratum = Stratum.of(state.stratum)
        for stream in state.streams:
            version = stream.evaluator_version
            if stream.metric != "lie" or [version] != list(state.evaluators[-1:]):
                continue
            known = accuracies.get((version, stratum.assistant)) or accuracies.get((version, ""))
            sight = sight_of(stream, sensitivity=known.sensitivity if known else None)
            if sight is not None:
                found[stratum] = sight
    return found
