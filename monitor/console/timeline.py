"""Honesty over time: steps that are over are counted once, however many people look."""

from __future__ import annotations

import threading
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence

import msgspec
from sqlalchemy import Connection

from evidence import Stakes, Stratum
from evidence.records import Accuracy
from monitor.services.honesty import stratum_figures
from monitor.store.labels import AuditedVerdict
from monitor.store.sensors import Key
from monitor.store.timeline import StepCount, step_counts
from monitor.telemetry import Bounded

_YOUNGEST_S = 5.0
_MOST_STEPS = 4_000
AUDIT_STEPS = 6
"""Steps that are joined for an estimate by random labels, which are few."""


class Step(msgspec.Struct, frozen=True):
    """One step of a curve: its middle, its verdicts, and honesty or, where that is not known, the score rate."""

    at_s: float
    n: int
    score_rate: Bounded
    honesty: Bounded


class Audited(msgspec.Struct, frozen=True):
    """Honesty of a stretch of time by random labels, missing where there are too few.

    `labels` are the responses on whose label their readers agree.
    """

    start_s: float
    end_s: float
    labels: int
    honesty: Bounded


class _Made(msgspec.Struct, frozen=True):
    """A step with what it was made of."""

    counts: tuple[StepCount, ...]
    measured: tuple[tuple[str, Accuracy | None], ...]
    step: Step


class Timeline:
    """Counts of verdicts by step. A step is counted anew when a tenth of its age has passed: feedback
    still moves the weights of young ones.

    Parameters
    ----------
    clock
        Seconds since the epoch.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._held: dict[tuple[float, int], tuple[float, tuple[StepCount, ...]]] = {}
        self._made: dict[tuple[float, int, str, str | None], _Made] = {}

    def counts(
        self, connection: Connection, start_s: float, end_s: float, width_s: float
    ) -> dict[int, tuple[StepCount, ...]]:
        """The counts of each step that lies in a period, by its number."""
        wanted = range(int(start_s // width_s), int(-(-end_s // width_s)))
        now_s = self._clock()
        with self._lock:
            stale = [step for step in wanted if self._is_stale(step, width_s, now_s)]
            if stale:
                self._read(connection, range(stale[0], stale[-1] + 1), width_s, now_s)
            return {step: self._held[width_s, step][1] for step in wanted}

    def curve(
        self,
        counts: Mapping[int, Sequence[StepCount]],
        width_s: float,
        assistant: str,
        stratum: str | None,
        accuracies: Mapping[Key, Accuracy],
    ) -> list[Step]:
        """Honesty of an assistant, or of one stratum of it, step by step; steps without a verdict are
        left out."""
        steps = []
        for number, all_counts in sorted(counts.items()):
            ours = _by_kind(c for c in all_counts if _is_of(c, assistant, stratum))
            if not ours:
                continue
            measured = tuple(
                (c.evaluator_version, accuracies.get((c.evaluator_version, name)))
                for c in ours
                for name in (assistant, "")
            )
            key = (width_s, number, assistant, stratum)
            held = self._made.get(key)
            if held is None or (held.counts, held.measured) != (tuple(ours), measured):
                # Two milliseconds each: what is over does not change.
                held = _Made(tuple(ours), measured, _step(number, width_s, ours, accuracies))
                if len(self._made) >= _MOST_STEPS:
                    self._made.clear()
                self._made[key] = held
            steps.append(held.step)
        return steps

    def audits(
        self,
        counts: Mapping[int, Sequence[StepCount]],
        width_s: float,
        assistant: str,
        stratum: str | None,
        audited: Iterable[AuditedVerdict],
    ) -> list[Audited]:
        """Honesty of an assistant, or of one stratum of it, by random labels, in stretches of `AUDIT_STEPS` steps;
        stretches without a label are left out."""
        labelled: dict[int, list[AuditedVerdict]] = defaultdict(list)
        for one in audited:
            if int(one.scored_at_s // width_s) in counts and _is_of(one, assistant, stratum):
                labelled[int(one.scored_at_s // width_s) // AUDIT_STEPS].append(one)
        found = []
        for number, labels in sorted(labelled.items()):
            steps = [s for s in counts if s // AUDIT_STEPS == number]
            ours = _by_kind(c for s in steps for c in counts[s] if _is_of(c, assistant, stratum))
            if ours:
                figures = stratum_figures(_whole(ours), ours, {}, labels)
                start_s, end_s = min(steps) * width_s, (max(steps) + 1) * width_s
                found.append(Audited(start_s, end_s, figures.random_labels, figures.honesty))
        return found

    def _is_stale(self, step: int, width_s: float, now_s: float) -> bool:
        held = self._held.get((width_s, step))
        if held is None:
            return True
        age_s = max(0.0, now_s - (step + 1) * width_s)
        return not 0.0 <= now_s - held[0] < max(_YOUNGEST_S, age_s / 10.0)

    def _read(self, connection: Connection, steps: range, width_s: float, now_s: float) -> None:
        found: dict[int, list[StepCount]] = {step: [] for step in steps}
        period = {"start_s": steps.start * width_s, "end_s": steps.stop * width_s}
        for count in step_counts(connection, **period, width_s=width_s):
            found.setdefault(count.step, []).append(count)
        for step in steps:
            # Put at the end: what was read last goes last.
            self._held.pop((width_s, step), None)
            self._held[width_s, step] = (now_s, tuple(found[step]))
        for key in list(self._held)[: max(0, len(self._held) - _MOST_STEPS)]:
            del self._held[key]


def first_seen(
    counts: Mapping[int, Sequence[StepCount]], width_s: float, assistant: str
) -> list[tuple[float, str]]:
    """When each model version after the first first answered, to the step."""
    seen: dict[str, float] = {}
    for number, all_counts in sorted(counts.items()):
        for count in all_counts:
            if count.assistant == assistant:
                seen.setdefault(count.model, number * width_s)
    starts = sorted((at_s, model) for model, at_s in seen.items())
    return starts[1:]


def _step(
    number: int, width_s: float, ours: Sequence[StepCount], accuracies: Mapping[Key, Accuracy]
) -> Step:
    figures = stratum_figures(_whole(ours), ours, accuracies)
    at_s = (number + 0.5) * width_s
    return Step(at_s, sum(c.n for c in ours), figures.score_rate, figures.honesty)


def _whole(ours: Sequence[StepCount]) -> Stratum:
    return Stratum(ours[0].assistant, "all", Stakes.NORMAL)


def _is_of(count: StepCount | AuditedVerdict, assistant: str, stratum: str | None) -> bool:
    if count.assistant != assistant:
        return False
    return stratum is None or stratum == f"{count.assistant}/{count.segment}/{count.stakes}"


def _by_kind(counts: Iterable[StepCount]) -> list[StepCount]:
    """Counts of one evaluator and kind joined over strata and versions."""
    joined: dict[tuple[str, str], StepCount] = {}
    for count in counts:
        key = (count.evaluator_version, count.kind)
        held = joined.get(key)
        joined[key] = count if held is None else _sum(held, count)
    return list(joined.values())


def _sum(a: StepCount, b: StepCount) -> StepCount:
    return msgspec.structs.replace(
        a,
        n=a.n + b.n,
        weight=a.weight + b.weight,
        weight_squared=a.weight_squared + b.weight_squared,
        leaning=a.leaning + b.leaning,
        contradicted=a.contradicted + b.contradicted,
    )
