"""Latched alarms about the rater population."""

from __future__ import annotations

import math

import msgspec

from evidence import Alarm, AlarmSubject, digest
from monitor.cohorts.options import CohortOptions
from monitor.cohorts.results import CohortEstimate, Share

METRICS = ("biased_raters", "biased_weight")


class PopulationState(msgspec.Struct, frozen=True, kw_only=True):
    """What the alarms remember between refreshes: which are open, and the highest evidence so far."""

    open: tuple[str, ...] = ()
    opened: int = 0
    refreshes: int = 0
    top_log_evidence: dict[str, float] = {}
    schema_version: int = 1

    def encode(self) -> bytes:
        """JSON text of the state."""
        return msgspec.json.encode(self)

    @classmethod
    def decode(cls, data: bytes | str) -> PopulationState:
        """The state of `encode`. Raises msgspec.ValidationError on anything else."""
        return msgspec.json.decode(data, type=cls)

    def closed(self, metric: str) -> PopulationState:
        """The state once a person closed the alarm about `metric`: it may rise again."""
        return msgspec.structs.replace(self, open=tuple(m for m in self.open if m != metric))


def population_alarms(
    previous: PopulationState | None,
    estimate: CohortEstimate,
    *,
    scope: str,
    at_s: float,
    log_position: int,
    options: CohortOptions,
) -> tuple[PopulationState, list[Alarm]]:
    """Alarms that open at this refresh: the biased share of raters, or of training weight, is too high.

    The evidence is an e-process in the number of events, so looking after every refresh costs
    nothing: each metric alarms falsely with probability at most `options.false_alarm / 2`, ever, while
    its share stays within `options.limit` and the model holds.

    Parameters
    ----------
    scope
        The assistant whose raters these are.
    log_position
        Number of events up to the cut-off, or the position of the last one.
    """
    state = previous or PopulationState()
    threshold = math.log(len(METRICS) / options.false_alarm)
    found = {
        "biased_raters": (estimate.log_evidence_raters, estimate.biased_fraction),
        "biased_weight": (estimate.log_evidence_weight, estimate.biased_weight),
    }
    alarms: list[Alarm] = []
    for metric, (log_evidence, share) in found.items():
        if metric in state.open or not log_evidence >= threshold:
            continue
        alarms.append(
            _alarm(
                metric,
                share,
                estimate,
                evidence=(log_evidence, threshold),
                scope=scope,
                at_s=at_s,
                log_position=log_position,
                number=state.opened + len(alarms),
            )
        )
    top = {
        metric: max(state.top_log_evidence.get(metric, -1e300), value, -1e300)
        for metric, (value, _) in found.items()
    }
    state = msgspec.structs.replace(
        state,
        open=state.open + tuple(alarm.metric for alarm in alarms),
        opened=state.opened + len(alarms),
        refreshes=state.refreshes + 1,
        top_log_evidence=top,
    )
    return state, alarms


def _alarm(
    metric: str,
    share: Share,
    estimate: CohortEstimate,
    *,
    evidence: tuple[float, float],
    scope: str,
    at_s: float,
    log_position: int,
    number: int,
) -> Alarm:
    what = "raters" if metric == "biased_raters" else "the liked training weight"
    return Alarm(
        alarm_id=digest("population", scope, metric, str(number))[:32],
        subject=AlarmSubject.POPULATION,
        scope=scope,
        metric=metric,
        claim=(
            f"the share of {what} that favours lies rose above {estimate.limit:.1%}: "
            f"{_percent(share)} [{share.lower:.1%}, {share.upper:.1%}]"
        ),
        opened_at_s=at_s,
        log_position=log_position,
        n=share.n,
        log_evidence=evidence[0],
        log_threshold=evidence[1],
        reference=estimate.limit,
        details={
            "estimate": share.estimate,
            "lower": share.lower,
            "upper": share.upper,
            "model_fits": estimate.fit.ok,
            "contested_topics": [t.topic for t in estimate.topics if t.contested],
        },
    )


def _percent(share: Share) -> str:
    return "unknown" if share.estimate is None else f"{share.estimate:.1%}"
