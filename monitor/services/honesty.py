"""From counts of verdicts to score rate and honesty, each with its interval, worst and best case."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from evidence import Stakes, Stratum, VerdictKind
from evidence.ppi import Labelled, Predicted, powered_share
from evidence.prevalence import Honesty, ShareEstimate, Totals, corrected_honesty, with_bounds
from evidence.records import ASSERTED, DECIDED, Accuracy
from evidence.survey import KindTotal, score_rate_of
from monitor.store.labels import AuditedVerdict
from monitor.store.sensors import Key
from monitor.store.status import KindCount
from monitor.telemetry import Bounded, StratumFigures
from monitor.telemetry.state import Basis

LEAST_RANDOM_LABELS = 50
"""With as many random labels of the window's responses, people's word corrects the sensor, not its card."""


def strata_of(
    counts: Iterable[KindCount],
    accuracies: Mapping[Key, Accuracy],
    audited: Iterable[AuditedVerdict] = (),
) -> tuple[StratumFigures, ...]:
    """One entry for each stratum that has a verdict, in order of the strata."""
    grouped: dict[Stratum, list[KindCount]] = {}
    for count in counts:
        stratum = Stratum(count.assistant, count.segment, Stakes(count.stakes))
        grouped.setdefault(stratum, []).append(count)
    labels: dict[Stratum, list[AuditedVerdict]] = {}
    for one in audited:
        stratum = Stratum(one.assistant, one.segment, Stakes(one.stakes))
        labels.setdefault(stratum, []).append(one)
    return tuple(
        stratum_figures(stratum, grouped[stratum], accuracies, labels.get(stratum, ()))
        for stratum in sorted(grouped)
    )


def stratum_figures(
    stratum: Stratum,
    counts: Sequence[KindCount],
    accuracies: Mapping[Key, Accuracy],
    audited: Sequence[AuditedVerdict] = (),
) -> StratumFigures:
    """What is shown of one stratum.

    Honesty is the score rate corrected by random labels where there are `LEAST_RANDOM_LABELS`, else
    by the measured accuracy of every evaluator in the window, else missing.
    """
    parts: dict[str, dict[VerdictKind, KindTotal]] = {}
    for count in counts:
        total = KindTotal(
            count.n, count.weight, count.weight_squared, count.leaning, count.contradicted
        )
        parts.setdefault(count.evaluator_version, {})[VerdictKind(count.kind)] = total
    whole = _sum(parts.values())
    bare = score_rate_of(whole)
    agreed = agreeing(audited)
    basis: Basis = "labels"
    found = audited_honesty(whole, agreed) if len(agreed) >= LEAST_RANDOM_LABELS else None
    if found is None:
        basis = "sensor"
        found = corrected_honesty(
            [(part, _accuracy(accuracies, name, stratum.assistant)) for name, part in parts.items()]
        )
    return StratumFigures(
        stratum=stratum,
        counts={kind: whole[kind].n for kind in VerdictKind if kind in whole},
        score_rate=Bounded(bare.value, bare.lower, bare.upper, bare.worst, bare.best),
        effective_n=bare.n_effective,
        honesty=_shown(found),
        basis=basis if found else None,
        random_labels=len(agreed),
    )


def _accuracy(accuracies: Mapping[Key, Accuracy], version: str, assistant: str) -> Accuracy | None:
    """That of the assistant's own sensor, else of the one for every assistant without a section."""
    return accuracies.get((version, assistant)) or accuracies.get((version, ""))


def agreeing(audited: Sequence[AuditedVerdict]) -> list[Labelled]:
    """Asserted verdicts, decided or not, with their label, honest or not; left out where the labellers
    disagree.

    Labels that say that nothing was asserted are no part of honesty.
    """
    asserted, decided = {kind.value for kind in ASSERTED}, {kind.value for kind in DECIDED}
    said: dict[str, set[bool]] = {}
    one_of: dict[str, AuditedVerdict] = {}
    for one in audited:
        if one.verdict in asserted and one.label in decided:
            said.setdefault(one.response_id, set()).add(one.label == VerdictKind.HONEST.value)
            one_of[one.response_id] = one
    return [
        Labelled(one_of[name].verdict, next(iter(labels)), one_of[name].weight)
        for name, labels in said.items()
        if len(labels) == 1
    ]


def audited_honesty(totals: Totals, labelled: Sequence[Labelled]) -> Honesty | None:
    """Honesty by random labels, the verdicts being the prediction; None where they do not reach."""
    predicted = {
        kind.value: Predicted(totals[kind].weight, totals[kind].weight_squared)
        for kind in ASSERTED
        if kind in totals
    }
    share = powered_share(predicted, labelled)
    return None if share is None else with_bounds(ShareEstimate(*share), [totals])


def _sum(parts: Iterable[Totals]) -> dict[VerdictKind, KindTotal]:
    whole: dict[VerdictKind, KindTotal] = {}
    for part in parts:
        for kind, add in part.items():
            held = whole.get(kind, KindTotal())
            whole[kind] = KindTotal(
                held.n + add.n,
                held.weight + add.weight,
                held.weight_squared + add.weight_squared,
                held.leaning + add.leaning,
                held.contradicted + add.contradicted,
            )
    return whole


def _shown(found: Honesty | None) -> Bounded:
    if found is None:
        return Bounded()
    return Bounded(found.value, found.lower, found.upper, found.worst, found.best)
