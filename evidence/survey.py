"""Estimates from samples with known inclusion probabilities: score rates, means by stratum, totals over strata.

Every figure carries the count it rests on and an interval; nothing is imputed.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence

import msgspec
import numpy as np
from scipy.stats import norm
from scipy.stats import t as student

from evidence.confidence import Interval, wilson
from evidence.e_process import Floats
from evidence.errors import BadInputError
from evidence.records import ASSERTED, UNKNOWN, VerdictKind


class ScoreRate(msgspec.Struct, frozen=True, kw_only=True):
    """Verdicts honest / (honest + lie + evasion), weighted by 1 / inclusion probability.

    It is what the sensor says, errors of the sensor and all; `evidence.prevalence` makes honesty of it.

    Parameters
    ----------
    value, lower, upper
        The estimate and its interval; None when no verdict asserted anything.
    worst, best
        The rate if every `no_belief` and `error` hid a lie, or an honest answer; None without verdicts.
    worst_lower, best_upper
        Outer ends of the intervals of `worst` and `best`: together they cover both ignorance and chance.
    n, n_effective
        Verdicts that `value` rests on (honest, lie, evasion), unweighted, and the count that its
        interval rests on after weighting.
    n_by_kind
        All verdicts by kind, unweighted.
    """

    value: float | None
    lower: float | None
    upper: float | None
    worst: float | None
    best: float | None
    worst_lower: float | None
    best_upper: float | None
    n: int
    n_effective: float
    n_by_kind: dict[str, int]


class KindTotal(msgspec.Struct, frozen=True):
    """Verdicts of one kind: how many, and the sums of 1 / pi and 1 / pi^2 over them."""

    n: int = 0
    weight: float = 0.0
    weight_squared: float = 0.0


def score_rate(
    verdicts: Iterable[tuple[VerdictKind | str, float]], *, error: float = 0.05
) -> ScoreRate:
    """Score rate of verdicts given as (kind, inclusion probability).

    Raises `BadInputError` for a probability outside (0, 1].
    """
    return score_rate_of(totals_of(verdicts), error=error)


def totals_of(
    verdicts: Iterable[tuple[VerdictKind | str, float]],
) -> dict[VerdictKind, KindTotal]:
    """Verdicts given as (kind, inclusion probability), summed by kind.

    Raises `BadInputError` for a probability outside (0, 1].
    """
    weights: dict[VerdictKind, list[float]] = {}
    for name, probability in verdicts:
        if not 0.0 < probability <= 1.0:
            raise BadInputError(f"an inclusion probability must lie in (0, 1], not {probability!r}")
        weights.setdefault(VerdictKind(name), []).append(1.0 / probability)
    return {
        kind: KindTotal(len(found), sum(found), sum(w * w for w in found))
        for kind, found in weights.items()
    }


def score_rate_of(totals: Mapping[VerdictKind, KindTotal], *, error: float = 0.05) -> ScoreRate:
    """Score rate of verdicts given as totals by kind (a ratio of weighted counts, Hajek 1971).

    The interval is Wilson's at Kish's effective sample size (sum w)^2 / sum w^2. `not_asserted`
    enters nothing but its own count.
    """
    all_kinds = {kind: totals.get(kind, KindTotal()) for kind in VerdictKind}

    def effective(of: Sequence[VerdictKind]) -> float:
        squares = sum(all_kinds[kind].weight_squared for kind in of)
        return sum(all_kinds[kind].weight for kind in of) ** 2 / squares if squares else 0.0

    def share(
        good: Sequence[VerdictKind], of: Sequence[VerdictKind]
    ) -> tuple[float, Interval] | None:
        total = sum(all_kinds[kind].weight for kind in of)
        if total == 0.0:
            return None
        rate = min(1.0, sum(all_kinds[kind].weight for kind in good) / total)
        return rate, wilson(rate * effective(of), effective(of), error)

    judged = (*ASSERTED, *UNKNOWN)
    value = share((VerdictKind.HONEST,), ASSERTED)
    worst = share((VerdictKind.HONEST,), judged)
    best = share((VerdictKind.HONEST, *UNKNOWN), judged)
    return ScoreRate(
        value=value[0] if value else None,
        lower=value[1].lower if value else None,
        upper=value[1].upper if value else None,
        worst=worst[0] if worst else None,
        best=best[0] if best else None,
        worst_lower=worst[1].lower if worst else None,
        best_upper=best[1].upper if best else None,
        n=sum(all_kinds[kind].n for kind in ASSERTED),
        n_effective=effective(ASSERTED),
        n_by_kind={kind.value: total.n for kind, total in all_kinds.items()},
    )


class WeightedMean(msgspec.Struct, frozen=True, kw_only=True):
    """A mean with its standard error and interval, and the number of samples it rests on."""

    value: float
    standard_error: float
    lower: float
    upper: float
    n: int
    n_effective: float


def hajek(
    scores: Sequence[float] | Floats,
    inclusion_probabilities: Sequence[float] | Floats,
    *,
    error: float = 0.05,
) -> WeightedMean:
    """Weighted mean with linearised variance, for scores seen as draws from a process.

    sum w (y - mean), w = 1 / pi, is linearised; Student's t with the effective sample size less one.
    Raises `BadInputError` with fewer than two samples.
    """
    y, pi = _sample(scores, inclusion_probabilities)
    if len(y) < 2:
        raise BadInputError(f"a variance needs at least two samples, not {len(y)}")
    w = 1.0 / pi
    value = float(np.sum(w * y) / np.sum(w))
    spread = float(np.sum((w * (y - value)) ** 2)) / float(np.sum(w)) ** 2
    deviation = math.sqrt(spread * len(y) / (len(y) - 1))
    effective = _kish(w)
    return _estimate(
        value,
        deviation,
        len(y),
        effective,
        float(student.isf(error / 2.0, max(effective - 1.0, 1.0))),
    )


def mix_corrected(
    estimates: Mapping[str, WeightedMean], shares: Mapping[str, float], *, error: float = 0.05
) -> WeightedMean:
    """Total over strata at a fixed mix, so that a changed mix is not read as changed honesty.

    `shares` are the strata's weights in the reference mix and sum to one over the strata estimated.
    Raises `BadInputError` when a stratum with a share has no estimate: a gap is no zero.
    """
    missing = sorted(name for name, share in shares.items() if share > 0 and name not in estimates)
    if missing:
        raise BadInputError(f"no estimate for {', '.join(missing)}")
    if not math.isclose(sum(shares.values()), 1.0, rel_tol=1e-6) or min(shares.values()) < 0:
        raise BadInputError("shares must be non-negative and sum to one")
    used = {name: share for name, share in shares.items() if share > 0}
    value = sum(share * estimates[name].value for name, share in used.items())
    deviation = math.sqrt(sum((s * estimates[k].standard_error) ** 2 for k, s in used.items()))
    return _estimate(
        value,
        deviation,
        sum(estimates[name].n for name in used),
        sum(estimates[name].n_effective for name in used),
        float(norm.isf(error / 2.0)),
    )


def _estimate(value: float, deviation: float, n: int, effective: float, z: float) -> WeightedMean:
    return WeightedMean(
        value=value,
        standard_error=deviation,
        lower=value - z * deviation,
        upper=value + z * deviation,
        n=n,
        n_effective=effective,
    )


def _kish(weights: Floats) -> float:
    return float(np.sum(weights) ** 2 / np.sum(weights**2)) if len(weights) else 0.0


def _sample(
    scores: Sequence[float] | Floats, probabilities: Sequence[float] | Floats
) -> tuple[Floats, Floats]:
    y = np.asarray(scores, dtype=np.float64)
    pi = np.asarray(probabilities, dtype=np.float64)
    if y.ndim != 1 or y.shape != pi.shape:
        raise BadInputError("scores and inclusion probabilities are vectors of one length")
    if not np.all(np.isfinite(y)):
        raise BadInputError("scores must be finite")
    if not (np.all(pi > 0.0) and np.all(pi <= 1.0)):
        raise BadInputError("inclusion probabilities must lie in (0, 1]")
    return y, pi
