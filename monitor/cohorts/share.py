"""Intervals for realised shares, and anytime-valid evidence that a share exceeds a limit."""

from __future__ import annotations

import numpy as np
from scipy.special import betainc, betaincinv, log_ndtr

from monitor.cohorts.mixture import Profile
from monitor.cohorts.plane import Float
from monitor.cohorts.results import Share

# Scale of the excess over the limit that evidence is spread over: a half-normal prior.
_EXCESS_SD = 0.05
_MIN_SD = 1e-4
NO_SHARE = Share(estimate=None, lower=0.0, upper=1.0, n=0)


def posterior_share(
    mean: Float, variance: Float, weight: Float, *, confidence: float, n: int
) -> Share:
    """Mean and shortest credible interval of a mixture of Betas given by their moments.

    The shortest one reaches down to nothing where there may be nothing; a central one never does.

    Parameters
    ----------
    mean, variance, weight
        Shape (points,): the share given each point of the profile, and the points' weights.
    """
    m = np.clip(mean, 1e-6, 1 - 1e-6)
    size = np.maximum(m * (1 - m) / np.maximum(variance, 1e-12) - 1, 1.0)
    a, b = m * size, (1 - m) * size
    estimate = float(weight @ m)
    lower, upper = _shortest(a, b, weight, confidence)
    return Share(estimate=estimate, lower=min(lower, estimate), upper=max(upper, estimate), n=n)


def log_evidence_of_share(profile: Profile, limit: float) -> float:
    """Log of the mixture likelihood ratio of shares above `limit` against the best one within it.

    Every other parameter is refitted on both sides, so this is an e-process up to the profile's
    asymptotics (a plug-in of Robbins' mixture; Howard et al. 2021, arXiv 1810.08240, section 3).
    """
    within = profile.log_likelihood[profile.share <= limit]
    at_limit = np.interp(limit, profile.share, profile.log_likelihood)
    best_inside = max(float(at_limit), float(within.max(initial=-np.inf)))
    outside = np.linspace(limit, min(1.0, limit + 0.6), 241)[1:]
    value = np.interp(outside, profile.share, profile.log_likelihood)
    density = np.exp(-0.5 * ((outside - limit) / _EXCESS_SD) ** 2)
    log_density = np.log(density / density.sum())
    top = (value + log_density).max()
    return float(top + np.log(np.exp(value + log_density - top).sum()) - best_inside)


def log_evidence_of_excess(mean: float, sd: float, limit: float) -> float:
    """Log of Robbins' one-sided normal mixture for an estimate `mean` with standard error `sd`.

    The asymptotic confidence sequence of Waudby-Smith et al. (2024, arXiv 2103.06476), as a test.
    """
    s2, t2 = max(sd, _MIN_SD) ** 2, _EXCESS_SD**2
    x = mean - limit
    return float(
        np.log(2)
        + 0.5 * np.log(s2 / (s2 + t2))
        + x * x * t2 / (2 * s2 * (s2 + t2))
        + log_ndtr(x * np.sqrt(t2 / (s2 * (s2 + t2))))
    )


def _shortest(a: Float, b: Float, weight: Float, confidence: float) -> tuple[float, float]:
    outside = 1 - confidence
    intervals = []
    for below in np.linspace(0.0, outside, 9):
        lower = _mixture_quantile(a, b, weight, below) if below else 0.0
        intervals.append((lower, _mixture_quantile(a, b, weight, below + confidence)))
    return min(intervals[:-1], key=lambda pair: pair[1] - pair[0])


def _mixture_quantile(a: Float, b: Float, weight: Float, level: float) -> float:
    lower, upper = 0.0, float(betaincinv(a, b, 1 - 1e-9).max())
    for _ in range(60):
        middle = (lower + upper) / 2
        if weight @ betainc(a, b, middle) < level:
            lower = middle
        else:
            upper = middle
    return float((lower + upper) / 2)
