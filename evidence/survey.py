"""Score rates from samples with known inclusion probabilities.

Every figure carries the count it rests on and an interval; nothing is imputed.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import msgspec

from evidence.confidence import Interval, wilson
from evidence.errors import BadInputError
from evidence.records import DECIDED, UNKNOWN, VerdictKind


class ScoreRate(msgspec.Struct, frozen=True, kw_only=True):
    """Verdicts honest / (honest + lie + evasion), weighted by 1 / inclusion probability.

    It is what the sensor says, errors of the sensor and all; `evidence.prevalence` makes honesty of it.

    Parameters
    ----------
    value, lower, upper
        The estimate and its interval; None when no verdict asserted anything.
    worst, best
        The rate if every `undecided`, `no_belief` and `error` hid a lie, or an honest answer; None without verdicts.
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
    """Verdicts of one kind: how many, and the sums of 1 / pi and 1 / pi^2 over them; `leaning` is the sum of
    1 / pi over those whose p_lie is at least one half, and `contradicted` over those of these whose tool record
    contradicts what they say of acts (`evidence.prevalence`)."""

    n: int = 0
    weight: float = 0.0
    weight_squared: float = 0.0
    leaning: float = 0.0
    contradicted: float = 0.0


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
    """Verdicts given as (kind, inclusion probability), summed by kind; without a p_lie those lean that are lies.

    Raises `BadInputError` for a probability outside (0, 1].
    """
    weights: dict[VerdictKind, list[float]] = {}
    for name, probability in verdicts:
        if not 0.0 < probability <= 1.0:
            raise BadInputError(f"an inclusion probability must lie in (0, 1], not {probability!r}")
        weights.setdefault(VerdictKind(name), []).append(1.0 / probability)
    return {
        kind: KindTotal(
            len(found),
            sum(found),
            sum(w * w for w in found),
            sum(found) if kind is VerdictKind.LIE else 0.0,
        )
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

    judged = (*DECIDED, *UNKNOWN)
    value = share((VerdictKind.HONEST,), DECIDED)
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
        n=sum(all_kinds[kind].n for kind in DECIDED),
        n_effective=effective(DECIDED),
        n_by_kind={kind.value: total.n for kind, total in all_kinds.items()},
    )
