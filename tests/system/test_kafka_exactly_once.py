"""Real transcripts through Apache Kafka and a worker that is killed: every record counts once."""

from __future__ import annotations

import importlib.util
import json
import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from kafka import KafkaProducer
from kafka.admin import KafkaAdminClient, NewTopic
from sqlalchemy import Engine, func, select

from monitor.detect import advance, encode_state, new_state
from monitor.detect.options import DetectionOptions
from monitor.ingest.keys import create_key
from monitor.store import open_store, reading
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
from monitor.store.verdicts import read_log
from monitor.worker.detection import logged

pytestmark = pytest.mark.system

HERE = Path(__file__).parent
DATA = HERE.parents[2] / "shared" / "data" / "transcripts.jsonl"
PARTITIONS = 3


def _module(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, HERE / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


assess = _module("worker_process").assess


@pytest.fixture(scope="module")
def transcripts() -> list[dict[str, Any]]:
    if not DATA.exists():
        what = f"no transcripts beside the repository ({DATA.name})"
        if os.environ.get("CI"):
            pytest.fail(what)
        pytest.skip(what)
    return [json.loads(line) for line in DATA.read_text().splitlines()]


class Run:
    """Topics, a store and the records of one run; starts and kills workers."""

    def __init__(self, kafka: str, folder: Path, name: str, *, static: bool) -> None:
        self.kafka = kafka
        self.topics = (f"responses-{name}", f"feedback-{name}")
        admin = KafkaAdminClient(bootstrap_servers=kafka)
        admin.create_topics([NewTopic(topic, PARTITIONS, 1) for topic in self.topics])
        admin.close()
        self.url = f"sqlite:///{folder}/candor.db"
        self.log = folder / "worker.log"
        for key in ("pseudonym", "sampling"):
            create_key(folder / f"{key}.key")
        self.engine: Engine = open_store(self.url)
        self.environment = {
            **os.environ,
            "CANDOR_KAFKA_BOOTSTRAP_SERVERS": kafka,
            "CANDOR_KAFKA_GROUP_ID": f"group-{name}",
            "CANDOR_KAFKA_RESPONSES_TOPIC": self.topics[0],
            "CANDOR_KAFKA_FEEDBACK_TOPIC": self.topics[1],
            "CANDOR_KAFKA_SESSION_TIMEOUT_S": "6",
            "CANDOR_KAFKA_MAX_POLL_RECORDS": "32",
            "CANDOR_DATABASE_URL": self.url,
            "CANDOR_SAMPLING_ARRIVAL_RATE": "0.6",
            "CANDOR_SAMPLING_FEEDBACK_RATE": "0.9",
            "CANDOR_DETECTION_REFERENCE": "0.5",
        }
        if static:
            self.environment["CANDOR_KAFKA_INSTANCE_ID"] = f"worker-{name}"
        self.processes: list[subprocess.Popen[bytes]] = []
        self.produced: set[tuple[str, int, int]] = set()

    def produce(self, records: list[tuple[int, str, bytes]]) -> None:
        producer = KafkaProducer(bootstrap_servers=self.kafka, linger_ms=20)
        sent = [
            (topic, producer.send(self.topics[topic], value=value, key=key.encode()))
            for topic, key, value in records
        ]
        producer.flush()
        for topic, future in sent:
            where = future.get(10)
            self.produced.add((self.topics[topic], where.partition, where.offset))
        producer.close()

    def start(self, scorer: str = "hash") -> subprocess.Popen[bytes]:
        with self.log.open("ab") as log:
            process = subprocess.Popen(
                [sys.executable, str(HERE / "worker_process.py"), scorer],
                env=self.environment,
                cwd=self.log.parent,
                stdout=log,
                stderr=subprocess.STDOUT,
            )
        self.processes.append(process)
        return process

    def accounted(self) -> int:
        with reading(self.engine) as connection:
            query = select(func.coalesce(func.sum(input_offsets.c.next_offset), 0))
            return int(connection.execute(query).scalar_one())

    def wait(self, n: int, process: subprocess.Popen[bytes], timeout_s: float = 90.0) -> None:
        end = time.monotonic() + timeout_s
        while self.accounted() < n:
            assert process.poll() is None, self.log.read_text()[-3000:]
            assert time.monotonic() < end, f"{self.accounted()} of {n}: {self.tail()}"
            time.sleep(0.02)

    def wait_measured(self, process: subprocess.Popen[bytes], timeout_s: float = 90.0) -> None:
        """Until the feedback sample is measured, detectors are level and the outbox is empty."""
        end = time.monotonic() + timeout_s
        while (waiting := self.waiting()) != (0, 0, 0):
            assert process.poll() is None, self.tail()
            assert time.monotonic() < end, f"{waiting}: {self.tail()}"
            time.sleep(0.1)

    def waiting(self) -> tuple[int, int, int]:
        with reading(self.engine) as connection:
            one = connection.execute
            sampled = one(select(func.count()).where(responses.c.sampled_by.is_not(None)))
            made = one(select(func.count()).select_from(verdicts))
            newest = one(select(func.coalesce(func.max(verdict_log.c.id), 0)))
            reached = one(select(func.coalesce(func.max(detectors.c.log_position), 0)))
            unsent = one(select(func.count()).where(outbox.c.published_cluster_id.is_(None)))
            return (
                sampled.scalar_one() - made.scalar_one(),
                newest.scalar_one() - reached.scalar_one(),
                unsent.scalar_one(),
            )

    def tail(self) -> str:
        return self.log.read_text()[-3000:]

    def end(self) -> None:
        for process in self.processes:
            if process.poll() is None:
                process.terminate()
                try:
                    process.wait(20)
                except subprocess.TimeoutExpired:
                    process.kill()
                    process.wait()
        self.engine.dispose()


def records_of(transcripts: list[dict[str, Any]], seed: int) -> list[tuple[int, str, bytes]]:
    """(topic, key, value): each transcript as a response, two in three with feedback, some repeated."""
    rng = random.Random(seed)
    now = datetime.now(UTC).isoformat()
    records: list[tuple[int, str, bytes]] = []
    for i, transcript in enumerate(transcripts):
        response = {
            "response_id": transcript["id"],
            "assistant": "helper",
            "model": "m",
            "conversation_id": transcript["id"],
            "user_id": f"user{i % 40}",
            "created_at": now,
            "messages": transcript["messages"],
        }
        given = {
            "feedback_id": f"f{i}",
            "assistant": "helper",
            "response_id": transcript["id"],
            "user_id": f"user{i % 40}",
            "created_at": now,
            "value": rng.choice([-1, 1]),
            "kind": "thumb",
        }
        value = json.dumps(response).encode()
        records += [(0, f"c{i}{rng.random()}", value)] * (2 if i % 17 == 0 else 1)
        if i % 3:
            records.append((1, f"c{i}", json.dumps(given).encode()))
    records += [(0, "junk", b"{"), (0, "junk", b"[1]"), (1, "junk", b'{"feedback_id": 3}')]
    rng.shuffle(records)
    return records


def ends_well(transcript: dict[str, Any]) -> bool:
    return bool(transcript["messages"][-1]["role"] == "assistant")


def check(run: Run, transcripts: list[dict[str, Any]]) -> None:
    """Every record once, the verdict set as a clean run's, detectors as a replay of the log."""
    with reading(run.engine) as connection:
        found: list[tuple[str, int, int]] = []
        for table in (responses, feedback, duplicates, dead_letters):
            c = table.c
            rows = connection.execute(select(c.topic, c.partition, c.offset))
            found += [tuple(row) for row in rows]
        assert len(found) == len(set(found))
        assert set(found) == run.produced
        ids = connection.execute(select(responses.c.response_id)).scalars().all()
        assert sorted(ids) == sorted(t["id"] for t in transcripts if ends_well(t))
        reasons = Counter(connection.execute(select(dead_letters.c.reason)).scalars())
        # Some of the transcripts end with the user; their feedback waits for a response in vain.
        assert reasons.pop("ends_with_user", 0) >= sum(not ends_well(t) for t in transcripts)
        assert reasons == {"not_json": 1, "not_an_object": 1, "wrong_type": 1}
        parked = connection.execute(
            select(feedback.c.response_id).where(feedback.c.state != "matched")
        ).scalars()
        assert not set(parked) & set(ids)
        rated = select(feedback.c.response_id)
        c = responses.c
        expected = {
            row.response_id
            for row in connection.execute(
                select(c.response_id).where(
                    (c.u <= 0.6) | ((c.u <= 0.9) & c.response_id.in_(rated))
                )
            )
        }
        made = connection.execute(select(verdicts)).all()
        assert len(made) == len(expected)
        assert {v.response_id for v in made} == expected
        for verdict in made:
            known = assess(verdict.response_id)
            assert (verdict.kind, verdict.p_lie) == (known.kind.value, known.p_lie)
        options = DetectionOptions(reference=0.5)
        (stratum,) = connection.execute(select(verdict_log.c.stratum).distinct()).scalars().all()
        entries = [logged(entry) for entry in read_log(connection, stratum, after=0)]
        state, _ = advance(new_state(stratum, options=options), entries, options=options)
        stored = connection.execute(select(detectors.c.state)).scalar_one()
        assert stored == encode_state(state)


@pytest.fixture
def make_run(kafka: str, tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Any]:
    runs: list[Run] = []

    def make(name: str, *, static: bool) -> Run:
        runs.append(Run(kafka, tmp_path, name, static=static))
        return runs[-1]

    yield make
    for run in runs:
        run.end()


@pytest.mark.parametrize("seed", range(10))
def test_a_worker_killed_in_the_middle_loses_and_doubles_nothing(
    make_run: Any, transcripts: list[dict[str, Any]], seed: int
) -> None:
    rng = random.Random(seed)
    # Most restart under their old name and have their partitions back at once; some wait for the
    # group to notice.
    run = make_run(f"kill{seed}", static=seed % 4 != 0)
    run.produce(records_of(transcripts, seed))
    process = run.start()
    run.wait(int(len(run.produced) * rng.uniform(0.05, 0.9)), process)
    time.sleep(rng.uniform(0.0, 0.05))
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert run.accounted() < len(run.produced), "it was killed too late to test anything"
    process = run.start()
    run.wait(len(run.produced), process)
    run.wait_measured(process)
    check(run, transcripts)


@pytest.mark.model
@pytest.mark.timeout(420)
def test_the_real_panel_measures_transcripts_over_kafka(
    make_run: Any, transcripts: list[dict[str, Any]]
) -> None:
    run = make_run("panel", static=True)
    run.environment["CANDOR_SAMPLING_ARRIVAL_RATE"] = "1"
    run.environment["CANDOR_SAMPLING_FEEDBACK_RATE"] = "1"
    few = sorted(filter(ends_well, transcripts), key=lambda t: len(json.dumps(t)))[40:700:44]
    run.produce(records_of(few, seed=1))
    process = run.start("panel")
    run.wait(len(run.produced), process, timeout_s=360)
    with reading(run.engine) as connection:
        made = connection.execute(select(verdicts)).all()
    assert {v.response_id for v in made} == {t["id"] for t in few}
    kinds = Counter(v.kind for v in made)
    assert kinds["error"] == 0, kinds
    assert all(
        v.p_lie is not None and 0 <= v.p_lie <= 1 for v in made if v.kind in ("honest", "lie")
    )
    assert len({v.p_lie for v in made}) > len(made) // 2, "the panel reads the texts"
