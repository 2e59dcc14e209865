"""Verdicts in real Phoenix and MLflow servers: each once, whoever is killed, by the servers' own count."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from monitor.doctor.receivers import receiver_findings
from monitor.results.options import ResultsOptions
from tests.system.receivers import Mlflow, Phoenix, counts
from tests.system.results_house import House, made_spans
from tests.system.worker_process import assess

pytestmark = pytest.mark.system

N, LATE = int(os.environ.get("CANDOR_TEST_RESULTS", "300")), 5


@pytest.fixture
def phoenix(tmp_path: Path) -> Iterator[Phoenix]:
    server = Phoenix(tmp_path)
    server.start()
    yield server
    server.close()


@pytest.fixture
def mlflow(tmp_path: Path) -> Iterator[Mlflow]:
    server = Mlflow(tmp_path)
    server.start()
    yield server
    server.close()


def test_each_verdict_is_in_phoenix_and_mlflow_once_after_kills(
    tmp_path: Path, phoenix: Phoenix, mlflow: Mlflow
) -> None:
    spans = made_spans(N)
    phoenix.wait()
    mlflow.wait()
    for start in range(0, N - LATE, 1_000):
        phoenix.spans(spans[: N - LATE][start : start + 1_000])
        mlflow.spans(spans[: N - LATE][start : start + 1_000])
    urls = ResultsOptions(phoenix_url=phoenix.url, mlflow_url=mlflow.url)
    assert [one.status for one in receiver_findings(urls)] == ["ok", "ok"]
    house = House(tmp_path, phoenix_url=phoenix.url, mlflow_url=mlflow.url)
    house.add(spans)
    house.start()
    try:
        house.until(lambda: len(phoenix.verdicts(spans)) > N // 10)
        house.kill()
        phoenix.kill()
        house.start()
        # Without Phoenix MLflow has what it can have, and nothing is measured later for it.
        house.until(lambda: len(house.kinds()) == N)
        house.until(lambda: house.lags()["mlflow"] <= LATE)
        assert house.lags()["phoenix"] > N // 4
        phoenix.start()
        phoenix.wait()
        house.until(lambda: house.lags()["phoenix"] <= LATE)
        phoenix.spans(spans[N - LATE :])
        mlflow.spans(spans[N - LATE :])
        house.until(lambda: set(house.lags().values()) == {0})
    finally:
        house.kill()
    kinds = house.kinds()
    expected = {span: [kinds[trace]] for trace, span in spans}
    assert {trace: assess(trace).kind.value for trace, _ in spans} == kinds
    for server in (phoenix, mlflow):
        found = server.verdicts(spans)
        assert counts(found) == {1: N}, type(server).__name__
        assert found == expected
    house.engine.dispose()
