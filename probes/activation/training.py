"""Fitting an activation probe with scenarios kept whole, and measuring it on scenarios left out."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Any, NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import StratifiedGroupKFold

from evidence import BadInputError, Message
from probes.activation.head import Head, HeadOptions, fit_head
from probes.activation.reader import Reader, Reading
from probes.activation.style import STYLES, restyle
from probes.calibration import Monotone, Platt, calibration_error, fit_monotone
from probes.grouping import scenario_group
from probes.models.chat import Progress
from probes.probe import Transcript

Array = NDArray[Any]

_CHUNK = 64
_RAW = Monotone((0.0,), (0.5,), Platt(1.0, 0.0))
SHORT = 8
"""A response of at most this many tokens is a pick (a letter, yes, a number); longer is prose.

The two forms have a head each: the mean over one token is that token, and means another thing than
the mean over a paragraph.
"""


class Example(NamedTuple):
    """A labelled transcript; `kind` only splits the figures, it is never learned from."""

    transcript: Transcript
    label: bool
    kind: str = ""


class Examples(NamedTuple):
    """Features of labelled transcripts, of shape (n, layers, features), and a restyled copy of each."""

    features: Array
    restyled: Array
    is_short: Array
    labels: Array
    groups: Array
    kinds: Array


class Quality(msgspec.Struct, frozen=True):
    """Figures on scenarios left out of the fit."""

    n: int
    auroc: float
    calibration_error: float
    auroc_restyled: float


class Fit(NamedTuple):
    """The heads by form, the layer they read, their figures, and p_lie left out, also restyled."""

    layer: int
    heads: dict[str, Head]
    quality: dict[str, Quality]
    held_out: Array
    held_out_restyled: Array
    layer_auroc: dict[int, float]


def read_examples(
    reader: Reader,
    examples: Sequence[Example],
    seed: int = 0,
    progress: Progress | None = None,
) -> Examples:
    """Read every example twice: as it is, and in a random other style."""
    usable = [e for e in examples if e.transcript.response.strip()]
    if len({e.label for e in usable}) < 2:
        raise BadInputError("training needs lies and honest answers")
    rng = random.Random(seed)  # noqa: S311 (styles, not secrets)
    copies = [_restyled(e.transcript, rng) for e in usable]
    originals = [e.transcript for e in usable]
    report = progress or (lambda _what, _share: None)
    both: list[Reading] = []
    todo = originals + copies
    for start in range(0, len(todo), _CHUNK):
        both += reader.read(todo[start : start + _CHUNK])
        report("reading transcripts", 0.9 * len(both) / len(todo))
    plain, other = both[: len(usable)], both[len(usable) :]
    return Examples(
        features=np.stack([reading.windows[0] for reading in plain]),
        restyled=np.stack([reading.windows[0] for reading in other]),
        is_short=np.array([reading.n_response <= SHORT for reading in plain]),
        labels=np.array([int(e.label) for e in usable]),
        groups=np.array([scenario_group(e.transcript) for e in usable]),
        kinds=np.array([e.kind for e in usable]),
    )


def fit(
    data: Examples, layers: Sequence[int], options: HeadOptions | None = None, *, folds: int = 5
) -> Fit:
    """Choose the layer by grouped cross-validation, then fit both heads on everything.

    The layer is the one with the best mean AUROC over the two forms on scenarios left out; that
    choice is among few layers, and the figures reported for it are the same folds' (so slightly
    hopeful, by less than the spread over layers that the card lists).
    """
    options = options or HeadOptions()
    margins = {k: left_out(data, k, options, folds=folds) for k in range(len(layers))}
    scores = {k: _mean_auroc(data, found) for k, (found, _) in margins.items()}
    best = max(scores, key=lambda k: scores[k])
    margin, restyled = margins[best]
    heads, quality = {}, {}
    p, p_restyled = np.zeros(len(data.labels)), np.zeros(len(data.labels))
    for form, part in _forms(data):
        calibrate = fit_monotone(margin[part], data.labels[part])
        p[part], p_restyled[part] = _calibrated_apart(data, part, margin, restyled, folds)
        heads[form] = fit_head(*_augmented(data, best, part), options, calibrate)
        quality[form] = _quality(data.labels[part], margin[part], restyled[part], p[part])
    if not heads:
        raise BadInputError("too few lies and honest answers of one form to train on")
    table = {layers[k]: round(score, 4) for k, score in scores.items()}
    return Fit(layers[best], heads, quality, p, p_restyled, table)


def left_out(
    data: Examples, layer: int, options: HeadOptions, *, folds: int = 5, seed: int = 0
) -> tuple[Array, Array]:
    """Margins of each example, and of its restyled copy, by heads that never saw its scenario."""
    plain, other = np.zeros(len(data.labels)), np.zeros(len(data.labels))
    for _, part in _forms(data):
        n_folds = min(folds, len(set(data.groups[part])))
        split = StratifiedGroupKFold(n_folds, shuffle=True, random_state=seed)
        for train, test in split.split(part, data.labels[part], data.groups[part]):
            if len(set(data.labels[part[train]])) < 2:
                continue
            head = fit_head(*_augmented(data, layer, part[train]), options, _RAW)
            plain[part[test]] = head.margin(data.features[part[test], layer])
            other[part[test]] = head.margin(data.restyled[part[test], layer])
    return plain, other


def kind_left_out(data: Examples, layer: int, options: HeadOptions) -> Array:
    """Margins of each example by heads that never saw its kind nor its scenario."""
    out = np.full(len(data.labels), np.nan)
    for kind in np.unique(data.kinds):
        test = data.kinds == kind
        keep = ~test & ~np.isin(data.groups, data.groups[test])
        for _, part in _forms(data):
            train, target = part[keep[part]], part[test[part]]
            if not len(target):
                continue
            if len(set(data.labels[train])) < 2 or len(train) < 20:
                train = np.flatnonzero(keep)  # no other kind has this form: all forms teach it
            if len(set(data.labels[train])) == 2:
                head = fit_head(*_augmented(data, layer, train), options, _RAW)
                out[target] = head.margin(data.features[target, layer])
    return out


def _forms(data: Examples) -> list[tuple[str, Array]]:
    forms = [("short", np.flatnonzero(data.is_short)), ("long", np.flatnonzero(~data.is_short))]
    return [(form, part) for form, part in forms if _trainable(data, part)]


def _trainable(data: Examples, part: Array) -> bool:
    counts = np.bincount(data.labels[part], minlength=2)
    return bool(counts.min() >= 4) and len(set(data.groups[part])) >= 4


def _calibrated_apart(
    data: Examples, part: Array, margin: Array, restyled: Array, folds: int
) -> tuple[Array, Array]:
    """Probabilities by a calibration that never saw the scenario either, plain and restyled."""
    p, other = np.zeros(len(part)), np.zeros(len(part))
    labels, groups = data.labels[part], data.groups[part]
    split = StratifiedGroupKFold(min(folds, len(set(groups))), shuffle=True, random_state=1)
    for train, test in split.split(part, labels, groups):
        calibrate = fit_monotone(margin[part[train]], labels[train])
        p[test] = [calibrate(float(x)) for x in margin[part[test]]]
        other[test] = [calibrate(float(x)) for x in restyled[part[test]]]
    return p, other


def _augmented(data: Examples, layer: int, rows: Array) -> tuple[Array, Array]:
    features = np.concatenate([data.features[rows, layer], data.restyled[rows, layer]])
    return features, np.concatenate([data.labels[rows], data.labels[rows]])


def _mean_auroc(data: Examples, margin: Array) -> float:
    return float(
        np.mean([roc_auc_score(data.labels[part], margin[part]) for _, part in _forms(data)] or [0])
    )


def _quality(labels: Array, margin: Array, restyled: Array, p: Array) -> Quality:
    error = calibration_error(p, labels, rng=np.random.default_rng(0), draws=50)
    return Quality(
        n=len(labels),
        auroc=round(float(roc_auc_score(labels, margin)), 4),
        calibration_error=round(error.estimate, 4),
        auroc_restyled=round(float(roc_auc_score(labels, restyled)), 4),
    )


def _restyled(transcript: Transcript, rng: random.Random) -> Transcript:
    text = restyle(transcript.response, rng.choice(sorted(STYLES)), rng)
    turn = Message(role="assistant", content=text)
    return msgspec.structs.replace(transcript, messages=(*transcript.prompt, turn))
