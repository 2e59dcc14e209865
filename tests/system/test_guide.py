"""The guide's commands as they stand, in their order, on real Kafka and PostgreSQL with the shipped probes."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.docs.shell import ROOT, Session, blocks
from tests.postgres import empty_postgres, postgres_server
from tests.system.services import free_port

__all__ = ["empty_postgres", "postgres_server"]

pytestmark = [pytest.mark.system, pytest.mark.slow, pytest.mark.model]

GUIDE = ROOT / "docs/guide.md"
HELD, BLOCKED = 11, 12


@pytest.fixture
def session(kafka: str, empty_postgres: str, tmp_path: Path) -> Iterator[tuple[Session, str]]:
    port = free_port()
    replaced = {
        "kafka:9092": kafka,
        "postgresql+psycopg://candor@db/candor": f"'{empty_postgres}'",
        "127.0.0.1:8321": f"127.0.0.1:{port}",
        "CANDOR_TELEMETRY_PORT=9322": f"CANDOR_TELEMETRY_PORT={free_port()}",
    }
    (tmp_path / "keys").mkdir()
    more = {"CANDOR_API_PORT": str(port), "CANDOR_TELEMETRY_PORT": str(free_port())}
    with Session(tmp_path, replaced, **more) as made:
        yield made, f"http://127.0.0.1:{port}"


def shell(heading: str) -> list[str]:
    return [b.text for b in blocks(GUIDE, heading) if b.language == "sh" and b.run]


def test_from_nothing_to_an_alarm_and_a_refused_retrain(session: tuple[Session, str]) -> None:
    run, url = session
    prepare, start = shell("4. Connect")
    prepared = run.run(prepare)
    assert prepared.code == 0, prepared.out + prepared.err
    (token,) = re.findall(r"^key: (\S+)$", prepared.out, re.MULTILINE)[-1:]
    run.run(start)
    files, watch, rehearse, ask = shell("5. Be alerted")
    assert run.run(files).code == 0
    for written in re.findall(r"`(monitoring/[\w/.]+)`", GUIDE.read_text()):
        assert (run.folder / written).is_file(), written
    run.run(watch)
    assert run.run(f"export KEY={token}").code == 0
    sent = run.run(rehearse)
    assert sent.code == 0, sent.err
    headers = {"authorization": f"Bearer {token}"}
    with httpx.Client(base_url=url, headers=headers, timeout=30) as api:
        # The broker may hold other tests' records, which this new store reads too.
        until(
            lambda: [
                a for a in get(api, "/v1/alarms")["alarms"] if a["scope"].startswith("rehearsal/")
            ]
        )
        assert gauge(api, "candor_alarms_active", 'subject="stratum"') >= 1
        until(lambda: get(api, "/v1/gate?assistant=rehearsal")["holds"])
        # An alarm may be that of another test's rehearsal, while the feedback of this one is on its way.
        collect = ask.splitlines()[0]
        until(lambda: run.run(collect).code == 0)
        _the_gate_refuses(run, ask, api)
    assert run.run(shell("7. Before")[0]).code in {0, 2}, "no traffic may be a failure by now"


def _the_gate_refuses(run: Session, ask: str, api: httpx.Client) -> None:
    """With the answer and the exit code that the page tells."""
    asked = run.run(ask)
    assert asked.code in {HELD, BLOCKED}, asked.out + asked.err
    answer = "hold" if asked.code == HELD else "block"
    assert answer in asked.out
    if answer == "block":
        assert "too_many_removed" in asked.out
    assert json.loads((run.folder / "decision.json").read_text())["payload"]
    counted = f'answer="{answer}"'
    until(lambda: gauge(api, "candor_gate_decisions_total", counted) >= 1)


def get(api: httpx.Client, path: str) -> Any:
    return api.get(path).raise_for_status().json()


def gauge(api: httpx.Client, name: str, labels: str) -> float:
    lines = api.get("/metrics").text.splitlines()
    return sum(
        float(line.rpartition(" ")[2])
        for line in lines
        if line.startswith(f"{name}{{") and labels in line
    )


def until(what: Callable[[], Any]) -> Any:
    """What comes, however long it takes: a test that stands still is ended from outside."""
    while not (found := what()):
        time.sleep(0.5)
    return found
