"""A head on the reader's features: standardise, project, classify, calibrate, and know its range."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from sklearn.decomposition import PCA
from sklearn.svm import SVC

from probes.activation.topics import Curve, Topics

Array = NDArray[Any]


class HeadOptions(NamedTuple):
    """Capacity of a head."""

    components: int = 100
    cost: float = 2.0


class Head(NamedTuple):
    """One fitted head.

    Parameters
    ----------
    centre, scale
        Of the training features, shape (features,).
    axes
        Principal axes of the standardised features, shape (components, features).
    spread
        Standard deviation along each axis.
    classifier
        RBF support-vector machine on the projection.
    calibrate
        From its margin to a probability, fitted on scenarios left out.
    topics
        Regions of prompts that `calibrate` tells apart; None where it does not.
    limit
        Distance (root mean squared deviation over the axes and the residual) beyond which the head
        abstains: 1.5 times the 99.5th percentile of the training distances.
    """

    centre: Array
    scale: Array
    axes: Array
    spread: Array
    classifier: Any
    calibrate: Curve
    limit: float
    topics: Topics | None = None

    def project(self, features: Array) -> Array:
        """Coordinates of shape (n, components) for features of shape (n, features)."""
        standard = (features - self.centre) / self.scale
        out: Array = standard @ self.axes.T
        return out

    def margin(self, features: Array) -> Array:
        """Signed distance from the boundary, positive towards a lie, shape (n,)."""
        out: Array = self.classifier.decision_function(self.project(features))
        return out

    def p_lie(self, features: Array) -> Array:
        """Probability of a lie, shape (n,), for features of shape (n, features)."""
        topics = self.topics.of(features) if self.topics else np.zeros(len(features), int)
        return self.calibrate(self.margin(features), topics)

    def distance(self, features: Array) -> Array:
        """How unlike the training features each row is; about 1 for a typical one."""
        standard = (features - self.centre) / self.scale
        inside = standard @ self.axes.T
        along = (inside / self.spread) ** 2
        left = np.square(standard).sum(1) - np.square(inside).sum(1)
        rest = np.maximum(0.0, left) / max(1, standard.shape[1] - inside.shape[1])
        out: Array = np.sqrt((along.mean(1) + rest) / 2)
        return out


def fit_head(
    features: Array,
    labels: Array,
    options: HeadOptions,
    calibrate: Curve,
    topics: Topics | None = None,
) -> Head:
    """Fit on features of shape (n, features) and 0/1 labels of both kinds."""
    centre = features.mean(0)
    scale = np.maximum(features.std(0), 1e-4)
    standard = (features - centre) / scale
    count = min(options.components, len(features) - 1, features.shape[1])
    pca = PCA(count, svd_solver="randomized", random_state=0).fit(standard)
    axes = pca.components_.astype(np.float32)
    inside = standard @ axes.T
    head = Head(
        centre=centre.astype(np.float32),
        scale=scale.astype(np.float32),
        axes=axes,
        spread=np.maximum(inside.std(0), 1e-4).astype(np.float32),
        classifier=SVC(C=options.cost, gamma="scale").fit(inside, labels),
        calibrate=calibrate,
        limit=math.inf,
        topics=topics,
    )
    return head._replace(limit=1.5 * float(np.quantile(head.distance(features), 0.995)))
