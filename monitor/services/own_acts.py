"""From counts of replies whose acts could be seen to the share of them that their tool record contradicts."""

from __future__ import annotations

from collections.abc import Iterable

from evidence.confidence import wilson
from monitor.store.status import ActCount
from monitor.telemetry import Estimate, OwnActs
from probes.visible import Visible


def own_acts(counts: Iterable[ActCount]) -> tuple[OwnActs, ...]:
    """One entry for each assistant of which any act was seen, in order of their names."""
    grouped: dict[str, list[ActCount]] = {}
    for count in counts:
        grouped.setdefault(count.assistant, []).append(count)
    return tuple(_of(assistant, grouped[assistant]) for assistant in sorted(grouped))


def _of(assistant: str, counts: Iterable[ActCount]) -> OwnActs:
    """The share is weighted by 1 / pi; the interval is Wilson's at Kish's effective count."""
    seen = list(counts)
    against = [count for count in seen if count.acts == Visible.CONTRADICTED]
    total = sum(count.weight for count in seen)
    share = min(1.0, sum(count.weight for count in against) / total)
    effective = total**2 / sum(count.weight_squared for count in seen)
    interval = wilson(share * effective, effective)
    return OwnActs(
        assistant=assistant,
        contradicted=Estimate(share, interval.lower, interval.upper),
        n_visible=sum(count.n for count in seen),
        n_contradicted=sum(count.n for count in against),
        effective_n=effective,
    )
