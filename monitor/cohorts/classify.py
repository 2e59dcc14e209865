"""Posteriors of all raters under a fitted population, in chunks of bounded memory."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

from monitor.cohorts.mixture import Profile
from monitor.cohorts.plane import (
    CELLS,
    UP_ON_HONEST,
    UP_ON_LIES,
    Float,
    cell_likelihoods,
)
from monitor.cohorts.population import (
    BIASED,
    INDIFFERENT,
    Population,
)

_CHUNK = 20_000
_MIN_WEIGHT = 2e-3


@dataclasses.dataclass(frozen=True, slots=True)
class Classified:
    """Per rater, shape (raters,), and per point of the profile, shape (points,).

    Parameters
    ----------
    share_mean, share_variance
        Of the share of raters who are biased, given each point.
    weight_mean, weight_variance
        Of the biased raters' share of training weight, given each point.
    """

    p_biased: Float
    p_indifferent: Float
    up_on_honest: Float
    up_on_lies: Float
    point_weight: Float
    share_mean: Float
    share_variance: Float
    weight_mean: Float
    weight_variance: Float


def classify(
    counts: csr_matrix, bins: NDArray[np.int64], profile: Profile, liked: Float, *, margin: float
) -> Classified:
    """Class probabilities averaged over the profile, posterior mean rates, and shares by point.

    Parameters
    ----------
    counts
        As `plane.count` gives them, one row a rater.
    liked
        Training weight of each rater's liked turns, shape (raters,).
    """
    points, weight = _points(profile)
    n = counts.shape[0]
    cells = np.stack([p.cell_weights(margin) for p in points]).astype(np.float32)
    out = np.empty((n, 4))
    share, weighted = np.zeros((len(points), 2)), np.zeros((len(points), 2))
    middle = int(np.argmax(weight))
    for start in range(0, n, _CHUNK):
        rows = slice(start, min(start + _CHUNK, n))
        scaled = cell_likelihoods(counts[rows])
        posterior = _posteriors(scaled, cells, points, bins[rows])
        biased = posterior[:, :, BIASED]
        spread = biased * (1 - biased)
        share += np.column_stack((biased.sum(axis=1), spread.sum(axis=1)))
        own = liked[rows]
        weighted += np.column_stack((biased @ own, spread @ own**2))
        mean = np.tensordot(weight, posterior, axes=1)
        out[rows, 0], out[rows, 1] = mean[:, BIASED], mean[:, INDIFFERENT]
        out[rows, 2:] = _mean_rates(scaled, cells[middle], mean)
    total = max(float(liked.sum()), 1e-12)
    return Classified(
        p_biased=out[:, 0],
        p_indifferent=out[:, 1],
        up_on_honest=out[:, 2],
        up_on_lies=out[:, 3],
        point_weight=weight,
        share_mean=share[:, 0] / max(n, 1),
        share_variance=share[:, 1] / max(n, 1) ** 2,
        weight_mean=weighted[:, 0] / total,
        weight_variance=weighted[:, 1] / total**2,
    )


def merged(parts: Sequence[tuple[float, Classified]]) -> Classified:
    """What several fits say, each at its weight; the weights sum to one."""

    def mean(name: str) -> Float:
        return np.asarray(sum(weight * getattr(one, name) for weight, one in parts))

    def points(name: str) -> Float:
        return np.concatenate([getattr(one, name) for _, one in parts])

    return Classified(
        p_biased=mean("p_biased"),
        p_indifferent=mean("p_indifferent"),
        up_on_honest=mean("up_on_honest"),
        up_on_lies=mean("up_on_lies"),
        point_weight=np.concatenate([weight * one.point_weight for weight, one in parts]),
        share_mean=points("share_mean"),
        share_variance=points("share_variance"),
        weight_mean=points("weight_mean"),
        weight_variance=points("weight_variance"),
    )


def _points(profile: Profile) -> tuple[list[Population], Float]:
    """The profile's points that carry any weight."""
    keep = np.flatnonzero(profile.weight >= _MIN_WEIGHT)
    weight = profile.weight[keep]
    return [profile.populations[i] for i in keep], weight / weight.sum()


def _posteriors(
    scaled: NDArray[np.float32],
    cells: NDArray[np.float32],
    points: list[Population],
    bins: NDArray[np.int64],
) -> Float:
    """Posterior class probabilities at every point, shape (points, raters, 3)."""
    likelihood = scaled @ cells.transpose(1, 0, 2).reshape(CELLS, -1)
    shares = np.stack([p.shares for p in points])[:, bins]
    joint = shares * likelihood.reshape(len(scaled), len(points), 3).transpose(1, 0, 2)
    joint /= np.maximum(joint.sum(axis=2, keepdims=True), 1e-300)
    return joint


def _mean_rates(scaled: NDArray[np.float32], cells: NDArray[np.float32], posterior: Float) -> Float:
    """Posterior means of (up on honest, up on lies), shape (raters, 2)."""
    out = np.zeros((len(scaled), 2))
    mass = np.maximum(scaled @ cells, 1e-30)
    for kind, rate in enumerate((UP_ON_HONEST, UP_ON_LIES)):
        mean = (scaled @ (cells * rate.astype(np.float32)[:, None])) / mass
        out[:, kind] = (posterior * mean).sum(axis=1)
    return out
