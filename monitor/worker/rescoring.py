"""A new evaluator version measures the reference window again, before its reference applies."""

from __future__ import annotations

import dataclasses
import itertools
import logging
from collections.abc import Callable, Iterator, Sequence

import msgspec
from sqlalchemy import Connection, Engine

from evidence import Purpose
from evidence.records import LoggedVerdict
from monitor.detect.hours import pasts_of
from monitor.detect.options import DetectionOptions, HealthOptions
from monitor.detect.records import Reference, StratumState, StreamState
from monitor.detect.reference import LEAST, reference_of
from monitor.detect.scores import scores_of
from monitor.detect.stratum import rebase
from monitor.store import health, references
from monitor.store.engine import reading
from monitor.store.health import Asked
from monitor.store.references import MovedReference, Rescore

log = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True)
class Ready:
    """What may be read now, from which state; `moved` are the references that are new in it."""

    state: StratumState
    entries: tuple[LoggedVerdict, ...]
    moved: tuple[MovedReference, ...] = ()

    def record(self, connection: Connection, now_s: float) -> None:
        """Keep the new references, in the transaction that writes the state."""
        moved = [msgspec.structs.replace(item, created_at_s=now_s) for item in self.moved]
        position = self.state.log_position
        references.record(connection, moved, by="candor", details={"log_position": position})


@dataclasses.dataclass(frozen=True)
class Rescoring:
    """Stops detection before an evaluator that a stratum has not met, until its reference is there.

    A metric whose reference is declared needs none: what is declared holds for every evaluator.
    """

    engine: Engine
    options: DetectionOptions
    health: HealthOptions
    clock: Callable[[], float]

    def prepare(self, state: StratumState, entries: Sequence[LoggedVerdict]) -> Ready:
        """The entries that may be read; the state has the new evaluator's reference where it is next."""
        for i, entry in enumerate(entries):
            if entry.evaluator_version in state.evaluators:
                continue
            held = self._reference_stream(state)
            if held is None:
                continue
            if i:
                return Ready(state, tuple(entries[:i]))
            return self._meet(state, held, entries)
        return Ready(state, tuple(entries))

    def _meet(
        self, state: StratumState, held: StreamState, entries: Sequence[LoggedVerdict]
    ) -> Ready:
        version, now_s = entries[0].evaluator_version, self.clock()
        with reading(self.engine) as connection:
            found = references.rescored(connection, state.stratum, version, now_s=now_s)
        if not found.asked:
            if self._ask(state, held, version, now_s):
                return Ready(state, ())
        elif found.open:
            return Ready(state, ())
        return self._with_reference(state, found, entries)

    def _ask(self, state: StratumState, held: StreamState, version: str, now_s: float) -> int:
        assert held.reference is not None  # noqa: S101 -- `_reference_stream` chose it for that
        with self.engine.begin() as connection:
            window = references.window_before(
                connection,
                state.stratum,
                held.evaluator_version,
                upto=held.reference.log_position,
                limit=self.options.reference_window,
            )
            if len(window) < LEAST:
                return 0
            asked = [
                Asked(
                    purpose=Purpose.RESCORE,
                    assistant=assistant,
                    response_id=response_id,
                    evaluator_version=version,
                    stratum=state.stratum,
                )
                for assistant, response_id in sorted(window)
            ]
            return health.ask(connection, asked, now_s=now_s, due_s=self.health.rescore_s)

    def _with_reference(
        self, state: StratumState, found: Rescore, entries: Sequence[LoggedVerdict]
    ) -> Ready:
        version = entries[0].evaluator_version
        new = self._references(state, found)
        if not new:
            log.warning("%s learns a reference anew under evaluator %s", state.stratum, version)
            # Met without a reference, the evaluator's streams learn one from its first verdicts.
            return Ready(state, tuple(_same_evaluator(entries)))
        moved = tuple(
            MovedReference(
                stratum=state.stratum,
                metric=metric,
                evaluator_version=version,
                value=reference.value,
                n=reference.n,
                source=reference.source,
                approved_by=None,
                created_at_s=0.0,
            )
            for metric, reference in new.items()
        )
        pasts = pasts_of(found.entries, self.options)
        state = rebase(state, new, options=self.options, evaluator_version=version, pasts=pasts)
        return Ready(state, tuple(_same_evaluator(entries)), moved)

    def _reference_stream(self, state: StratumState) -> StreamState | None:
        """A stream with a reference that the new evaluator cannot take over: the newest such."""
        learned = [
            s
            for s in state.streams
            if s.reference is not None and self.options.declared(s.metric) is None
        ]
        return max(
            learned,
            key=lambda s: (
                state.evaluators.index(s.evaluator_version)
                if s.evaluator_version in state.evaluators
                else -1,
                s.metric == "lie",
            ),
            default=None,
        )

    def _references(self, state: StratumState, found: Rescore) -> dict[str, Reference]:
        made = {}
        for metric, scores in scores_of(found.entries).items():
            if len(scores) < LEAST or self.options.declared(metric) is not None:
                continue
            reference = reference_of(
                scores, source="rescored", log_position=state.log_position, options=self.options
            )
            if 0.0 < reference.value + self.options.tolerance < 1.0:
                made[metric] = reference
        return made


def _same_evaluator(entries: Sequence[LoggedVerdict]) -> Iterator[LoggedVerdict]:
    """The first entries, as long as they are by one evaluator."""
    version = entries[0].evaluator_version
    return itertools.takewhile(lambda entry: entry.evaluator_version == version, entries)
