"""A record through the worker's planning and its transaction: one row says what became of it."""

from __future__ import annotations

import hashlib
from functools import cache
from tempfile import TemporaryDirectory

from cryptography.fernet import Fernet
from prometheus_client import CollectorRegistry
from sqlalchemy import Engine, func, select

from monitor.ingest.marks import MARK
from monitor.ingest.options import KafkaOptions
from monitor.ingest.parts import Part
from monitor.ingest.source import Partition, Record
from monitor.sample.epochs import Epochs, Rates
from monitor.store import open_store, reading, turn_parts
from monitor.store.offsets import Claim, claim
from monitor.store.schema import dead_letters, duplicates, feedback, responses
from monitor.telemetry import PrometheusWorkerMetrics
from monitor.worker.commit import commit_chunk
from monitor.worker.plan import Planner
from monitor.worker.turns import Turns
from tests.fuzz.checks import OPTIONS
from tests.fuzz.choices import Choices
from tests.fuzz.documents import FEEDBACK, KEY, NOW_S, RESPONSES
from tests.fuzz.mutation import seeds_of
from tests.fuzz.target import Target
from tests.fuzz.targets import otlp

_KAFKA = KafkaOptions()
_TOPICS = {b"R": _KAFKA.responses_topic, b"F": _KAFKA.feedback_topic}
_TABLES = (responses, feedback, duplicates, dead_letters)
# A canary of our own would have to be measured.
_RESPONSES = [record for record in RESPONSES if MARK not in record]


class _House:
    """A store in a folder of its own with the claims of two partitions."""

    def __init__(self) -> None:
        self.folder = TemporaryDirectory()
        self.engine: Engine = open_store(f"sqlite:///{self.folder.name}/fuzz.db")
        self.cipher = Fernet(Fernet.generate_key())
        self.planner = Planner(
            _KAFKA, OPTIONS, Epochs([Rates(0.0, 1e-9, 1e-9)]), KEY, b"s" * 32, lambda: NOW_S
        )
        metrics = PrometheusWorkerMetrics(CollectorRegistry())
        options = OPTIONS.model_copy(update={"join_window_s": 0.0})
        self.turns = Turns(self.engine, options, metrics, lambda: NOW_S, lambda: NOW_S)
        self.claims: dict[str, Claim] = {}
        with self.engine.begin() as connection:
            for topic in _TOPICS.values():
                self.claims[topic] = claim(connection, "fuzz", topic, 0, now_s=NOW_S)


@cache
def _house() -> _House:
    return _House()


def make(choices: Choices) -> bytes:
    kind = choices.pick(sorted(_TOPICS))
    if kind == b"R" and choices.chance(3):
        return kind + otlp.make(choices)
    return kind + seeds_of(_RESPONSES if kind == b"R" else [FEEDBACK], choices)


def check(data: bytes) -> str:
    house, topic = _house(), _TOPICS.get(data[:1], _KAFKA.responses_topic)
    held = house.claims[topic]
    offset = held.next_offset
    # Ids of their own, or nearly all would be duplicates of the first.
    name = f'"{hashlib.sha256(data).hexdigest()[:12]}"'.encode()
    raw = data[1:].replace(b'"r1"', name).replace(b'"f1"', name)
    chunk = house.planner.plan(Partition(topic, 0), [Record(offset, raw)])
    house.turns.take(chunk.items)
    while house.turns.joined(house.planner, 100):
        pass
    house.claims[topic], effects = commit_chunk(
        house.engine, held, chunk, cipher=house.cipher, now_s=NOW_S, since_s=0.0
    )
    assert effects.n_records == 1
    with reading(house.engine) as connection:
        rows = {
            table.name: connection.execute(
                select(func.count())
                .select_from(table)
                .where(table.c.topic == topic, table.c.offset == offset)
            ).scalar_one()
            for table in _TABLES
        }
        parts = [item.outcome for item in chunk.items if isinstance(item.outcome, Part)]
        traces = turn_parts.parts_of(connection, [part.trace_id for part in parts])
    rows["parts"] = sum(
        (part.trace_id, part.id) in {one.key for one in traces.get(part.trace_id, [])}
        for part in parts
    )
    assert rows["parts"] == len(parts), "a part was kept nowhere"
    assert sum(rows.values()) >= 1, "the record was accounted for nowhere"
    assert not effects.dead_letters["internal_error"]
    return " and ".join(name for name, n in rows.items() if n)


TARGET = Target("intake", make, check)
