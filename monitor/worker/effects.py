"""What a committed chunk did, for metrics and for the work that follows."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Sequence

import msgspec
from sqlalchemy import Connection

from evidence import Purpose, SampledBy, Verdict
from monitor.jobs.metrics import WorkerMetrics
from monitor.score import without_text
from monitor.store import explanations, outbox, verdicts


@dataclasses.dataclass(slots=True)
class Effects:
    """What a committed chunk did, for metrics and for the work that follows."""

    topic: str
    n_records: int
    sampled: Counter[str] = dataclasses.field(default_factory=Counter)
    skipped: Counter[str] = dataclasses.field(default_factory=Counter)
    feedback: Counter[str] = dataclasses.field(default_factory=Counter)
    dead_letters: Counter[str] = dataclasses.field(default_factory=Counter)
    verdicts: Counter[str] = dataclasses.field(default_factory=Counter)
    canaries: Counter[str] = dataclasses.field(default_factory=Counter)
    n_duplicates: int = 0
    n_conflicts: int = 0
    n_feedback_sampled: int = 0

    def count(self, metrics: WorkerMetrics) -> None:
        """Report to the metrics, once the transaction is durable."""
        metrics.seen(self.topic, self.n_records)
        for counter, method in (
            (self.sampled, metrics.sampled),
            (self.skipped, metrics.skipped),
            (self.feedback, metrics.feedback),
            (self.dead_letters, metrics.dead_letter),
            (self.verdicts, metrics.verdict),
        ):
            for name, n in counter.items():
                method(name, n)
        for kind, n in self.canaries.items():
            metrics.extra_verdict(Purpose.CANARY.value, kind, n)
        if self.n_duplicates:
            metrics.duplicate(self.topic, self.n_duplicates)
        if self.n_conflicts:
            metrics.conflict(self.topic, self.n_conflicts)
        if self.n_feedback_sampled:
            metrics.sampled(SampledBy.FEEDBACK.value, self.n_feedback_sampled)


def write_verdicts(
    connection: Connection, made: Sequence[Verdict], effects: Counter[str], *, now_s: float
) -> list[Verdict]:
    """Insert verdicts in source order, log those that move detectors, queue those that count, which it returns.

    What quotes text goes into a table of its own: the record and the copy that goes out hold none.
    """
    if not made:
        return []
    apart = [without_text(verdict) for verdict in made]
    kept = verdicts.insert_verdicts(connection, [verdict for verdict, _ in apart])
    new = [verdict for verdict, _ in apart if verdict.key in kept]
    explanations.put_explanations(
        connection, [(v, found) for v, found in apart if found is not None and v.key in kept]
    )
    verdicts.append_log(connection, new)
    outbox.add(
        connection,
        outbox.VERDICTS_TOPIC,
        [(v.stratum.key.encode(), msgspec.json.encode(v)) for v in new],
        now_s=now_s,
    )
    effects.update(verdict.assessment.kind.value for verdict in new)
    return new
