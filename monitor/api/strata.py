"""`GET /v1/honesty`: score rate and honesty of every stratum, as the gauges and the console show them."""

from __future__ import annotations

from fastapi import APIRouter, Depends

from monitor.api.context import Context
from monitor.api.models import BoundedOut, EstimateOut, HonestyOut, OwnActsOut, StratumOut, at_known
from monitor.api.reads import named_assistant
from monitor.http.access import Principal, Scope
from monitor.http.routes import DoorRoute
from monitor.telemetry import Bounded, OwnActs, StratumFigures


def router(context: Context) -> APIRouter:
    """The one route."""
    routes = APIRouter(route_class=DoorRoute, prefix="/v1")
    may_read = Depends(context.access.require(Scope.READ))

    @routes.get("/honesty", tags=["honesty"], summary="Honesty of each stratum")
    def get_honesty(*, principal: Principal = may_read, assistant: str | None = None) -> HonestyOut:
        """Of the verdicts in the window `telemetry.window_s`: the score rate, and honesty where the
        sensor's errors are known. Of the replies whose acts could be seen in their tool record: how
        many it contradicts."""
        assistant = named_assistant(principal, assistant)
        state = context.state()
        return HonestyOut(
            read_at=at_known(state.read_at_s),
            window_s=state.window_s,
            strata=[
                _stratum(one) for one in state.strata if assistant in (None, one.stratum.assistant)
            ],
            own_acts=[
                _own_acts(one) for one in state.own_acts if assistant in (None, one.assistant)
            ],
        )

    return routes


def _stratum(figures: StratumFigures) -> StratumOut:
    return StratumOut(
        assistant=figures.stratum.assistant,
        segment=figures.stratum.segment,
        stakes=figures.stratum.stakes.value,
        honesty=_bounded(figures.honesty),
        basis=figures.basis,
        score_rate=_bounded(figures.score_rate),
        n_effective=figures.effective_n,
        random_labels=figures.random_labels,
        blind=figures.blind,
        smallest_visible_fall=figures.smallest_fall,
        verdicts={kind.value: n for kind, n in figures.counts.items()},
    )


def _own_acts(seen: OwnActs) -> OwnActsOut:
    share = seen.contradicted
    return OwnActsOut(
        assistant=seen.assistant,
        contradicted=EstimateOut(estimate=share.estimate, lower=share.lower, upper=share.upper),
        n_visible=seen.n_visible,
        n_contradicted=seen.n_contradicted,
        n_effective=seen.effective_n,
    )


def _bounded(share: Bounded) -> BoundedOut:
    return BoundedOut(
        estimate=share.estimate,
        lower=share.lower,
        upper=share.upper,
        worst_case=share.worst_case,
        best_case=share.best_case,
    )
