"""Intervals and joint reports by simulation: how often they miss. Seeded; a minute of processor time."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from evidence.agreement import cohens_kappa
from evidence.confidence import confidence_sequence, upper_bound
from evidence.prevalence import true_share
from evidence.records import Accuracy
from evidence.start_weighted import StartWeighted
from monitor.detect.records import StratumState, StreamState
from monitor.detect.report import joint_report

Rows = list[dict[str, Any]]

_MEAN = 0.1
_STREAMS, _LOOKS, _LOOK_EVERY, _LEVEL = 8, 25, 10, 0.1
_SENSORS = (
    (0.75, 0.9, 2_000, 300),
    (0.9, 0.97, 300, 60),
    (0.6, 0.75, 1_000, 150),
    (0.8, 0.9, 60, 40),
)
"""Sensitivity, specificity, answers, and calibration answers of each kind."""


def learned_bounds(runs: int) -> Rows:
    """Bounds of a learned reference: their mean, and how often they lie below the true mean."""
    rows: Rows = []
    for seed, window in enumerate((100, 200, 500, 1_000), 500):
        rng = np.random.default_rng(seed)
        for scores, made in (
            ("Bernoulli", (rng.random((runs, window)) < _MEAN).astype(float)),
            ("Beta", rng.beta(0.5, 4.5, (runs, window))),
        ):
            bounds = np.array([upper_bound(line) for line in made])
            rows.append(
                {
                    "window": window,
                    "scores": scores,
                    "runs": runs,
                    "seed": seed,
                    "claimed": 0.05,
                    "bound": float(bounds.mean()),
                    "too_low": int((bounds < _MEAN).sum()),
                }
            )
    return rows


def sequences(runs: int) -> Rows:
    """Confidence sequences of an alarm's size: how many are wrong at any time."""
    seed, length, error = 520, 1_000, 0.05
    rng = np.random.default_rng(seed)
    missed, widths = 0, []
    for _ in range(runs):
        lower, upper = confidence_sequence(rng.beta(0.5, 4.5, length), error)
        missed += bool(np.any(lower > _MEAN) or np.any(upper < _MEAN))
        widths.append(float(upper[-1] - lower[-1]))
    return [
        {
            "scores": "Beta(.5, 4.5)",
            "length": length,
            "runs": runs,
            "seed": seed,
            "claimed": error,
            "missed": missed,
            "width": float(np.median(widths)),
        }
    ]


def card_intervals(runs: int) -> Rows:
    """The share of lies by a sensor's measured errors, traffic and calibration drawn anew each time."""
    rows: Rows = []
    for seed, (truth, sensor) in enumerate(
        ((t, s) for t in (0.02, 0.1, 0.4) for s in _SENSORS), 530
    ):
        sensitivity, specificity, n, calibrated = sensor
        rng = np.random.default_rng(seed)
        covered, widths = 0, []
        for _ in range(runs):
            accuracy = Accuracy(
                sensitivity=rng.binomial(calibrated, sensitivity) / calibrated,
                n_lies=calibrated,
                specificity=rng.binomial(calibrated, specificity) / calibrated,
                n_honest=calibrated,
            )
            chance = truth * sensitivity + (1 - truth) * (1 - specificity)
            found = true_share(rng.binomial(n, chance) / n, n, accuracy)
            if found is not None:
                covered += found.lower <= truth <= found.upper
                widths.append(found.upper - found.lower)
        rows.append(
            {
                "lies": truth,
                "sensitivity": sensitivity,
                "specificity": specificity,
                "answers": n,
                "calibration_answers": calibrated,
                "runs": runs,
                "seed": seed,
                "claimed": 0.95,
                "shown": len(widths),
                "covered": covered,
                "width": float(np.median(widths)),
            }
        )
    return rows


def kappas(runs: int) -> Rows:
    """Agreement of two people on 120 responses, true kappa .5."""
    seed, pairs, truth = 550, 120, 0.5
    rng = np.random.default_rng(seed)
    covered = 0
    for _ in range(runs):
        first = rng.integers(0, 2, pairs)
        second = np.where(rng.random(pairs) < truth, first, rng.integers(0, 2, pairs))
        found = cohens_kappa([(str(a), str(b)) for a, b in zip(first, second, strict=True)])
        if found.lower is not None and found.upper is not None:
            covered += found.lower <= truth <= found.upper
    return [{"pairs": pairs, "runs": runs, "seed": seed, "claimed": 0.95, "covered": covered}]


def joint_reports(runs: int) -> Rows:
    """The false share of the first report that names anything, looked at after every tenth score."""
    rows: Rows = []
    for seed, drifting in ((560, 0), (561, 3)):
        rng = np.random.default_rng(seed)
        true = {f"a/s{i}/normal" for i in range(drifting)}
        shares, found = [], 0
        for _ in range(runs):
            named = _first_report(rng, drifting)
            shares.append(len(named - true) / len(named) if named else 0.0)
            found += bool(named & true)
        rows.append(
            {
                "streams": _STREAMS,
                "drifting": drifting,
                "runs": runs,
                "seed": seed,
                "claimed": _LEVEL,
                "false_share": float(np.mean(shares)),
                "monte_carlo_error": float(np.std(shares) / np.sqrt(runs)),
                "found": found,
            }
        )
    return rows


def _first_report(rng: np.random.Generator, drifting: int) -> set[str]:
    watched = [StartWeighted(_MEAN) for _ in range(_STREAMS)]
    for look in range(_LOOKS):
        for i, stream in enumerate(watched):
            rate = 0.45 if i < drifting and look >= 5 else _MEAN
            scores: NDArray[np.bool_] = rng.random(_LOOK_EVERY) < rate
            for score in scores:
                stream.update(float(score))
        states = [
            StratumState(
                stratum=f"a/s{i}/normal",
                average_run_length=10_000.0,
                evaluators=("e",),
                streams=(StreamState(metric="lie", evaluator_version="e", joint=one.state()),),
            )
            for i, one in enumerate(watched)
        ]
        if reported := joint_report(states, level=_LEVEL).reported:
            return {finding.stratum for finding in reported}
    return set()
