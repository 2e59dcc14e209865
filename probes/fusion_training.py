"""Fitting the fusion to labelled measurements, with scenarios kept whole."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedGroupKFold

from evidence import BadInputError
from probes.calibration import calibration_error, logit
from probes.evaluation import auroc
from probes.fusion import Fusion, FusionModel, Subset
from probes.refusal import REFUSAL
from probes.undecided import at_threshold, band

MIN_ROWS = 100
"""Labelled responses that a set of probes needs in common before a combination is fitted."""
FOLDS = 5
"""Parts that scenarios are split into, each left out once."""


def fit_fusion(
    scores: Sequence[Mapping[str, float]],
    labels: Sequence[bool],
    groups: Sequence[str],
    versions: Mapping[str, str],
) -> FusionModel:
    """A combination for every set of probes that measured enough responses in common.

    `scores` holds p_lie by probe for each response; `groups` its scenario. Bare refusals are left out:
    their verdict does not come from a fusion. The activation probe must not have been trained on these scenarios, or it gets all the weight. Raises BadInputError
    when no set has enough rows of both labels.
    """
    kept = [i for i, row in enumerate(scores) if REFUSAL not in row]
    scores = [scores[i] for i in kept]
    names = sorted({name for row in scores for name in row})
    y, g = np.asarray(labels, int)[kept], np.asarray(groups)[kept]
    subsets = {}
    for size in range(1, len(names) + 1):
        for chosen in itertools.combinations(names, size):
            rows = [i for i, row in enumerate(scores) if all(name in row for name in chosen)]
            if len(set(g[rows])) < FOLDS:
                continue
            if len(rows) >= MIN_ROWS and min(np.bincount(y[rows], minlength=2)) >= MIN_ROWS // 5:
                x = _logits(scores, rows, chosen)
                subsets["+".join(chosen)] = _subset(chosen, x, y[rows], g[rows])
    if not subsets:
        raise BadInputError(
            f"no set of probes has {MIN_ROWS} labelled responses of both kinds in {FOLDS} scenarios"
        )
    return FusionModel(subsets=subsets, probe_versions=dict(versions))


def left_out_p(
    scores: Sequence[Mapping[str, float]],
    labels: Sequence[bool],
    groups: Sequence[str],
    model: FusionModel,
) -> NDArray[np.float64]:
    """p_lie of each response by combinations that were fitted without its scenario.

    Each uses the largest fitted set among its probes, as `Fusion` does; NaN where there is none.
    """
    fusion, y, g = Fusion(model), np.asarray(labels, int), np.asarray(groups)
    used = [fusion.p_lie(row)[1] for row in scores]
    out = np.full(len(scores), np.nan)
    for names in set(used) - {()}:
        rows = [i for i, row in enumerate(scores) if all(name in row for name in names)]
        p = _crossed(_logits(scores, rows, names), y[rows], g[rows])
        mine = np.array([used[i] == names for i in rows])
        out[np.asarray(rows)[mine]] = p[mine]
    return out


def left_undecided(
    p: ArrayLike, labels: ArrayLike, groups: ArrayLike, lie_threshold: float
) -> NDArray[np.bool_]:
    """Which answers lie within bands that were found without their group, shape (n,).

    Parameters
    ----------
    p, labels
        As for `probes.undecided.band`, shape (n,).
    groups
        Wording of each, shape (n,); those of one group are left out together.
    """
    score, lie = np.asarray(p, float), np.asarray(labels, int)
    lower, upper = np.empty(len(score)), np.empty(len(score))
    split = StratifiedGroupKFold(FOLDS, shuffle=True, random_state=0)
    for rest, part in split.split(score, lie, np.asarray(groups)):
        lower[part], upper[part] = at_threshold(band(score[rest], lie[rest]), lie_threshold)
    return np.asarray((lower <= score) & (score < upper))


def _logits(
    scores: Sequence[Mapping[str, float]], rows: Sequence[int], names: Sequence[str]
) -> NDArray[Any]:
    return np.array([[logit(scores[i][name]) for name in names] for i in rows])


def _crossed(x: NDArray[Any], labels: NDArray[Any], groups: NDArray[Any]) -> NDArray[np.float64]:
    """Probability of each row by a regression fitted without its group."""
    p = np.zeros(len(labels))
    split = StratifiedGroupKFold(FOLDS, shuffle=True, random_state=0)
    for train, test in split.split(x, labels, groups):
        model = LogisticRegression(C=1.0).fit(x[train], labels[train])
        p[test] = model.predict_proba(x[test])[:, 1]
    return p


def _subset(
    names: Sequence[str], x: NDArray[Any], labels: NDArray[Any], groups: NDArray[Any]
) -> Subset:
    p = _crossed(x, labels, groups)
    error = calibration_error(p, labels, rng=np.random.default_rng(0))
    whole = LogisticRegression(C=1.0).fit(x, labels)
    return Subset(
        weights=dict(zip(names, map(float, whole.coef_[0]), strict=True)),
        intercept=float(whole.intercept_[0]),
        n=len(labels),
        prevalence=float(labels.mean()),
        calibration_error=error.estimate,
        calibration_error_upper=error.upper,
        auroc=auroc(labels, p),
        undecided=band(p, labels),
    )
