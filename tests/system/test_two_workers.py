"""Two workers on Apache Kafka and PostgreSQL find what one worker finds on SQLite, also when one dies."""

from __future__ import annotations

import json
import random
import re
import signal
import time
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from monitor.detect.options import DetectionOptions
from monitor.detect.records import encode_state
from monitor.detect.stratum import advance, new_state
from monitor.store import reading
from monitor.store.schema import alarms, detectors, input_offsets, verdict_log, verdicts
from monitor.store.verdicts import read_log
from tests.postgres import empty_postgres, postgres_server
from tests.system.worker_run import PARTITIONS, Run

__all__ = ["empty_postgres", "postgres_server"]

pytestmark = [pytest.mark.system]

# Scores are spread evenly over [0, 1], so this reference is passed in every stratum.
REFERENCE = 0.35
SETTINGS = {
    "CANDOR_DETECTION_REFERENCE": str(REFERENCE),
    "CANDOR_DETECTION_EVASION_REFERENCE": str(REFERENCE),
    "CANDOR_DETECTION_WORST_CASE_REFERENCE": str(REFERENCE),
    "CANDOR_INGEST_ASSISTANTS": json.dumps({"shop": ["refunds"], "bank": []}),
}
# Facts about a verdict that do not depend on when and by whom it was made.
FACTS = [
    verdicts.c.key, verdicts.c.stratum, verdicts.c.kind, verdicts.c.p_lie, verdicts.c.sampled_by,
    verdicts.c.inclusion_probability, verdicts.c.model, verdicts.c.evaluator_version,
]  # fmt: skip


def traffic(n: int, seed: int) -> list[tuple[int, str, bytes]]:
    """(topic, key, value): responses of several strata, some sent twice, most with feedback."""
    rng = random.Random(seed)
    now = datetime.now(UTC).isoformat()
    records: list[tuple[int, str, bytes]] = []
    for i in range(n):
        about = {"assistant": rng.choice(["shop", "shop", "bank", "undeclared"]), "created_at": now}
        response = {
            **about,
            "response_id": f"r{i}",
            "model": "m-1",
            "conversation_id": f"c{i}",
            "user_id": f"u{i % 50}",
            "segment": rng.choice(["refunds", "sales"]),
            "stakes": rng.choice(["normal", "normal", "high"]),
            "messages": [{"role": "assistant", "content": f"Answer {i}."}],
        }
        # A repeated record may reach another partition, and so another worker.
        records += [
            (0, f"c{i}-{rng.random()}", json.dumps(response).encode())
            for _ in range(2 if i % 13 == 0 else 1)
        ]
        if i % 3:
            given = {
                **about,
                "feedback_id": f"f{i}",
                "response_id": f"r{i}",
                "user_id": f"u{(i + 1) % 50}",
                "value": rng.choice([-1, 1]),
                "kind": "thumb",
            }
            records.append((1, f"r{i}", json.dumps(given).encode()))
    records += [(0, "junk", b"{"), (1, "junk", b"[]")]
    rng.shuffle(records)
    return records


def found(run: Run) -> set[tuple[Any, ...]]:
    with reading(run.engine) as connection:
        return {tuple(row) for row in connection.execute(select(*FACTS))}


def check_replay(run: Run) -> None:
    """Detector states and alarms are those of a replay of the verdict log."""
    options = DetectionOptions(
        reference=REFERENCE, evasion_reference=REFERENCE, worst_case_reference=REFERENCE
    )
    with reading(run.engine) as connection:
        strata = connection.execute(select(verdict_log.c.stratum).distinct()).scalars().all()
        stored = dict(connection.execute(select(detectors.c.stratum, detectors.c.state)).all())
        opened = connection.execute(
            select(alarms.c.alarm_id).where(alarms.c.subject == "stratum")
        ).scalars()
        expected = set()
        for stratum in strata:
            entries = read_log(connection, stratum, after=0)
            state, raised = advance(new_state(stratum, options=options), entries, options=options)
            assert stored.pop(stratum) == encode_state(state)
            expected |= {alarm.alarm_id for alarm in raised}
        assert stored == {}
        assert len(strata) >= 5
        assert expected, "this traffic raises alarms"
        assert set(opened) == expected


def fences(run: Run) -> Counter[str]:
    """How often each partition was claimed."""
    columns = (input_offsets.c.topic, input_offsets.c.partition, input_offsets.c.fence)
    with reading(run.engine) as connection:
        return Counter({f"{t}/{p}": fence for t, p, fence in connection.execute(select(*columns))})


def share_out(run: Run, timeout_s: float = 600.0) -> None:
    """Wait until two workers have all partitions between them."""
    end = time.monotonic() + timeout_s
    assigned: list[int] = []
    while len(assigned) < 2 or sum(assigned[-2:]) != 2 * PARTITIONS or 0 in assigned[-2:]:
        assert time.monotonic() < end, run.tail()
        time.sleep(0.1)
        assigned = [int(n) for n in re.findall(r"assigned (\d+) partitions", run.log.read_text())]


@pytest.fixture(scope="module")
def records() -> list[tuple[int, str, bytes]]:
    return traffic(1500, seed=5)


def test_two_workers_of_whom_one_is_killed_find_what_one_finds(
    kafka: str,
    empty_postgres: str,
    tmp_path: Path,
    records: list[tuple[int, str, bytes]],
) -> None:
    alone = Run(kafka, tmp_path, "alone", settings=SETTINGS)
    pair = Run(kafka, tmp_path, "pair", url=empty_postgres, settings=SETTINGS)
    try:
        first, second = pair.start(), pair.start()
        share_out(pair)
        pair.produce(records)
        alone.produce(records)
        one = alone.start()

        pair.wait(len(records) // 4, second)
        time.sleep(random.Random(1).uniform(0, 0.05))
        first.send_signal(signal.SIGKILL)
        first.wait()
        claimed = fences(pair)
        assert pair.accounted() < len(pair.produced), "it was killed too late to test anything"
        third = pair.start()
        pair.wait(len(pair.produced), second)
        pair.wait_measured(second)
        alone.wait(len(alone.produced), one)
        alone.wait_measured(one)

        assert third.poll() is None, pair.tail()
        assert any(fences(pair)[name] > n for name, n in claimed.items()), "no partition moved"
        assert found(pair) == found(alone)
        assert len(found(alone)) > 1000
        check_replay(pair)
        check_replay(alone)
    finally:
        alone.end()
        pair.end()
