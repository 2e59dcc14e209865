"""From labelled transcripts to an artefact on disk."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from sklearn.metrics import roc_auc_score

from probes.activation.artefact import Card, save
from probes.activation.head import HeadOptions
from probes.activation.reader import Reader
from probes.activation.training import (
    Example,
    Examples,
    Fit,
    Quality,
    fit,
    read_examples,
)
from probes.calibration import calibration_error
from probes.models.chat import Progress
from probes.models.local import LocalModel

MAX_TOKENS = 768


def fit_artefact(
    model: LocalModel,
    examples: Sequence[Example],
    out: Path,
    *,
    layers: Sequence[int] = (12, 16, 20),
    options: HeadOptions | None = None,
    source: str = "",
    progress: Progress | None = None,
) -> Card:
    """Read, fit, measure and save; returns the card. Raises BadInputError on useless labels."""
    report = progress or (lambda _what, _share: None)
    reader = Reader(model, layers, MAX_TOKENS)
    data = read_examples(reader, examples, progress=report)
    report("fitting heads", 0.9)
    found = fit(data, layers, options)
    card = make_card(model, data, found, source)
    save(out, card, found.heads)
    report("saved", 1.0)
    return card


def make_card(model: LocalModel, data: Examples, found: Fit, source: str) -> Card:
    """The model card of a fit."""
    return Card(
        reader=model.name,
        reader_digest=model.digest,
        layer=found.layer,
        max_tokens=MAX_TOKENS,
        n_train=len(data.labels),
        prevalence=round(float(data.labels.mean()), 4),
        source=source,
        quality=found.quality,
        by_kind=_by_kind(data, found),
        layer_auroc={str(layer): score for layer, score in found.layer_auroc.items()},
        calibration={form: head.calibrate for form, head in found.heads.items()},
        limit={form: head.limit for form, head in found.heads.items()},
        group_hashes=tuple(sorted({str(group)[:8] for group in data.groups})),
    )


def _by_kind(data: Examples, found: Fit) -> dict[str, Quality]:
    """Figures of each kind that has both labels, from the probabilities left out."""
    out = {}
    for kind in np.unique(data.kinds):
        part = np.flatnonzero(data.kinds == kind)
        labels, p = data.labels[part], found.held_out[part]
        if not kind or len(set(labels)) < 2:
            continue
        error = calibration_error(p, labels, rng=np.random.default_rng(0), draws=50)
        out[str(kind)] = Quality(
            n=len(part),
            auroc=round(float(roc_auc_score(labels, p)), 4),
            calibration_error=round(error.estimate, 4),
            auroc_restyled=round(float(roc_auc_score(labels, found.held_out_restyled[part])), 4),
        )
    return out
