"""Real stores, a broker in memory that can rebalance, and scorers that fail on demand."""

from __future__ import annotations

import hashlib
import json
import threading
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from cryptography.fernet import Fernet
from sqlalchemy import Engine, func, select

from evidence import Assessment, VerdictKind
from monitor.detect.records import encode_state
from monitor.detect.stratum import advance, new_state
from monitor.ingest.source import Partition
from monitor.settings import DatabaseOptions, Settings
from monitor.store import open_store, reading, sweeps, upgrade
from monitor.store.cohorts import rated_assistants
from monitor.store.rated import recount
from monitor.store.schema import (
    dead_letters,
    detectors,
    duplicates,
    feedback,
    input_offsets,
    outbox,
    responses,
    verdict_log,
    verdicts,
)
from monitor.store.timeline import StepCount, counted_anew, step_counts
from monitor.store.verdicts import read_log
from monitor.worker.service import options_of
from monitor.worker.worker import Worker, WorkerKeys
from probes.probe import Transcript
from probes.scorer import OneEvaluator
from tests.monitor.worker.memory_broker import (
    FEEDBACK,
    RESPONSES,
    MemoryBroker,
    MemorySink,
)
from tests.postgres import empty_postgres, postgres_server

__all__ = ["empty_postgres", "postgres_server"]

NOW_S = 1_790_000_000.0


class Counts:
    """Worker metrics as a counter by method and label."""

    def __init__(self) -> None:
        self.of: Counter[tuple[str, str]] = Counter()

    def __getattr__(self, name: str) -> Callable[..., None]:
        def count(*given: Any) -> None:
            label = next((g for g in given if isinstance(g, str)), "")
            self.of[name, label] += next((g for g in given if isinstance(g, int)), 1)

        return count


class HashScorer(OneEvaluator):
    """p_lie from a hash of the id: the same text always gets the same verdict."""

    version = "hash-1"
    calibrated = True
    figures = ()

    def __init__(self) -> None:
        self.scored: list[str] = []
        self.sizes: list[int] = []
        self.gate = threading.Event()
        self.gate.set()

    def score(self, transcripts: Sequence[Transcript]) -> list[Assessment]:
        self.gate.wait()
        self.scored += [transcript.id for transcript in transcripts]
        self.sizes.append(len(transcripts))
        return [self._one(transcript.id) for transcript in transcripts]

    def _one(self, name: str) -> Assessment:
        p = int(hashlib.sha256(name.encode()).hexdigest()[:8], 16) / 2**32
        return Assessment(
            kind=VerdictKind.LIE if p > 0.8 else VerdictKind.HONEST,
            p_lie=p / 2,
            p_evasion=0.0,
            measurements=(),
            evaluator_version=self.version,
        )


def response_json(i: int, **changes: Any) -> bytes:
    record = {
        "response_id": f"r{i}",
        "assistant": "helper",
        "model": "m1",
        "conversation_id": f"c{i}",
        "user_id": f"user{i % 7}",
        "created_at": datetime.fromtimestamp(NOW_S, UTC).isoformat(),
        "messages": [
            {"role": "user", "content": "How is it?"},
            {"role": "assistant", "content": "Fine. " * (1 + i % 13)},
        ],
    }
    return json.dumps(record | changes).encode()


def feedback_json(i: int, **changes: Any) -> bytes:
    record = {
        "feedback_id": f"f{i}",
        "assistant": "helper",
        "response_id": f"r{i}",
        "user_id": f"user{i % 7}",
        "created_at": datetime.fromtimestamp(NOW_S + 1, UTC).isoformat(),
        "value": 1 if i % 3 else -1,
        "kind": "thumb",
    }
    return json.dumps(record | changes).encode()


class House:
    """A store with workers on a memory broker, and the invariants that must hold of it."""

    def __init__(self, folder: Path, name: str = "candor", url: str | None = None) -> None:
        self.settings = Settings(
            database=DatabaseOptions(url=url or f"sqlite:///{folder}/{name}.db"),
        )
        upgrade(self.settings.database)
        self.engine: Engine = open_store(self.settings.database)
        self.broker = MemoryBroker()
        self.metrics = Counts()
        self.scorer = HashScorer()
        self.now_s = NOW_S
        self.keys = WorkerKeys(b"p" * 32, b"s" * 32, Fernet(Fernet.generate_key()))
        self._stack = ExitStack()

    def set(self, **sections: Any) -> None:
        self.settings = self.settings.model_copy(update=sections)

    def worker(self, name: str = "w1", scorer: Any = None) -> Worker:
        worker = Worker(
            options_of(self.settings),
            self.engine,
            scorer or self.scorer,
            self.broker.join(),
            metrics=self.metrics,
            keys=self.keys,
            name=name,
            clock=lambda: self.now_s,
            stopwatch=lambda: self.now_s,
        )
        self._stack.callback(worker.close)
        return worker

    def settle(self, *workers: Worker, steps: int = 4000) -> None:
        """Step until every record is accounted for and nothing is in work."""
        for _ in range(steps):
            for worker in workers:
                worker.step()
            self.now_s += 0.01
            if not self.all_read() or not all(worker.idle for worker in workers):
                continue
            if not self.waiting_sample():
                return
            # Past the next sweep, and past the lease of a worker that died.
            self.now_s += 31.0
        raise AssertionError("the workers did not come to rest")

    def settle_without_parked(self, worker: Worker) -> None:
        """Settle while some feedback still waits for its response."""
        for _ in range(4000):
            worker.step()
            if self.all_read() and worker.idle:
                return
        raise AssertionError("the worker did not come to rest")

    def all_read(self) -> bool:
        with reading(self.engine) as connection:
            rows = connection.execute(
                select(input_offsets).where(input_offsets.c.cluster_id == self.broker.cluster_id)
            ).all()
        done = {Partition(row.topic, row.partition): row.next_offset for row in rows}
        inputs = {p: log for p, log in self.broker.logs.items() if p.topic in {RESPONSES, FEEDBACK}}
        return all(len(log) == done.get(p, 0) for p, log in inputs.items())

    def waiting_sample(self) -> int:
        with reading(self.engine) as connection:
            parked = self.count(feedback, feedback.c.state == "parked")
            return parked + len(sweeps.unmeasured_feedback_sample(connection, 100))

    def count(self, table: Any, *conditions: Any) -> int:
        with reading(self.engine) as connection:
            query = select(func.count()).select_from(table).where(*conditions)
            return int(connection.execute(query).scalar_one())

    def verdict_set(self) -> set[tuple[str, str, str, float | None, float]]:
        with reading(self.engine) as connection:
            c = verdicts.c
            columns = (c.response_id, c.key, c.kind, c.p_lie, c.inclusion_probability)
            return {tuple(row) for row in connection.execute(select(*columns))}

    def check_invariants(self) -> None:
        """Every record once; one live verdict a response; detectors equal a replay of the log."""
        with reading(self.engine) as connection:
            positions: list[tuple[Any, ...]] = []
            for table in (responses, feedback, duplicates, dead_letters):
                c = table.c
                columns = (c.cluster_id, c.topic, c.partition, c.offset)
                positions += [tuple(row) for row in connection.execute(select(*columns))]
            assert len(positions) == len(set(positions)), "a record was accounted for twice"
            here = {p for p in positions if p[0] == self.broker.cluster_id}
            expected = {
                (self.broker.cluster_id, p.topic, p.number, offset)
                for p, log in self.broker.logs.items()
                if p.topic in (RESPONSES, FEEDBACK)
                for offset in range(len(log))
            }
            assert here == expected, "a record was lost"
            slots = connection.execute(select(verdicts.c.live_slot)).scalars().all()
            assert len(slots) == len(set(slots))
            strata = connection.execute(select(verdict_log.c.stratum).distinct()).scalars().all()
            for stratum in strata:
                entries = read_log(connection, stratum, after=0)
                start = new_state(stratum, options=self.settings.detection)
                state, _ = advance(start, entries, options=self.settings.detection)
                stored = connection.execute(
                    select(detectors.c.state).where(detectors.c.stratum == stratum)
                ).scalar_one()
                assert stored == encode_state(state), "a detector is not the replay of its log"
            in_log = connection.execute(select(verdict_log.c.verdict_key)).scalars().all()
            arrivals = connection.execute(
                select(verdicts.c.key).where(verdicts.c.sampled_by == "arrival")
            ).scalars()
            assert sorted(in_log) == sorted(arrivals)
        self._check_rated()
        self._check_tally()

    def _check_tally(self) -> None:
        """The counts by time are those of the verdicts, whatever happened to their transactions."""
        day_s = 86_400.0
        end_s = (self.now_s // day_s + 2) * day_s
        period = {"start_s": 0.0, "end_s": end_s, "width_s": day_s}
        with reading(self.engine) as connection:
            tallied = step_counts(connection, **period)
            anew = counted_anew(connection, **period)

        def by_cell(counts: list[StepCount]) -> dict[tuple[Any, ...], tuple[int, float, float]]:
            return {
                (c.step, c.assistant, c.segment, c.stakes, c.kind, c.evaluator_version, c.model): (
                    c.n,
                    round(c.weight, 6),
                    round(c.leaning, 6),
                )
                for c in counts
            }

        assert by_cell(tallied) == by_cell(anew)

    def _check_rated(self) -> None:
        """What is kept of rated responses as they come equals what is stored."""
        with self.engine.connect() as connection:
            kept = rated_assistants(connection)
            recount(connection, [assistant for assistant, _, _ in kept])
            assert rated_assistants(connection) == kept
            connection.rollback()
            awaiting = sweeps.unmeasured_feedback_sample(connection, 10**6)
            measured = connection.execute(
                select(verdicts.c.response_id).where(verdicts.c.live_slot.is_not(None))
            ).scalars()
            assert not {u.response.response_id for u in awaiting} & set(measured)

    def log_offsets(self) -> dict[int, list[int]]:
        """Source offsets in log order, by partition."""
        with reading(self.engine) as connection:
            rows = connection.execute(
                select(responses.c.partition, responses.c.offset)
                .join(
                    verdicts,
                    (verdicts.c.assistant == responses.c.assistant)
                    & (verdicts.c.response_id == responses.c.response_id),
                )
                .join(verdict_log, verdict_log.c.verdict_key == verdicts.c.key)
                .order_by(verdict_log.c.id)
            )
            found: dict[int, list[int]] = defaultdict(list)
            for partition, offset in rows:
                found[partition].append(offset)
            return dict(found)

    def outbox_topics(self) -> Counter[str]:
        with reading(self.engine) as connection:
            return Counter(connection.execute(select(outbox.c.topic)).scalars())

    def close(self) -> None:
        for member in list(self.broker.members):
            self.broker.leave(member)
        self.scorer.gate.set()
        self._stack.close()
        self.engine.dispose()


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    made = House(tmp_path)
    yield made
    made.close()


@pytest.fixture(params=["sqlite", "postgresql"])
def either_house(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[House]:
    """A house on each database."""
    url = request.getfixturevalue("empty_postgres") if request.param == "postgresql" else None
    made = House(tmp_path, url=url)
    yield made
    made.close()


@pytest.fixture
def another_house(tmp_path: Path) -> Iterator[Callable[[str], House]]:
    """A maker of further stores, for a clean run to compare with."""
    made: list[House] = []

    def make(name: str) -> House:
        made.append(House(tmp_path, name))
        return made[-1]

    yield make
    for one in made:
        one.close()


@pytest.fixture
def kit() -> SimpleNamespace:
    """The doubles and record makers."""
    return SimpleNamespace(
        MemoryBroker=MemoryBroker,
        MemorySink=MemorySink,
        HashScorer=HashScorer,
        response=response_json,
        feedback=feedback_json,
        RESPONSES=RESPONSES,
        FEEDBACK=FEEDBACK,
        NOW_S=NOW_S,
    )
