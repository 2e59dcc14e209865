"""The part of the state that a key may see."""

from __future__ import annotations

import msgspec

from monitor.api.state import assistant_of
from monitor.http.access import Principal
from monitor.telemetry import State


def visible(state: State, principal: Principal) -> State:
    """The state of the principal's assistants; evaluators and workers concern everyone."""
    if principal.assistants is None:
        return state
    return msgspec.structs.replace(
        state,
        strata=tuple(s for s in state.strata if principal.sees(s.stratum.assistant)),
        own_acts=tuple(a for a in state.own_acts if principal.sees(a.assistant)),
        detectors=tuple(d for d in state.detectors if principal.sees(d.stratum.assistant)),
        alarms=tuple(
            a for a in state.alarms if (name := assistant_of(a)) is None or principal.sees(name)
        ),
        cohorts=tuple(c for c in state.cohorts if principal.sees(c.assistant)),
        gate=tuple(g for g in state.gate if principal.sees(g.assistant)),
        unattested_versions=tuple(u for u in state.unattested_versions if principal.sees(u[0])),
        confirm=tuple(r for r in state.confirm if principal.sees(r.assistant)),
    )
