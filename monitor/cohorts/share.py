"""Intervals for realised shares, and anytime-valid evidence that a share exceeds a limit."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy.special import betainc, betaincinv, log_ndtr, logsumexp, ndtri

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


def log_evidence_of_share(profiles: Sequence[tuple[float, Profile]], limit: float) -> float:
    """Log of the mixture likelihood ratio of shares above `limit` against the best one within it.

    Every other parameter is refitted on both sides, and what the sensor leaves open counts for the
    limit: the best reading of it on that side against the mean of all readings on the other. So this is
    an e-process up to the profiles' asymptotics (a plug-in of Robbins' mixture; Howard et al. 2021,
    arXiv 1810.08240, section 3).

    Parameters
    ----------
    profiles
        Of every reading, with the reading's log-likelihood at the profile's top.
    """
    outside = np.linspace(limit, min(1.0, limit + 0.6), 241)[1:]
    density = np.exp(-0.5 * ((outside - limit) / _EXCESS_SD) ** 2)
    log_density = np.log(density / density.sum())
    inside, above = [], []
    for log_likelihood, profile in profiles:
        value = profile.log_likelihood - profile.log_likelihood.max() + log_likelihood
        at_limit = float(np.interp(limit, profile.share, value))
        inside.append(max(at_limit, float(value[profile.share <= limit].max(initial=-np.inf))))
        above.append(logsumexp(np.interp(outside, profile.share, value) + log_density))
    return float(logsumexp(above) - np.log(len(above)) - max(inside))


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


def at_any_time(share: Share, confidence: float) -> Share:
    """The share with an interval that holds at whatever moment it is looked at.

    An alarm is raised at the moment at which the evidence is highest, where an interval for a fixed
    moment covers too little. Robbins' normal mixture (Howard et al. 2021, section 3.5) at the
    interval's own standard error, on each side.
    """
    if share.estimate is None:
        return share
    z = float(ndtri((1 + confidence) / 2))

    def reach(half: float) -> float:
        s2, t2 = max(half / z, _MIN_SD) ** 2, _EXCESS_SD**2
        return float(
            np.sqrt(s2 * (s2 + t2) / t2 * (np.log((s2 + t2) / s2) - 2 * np.log(1 - confidence)))
        )

    return Share(
        estimate=share.estimate,
        lower=max(0.0, share.estimate - reach(share.estimate - share.lower)),
        upper=min(1.0, share.estimate + reach(share.upper - share.estimate)),
        n=share.n,
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
