"""A store, topics and worker processes on a real Kafka: what tests of delivery start and kill."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path

from kafka import KafkaProducer
from kafka.admin import KafkaAdminClient, NewTopic
from sqlalchemy import Engine, func, select

from monitor.ingest.keys import create_key
from monitor.store import detectors as detector_queries
from monitor.store import open_store, reading, upgrade
from monitor.store.schema import input_offsets, outbox, responses, verdicts

PROGRAM = Path(__file__).with_name("worker_process.py")
PARTITIONS = 3


class Run:
    """Topics, a store and the records of one run; starts workers, and ends them.

    Runs in one folder share their keys, and so sample alike.
    """

    def __init__(
        self,
        kafka: str,
        folder: Path,
        name: str,
        *,
        url: str | None = None,
        settings: Mapping[str, str] | None = None,
    ) -> None:
        self.kafka = kafka
        self.topics = (f"responses-{name}", f"feedback-{name}")
        admin = KafkaAdminClient(bootstrap_servers=kafka)
        admin.create_topics([NewTopic(topic, PARTITIONS, 1) for topic in self.topics])
        admin.close()
        self.url = url or f"sqlite:///{folder}/{name}.db"
        self.log = folder / f"{name}.log"
        upgrade(self.url)
        for key in ("pseudonym", "sampling"):
            if not (folder / f"{key}.key").exists():
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
            "CANDOR_PSEUDONYM_KEY_FILE": str(folder / "pseudonym.key"),
            "CANDOR_SAMPLING_KEY_FILE": str(folder / "sampling.key"),
            "CANDOR_SAMPLING_ARRIVAL_RATE": "0.6",
            "CANDOR_SAMPLING_FEEDBACK_RATE": "0.9",
            "CANDOR_DETECTION_REFERENCE": "0.5",
            "CANDOR_DETECTION_EVASION_REFERENCE": "0.5",
            "CANDOR_DETECTION_WORST_CASE_REFERENCE": "0.5",
            # Verdicts are counted here: none but those of the records sent.
            "CANDOR_HEALTH_CANARY_SHARE": "0",
            "CANDOR_HEALTH_CANARIES_PER_HOUR": "0",
            "CANDOR_HEALTH_REPEAT_SHARE": "0",
            **(settings or {}),
        }
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
                [sys.executable, str(PROGRAM), scorer],
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

    def wait(self, n: int, process: subprocess.Popen[bytes], timeout_s: float = 900.0) -> None:
        end = time.monotonic() + timeout_s
        while self.accounted() < n:
            assert process.poll() is None, self.log.read_text()[-3000:]
            assert time.monotonic() < end, f"{self.accounted()} of {n}: {self.tail()}"
            time.sleep(0.02)

    def wait_measured(self, process: subprocess.Popen[bytes], timeout_s: float = 900.0) -> None:
        """Until the feedback sample is measured, detectors are level and the outbox is empty."""
        end = time.monotonic() + timeout_s
        while (waiting := self.waiting()) != (0, 0, 0):
            assert process.poll() is None, self.tail()
            assert time.monotonic() < end, f"{waiting}: {self.tail()}"
            time.sleep(0.1)

    def waiting(self) -> tuple[int, int, int]:
        """Sampled and not measured, strata whose detectors are behind, records not published."""
        with reading(self.engine) as connection:
            one = connection.execute
            sampled = one(select(func.count()).where(responses.c.sampled_by.is_not(None)))
            made = one(select(func.count()).select_from(verdicts))
            unsent = one(select(func.count()).where(outbox.c.published_cluster_id.is_(None)))
            return (
                sampled.scalar_one() - made.scalar_one(),
                len(detector_queries.behind(connection)),
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
