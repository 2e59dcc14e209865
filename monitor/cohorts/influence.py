"""How much the biased cohort moves what training on feedback would learn about honesty."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri

from monitor.cohorts.forecast import DoseResponse, forecast
from monitor.cohorts.plane import Float
from monitor.cohorts.results import Contrast, Influence, Share


def influence_of(
    rater: NDArray[np.int32],
    value: Float,
    p_lie: Float,
    p_biased: Float,
    *,
    confidence: float,
    curve: DoseResponse | None = None,
) -> Influence:
    """SFT and KTO signals with everyone, and with each rater weighted by the chance of being unbiased.

    p_lie is the judge's alone: the crowd's word on the truth may not enter a figure about the crowd.

    Parameters
    ----------
    rater, value, p_lie
        The measured events, shape (n,).
    p_biased
        Per rater code, shape (raters,).
    curve
        Measured changes of honesty by the share of lies, for the forecast.
    """
    liked = np.maximum(value, 0.0)
    n_raters = len(p_biased)
    base = float(p_lie.mean()) if len(p_lie) else 0.0

    def by_rater(column: Float) -> Float:
        return np.bincount(rater, weights=column, minlength=n_raters).astype(np.float64)

    sft = _contrast(
        by_rater(liked * p_lie), by_rater(liked), p_biased, confidence, int((liked > 0).sum())
    )
    kto = _contrast(
        by_rater(value * (p_lie - base)), by_rater(np.abs(value)), p_biased, confidence, len(value)
    )
    return Influence(sft_lie_share=sft, kto_push=kto, forecast=forecast(curve, sft))


def _contrast(top: Float, bottom: Float, p_biased: Float, confidence: float, n: int) -> Contrast:
    """A ratio of sums over raters, with and without the cohort.

    Variances by the linearised ratio with raters as clusters (Särndal et al., 1992, section 5.6), plus
    that of not knowing who is in the cohort.
    """
    z = float(ndtri((1 + confidence) / 2))
    keep = 1 - p_biased
    all_bottom, kept_bottom = float(bottom.sum()), float((keep * bottom).sum())
    if all_bottom <= 0 or kept_bottom <= 0:
        unknown = Share(estimate=None, lower=-1.0, upper=1.0, n=0)
        return Contrast(with_cohort=unknown, without_cohort=unknown, difference=unknown)
    whole, kept = float(top.sum()) / all_bottom, float((keep * top).sum()) / kept_bottom
    pull_all = (top - whole * bottom) / all_bottom
    pull_kept = (top - kept * bottom) / kept_bottom
    membership = float((p_biased * keep * pull_kept**2).sum())

    def share(estimate: float, pull: Float, extra: float) -> Share:
        half = z * float(np.sqrt(float((pull**2).sum()) + extra))
        return Share(estimate=estimate, lower=estimate - half, upper=estimate + half, n=n)

    return Contrast(
        with_cohort=share(whole, pull_all, 0.0),
        without_cohort=share(kept, keep * pull_kept, membership),
        difference=share(whole - kept, pull_all - keep * pull_kept, membership),
    )
