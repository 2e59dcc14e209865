"""Latched alarms about the rater population."""

from __future__ import annotations

import math
from collections.abc import Mapping

import msgspec

from evidence import Alarm, AlarmSubject, digest
from monitor.cohorts.options import CohortOptions
from monitor.cohorts.results import Answer, CohortEstimate, Share
from monitor.cohorts.share import at_any_time

METRICS = ("biased_raters", "biased_weight")


class PopulationState(msgspec.Struct, frozen=True, kw_only=True):
    """What the alarms remember between refreshes.

    Parameters
    ----------
    open, opened
        Metrics whose alarm is open, and how many alarms opened so far.
    top_log_evidence
        The highest evidence so far, by metric; of a metric that was closed, since then.
    since_s
        By metric that was closed: when. What came before is no evidence for another alarm.
    """

    open: tuple[str, ...] = ()
    opened: int = 0
    refreshes: int = 0
    top_log_evidence: dict[str, float] = {}
    since_s: dict[str, float] = {}
    schema_version: int = 1

    def encode(self) -> bytes:
        """JSON text of the state."""
        return msgspec.json.encode(self)

    @classmethod
    def decode(cls, data: bytes | str) -> PopulationState:
        """The state of `encode`. Raises msgspec.ValidationError on anything else."""
        return msgspec.json.decode(data, type=cls)

    def closed(self, metric: str, at_s: float) -> PopulationState:
        """The state once a person closed the alarm about `metric`: its evidence starts anew."""
        if metric not in self.open:
            return self
        return msgspec.structs.replace(
            self,
            open=tuple(m for m in self.open if m != metric),
            top_log_evidence={m: top for m, top in self.top_log_evidence.items() if m != metric},
            since_s={**self.since_s, metric: at_s},
        )


def population_alarms(
    previous: PopulationState | None,
    estimate: CohortEstimate,
    *,
    scope: str,
    at_s: float,
    log_position: int,
    options: CohortOptions,
    since: Mapping[float, CohortEstimate] | None = None,
) -> tuple[PopulationState, list[Alarm]]:
    """Alarms that open at this refresh: the biased share of raters, or of training weight, is too high.

    The evidence is an e-process in the number of events, so looking after every refresh costs
    nothing: while its share stays within `options.limit` and the model holds, each metric alarms
    falsely with probability at most `options.false_alarm / 2`, ever, or since it was last closed.

    Parameters
    ----------
    scope
        The assistant whose raters these are.
    log_position
        Number of events up to the cut-off, or the position of the last one.
    since
        Estimates of what came since the times of `previous.since_s`, by time. A metric that was
        closed is judged by its own; without one it has no evidence.
    """
    state = previous or PopulationState()
    threshold = math.log(len(METRICS) / options.false_alarm)
    found: dict[str, float] = {}
    alarms: list[Alarm] = []
    for metric in METRICS:
        at_since = state.since_s.get(metric)
        judged = estimate if at_since is None else (since or {}).get(at_since)
        if judged is None:
            continue
        log_evidence, share = _evidence(metric, judged, options.confidence)
        found[metric] = log_evidence
        if metric in state.open or not log_evidence >= threshold:
            continue
        alarms.append(
            _alarm(
                metric,
                share,
                judged,
                evidence=(log_evidence, threshold),
                scope=scope,
                at_s=at_s,
                log_position=log_position,
                number=state.opened + len(alarms),
            )
        )
    top = state.top_log_evidence | {
        metric: max(state.top_log_evidence.get(metric, -1e300), value, -1e300)
        for metric, value in found.items()
    }
    state = msgspec.structs.replace(
        state,
        open=state.open + tuple(alarm.metric for alarm in alarms),
        opened=state.opened + len(alarms),
        refreshes=state.refreshes + 1,
        top_log_evidence=top,
    )
    return state, alarms


def _evidence(metric: str, estimate: CohortEstimate, confidence: float) -> tuple[float, Share]:
    """The evidence, and the share with an interval that holds at the moment that it crossed at."""
    if metric == "biased_raters":
        return estimate.log_evidence_raters, at_any_time(estimate.biased_fraction, confidence)
    return estimate.log_evidence_weight, at_any_time(estimate.biased_weight, confidence)


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
            f"{_percent(share)} [{share.lower:.1%}, {share.upper:.1%}]{_doubt(estimate)}"
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
            "answer": estimate.answer.value,
            "reasons": list(estimate.reasons),
            "contested_topics": [t.topic for t in estimate.topics if t.contested],
        },
    )


def _doubt(estimate: CohortEstimate) -> str:
    if estimate.answer is Answer.SAID:
        return ""
    return f"; {estimate.answer.value}: {'; '.join(estimate.reasons)}"


def _percent(share: Share) -> str:
    return "unknown" if share.estimate is None else f"{share.estimate:.1%}"
