"""From labelled transcripts to an artefact on disk."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import roc_auc_score

from probes.activation.artefact import Card, load_card, save, write_card
from probes.activation.forms import Quality
from probes.activation.head import HeadOptions
from probes.activation.probe import ActivationProbe
from probes.activation.reader import Reader
from probes.activation.training import (
    Example,
    Examples,
    Fit,
    fit,
    read_examples,
)
from probes.calibration import calibration_error
from probes.fusion_training import MIN_ROWS, fit_fusion
from probes.models.chat import Progress
from probes.models.states import StateReader
from probes.probe import Probe, Transcript
from probes.refusal import is_bare_refusal

MAX_TOKENS = 768
_NOISE_SAMPLE = 32


def fit_artefact(
    model: StateReader,
    examples: Sequence[Example],
    out: Path,
    *,
    layers: Sequence[int] = (12, 16, 20),
    options: HeadOptions | None = None,
    source: str = "",
    progress: Progress | None = None,
) -> Card:
    """Read, fit, measure and save; returns the card. Raises BadInputError on useless labels.

    Beside the artefact lies `fusion.json`, the calibrated use of the probe alone, where there are
    enough labels for it.
    """
    report = progress or (lambda _what, _share: None)
    reader = Reader(model, layers, MAX_TOKENS)
    data = read_examples(reader, examples, progress=report)
    report("fitting heads", 0.9)
    found = fit(data, layers, options)
    save(out, make_card(model, data, found, source), found.heads)
    report("measuring repeatability", 0.95)
    card = finish_artefact(model, out, [e.transcript for e in examples])
    replies = [e.transcript.response for e in examples if e.transcript.response.strip()]
    answers = np.array([not is_bare_refusal(reply) for reply in replies])
    if answers.sum() >= MIN_ROWS:
        save_fusion(out, data, found, answers)
    report("saved", 1.0)
    return card


def finish_artefact(model: StateReader, out: Path, transcripts: Sequence[Transcript]) -> Card:
    """Measure the artefact's noise floor on every n-th transcript and store it in the card."""
    step = max(1, len(transcripts) // _NOISE_SAMPLE)
    sample = list(transcripts[::step])[:_NOISE_SAMPLE]
    noise = repeatability(ActivationProbe.open(model, out), sample)
    card = msgspec.structs.replace(load_card(out), noise_floor=round(noise, 6), noise_n=len(sample))
    write_card(out, card)
    return card


def repeatability(probe: Probe, transcripts: Sequence[Transcript]) -> float:
    """Largest difference in p_lie of a text between a batch and alone, in the other order.

    Infinite when one gives a probability and the other none.
    """
    together = probe.measure(transcripts)
    alone = [probe.measure([one])[0] for one in reversed(transcripts)][::-1]
    worst = 0.0
    for a, b in zip(together, alone, strict=True):
        if (a.p_lie is None) != (b.p_lie is None):
            return math.inf
        if a.p_lie is not None and b.p_lie is not None:
            worst = max(worst, abs(a.p_lie - b.p_lie))
    return worst


def save_fusion(out: Path, data: Examples, found: Fit, answers: NDArray[Any]) -> None:
    """Fit the use of this probe alone to probabilities left out, and write `fusion.json`.

    `answers` says of each example whether it answers: refusals never come to a fusion.
    """
    scores = [{ActivationProbe.name: float(p)} for p in found.held_out[answers]]
    labels, groups = data.labels[answers].astype(bool), data.groups[answers]
    model = fit_fusion(scores, labels.tolist(), groups.tolist(), {})
    text = msgspec.json.format(msgspec.json.encode(model), indent=1)
    (out / "fusion.json").write_bytes(text + b"\n")


def make_card(model: StateReader, data: Examples, found: Fit, source: str) -> Card:
    """The model card of a fit."""
    return Card(
        reader=model.name,
        reader_digest=model.digest,
        dtype=model.dtype,
        layer=found.layer,
        max_tokens=MAX_TOKENS,
        view=data.view,
        n_train=len(data.labels),
        prevalence=round(float(data.labels.mean()), 4),
        source=source,
        quality=found.quality,
        by_kind=_by_kind(data, found),
        layer_auroc={str(layer): score for layer, score in found.layer_auroc.items()},
        calibration={form: head.calibrate.base for form, head in found.heads.items()},
        by_topic={
            form: head.calibrate.by_topic
            for form, head in found.heads.items()
            if head.calibrate.by_topic
        },
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
