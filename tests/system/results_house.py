"""A store with responses that wait in its outbox, and a worker that sends its results out."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

from sqlalchemy import Engine, select

from monitor.ingest.keys import create_key
from monitor.store import open_store, outbox, reading, results, upgrade
from monitor.store.schema import verdicts

PROGRAM = Path(__file__).with_name("worker_process.py")


class House:
    """A store with responses that wait in its outbox, and a worker on an embedded broker."""

    def __init__(self, folder: Path, **settings: str) -> None:
        self.folder, self.log = folder, folder / "worker.log"
        url = f"sqlite:///{folder}/candor.db"
        upgrade(url)
        self.engine: Engine = open_store(url)
        for key in ("pseudonym", "sampling"):
            create_key(folder / f"{key}.key")
        self.environment = {
            **os.environ,
            "PYTHONPATH": str(Path(__file__).parents[2]),
            "CANDOR_DATABASE_URL": url,
            "CANDOR_PSEUDONYM_KEY_FILE": str(folder / "pseudonym.key"),
            "CANDOR_SAMPLING_KEY_FILE": str(folder / "sampling.key"),
            "CANDOR_SAMPLING_ARRIVAL_RATE": "1",
            "CANDOR_SAMPLING_FEEDBACK_RATE": "1",
            # One name: the leases of a worker that was killed come back at once.
            "CANDOR_KAFKA_INSTANCE_ID": "worker-1",
            "CANDOR_HEALTH_CANARY_SHARE": "0",
            "CANDOR_HEALTH_CANARIES_PER_HOUR": "0",
            "CANDOR_HEALTH_REPEAT_SHARE": "0",
            "CANDOR_RESULTS_INTERVAL_S": "0.2",
            "CANDOR_RESULTS_BATCH": "20",
            **{f"CANDOR_RESULTS_{name.upper()}": value for name, value in settings.items()},
        }
        self._process: subprocess.Popen[bytes] | None = None

    def add(self, spans: list[tuple[str, str]]) -> None:
        """Queue a response for each span, as the API does."""
        now_s = time.time()
        records = [
            (trace.encode(), json.dumps(response(trace, span, now_s)).encode())
            for trace, span in spans
        ]
        with self.engine.begin() as connection:
            outbox.add(connection, "assistant.responses", records, now_s=now_s)

    def start(self) -> None:
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, str(PROGRAM), "hash"],
                env=self.environment,
                cwd=self.folder,
                stdout=log,
                stderr=subprocess.STDOUT,
            )

    def kill(self) -> None:
        if self._process is not None and self._process.poll() is None:
            self._process.send_signal(signal.SIGKILL)
            self._process.wait()

    def until(self, what: Callable[[], bool], timeout_s: float = 900.0) -> None:
        end = time.monotonic() + timeout_s
        while not what():
            assert self._process is not None
            assert self._process.poll() is None, self.log.read_text()[-3000:]
            assert time.monotonic() < end, self.log.read_text()[-3000:]
            time.sleep(0.1)

    def lags(self) -> dict[str, int]:
        with reading(self.engine) as connection:
            return {lag.sink: lag.records for lag in results.lags(connection)}

    def kinds(self) -> dict[str, str]:
        """Verdicts by response id."""
        with reading(self.engine) as connection:
            rows = connection.execute(select(verdicts.c.response_id, verdicts.c.kind))
            return {row.response_id: row.kind for row in rows}


def response(trace: str, span: str, now_s: float) -> dict[str, object]:
    return {
        "response_id": trace,
        "assistant": "helper",
        "model": "m",
        "conversation_id": trace,
        "user_id": "u",
        "created_at": datetime.fromtimestamp(now_s, UTC).isoformat(),
        "messages": [
            {"role": "user", "content": "Well?"},
            {"role": "assistant", "content": "Yes."},
        ],
        "trace_id": trace,
        "span_id": span,
    }


def made_spans(n: int) -> list[tuple[str, str]]:
    digests = (hashlib.sha256(str(i).encode()).hexdigest() for i in range(n))
    return [(digest[:32], digest[32:48]) for digest in digests]
