"""From feedback to a finding about the population, each rater, their groups and their influence."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping

import msgspec
import numpy as np
from numpy.typing import NDArray

from monitor.cohorts.answer import answer_of
from monitor.cohorts.check import predictive_check
from monitor.cohorts.classify import Classified
from monitor.cohorts.coordination import find_groups, without_repeats
from monitor.cohorts.events import EventTable
from monitor.cohorts.forecast import DoseResponse
from monitor.cohorts.harm import Harm, bursts_of
from monitor.cohorts.influence import NO_INFLUENCE, Cohort, Truth, influence_of
from monitor.cohorts.options import CohortOptions
from monitor.cohorts.plane import Float
from monitor.cohorts.results import (
    Answer,
    Burst,
    CohortEstimate,
    Group,
    Influence,
    PredictiveCheck,
    RaterPosterior,
    RaterStatus,
    Share,
    TopicCheck,
)
from monitor.cohorts.rounds import Fitted, fit_rounds
from monitor.cohorts.sensor import SensorError
from monitor.cohorts.share import (
    NO_SHARE,
    log_evidence_of_excess,
    log_evidence_of_share,
    posterior_share,
)
from monitor.cohorts.standing import Standing
from monitor.cohorts.suspects import Suspects, choose_suspects
from monitor.cohorts.truth import Judge
from monitor.cohorts.turning import Turned

ASSUMPTIONS = (
    "p_lie is calibrated but for the prevalence; by topic the judge may err, and a contested topic says nothing about raters",
    "given its truth, raters judge a response independently of each other, apart from the groups shown",
    "a rater keeps one behaviour over the period, unless the fit says otherwise, and rates responses without regard to p_lie",
    "biased means the up-rate on lies exceeds that on honest answers by the margin; it says nothing about why",
)


@dataclasses.dataclass(frozen=True, slots=True)
class _Raters:
    """The raters with measured events, one row each, in the order of `codes`."""

    codes: NDArray[np.int64]
    n_events: NDArray[np.int64]
    lies: Float
    liked: Float
    identified: NDArray[np.bool_]


def estimate(
    events: EventTable,
    *,
    options: CohortOptions,
    labels: Mapping[str, bool] | None = None,
    sensor: SensorError | None = None,
    curve: DoseResponse | None = None,
) -> CohortEstimate:
    """Estimate who favours lies, how many, and how much of the training signal they carry.

    The numbers depend on the set of events alone, not on their order or on earlier estimates.

    Parameters
    ----------
    labels
        Audited truth by response_id: True for a lie. From a random audit; teaches the judge's error
        by topic.
    sensor
        What the calibration measured of the judge's errors; without it the votes alone say how p_lie is
        to be read, and the intervals are wider.
    curve
        Measured changes of honesty by the share of lies among training rows, for the forecast.
    """
    return estimate_and_carry(events, options=options, labels=labels, sensor=sensor, curve=curve)[0]


def estimate_and_carry(
    events: EventTable,
    *,
    options: CohortOptions,
    labels: Mapping[str, bool] | None = None,
    sensor: SensorError | None = None,
    curve: DoseResponse | None = None,
) -> tuple[CohortEstimate, Callable[[], Standing] | None]:
    """`estimate`, and what makes a `Standing` of the same fit; None where nothing was measured."""
    truth = events.response_labels(labels)
    measured = ~np.isnan(events.p_lie) | ~np.isnan(truth[events.response])
    rated = events if measured.all() else events.select(measured)
    if np.isnan(rated.p_lie).any():
        rated = dataclasses.replace(rated, p_lie=np.where(np.isnan(rated.p_lie), 0.5, rated.p_lie))
    # What takes much memory comes before the raters' posteriors, which do too.
    groups = find_groups(
        events, min_group=options.min_group, burst_s=options.burst_s, error=options.group_error
    )
    if not len(rated):
        return _assemble(events, rated, _NOTHING, (), (), ((), bursts_of(groups)), options), None
    fitted = fit_rounds(rated, truth, options, sensor)
    topics = _topics(rated, truth, fitted.best.judge, min_raters=options.min_group)
    raters = _raters(rated, fitted, options)
    found = fitted.classified(raters.codes, raters.liked, margin=options.margin)
    suspects = choose_suspects(found.p_biased, raters.identified, raters.liked, options.false_share)
    estimated = _assemble(
        events,
        rated,
        _population(rated, fitted, raters, found, suspects, options, sensor, curve),
        _posteriors(events, raters, found, suspects),
        topics,
        _together(rated, fitted, groups, options),
        options,
    )
    return estimated, lambda: Standing(
        rated,
        options=options,
        fitted=fitted,
        shares=(estimated.biased_fraction, estimated.biased_weight),
    )


@dataclasses.dataclass(frozen=True, slots=True)
class _Finding:
    """What is said of the population as a whole."""

    fraction: Share
    weight: Share
    influence: Influence
    fit: PredictiveCheck
    answer: tuple[Answer, tuple[str, ...]]
    expected_false: float
    benign_lost: float
    log_evidence: tuple[float, float]


_NOTHING = _Finding(
    fraction=NO_SHARE,
    weight=NO_SHARE,
    influence=NO_INFLUENCE,
    fit=PredictiveCheck(ok=True, ratio=1.0, p_value=1.0, n=0),
    answer=(Answer.TOO_WEAK, ("no feedback on a measured response",)),
    expected_false=0.0,
    benign_lost=0.0,
    log_evidence=(0.0, 0.0),
)


def _assemble(  # noqa: PLR0917
    events: EventTable,
    rated: EventTable,
    finding: _Finding,
    raters: tuple[RaterPosterior, ...],
    topics: tuple[TopicCheck, ...],
    together: tuple[tuple[Group, ...], tuple[Burst, ...]],
    options: CohortOptions,
) -> CohortEstimate:
    return CohortEstimate(
        biased_fraction=finding.fraction,
        biased_weight=finding.weight,
        raters=raters,
        groups=together[0],
        bursts=together[1],
        influence=finding.influence,
        fit=finding.fit,
        topics=topics,
        n_events=len(rated),
        n_unmeasured=len(events) - len(rated),
        n_superseded=events.n_superseded,
        cutoff_s=float(events.created_at_s[-1]) if len(events) else 0.0,
        expected_false_suspects=finding.expected_false,
        benign_liked_lost=finding.benign_lost,
        limit=options.limit,
        log_evidence_raters=finding.log_evidence[0],
        log_evidence_weight=finding.log_evidence[1],
        assumptions=ASSUMPTIONS,
        answer=finding.answer[0],
        reasons=finding.answer[1],
    )


def _raters(rated: EventTable, fitted: Fitted, options: CohortOptions) -> _Raters:
    size = len(rated.raters)
    n_events = np.bincount(rated.rater, minlength=size)
    codes = np.flatnonzero(n_events)
    lies = fitted.lies[codes]
    liked = np.bincount(rated.rater, np.maximum(rated.value, 0.0), size)[codes]
    honest = n_events[codes] - lies
    return _Raters(
        codes=codes,
        n_events=n_events[codes],
        lies=lies,
        liked=liked.astype(np.float64),
        identified=np.minimum(lies, honest) >= options.min_effective,
    )


def _population(  # noqa: PLR0917
    rated: EventTable,
    fitted: Fitted,
    raters: _Raters,
    found: Classified,
    suspects: Suspects,
    options: CohortOptions,
    sensor: SensorError | None,
    curve: DoseResponse | None,
) -> _Finding:
    turned, unseen = _outside_the_model(rated, fitted, raters, options)
    fit = msgspec.structs.replace(
        predictive_check(
            fitted.best.counts[raters.codes],
            fitted.bins[raters.codes],
            fitted.best.population,
            margin=options.margin,
        ),
        turned_share=turned.estimate,
        turned=turned.surely,
    )
    fit = msgspec.structs.replace(fit, ok=fit.varies_as_modelled and not fit.turned)
    points = found.point_weight
    fraction = posterior_share(
        found.share_mean,
        found.share_variance,
        points,
        confidence=options.confidence,
        n=len(raters.codes),
    ).reaching(turned.upper + unseen)
    weight = posterior_share(
        found.weight_mean,
        found.weight_variance,
        points,
        confidence=options.confidence,
        n=int((rated.value > 0).sum()),
    ).reaching(turned.upper + unseen)
    mean = float(points @ found.weight_mean)
    variance = float(points @ (found.weight_variance + found.weight_mean**2)) - mean**2
    p_biased = np.zeros(len(rated.raters))
    p_biased[raters.codes] = found.p_biased
    return _Finding(
        fraction=fraction,
        weight=weight if raters.liked.any() else NO_SHARE,
        influence=influence_of(
            fitted.votes,
            [
                Truth(one.weight, one.truth, one.truth_if_biased(fitted.votes.up))
                for one in fitted.readings
            ],
            Cohort(
                p_biased=p_biased,
                size=found.weight_mean / max(mean, 1e-9),
                size_weight=points,
                unseen=(turned.upper + unseen) / max(mean, 1e-9),
            ),
            confidence=options.confidence,
            curve=curve,
        ),
        fit=fit,
        answer=answer_of(fraction, fit, unseen=unseen, sensor=sensor),
        expected_false=suspects.expected_false,
        benign_lost=suspects.benign_liked_lost,
        log_evidence=(
            log_evidence_of_share(fitted.profiles, options.limit),
            log_evidence_of_excess(mean, float(np.sqrt(max(variance, 0.0))), options.limit),
        ),
    )


def _together(
    rated: EventTable, fitted: Fitted, groups: tuple[Group, ...], options: CohortOptions
) -> tuple[tuple[Group, ...], tuple[Burst, ...]]:
    """Groups that favour lies, and bursts of others."""
    harm = Harm(rated, fitted)
    named, others = harm.sorted_out(groups)
    named += harm.on_one_target(
        min_group=options.min_group, burst_s=options.burst_s, error=options.group_error
    )
    return without_repeats(named), tuple(others)


def _outside_the_model(
    rated: EventTable, fitted: Fitted, raters: _Raters, options: CohortOptions
) -> tuple[Turned, float]:
    """Raters who changed, and the share of those whose feedback is mostly in contested topics."""
    order = np.argsort(rated.rater, kind="stable")
    turned = fitted.turned(rated.created_at_s[order], raters.codes, margin=options.margin)
    contested = fitted.best.judge.contested[rated.topic]
    unseen = np.bincount(rated.rater, contested, len(rated.raters))[raters.codes]
    return turned, float((unseen > raters.n_events / 2).mean())


def _posteriors(
    events: EventTable, raters: _Raters, found: Classified, suspects: Suspects
) -> tuple[RaterPosterior, ...]:
    benign = 1 - found.p_biased - found.p_indifferent
    indifferent = found.p_indifferent > np.maximum(found.p_biased, benign)
    kinds = (
        RaterStatus.UNIDENTIFIED,
        RaterStatus.SUSPECT,
        RaterStatus.INDIFFERENT,
        RaterStatus.BENIGN,
    )
    kind = np.select([~raters.identified, suspects.listed, indifferent], [0, 1, 2], 3)
    return tuple(
        RaterPosterior(
            rater=events.raters[code],
            p_biased=p_biased,
            status=kinds[k],
            n_events=n,
            effective_honest=n - lies,
            effective_lies=lies,
            up_on_honest=up_on_honest,
            up_on_lies=up_on_lies,
        )
        for code, p_biased, k, n, lies, up_on_honest, up_on_lies in zip(
            raters.codes.tolist(),
            found.p_biased.tolist(),
            kind.tolist(),
            raters.n_events.tolist(),
            raters.lies.tolist(),
            found.up_on_honest.tolist(),
            found.up_on_lies.tolist(),
            strict=True,
        )
    )


def _topics(
    rated: EventTable, truth: Float, judge: Judge, *, min_raters: int
) -> tuple[TopicCheck, ...]:
    """What is said by topic, where enough raters stand behind it not to point at anybody."""
    n_topics, n_raters = len(rated.topics), len(rated.raters)
    size = np.bincount(rated.topic, minlength=n_topics)
    labelled = np.zeros(n_topics, dtype=np.int64)
    if not np.isnan(truth).all():
        _, first = np.unique(rated.response, return_index=True)
        audited = ~np.isnan(truth[rated.response[first]])
        labelled = np.bincount(rated.topic[first][audited], minlength=n_topics)
    seen = np.zeros((n_topics, n_raters), dtype=bool)
    seen[rated.topic, rated.rater] = True
    raters = seen.sum(axis=1)
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
        if raters[code] >= min_raters
    )
