"""What a worker says of itself: how far it is behind, and whether what it measures with is calibrated."""

from __future__ import annotations

from monitor.store import reading
from monitor.store.status import Heartbeat, heartbeats
from tests.monitor.worker.conftest import House, response_json
from tests.monitor.worker.memory_broker import RESPONSES


def _beat(house: House) -> Heartbeat:
    with reading(house.engine) as connection:
        (found,) = heartbeats(connection)
    return found


def test_what_is_read_and_not_measured_is_lag(house: House) -> None:
    worker = house.worker()
    house.scorer.gate.clear()
    for i in range(12):
        house.broker.produce(RESPONSES, response_json(i))
    for _ in range(5):
        worker.step()
        house.now_s += 3.0
    assert _beat(house).lag_records == 12
    house.scorer.gate.set()
    house.settle(worker)
    house.now_s += 3.0
    worker.step()
    found = _beat(house)
    assert (found.lag_records, found.evaluators) == (0, house.scorer.evaluators)


def test_a_worker_without_partitions_knows_no_lag(house: House) -> None:
    for worker in [house.worker(f"w{i}") for i in range(6)]:
        worker.step()
    with reading(house.engine) as connection:
        found = {beat.worker: beat.lag_records for beat in heartbeats(connection)}
    assert None in found.values()
