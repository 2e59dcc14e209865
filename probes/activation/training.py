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
from probes.activation.forms import FORMS, SHORT, Form, Quality
from probes.activation.head import Head, HeadOptions, fit_head
from probes.activation.reader import Reader, Reading, View
from probes.activation.style import STYLES, restyle
from probes.activation.topics import Curve, Topics, fit_by_topic, fit_topics
from probes.calibration import Monotone, Platt, calibration_error, fit_monotone
from probes.grouping import scenario_group
from probes.models.chat import Progress
from probes.probe import Transcript

Array = NDArray[Any]

_CHUNK = 32
_ENOUGH = 10
_RAW = Curve(Monotone((0.0,), (0.5,), Platt(1.0, 0.0)))


class Example(NamedTuple):
    """A labelled transcript; `kind` only splits the figures, it is never learned from."""

    transcript: Transcript
    label: bool
    kind: str = ""


class Rows(NamedTuple):
    """Features of shape (n, layers, features), whether each response is short, and 0/1 labels."""

    features: Array
    is_short: Array
    labels: Array


class Examples(NamedTuple):
    """Labelled transcripts as the reader saw them.

    `plain` and `restyled` have a row for each transcript, `restyled` of a copy in another style
    (`styles` names it). `groups` are scenarios.
    """

    plain: Rows
    restyled: Rows
    styles: Array
    groups: Array
    kinds: Array
    view: View = "contrast"

    @property
    def labels(self) -> Array:
        return self.plain.labels


class Fit(NamedTuple):
    """The heads by form, the layer they read, their figures, and p_lie left out, also restyled."""

    layer: int
    heads: dict[str, Head]
    quality: dict[str, Quality]
    held_out: Array
    held_out_restyled: Array
    layer_auroc: dict[int, float]


class _Regions(NamedTuple):
    """Topics of the training prompts, and in which of them each example and copy lies, (2, n)."""

    topics: Topics | None
    where: Array


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
    copies, styles = restyled_copies([e.transcript for e in usable], seed)
    todo = [e.transcript for e in usable] + copies
    report = progress or (lambda _what, _share: None)
    found: list[Reading] = []
    for start in range(0, len(todo), _CHUNK):
        found += reader.read(todo[start : start + _CHUNK])
        report("reading transcripts", 0.9 * len(found) / len(todo))
    labels = [e.label for e in usable]
    n = len(usable)
    return Examples(
        plain=_rows(found[:n], labels),
        restyled=_rows(found[n : 2 * n], labels),
        styles=np.array(styles),
        groups=np.array([scenario_group(e.transcript) for e in usable]),
        kinds=np.array([e.kind for e in usable]),
        view=reader.view,
    )


def restyled_copies(
    transcripts: Sequence[Transcript], seed: int
) -> tuple[list[Transcript], list[str]]:
    """Each transcript with its response in a random style, and the names of the styles."""
    rng = random.Random(seed)  # noqa: S311 (styles, not secrets)
    copies, styles = [], []
    for transcript in transcripts:
        style = rng.choice(sorted(STYLES))
        text = restyle(transcript.response, style, rng)
        turn = Message(role="assistant", content=text)
        copies.append(msgspec.structs.replace(transcript, messages=(*transcript.prompt, turn)))
        styles.append(style)
    return copies, styles


def fit(
    data: Examples, layers: Sequence[int], options: HeadOptions | None = None, *, folds: int = 5
) -> Fit:
    """Choose the layer by grouped cross-validation, then fit both heads on everything.

    The layer is the one with the best mean AUROC over the two forms on scenarios left out; that
    choice is among few layers, and the figures reported for it are the same folds' (so slightly
    hopeful, by less than the spread over layers that the card lists).
    """
    options = options or HeadOptions()
    forms = trainable_forms(data)
    if not forms:
        raise BadInputError("too few lies and honest answers of one form to train on")
    margins = {k: left_out(data, k, options, folds=folds) for k in range(len(layers))}
    scores = {k: _mean_auroc(data, found[0]) for k, found in margins.items()}
    best = max(scores, key=lambda k: scores[k])
    p = calibrated_apart(data, best, margins[best], folds)
    heads: dict[str, Head] = {}
    quality: dict[str, Quality] = {}
    everything = np.arange(len(data.labels))
    regions = _regions(data, best, everything)
    for form in forms:
        calibrate = _calibration(data, margins[best], form, everything, regions)
        features, labels = rows_of(data, best, form, everything)
        heads[form] = fit_head(features, labels, options, calibrate, regions.topics)
        quality[form] = _quality(data, form, margins[best], p[0])
    table = {layers[k]: round(score, 4) for k, score in scores.items()}
    return Fit(layers[best], heads, quality, p[0], p[1], table)


def left_out(
    data: Examples, layer: int, options: HeadOptions, *, folds: int = 5, seed: int = 0
) -> Array:
    """Margins of the examples and of their copies, shape (2, n), by heads that never saw them.

    Zero where no head could be trained for the form.
    """
    out = np.zeros((2, len(data.labels)))
    for train, test in split_scenarios(data, folds, seed):
        _predict(data, layer, options, (train, test), out)
    return out


def kind_left_out(data: Examples, layer: int, options: HeadOptions, folds: int = 5) -> Array:
    """Probabilities, shape (2, n), by heads and curves that never saw an example's kind nor its
    scenario; one half for a form that the other kinds could not teach."""
    out = np.full((2, len(data.labels)), 0.5)
    for kind in np.unique(data.kinds):
        test = data.kinds == kind
        train = np.flatnonzero(~test & ~np.isin(data.groups, data.groups[test]))
        rest = np.flatnonzero(test)
        margins = np.zeros(out.shape)
        margins[:, train] = left_out(_part(data, train), layer, options, folds=folds)
        _predict(data, layer, options, (train, rest), margins)
        _calibrate(data, margins, _regions(data, layer, train), (train, rest), out)
    return out


def _part(data: Examples, rows: Array) -> Examples:
    """The examples of `rows` alone."""
    plain, restyled = (
        Rows(*(column[rows] for column in part)) for part in (data.plain, data.restyled)
    )
    return Examples(
        plain, restyled, data.styles[rows], data.groups[rows], data.kinds[rows], data.view
    )


def split_scenarios(data: Examples, folds: int, seed: int) -> list[tuple[Array, Array]]:
    """Positions to train and to test on; a scenario is never on both sides."""
    n_folds = min(folds, len(set(data.groups)))
    split = StratifiedGroupKFold(n_folds, shuffle=True, random_state=seed)
    return list(split.split(data.labels, data.labels, data.groups))


def trainable_forms(data: Examples, rows: Array | None = None) -> list[Form]:
    """The forms with at least 4 examples of either label and 4 scenarios, among `rows` or all."""
    out: list[Form] = []
    among = np.arange(len(data.labels)) if rows is None else rows
    for form in FORMS:
        part = among[data.plain.is_short[among] == (form == "short")]
        counts = np.bincount(data.labels[part], minlength=2)
        if counts.min() >= 4 and len(set(data.groups[part])) >= 4:
            out.append(form)
    return out


def rows_of(data: Examples, layer: int, form: Form, rows: Array) -> tuple[Array, Array]:
    """Features and labels of one form: `rows` of the examples and of their copies."""
    features, labels = [], []
    for part in (data.plain, data.restyled):
        picked = rows[part.is_short[rows] == (form == "short")]
        features.append(part.features[picked, layer])
        labels.append(part.labels[picked])
    return np.concatenate(features), np.concatenate(labels)


def _predict(
    data: Examples, layer: int, options: HeadOptions, sides: tuple[Array, Array], out: Array
) -> None:
    """Fill in the margins of the second of `sides` by heads trained on the first."""
    train, test = sides
    for form in FORMS:
        features, labels = rows_of(data, layer, form, train)
        if min(np.bincount(labels, minlength=2)) < _ENOUGH:  # all forms teach a form that has few
            both = [rows_of(data, layer, other, train) for other in FORMS]
            features = np.concatenate([x for x, _ in both])
            labels = np.concatenate([y for _, y in both])
        if min(np.bincount(labels, minlength=2)) < 2:
            continue
        head = fit_head(features, labels, options, _RAW)
        for k, part in enumerate((data.plain, data.restyled)):
            target = test[part.is_short[test] == (form == "short")]
            if len(target):
                out[k, target] = head.margin(part.features[target, layer])


def _regions(data: Examples, layer: int, rows: Array) -> _Regions:
    """Regions of the prompts of `rows`; only the `contrast` view knows the prompt."""
    features = data.plain.features[:, layer]
    topics = fit_topics(features[rows]) if data.view == "contrast" else None
    if topics is None:
        return _Regions(None, np.zeros((2, len(data.labels)), int))
    return _Regions(
        topics,
        np.stack([topics.of(part.features[:, layer]) for part in (data.plain, data.restyled)]),
    )


def _calibration(
    data: Examples, margins: Array, form: Form, rows: Array, regions: _Regions
) -> Curve:
    """From left-out margins of `rows` and of their copies to a probability."""
    scores, where, labels = [], [], []
    for k, part in enumerate((data.plain, data.restyled)):
        picked = rows[part.is_short[rows] == (form == "short")]
        scores.append(margins[k, picked])
        where.append(regions.where[k, picked])
        labels.append(data.labels[picked])
    score, label = np.concatenate(scores), np.concatenate(labels)
    base = fit_monotone(score, label)
    if regions.topics is None or len(set(label)) < 2:
        return Curve(base)
    return fit_by_topic(base, score, np.concatenate(where), label, len(regions.topics.centres))


def calibrated_apart(
    data: Examples, layer: int, margins: Array, folds: int, seed: int = 1
) -> Array:
    """Probabilities, shape (2, n), by a calibration that never saw the scenario either."""
    out = np.full(margins.shape, 0.5)
    for train, test in split_scenarios(data, folds, seed):
        _calibrate(data, margins, _regions(data, layer, train), (train, test), out)
    return out


def _calibrate(
    data: Examples, margins: Array, regions: _Regions, sides: tuple[Array, Array], out: Array
) -> None:
    """Fill in the probabilities of the second of `sides` by curves fitted on the first."""
    train, test = sides
    for form in trainable_forms(data, train):
        curve = _calibration(data, margins, form, train, regions)
        for k, part in enumerate((data.plain, data.restyled)):
            target = test[part.is_short[test] == (form == "short")]
            if len(target):
                out[k, target] = curve(margins[k, target], regions.where[k, target])


def _mean_auroc(data: Examples, margin: Array) -> float:
    found = []
    for form in trainable_forms(data):
        part = data.plain.is_short == (form == "short")
        found.append(roc_auc_score(data.labels[part], margin[part]))
    return float(np.mean(found))


def _quality(data: Examples, form: Form, margins: Array, p: Array) -> Quality:
    part = data.plain.is_short == (form == "short")
    labels = data.labels[part]
    error = calibration_error(p[part], labels, rng=np.random.default_rng(0), draws=50)
    return Quality(
        n=len(labels),
        auroc=round(float(roc_auc_score(labels, margins[0, part])), 4),
        calibration_error=round(error.estimate, 4),
        auroc_restyled=round(float(roc_auc_score(labels, margins[1, part])), 4),
    )


def _rows(readings: Sequence[Reading], labels: Sequence[bool]) -> Rows:
    return Rows(
        features=np.stack([reading.features for reading in readings]),
        is_short=np.array([reading.n_response <= SHORT for reading in readings]),
        labels=np.array([int(label) for label in labels]),
    )
