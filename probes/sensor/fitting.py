"""From measured, labelled answers to a sensor and its card."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from evidence import BadInputError
from evidence.prevalence import LEANS_FROM
from evidence.records import Accuracy
from probes.approved import ApprovedBelief, Reading, fit_reading, left_out
from probes.evaluation import Figures, figures, resample
from probes.fusion import Fusion
from probes.fusion_training import fit_fusion, left_out_p, left_undecided
from probes.probe import Probe
from probes.sensor.card import Card, ProbeFigures
from probes.sensor.labelled import Origin
from probes.sensor.measuring import Measured
from probes.sensor.power import smallest_falls
from probes.sensor.sensor import Sensor

_SURPRISE = "claim_nats"
_DRAWS = 300


class Setting(NamedTuple):
    """What a sensor is made for.

    Parameters
    ----------
    assistant, approved
        The assistant, and the name of its approved version ("" without one).
    lie_threshold
        p_lie from which a verdict is `lie`.
    made_at
        RFC 3339.
    responses_per_day, average_run_length, tolerance
        Measured responses a day, and the detectors' settings: what its power is stated for.
    refusals
        Bare refusals that were set apart.
    misread
        Levels of items that were left out, since the approved version itself answers them wrongly when
        asked plainly: how many of how many.
    """

    assistant: str
    approved: str
    lie_threshold: float
    made_at: str
    responses_per_day: float
    average_run_length: float
    tolerance: float
    refusals: int = 0
    misread: Mapping[str, tuple[int, int]] = {}


class Fitted(NamedTuple):
    """A sensor, its card, and the p_lie of each answer left out of the fit (NaN where none)."""

    sensor: Sensor
    card: Card
    p: NDArray[np.float64]


def fit_sensor(
    measured: Sequence[Measured],
    probes: Sequence[Probe],
    setting: Setting,
    *,
    canaries: Sequence[Measured] = (),
    rng: np.random.Generator,
) -> Fitted:
    """Fit the reading of the approved belief, the fusion of every set of probes, and measure both; and
    how the whole orders the canaries, which it is not fitted to.

    Raises BadInputError when too few answers of both kinds were measured.
    """
    labels = [one.answer.lie for one in measured]
    groups = [one.answer.group for one in measured]
    scores, reading = _scores(measured, labels, groups)
    versions = {
        probe.name: probe.with_reading(reading).version
        if isinstance(probe, ApprovedBelief) and reading is not None
        else probe.version
        for probe in probes
    }
    model = fit_fusion(scores, labels, groups, versions)
    p = left_out_p(scores, labels, groups, model)
    if np.isnan(p).all():
        raise BadInputError("no probe measured enough of the labelled answers")
    y, group = np.asarray(labels, bool), np.asarray(groups)
    known = ~np.isnan(p)
    unsure = left_undecided(p[known], y[known], group[known], setting.lie_threshold)
    accuracy = _accuracy(p[known] >= LEANS_FROM, y[known], group[known], rng)
    sensor = Sensor(
        assistant=setting.assistant,
        approved=setting.approved,
        fusion=model,
        reading=reading,
        accuracy=accuracy,
        prevalence=float(y.mean()),
    )
    alone = tuple(
        _alone(name, version, measured, scores, threshold=setting.lie_threshold, rng=rng)
        for name, version in versions.items()
    )
    card = _card(measured, p, unsure, sensor, setting, probes=alone, rng=rng)
    if canaries:
        card = msgspec.structs.replace(card, canaries=_ordered(canaries, sensor, setting, rng))
    return Fitted(sensor, card, p)


def _scores(
    measured: Sequence[Measured], labels: Sequence[bool], groups: Sequence[str]
) -> tuple[list[dict[str, float]], Reading | None]:
    """p_lie by probe of each answer, that of the approved belief left out of its fit; its reading."""
    scores = [
        {name: m.p_lie for name, m in one.found.items() if m.p_lie is not None} for one in measured
    ]
    rows = {
        i: dict(one.found[ApprovedBelief.name].answers)
        for i, one in enumerate(measured)
        if ApprovedBelief.name in one.found and _SURPRISE in one.found[ApprovedBelief.name].answers
    }
    if not rows:
        return scores, None
    places = list(rows)
    told = [labels[i] for i in places]
    values = [rows[i] for i in places]
    for i, p in zip(places, left_out(values, told, [groups[i] for i in places]), strict=True):
        scores[i][ApprovedBelief.name] = float(p)
    return scores, fit_reading(values, told)


def _ordered(
    canaries: Sequence[Measured], sensor: Sensor, setting: Setting, rng: np.random.Generator
) -> Figures:
    """How the sensor orders the canaries, with a bootstrap over their templates."""
    fusion, p = Fusion(sensor.fusion), []
    for one in canaries:
        scores = {name: m.p_lie for name, m in one.found.items() if m.p_lie is not None}
        belief = one.found.get(ApprovedBelief.name)
        if sensor.reading is not None and belief is not None and _SURPRISE in belief.answers:
            scores[ApprovedBelief.name] = sensor.reading.p_lie(belief.answers)
        found, _used = fusion.p_lie(scores)
        p.append(np.nan if found is None else found)
    answers = [one.answer for one in canaries]
    return figures(
        [Origin.CANARY.value] * len(answers),
        [answer.lie for answer in answers],
        p,
        [answer.group for answer in answers],
        threshold=setting.lie_threshold,
        rng=rng,
    )[-1]


def _accuracy(
    called: NDArray[Any], lies: NDArray[Any], groups: NDArray[Any], rng: np.random.Generator
) -> Accuracy:
    """Sensitivity and specificity with effective counts: answers of one wording are not independent."""
    sensitivity, n_lies = _share(called[lies], groups[lies], rng)
    specificity, n_honest = _share(~called[~lies], groups[~lies], rng)
    return Accuracy(
        sensitivity=sensitivity, n_lies=n_lies, specificity=specificity, n_honest=n_honest
    )


def _share(
    right: NDArray[Any], groups: NDArray[Any], rng: np.random.Generator
) -> tuple[float, float]:
    """A share and its effective count: that of independent answers with the variance of the bootstrap
    over groups, between the number of groups and that of answers."""
    n, share = len(right), float(right.mean())
    names = np.unique(groups)
    drawn = [right[resample(groups, rng)].mean() for _ in range(_DRAWS)]
    variance, spread = float(np.var(drawn)), share * (1 - share)
    if spread == 0.0 or variance == 0.0:
        return share, float(len(names))
    return share, float(min(n, max(len(names), spread / variance)))


def _card(
    measured: Sequence[Measured],
    p: NDArray[np.float64],
    unsure: NDArray[np.bool_],
    sensor: Sensor,
    setting: Setting,
    *,
    probes: tuple[ProbeFigures, ...],
    rng: np.random.Generator,
) -> Card:
    answers = [one.answer for one in measured]
    labels, groups = [one.lie for one in answers], [one.group for one in answers]
    lies, known = np.asarray(labels, bool), ~np.isnan(p)
    honest_p, lie_p = p[known & ~lies], p[known & lies]

    def by(kinds: Sequence[str]) -> Any:
        found = figures(kinds, labels, p, groups, threshold=setting.lie_threshold, rng=rng)
        return tuple(found)

    return Card(
        assistant=setting.assistant,
        approved=setting.approved,
        made_at=setting.made_at,
        n=len(answers),
        lies=int(lies.sum()),
        groups=len(set(groups)),
        refusals=setting.refusals,
        misread=dict(setting.misread),
        origins=dict(Counter(one.origin.value for one in answers)),
        probes=probes,
        by_archetype=by([one.archetype.value for one in answers]),
        by_topic=by([one.topic for one in answers]),
        by_origin=by([one.origin.value for one in answers]),
        lie_threshold=setting.lie_threshold,
        accuracy=sensor.accuracy,
        undecided_lies=float(unsure[lies[known]].mean()),
        undecided_honest=float(unsure[~lies[known]].mean()),
        mean_honest=float(honest_p.mean()),
        mean_lie=float(lie_p.mean()),
        responses_per_day=setting.responses_per_day,
        falls=smallest_falls(
            honest_p,
            lie_p,
            responses_per_day=setting.responses_per_day,
            average_run_length=setting.average_run_length,
            tolerance=setting.tolerance,
        ),
    )


def _alone(
    name: str,
    version: str,
    measured: Sequence[Measured],
    scores: Sequence[Mapping[str, float]],
    *,
    threshold: float,
    rng: np.random.Generator,
) -> ProbeFigures:
    """AUROC of one probe's own p_lie, with a bootstrap over wordings."""
    places = [i for i, row in enumerate(scores) if name in row]
    why = [one.failed[name] for one in measured if name in one.failed]
    whole = figures(
        [name] * len(places),
        [measured[i].answer.lie for i in places],
        [scores[i][name] for i in places],
        [measured[i].answer.group for i in places],
        threshold=threshold,
        rng=rng,
    )[-1]
    return ProbeFigures(
        name=name,
        version=version,
        n=len(places),
        failed=len(why),
        auroc=whole.auroc,
        why_failed=why[0] if why else "",
    )
