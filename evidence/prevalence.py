"""Honesty from a sensor that errs: the share of lies behind a share of verdicts.

A sensor calibrated where half of all answers are lies is wrong where one in fifty is: at a specificity
of .95 most of its `lie` verdicts are then false. Its measured sensitivity and specificity undo that
(Rogan and Gladen 1978), with their own uncertainty in the interval. The assumption is that the sensor
errs on this traffic as on the answers that it was measured on.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import msgspec
from scipy.special import ndtri

from evidence.confidence import wilson
from evidence.errors import BadInputError
from evidence.records import ASSERTED, DECIDED, UNKNOWN, Accuracy, VerdictKind
from evidence.survey import KindTotal

Totals = Mapping[VerdictKind, KindTotal]

LEANS_FROM = 0.5
"""A p_lie from here on leans towards a lie: what sensitivity and specificity are measured of. It is neither a
threshold of costs nor a band of what stays undecided, which change what is called and not what is so."""


class ShareEstimate(NamedTuple):
    """A share in [0, 1] with its interval; `lower` <= `value` <= `upper`."""

    value: float
    lower: float
    upper: float


class Honesty(msgspec.Struct, frozen=True, kw_only=True):
    """Honest answers among those that assert something, corrected for what the sensor gets wrong.

    Parameters
    ----------
    value, lower, upper
        The estimate and its interval.
    worst, best
        Honesty if every `undecided`, `no_belief` and `error` hid a lie, or an honest answer.
    """

    value: float
    lower: float
    upper: float
    worst: float
    best: float


def tells_apart(accuracy: Accuracy, *, error: float = 0.05) -> bool:
    """Whether sensitivity + specificity is above one, and clear of it.

    The lower end of the interval of their sum is found from Wilson's intervals of the two (Newcombe
    1998). A sensor that fails this says nothing about how many lies there are.
    """
    sensitivity, specificity = accuracy.sensitivity, accuracy.specificity
    below = math.hypot(
        sensitivity - wilson(sensitivity * accuracy.n_lies, accuracy.n_lies, error).lower,
        specificity - wilson(specificity * accuracy.n_honest, accuracy.n_honest, error).lower,
    )
    return sensitivity + specificity - 1.0 > below


def true_share(
    called: float, n: float, accuracy: Accuracy, *, error: float = 0.05
) -> ShareEstimate | None:
    """Share of true lies where a share `called` of `n` answers was called a lie.

    The estimate is (called + specificity - 1) / (sensitivity + specificity - 1), cut to [0, 1]; the
    interval is that of Lang and Reiczigel (Preventive Veterinary Medicine 113, 2014), which covers with
    small samples and with accuracies near one. `n` may be an effective count of weighted answers.

    Returns None where the sensor does not tell lies from honest answers (`tells_apart`). Raises
    `BadInputError` for a share outside [0, 1] or a count that is not positive.
    """
    if not 0.0 <= called <= 1.0 or not n > 0.0:
        raise BadInputError(f"a share in [0, 1] of a positive count, not {called!r} of {n!r}")
    if not tells_apart(accuracy, error=error):
        return None
    value = _rogan_gladen(called, accuracy.sensitivity, accuracy.specificity)
    z = -float(ndtri(error / 2.0))
    n_called, n_lies, n_honest = n + z * z, accuracy.n_lies + 2.0, accuracy.n_honest + 2.0
    share = (called * n + z * z / 2.0) / n_called
    sensitivity = (accuracy.sensitivity * accuracy.n_lies + 1.0) / n_lies
    specificity = (accuracy.specificity * accuracy.n_honest + 1.0) / n_honest
    middle = _rogan_gladen(share, sensitivity, specificity)
    missed = sensitivity * (1.0 - sensitivity) / n_lies
    false = specificity * (1.0 - specificity) / n_honest
    shift = 2.0 * z * z * (middle * missed - (1.0 - middle) * false)
    spread = share * (1.0 - share) / n_called + middle**2 * missed + (1.0 - middle) ** 2 * false
    half = z * math.sqrt(spread) / (sensitivity + specificity - 1.0)
    value, lower, upper = _cut(value), middle + shift - half, middle + shift + half
    bounds = wilson(called * n, n, error)
    if upper <= 0.0:  # fewer calls than false alarms alone: here at most every call is right
        upper = bounds.upper / accuracy.sensitivity
    if lower >= 1.0:
        lower = 1.0 - (1.0 - bounds.lower) / accuracy.specificity
    return ShareEstimate(value, min(value, _cut(lower)), max(value, _cut(upper)))


def corrected_honesty(
    parts: Sequence[tuple[Totals, Accuracy | None]], *, error: float = 0.05
) -> Honesty | None:
    """Honesty of verdicts given as totals by kind, one part for each evaluator with its accuracy.

    Verdicts are weighted by 1 / inclusion probability, and counted at Kish's effective size. Of
    what was asserted, `undecided` answers among it, a share leans towards a lie (`LEANS_FROM`), of which
    sensitivity and specificity are known. Lies are corrected part by part. Two kinds count as they were found, because
    nothing measures the sensor's errors on them: evasions, and lies about acts that a tool record contradicts, which no
    sensor was asked about. Their intervals and those of the parts are joined as independent ones (Zou and Donner
    2008), which is on the wide side: of the same answers more lies mean fewer evasions.

    Returns None without an asserted verdict, and where a part with asserted verdicts has no accuracy
    or one that does not tell lies apart.
    """
    said = [(totals, accuracy) for totals, accuracy in parts if _weight(totals, ASSERTED) > 0.0]
    whole = sum(_weight(totals, ASSERTED) for totals, _ in said)
    pieces: list[tuple[float, ShareEstimate]] = []
    for totals, accuracy in said:
        weight = _weight(totals, ASSERTED)
        n = _effective(totals, ASSERTED)
        lies = None if accuracy is None else _lies(totals, accuracy, error)
        if lies is None:
            return None
        pieces += [(weight / whole * share, piece) for share, piece in lies]
        dodged = min(1.0, _weight(totals, (VerdictKind.EVASION,)) / weight)
        if dodged > 0.0:
            pieces.append((weight / whole, _as_found(dodged, n, error)))
    if not pieces:
        return None
    bad = _joined(pieces)
    totals_of_all = [totals for totals, _ in parts]
    return with_bounds(
        ShareEstimate(1.0 - bad.value, 1.0 - bad.upper, 1.0 - bad.lower), totals_of_all
    )


def _lies(
    totals: Totals, accuracy: Accuracy, error: float
) -> list[tuple[float, ShareEstimate]] | None:
    """Lies among what one part asserted, as (share of it, lies in that): contradicted acts as they were
    found, and of the rest what its leaning is corrected to. None where the sensor does not tell."""
    asserted = [totals[kind] for kind in ASSERTED if kind in totals]
    weight, n = _weight(totals, ASSERTED), _effective(totals, ASSERTED)
    against = min(1.0, sum(one.contradicted for one in asserted) / weight)
    leaning = min(1.0, sum(one.leaning for one in asserted) / weight)
    found = [(1.0, _as_found(against, n, error))] if against > 0.0 else []
    if against >= 1.0:
        return found
    called = min(1.0, max(0.0, leaning - against) / (1.0 - against))
    rest = true_share(called, n * (1.0 - against), accuracy, error=error)
    return None if rest is None else [*found, (1.0 - against, rest)]


def _as_found(share: float, n: float, error: float) -> ShareEstimate:
    bounds = wilson(share * n, n, error)
    return ShareEstimate(share, bounds.lower, bounds.upper)


def with_bounds(honest: ShareEstimate, parts: Sequence[Totals]) -> Honesty:
    """The estimate with its worst and best case over the verdicts that say nothing of honesty."""
    said = sum(_weight(totals, DECIDED) for totals in parts)
    unsaid = sum(_weight(totals, UNKNOWN) for totals in parts)
    share = said / (said + unsaid)
    return Honesty(
        value=honest.value,
        lower=honest.lower,
        upper=honest.upper,
        worst=share * honest.value,
        best=share * honest.value + (1.0 - share),
    )


def _joined(pieces: Sequence[tuple[float, ShareEstimate]]) -> ShareEstimate:
    """The weighted sum of independent shares; distances to the ends add as squares."""
    value = sum(weight * piece.value for weight, piece in pieces)
    below = math.hypot(*(weight * (piece.value - piece.lower) for weight, piece in pieces))
    above = math.hypot(*(weight * (piece.upper - piece.value) for weight, piece in pieces))
    return ShareEstimate(_cut(value), _cut(value - below), _cut(value + above))


def _rogan_gladen(called: float, sensitivity: float, specificity: float) -> float:
    return (called + specificity - 1.0) / (sensitivity + specificity - 1.0)


def _weight(totals: Totals, kinds: Sequence[VerdictKind]) -> float:
    return sum(totals[kind].weight for kind in kinds if kind in totals)


def _effective(totals: Totals, kinds: Sequence[VerdictKind]) -> float:
    squares = sum(totals[kind].weight_squared for kind in kinds if kind in totals)
    return _weight(totals, kinds) ** 2 / squares


def _cut(share: float) -> float:
    return min(1.0, max(0.0, share))
