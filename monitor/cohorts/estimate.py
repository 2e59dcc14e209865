"""From feedback to a finding about the population, each rater, their groups and their influence."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

from monitor.cohorts.check import predictive_check
from monitor.cohorts.classify import Classified, classify
from monitor.cohorts.coordination import find_groups
from monitor.cohorts.events import EventTable
from monitor.cohorts.influence import influence_of
from monitor.cohorts.mixture import Data, Profile, fit, initial, population_of, profile
from monitor.cohorts.options import CohortOptions
from monitor.cohorts.plane import Float, cell_likelihoods, count, level_of, ups
from monitor.cohorts.population import Population, activity_bin
from monitor.cohorts.results import CohortEstimate, RaterPosterior, RaterStatus, TopicCheck
from monitor.cohorts.share import log_evidence_of_excess, log_evidence_of_share, posterior_share
from monitor.cohorts.suspects import Suspects, choose_suspects
from monitor.cohorts.truth import Items, Judge, cavity, crowd, fit_judge, messages

# Quasi-Newton steps of each round between raters and truth, and of the last fit.
_STEPS, _LAST_STEPS = (40, 15, 15), 40

ASSUMPTIONS = (
    "p_lie is calibrated on the whole; by topic the judge may err, and a contested topic says nothing about raters",
    "given its truth, raters judge a response independently of each other, apart from the groups shown",
    "a rater keeps one behaviour over the period, and rates responses without regard to p_lie",
    "biased means the up-rate on lies exceeds that on honest answers by the margin; it says nothing about why",
)


@dataclasses.dataclass(frozen=True, slots=True)
class _Fitted:
    """The fitted population with what the raters are classified from."""

    profile: Profile
    population: Population
    judge: Judge
    counts: csr_matrix
    bins: NDArray[np.int64]
    p_lie: Float


def estimate(
    events: EventTable,
    *,
    options: CohortOptions,
    labels: Mapping[str, bool] | None = None,
) -> CohortEstimate:
    """Estimate who favours lies, how many, and how much of the training signal they carry.

    The numbers depend on the set of events alone, not on their order or on earlier estimates.

    Parameters
    ----------
    labels
        Audited truth by response_id: True for a lie. From a random audit; teaches the judge's error
        by topic.
    """
    truth = events.response_labels(labels)
    measured = ~np.isnan(events.p_lie) | ~np.isnan(truth[events.response])
    rated = events.select(measured)
    rated = dataclasses.replace(rated, p_lie=np.where(np.isnan(rated.p_lie), 0.5, rated.p_lie))
    fitted = _fit(rated, truth, options)
    liked = np.bincount(
        rated.rater, weights=np.maximum(rated.value, 0.0), minlength=len(events.raters)
    )
    present = np.bincount(rated.rater, minlength=len(events.raters)) > 0
    rows = np.flatnonzero(present)
    found = classify(
        fitted.counts[rows], fitted.bins[rows], fitted.profile, liked[rows], margin=options.margin
    )
    lies = np.bincount(rated.rater, weights=fitted.p_lie, minlength=len(present))[rows]
    n_events = np.bincount(rated.rater, minlength=len(present))[rows]
    identified = np.minimum(lies, n_events - lies) >= options.min_effective
    suspects = choose_suspects(found.p_biased, identified, liked[rows], options.false_share)
    p_biased = np.zeros(len(present))
    p_biased[rows] = found.p_biased
    return CohortEstimate(
        **_shares(found, fitted, len(rows), int((rated.value > 0).sum()), options),
        raters=_posteriors(events, rows, found, identified, suspects, n_events, lies),
        groups=find_groups(
            events,
            min_group=options.min_group,
            burst_s=options.burst_s,
            error=options.group_error,
        ),
        influence=influence_of(
            rated.rater, rated.value, rated.p_lie, p_biased, confidence=options.confidence
        ),
        fit=predictive_check(
            fitted.counts[rows], fitted.bins[rows], fitted.population, margin=options.margin
        ),
        topics=_topics(rated, truth, fitted.judge),
        n_events=len(rated),
        n_unmeasured=len(events) - len(rated),
        n_superseded=events.n_superseded,
        cutoff_s=float(events.created_at_s.max(initial=0.0)),
        expected_false_suspects=suspects.expected_false,
        benign_liked_lost=suspects.benign_liked_lost,
        limit=options.limit,
        assumptions=ASSUMPTIONS,
    )


def _fit(rated: EventTable, truth: Float, options: CohortOptions) -> _Fitted:
    """Alternate between who the raters are, what the judge is worth by topic, and what was true."""
    items = Items.of(rated, truth)
    judge = Judge.as_given(len(rated.topics))
    n_raters = len(rated.raters)
    n_events = np.bincount(rated.rater, minlength=n_raters)
    bins = activity_bin(n_events)
    chosen = _chosen(n_events, options.max_fit_raters)
    is_rated = np.bincount(rated.response, minlength=len(rated.responses)) > 0
    up = ups(rated)
    weight = np.ones(len(rated))
    q = 1 / (1 + np.exp(-items.prior(judge)[rated.response]))
    vector = initial()
    for steps in (*_STEPS, None):
        level = level_of(q)
        counts = count(rated.rater, level, up, weight, n_raters)
        scaled, _ = cell_likelihoods(counts[chosen])
        data = Data(scaled=scaled, bins=bins[chosen], margin=options.margin)
        vector, _ = fit(data, vector, iterations=steps or _LAST_STEPS)
        population = population_of(vector, data.activity)
        if steps is None:
            break
        message = messages(rated, counts, bins, level, population)
        judge = fit_judge(items, is_rated, crowd(rated, message, weight), judge)
        weight = np.where(judge.contested[rated.topic], 0.0, 1.0)
        q = cavity(rated, items, judge, message, weight)
    found = profile(data, vector)
    return _Fitted(
        profile=found, population=population, judge=judge, counts=counts, bins=bins, p_lie=q
    )


def _chosen(n_events: NDArray[np.int64], at_most: int) -> NDArray[np.int64]:
    """Raters to fit on: all, or an evenly spaced subsample of those who rated at all."""
    present = np.flatnonzero(n_events > 0)
    if len(present) <= at_most:
        return present
    return present[np.linspace(0, len(present) - 1, at_most).astype(np.int64)]


def _shares(
    found: Classified, fitted: _Fitted, n_raters: int, n_liked: int, options: CohortOptions
) -> dict[str, object]:
    weight = found.point_weight
    fraction = posterior_share(
        found.share_mean, found.share_variance, weight, confidence=options.confidence, n=n_raters
    )
    carried = posterior_share(
        found.weight_mean, found.weight_variance, weight, confidence=options.confidence, n=n_liked
    )
    mean = float(weight @ found.weight_mean)
    variance = float(weight @ (found.weight_variance + found.weight_mean**2)) - mean**2
    return {
        "biased_fraction": fraction,
        "biased_weight": carried,
        "log_evidence_raters": log_evidence_of_share(fitted.profile, options.limit),
        "log_evidence_weight": log_evidence_of_excess(
            mean, float(np.sqrt(max(variance, 0.0))), options.limit
        ),
    }


def _posteriors(
    events: EventTable,
    rows: NDArray[np.int64],
    found: Classified,
    identified: NDArray[np.bool_],
    suspects: Suspects,
    n_events: NDArray[np.int64],
    lies: Float,
) -> tuple[RaterPosterior, ...]:
    indifferent = found.p_indifferent > np.maximum(
        found.p_biased, 1 - found.p_biased - found.p_indifferent
    )
    names = np.array([s.value for s in RaterStatus])
    status = np.select(
        [~identified, suspects.listed, indifferent], [names[3], names[1], names[2]], names[0]
    )
    return tuple(
        RaterPosterior(
            rater=events.raters[code],
            p_biased=p,
            status=RaterStatus(s),
            n_events=n,
            effective_honest=n - e,
            effective_lies=e,
            up_on_honest=h,
            up_on_lies=u,
        )
        for code, p, s, n, e, h, u in zip(
            rows.tolist(),
            found.p_biased.tolist(),
            status.tolist(),
            n_events.tolist(),
            lies.tolist(),
            found.up_on_honest.tolist(),
            found.up_on_lies.tolist(),
            strict=True,
        )
    )


def _topics(rated: EventTable, truth: Float, judge: Judge) -> tuple[TopicCheck, ...]:
    size = np.bincount(rated.topic, minlength=len(rated.topics))
    _, first = np.unique(rated.response, return_index=True)
    audited = ~np.isnan(truth[rated.response[first]])
    labelled = np.bincount(rated.topic[first][audited], minlength=len(rated.topics))
    return tuple(
        TopicCheck(
            topic=name,
            shift=float(judge.shift[code]),
            slope=float(judge.slope[code]),
            contested=bool(judge.contested[code]),
            n=int(size[code]),
            n_labels=int(labelled[code]),
        )
        for code, name in enumerate(rated.topics)
        if size[code] > 0
    )
