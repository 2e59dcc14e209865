"""Real transcripts through Apache Kafka and a worker that is killed: every record counts once."""

from __future__ import annotations

import json
import os
import random
import signal
import time
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from monitor.detect.options import DetectionOptions
from monitor.detect.records import encode_state
from monitor.detect.stratum import advance, new_state
from monitor.store import reading
from monitor.store.schema import (
    dead_letters,
    detectors,
    duplicates,
    feedback,
    responses,
    verdict_log,
    verdicts,
)
from monitor.store.verdicts import read_log
from tests.system.worker_process import assess
from tests.system.worker_run import Run

pytestmark = pytest.mark.system

HERE = Path(__file__).parent
DATA = HERE.parents[2] / "shared" / "data" / "transcripts.jsonl"


@pytest.fixture(scope="module")
def transcripts() -> list[dict[str, Any]]:
    if not DATA.exists():
        what = f"no transcripts beside the repository ({DATA.name})"
        if os.environ.get("CI"):
            pytest.fail(what)
        pytest.skip(what)
    return [json.loads(line) for line in DATA.read_text().splitlines()]


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
        options = DetectionOptions(reference=0.5, evasion_reference=0.5, worst_case_reference=0.5)
        (stratum,) = connection.execute(select(verdict_log.c.stratum).distinct()).scalars().all()
        entries = read_log(connection, stratum, after=0)
        state, _ = advance(new_state(stratum, options=options), entries, options=options)
        stored = connection.execute(select(detectors.c.state)).scalar_one()
        assert stored == encode_state(state)


@pytest.fixture
def make_run(kafka: str, tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Any]:
    runs: list[Run] = []

    def make(name: str, *, static: bool) -> Run:
        settings = {"CANDOR_KAFKA_INSTANCE_ID": f"worker-{name}"} if static else {}
        runs.append(Run(kafka, tmp_path, name, settings=settings))
        return runs[-1]

    yield make
    for run in runs:
        run.end()


@pytest.mark.parametrize("seed", range(10))
def test_a_worker_killed_in_the_middle_loses_and_doubles_nothing(
    make_run: Any, transcripts: list[dict[str, Any]], seed: int
) -> None:
    rng = random.Random(seed)
    share, pause_s = rng.uniform(0.05, 0.9), rng.uniform(0.0, 0.05)
    for again in range(3):
        # Most restart under their old name and have their partitions back at once; some wait for the
        # group to notice.
        run = make_run(f"kill{seed}-{again}", static=seed % 4 != 0)
        run.produce(records_of(transcripts, seed))
        process = run.start()
        run.wait(int(len(run.produced) * share / 2**again), process)
        time.sleep(pause_s)
        process.send_signal(signal.SIGKILL)
        process.wait()
        if run.accounted() < len(run.produced):
            break  # else the machine was too busy to look in time
    assert run.accounted() < len(run.produced), "it was killed too late to test anything"
    process = run.start()
    run.wait(len(run.produced), process)
    run.wait_measured(process)
    check(run, transcripts)


@pytest.mark.model
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
