"""Detection never keeps the poll loop from its place in the group, and ends where one look would end."""

from __future__ import annotations

import time
from typing import Any

from sqlalchemy import delete, select

from monitor.detect.options import DetectionOptions, HealthOptions
from monitor.jobs.deadline import Deadline
from monitor.store import reading
from monitor.store.schema import detectors
from monitor.worker.detection import advance_detectors

House = Any
OPTIONS = DetectionOptions(
    reference=0.05, evasion_reference=0.05, worst_case_reference=0.05, tolerance=0.01
)


def states(house: House) -> dict[str, str]:
    with reading(house.engine) as connection:
        rows = connection.execute(select(detectors.c.stratum, detectors.c.state)).all()
    return {row.stratum: row.state for row in rows}


def advance(house: House, timeout_s: float) -> bool:
    _, more = advance_detectors(
        house.engine,
        options=OPTIONS,
        health_options=HealthOptions(),
        clock=lambda: house.now_s,
        until=Deadline(timeout_s, time.monotonic),
    )
    return more


def test_a_long_log_is_read_in_pieces(house: House, kit: Any) -> None:
    house.set(detection=OPTIONS)
    for i in range(60):
        stakes = "high" if i % 2 else "normal"
        house.broker.produce(kit.RESPONSES, kit.response(i, stakes=stakes), f"c{i}")
    house.settle(house.worker())
    once = states(house)
    assert len(once) == 2
    with house.engine.begin() as connection:
        connection.execute(delete(detectors))
    pieces = 0
    while advance(house, timeout_s=0.0):
        pieces += 1
        assert pieces <= len(states(house)) + 1
    assert pieces >= 2
    assert states(house) == once
