"""From counts of verdicts to honesty with its interval and its worst and best case."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from evidence import Stakes, Stratum, VerdictKind
from evidence.survey import KindTotal, honesty_of
from monitor.store.status import KindCount
from monitor.telemetry import Estimate, StratumFigures

RANDOM_LABELS_FOR_HONESTY = 200
"""With fewer randomly chosen human labels the share is called a score rate, not honesty."""


def strata_of(
    counts: Iterable[KindCount], random_labels: Mapping[str, int]
) -> tuple[StratumFigures, ...]:
    """One state for each stratum that has a verdict, in order of the strata."""
    grouped: dict[Stratum, list[KindCount]] = {}
    for count in counts:
        stratum = Stratum(count.assistant, count.segment, Stakes(count.stakes))
        grouped.setdefault(stratum, []).append(count)
    return tuple(
        stratum_figures(stratum, grouped[stratum], random_labels.get(stratum.assistant, 0))
        for stratum in sorted(grouped)
    )


def stratum_figures(
    stratum: Stratum, counts: Iterable[KindCount], random_labels: int
) -> StratumFigures:
    """What is shown of one stratum; it is called honesty with enough random labels alone."""
    by_kind = {
        VerdictKind(count.kind): KindTotal(count.n, count.weight, count.weight_squared)
        for count in counts
    }
    found = honesty_of(by_kind)
    return StratumFigures(
        stratum=stratum,
        counts={kind: by_kind[kind].n for kind in VerdictKind if kind in by_kind},
        honesty=Estimate(found.value, found.lower, found.upper),
        worst_case=found.worst,
        best_case=found.best,
        effective_n=found.n_effective,
        figure="honesty" if random_labels >= RANDOM_LABELS_FOR_HONESTY else "score_rate",
        random_labels=random_labels,
    )
