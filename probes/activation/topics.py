"""How far a head's margin can be trusted, by what the prompt is about."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from sklearn.cluster import KMeans
from sklearn.decomposition import PCA
from sklearn.linear_model import LogisticRegression

from probes.calibration import Monotone, Platt

Array = NDArray[Any]

TOPICS = 8
ROWS_PER_TOPIC = 40
"""Training prompts below which there is one topic less."""
_COMPONENTS = 20
_INVERSE_PENALTY = 0.1
_EDGE = 0.02


class Topics(NamedTuple):
    """Regions of prompts: k-means on the principal axes of the prompt's mean state.

    Parameters
    ----------
    centre, scale
        Of the training prompts, shape (width,).
    axes
        Principal axes, shape (components, width).
    centres
        Shape (topics, components).
    """

    centre: Array
    scale: Array
    axes: Array
    centres: Array

    def of(self, features: Array) -> Array:
        """The nearest region of each row, shape (n,), from features of the `contrast` view."""
        inside = ((prompt_mean(features) - self.centre) / self.scale) @ self.axes.T
        away = np.square(inside[:, None] - self.centres[None]).sum(-1)
        out: Array = away.argmin(1)
        return out


class Curve(NamedTuple):
    """From a margin to a probability: one rising curve, then a line on its log-odds by topic.

    A slope near zero says that the head could not tell lies from honest answers there, and its
    probability stays near the share of lies. No slope is negative, so that within a topic the order
    of the margins is kept. Without topics it is the rising curve alone.
    """

    base: Monotone
    by_topic: tuple[Platt, ...] = ()

    def __call__(self, margins: Array, topics: Array) -> Array:
        """Probabilities of shape (n,) for margins and topics of shape (n,)."""
        p = np.array([self.base(float(margin)) for margin in margins])
        if not self.by_topic:
            return p
        lines = np.array(self.by_topic)[topics.astype(int)]
        out: Array = 1 / (1 + np.exp(-(lines[:, 0] * _log_odds(p) + lines[:, 1])))
        return out


def prompt_mean(features: Array) -> Array:
    """The prompt's mean state, shape (n, width), out of `contrast` features: what the response's
    mean was set off against."""
    width = features.shape[1] // 3
    out: Array = features[:, 2 * width :] - features[:, :width]
    return out


def fit_topics(features: Array) -> Topics | None:
    """Regions of the training prompts; None when there are too few for two."""
    count = min(TOPICS, len(features) // ROWS_PER_TOPIC)
    if count < 2:
        return None
    prompts = prompt_mean(features)
    centre, scale = prompts.mean(0), np.maximum(prompts.std(0), 1e-4)
    standard = (prompts - centre) / scale
    pca = PCA(min(_COMPONENTS, prompts.shape[1]), svd_solver="randomized", random_state=0).fit(
        standard
    )
    axes = pca.components_.astype(np.float32)
    found = KMeans(count, n_init=4, random_state=0).fit(standard @ axes.T)
    return Topics(
        centre.astype(np.float32),
        scale.astype(np.float32),
        axes,
        found.cluster_centers_.astype(np.float32),
    )


def fit_by_topic(base: Monotone, margins: Array, topics: Array, labels: Array, count: int) -> Curve:
    """A line for each of `count` topics, drawn towards a common one by an L2 penalty.

    `margins` are of heads that never saw the row; all have shape (n,).
    """
    z = _log_odds(np.array([base(float(margin)) for margin in margins]))
    where = np.eye(count)[topics]
    design = np.column_stack([z, where * z[:, None], where])
    model = LogisticRegression(C=_INVERSE_PENALTY, max_iter=1000).fit(design, labels)
    weights, shared = model.coef_[0], float(model.intercept_[0])
    slopes: Sequence[float] = np.maximum(0.0, weights[0] + weights[1 : 1 + count]).tolist()
    offsets: Sequence[float] = (shared + weights[1 + count :]).tolist()
    return Curve(base, tuple(Platt(a, b) for a, b in zip(slopes, offsets, strict=True)))


def _log_odds(p: Array) -> Array:
    clipped = np.clip(p, _EDGE, 1 - _EDGE)
    out: Array = np.log(clipped / (1 - clipped))
    return out
