"""How much the biased cohort moves what training on feedback would learn about honesty."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import msgspec
import numpy as np
from scipy.special import ndtr, ndtri

from monitor.cohorts.forecast import DoseResponse, forecast
from monitor.cohorts.plane import Float
from monitor.cohorts.results import Contrast, Influence, Share
from monitor.cohorts.votes import Votes


@dataclasses.dataclass(frozen=True, slots=True)
class Truth:
    """One reading of the sensor, and what it says of the responses.

    Parameters
    ----------
    lie
        Probability that each response is a lie given its score and all votes, shape (responses,).
    if_biased
        The same for each event's response if the event's rater is biased, shape (events,).
    """

    weight: float
    lie: Float
    if_biased: Float


@dataclasses.dataclass(frozen=True, slots=True)
class Cohort:
    """Who may be in it.

    Parameters
    ----------
    p_biased
        Per rater code, shape (raters,).
    size, size_weight
        Its share of the liked weight relative to the mean, at points of the posterior, and their weights.
    unseen
        How much larger it may be for what the model does not see, relative to the mean.
    """

    p_biased: Float
    size: Float
    size_weight: Float
    unseen: float = 0.0


_UNKNOWN = Share(estimate=None, lower=-1.0, upper=1.0, n=0)
_NONE = Contrast(with_cohort=_UNKNOWN, without_cohort=_UNKNOWN, difference=_UNKNOWN)
NO_INFLUENCE = Influence(sft_lie_share=_NONE, kto_push=_NONE, forecast=forecast(None, _NONE))


def influence_of(
    votes: Votes,
    truths: Sequence[Truth],
    cohort: Cohort,
    *,
    confidence: float,
    curve: DoseResponse | None = None,
) -> Influence:
    """SFT and KTO signals with everyone, and with each rater weighted by the chance of being unbiased.

    p_lie says how often all answers with that score lie. Among the liked ones lies are fewer where most
    raters dislike them, so what counts is the posterior given the votes. The figures are about the rows
    at hand: nothing of them is a sample but the unknown truth and the unknown cohort.

    Parameters
    ----------
    curve
        Measured changes of honesty by the share of lies, for the forecast.
    """
    value = 2 * votes.up.astype(np.float64) - 1
    liked = np.maximum(value, 0.0)
    sft = _contrast(votes, (liked, liked), truths, cohort, confidence)
    kto = _contrast(votes, (value, np.abs(value)), truths, cohort, confidence, centred=True)
    return Influence(sft_lie_share=sft, kto_push=kto, forecast=forecast(curve, sft))


def _contrast(
    votes: Votes,
    ratio: tuple[Float, Float],
    truths: Sequence[Truth],
    cohort: Cohort,
    confidence: float,
    *,
    centred: bool = False,
) -> Contrast:
    """Sum of top x truth over the sum of bottom, with and without the cohort, at every reading.

    Who is in the cohort and what was true depend on each other: an answer that a biased rater liked is a
    lie more often. Truths are independent between responses given the reading, memberships between
    raters; both enter by the linearised ratio. How large the cohort is as a whole moves all memberships
    together, so the difference is spread in proportion. A centred contrast is about the truth less its mean.
    """
    top, bottom = ratio
    p_biased = cohort.p_biased
    p = p_biased[votes.rater]
    all_bottom, kept_bottom = float(bottom.sum()), float(((1 - p) * bottom).sum())
    if all_bottom <= 0 or kept_bottom <= 0 or not truths:
        return _NONE
    doubt = p_biased * (1 - p_biased)
    mean, sd = np.zeros((3, len(truths))), np.zeros((3, len(truths)))
    for k, one in enumerate(truths):
        lie = one.lie[votes.response]
        base = float(lie.mean()) if centred else 0.0
        whole = float(top @ (lie - base)) / all_bottom
        of_cohort = top * (one.if_biased - base)
        kept = (float(top @ (lie - base)) - float(p @ of_cohort)) / kept_bottom
        mean[:, k] = whole, kept, whole - kept
        # How far each rater, in or out of the cohort, moves the figure without it.
        moved = np.bincount(votes.rater, of_cohort - kept * bottom, len(p_biased)) / kept_bottom
        membership = float(doubt @ moved**2)
        pulls = [top / all_bottom, (1 - p) * top / kept_bottom]
        if centred:
            pulls = [pull - pull.sum() / len(pull) for pull in pulls]
        for row, pull in enumerate((*pulls, pulls[0] - pulls[1])):
            of_response = np.bincount(votes.response, pull, len(one.lie))
            spread = float((one.lie * (1 - one.lie)) @ of_response**2)
            sd[row, k] = np.sqrt(spread + (membership if row else 0.0))
    readings = np.array([one.weight for one in truths])
    weight = np.outer(readings, cohort.size_weight).ravel()
    size = np.tile(cohort.size, len(truths))
    mean, sd = (np.repeat(one, len(cohort.size), axis=1) for one in (mean, sd))
    mean[1] = mean[0] - size * mean[2]
    mean[2] *= size
    n = int((bottom > 0).sum())
    everyone, others, difference = (_share(mean[i], sd[i], weight, confidence, n) for i in range(3))
    # As many more may be in the cohort as the model cannot see, each moving as much as the known ones.
    further = cohort.unseen * (difference.estimate or 0.0)
    return Contrast(
        with_cohort=everyone,
        without_cohort=_reaching(others, -further),
        difference=_reaching(difference, further),
    )


def _reaching(share: Share, by: float) -> Share:
    return msgspec.structs.replace(
        share, lower=share.lower + min(by, 0.0), upper=share.upper + max(by, 0.0)
    )


def _share(mean: Float, sd: Float, weight: Float, confidence: float, n: int) -> Share:
    """Mean and central interval of a mixture of normals."""
    sd = np.maximum(sd, 1e-9)
    reach = float(ndtri((3 + confidence) / 4)) * sd

    def quantile(level: float) -> float:
        lower, upper = float((mean - 2 * reach).min()), float((mean + 2 * reach).max())
        for _ in range(60):
            middle = (lower + upper) / 2
            if weight @ ndtr((middle - mean) / sd) < level:
                lower = middle
            else:
                upper = middle
        return (lower + upper) / 2

    return Share(
        estimate=float(weight @ mean),
        lower=quantile((1 - confidence) / 2),
        upper=quantile((1 + confidence) / 2),
        n=n,
    )
