"""The chain as a test: Kafka, PostgreSQL, two workers, API, launcher, Prometheus, Alertmanager, a drift.

Only the models are stood in for (`stand_ins.py`); `test_guide.py` runs the guide's commands with the
shipped probes.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml
from kafka import KafkaProducer

from tests.postgres import empty_postgres, postgres_server
from tests.system.alerting import (
    DEPLOY,
    RULES,
    Receiver,
    alertmanager,
    expressions,
    firing,
    measured_part,
    prometheus,
    query,
    until,
    webhook,
)
from tests.system.services import free_port

__all__ = ["empty_postgres", "postgres_server"]

pytestmark = [pytest.mark.system, pytest.mark.slow]

ROOT = Path(__file__).parents[2]
STAND_INS = Path(__file__).with_name("stand_ins.py")
CANDOR = Path(sys.executable).with_name("candor")
STRATUM = "support/other/normal"
# What this traffic cannot bring forth: no judge's server runs, no cohort of biased raters is frozen, nobody
# registered an attestation, and the assistant has no tools.
NOT_HERE = (
    *("vllm:", "candor_sycophancy_gap", "candor_unattested_model", "candor_results_"),
    "candor_own_acts_",
)


class Deployment:
    """A running set of processes over one Kafka and one PostgreSQL."""

    def __init__(self, folder: Path, kafka: str, database: str) -> None:
        self.folder = folder
        self.kafka = kafka
        (folder / "model").mkdir()
        clean = {name: v for name, v in os.environ.items() if not name.startswith("CANDOR_")}
        self.environment = clean | {
            "PYTHONPATH": str(ROOT),
            "CANDOR_KAFKA_BOOTSTRAP_SERVERS": kafka,
            "CANDOR_DATABASE_URL": database,
            "CANDOR_PSEUDONYM_KEY_FILE": str(folder / "pseudonym.key"),
            "CANDOR_SAMPLING_KEY_FILE": str(folder / "sampling.key"),
            "CANDOR_API_KEYS_FILE": str(folder / "api-keys.json"),
            "CANDOR_RETRAIN_SIGNING_KEY_FILE": str(folder / "signing.pem"),
            "CANDOR_RETRAIN_MODELS": json.dumps([str(folder / "model")]),
            "CANDOR_RETRAIN_WORK_DIR": str(folder / "confirm"),
            "CANDOR_RETRAIN_DEBOUNCE_S": "1",
            "CANDOR_INGEST_ASSISTANTS": json.dumps({"support": ["refunds"]}),
            "CANDOR_DETECTION_REFERENCE": "0.1",
            "CANDOR_DETECTION_EVASION_REFERENCE": "0.1",
            "CANDOR_DETECTION_WORST_CASE_REFERENCE": "0.1",
            "CANDOR_DETECTION_TOLERANCE": "0.05",
            "CANDOR_COHORTS_REFRESH_S": "2",
            "CANDOR_HEALTH_TICK_S": "2",
            "CANDOR_TELEMETRY_MAX_AGE_S": "0.5",
            "CANDOR_API_PORT": str(free_port()),
        }
        self.processes: list[subprocess.Popen[str]] = []
        self.launch_port = free_port()
        self.targets = [f"127.0.0.1:{self.launch_port}"]

    def run(self, *arguments: str, code: int = 0) -> Any:
        """A command of the guide to its end; what it printed as JSON."""
        done = subprocess.run(
            [str(CANDOR), *arguments, "--json"],
            env=self.environment,
            cwd=self.folder,
            capture_output=True,
            text=True,
            timeout=90,
            check=False,
        )
        assert done.returncode == code, (
            f"{arguments}: {done.returncode}, {done.stdout[:1500]} {done.stderr}"
        )
        return json.loads(done.stdout)

    def start(self, command: str, port: int = 0) -> str:
        """A process of the guide; the address that it tells, which Prometheus scrapes."""
        program = [str(CANDOR)] if command == "serve" else [sys.executable, str(STAND_INS)]
        log = (self.folder / f"{command}-{len(self.processes)}.log").open("w")
        process = subprocess.Popen(
            [*program, command, "--json"],
            env=self.environment | {"CANDOR_TELEMETRY_PORT": str(port)},
            cwd=self.folder,
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
        )
        log.close()
        self.processes.append(process)
        assert process.stdout is not None
        line = process.stdout.readline()
        assert line, Path(log.name).read_text()[-3000:]
        told: dict[str, str] = json.loads(line)
        url = next(iter(told.values()))
        self.targets.append(re.sub(r"^http://|/metrics$", "", url))
        return url

    def produce(self, topic: str, records: list[dict[str, Any] | bytes]) -> None:
        producer = KafkaProducer(bootstrap_servers=self.kafka, acks="all", linger_ms=20)
        for record in records:
            value = record if isinstance(record, bytes) else json.dumps(record).encode()
            producer.send(topic, value=value, key=str(hash(value)).encode())
        producer.flush(30)
        producer.close()

    def end(self) -> None:
        for process in self.processes:
            process.terminate()
        for process in self.processes:
            try:
                process.wait(30)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def turns(first: int, n: int, text: str) -> list[dict[str, Any] | bytes]:
    now = datetime.now(UTC).isoformat()
    return [
        {
            "response_id": f"r{i}",
            "assistant": "support",
            "model": "m-1",
            "conversation_id": f"c{i}",
            "user_id": f"u{i % 11}",
            "created_at": now,
            "messages": [
                {"role": "user", "content": f"Question {i}?"},
                {"role": "assistant", "content": f"{text} ({i})"},
            ],
        }
        for i in range(first, first + n)
    ]


def thumbs(first: int, n: int, *, liked: bool) -> list[dict[str, Any] | bytes]:
    """Two thumbs on each turn: most of them up where it is liked, and down where it is not."""
    now = datetime.now(UTC).isoformat()
    return [
        {
            "feedback_id": f"f{i}-{who}",
            "assistant": "support",
            "response_id": f"r{i}",
            "user_id": f"u{(i + who) % 11}",
            "created_at": now,
            "value": 1.0 if liked is bool((i + who) % 5) else -1.0,
            "kind": "thumb",
        }
        for i in range(first, first + n)
        for who in range(2)
    ]


@pytest.fixture(scope="module")
def receiver() -> Receiver:
    return Receiver()


@pytest.fixture
def set_up(
    kafka: str, empty_postgres: str, tmp_path: Path, receiver: Receiver
) -> Iterator[tuple[Deployment, httpx.Client, httpx.Client]]:
    """The guide's commands in its order; yields the set, a client of the API, one of Prometheus."""
    made = Deployment(tmp_path, kafka, empty_postgres)
    with ExitStack() as stack:
        stack.callback(made.end)
        made.run("keys", "create", "pseudonym")
        made.run("keys", "create", "sampling")
        made.run("keys", "create", "signing")
        token = made.run("keys", "create", "api", "--name", "ana", "--scope", "admin")["key"]
        assert made.run("db", "upgrade")["before"] is None
        api_url = made.start("serve")
        made.start("worker")
        made.start("worker")
        hook = stack.enter_context(webhook(receiver))
        manager = stack.enter_context(alertmanager(tmp_path, hook))
        prom = stack.enter_context(prometheus(tmp_path, made.targets, manager))
        headers = {"authorization": f"Bearer {token}"}
        api = stack.enter_context(httpx.Client(base_url=api_url, headers=headers, timeout=30))
        yield made, api, prom


def test_from_nothing_to_the_alert_and_the_blocked_retrain(
    set_up: tuple[Deployment, httpx.Client, httpx.Client], receiver: Receiver
) -> None:
    made, api, prom = set_up
    assert httpx.get(f"{api.base_url}/v1/alarms").status_code == 401
    _honest_traffic(made, prom)
    _drift(made, api, prom, receiver)
    run = _gate_holds_then_blocks(made, api, prom)
    _every_query_has_a_series(prom)
    _closing_resolves(api, prom, receiver)
    _rehearsal(made, api, prom)
    assert made.run("audit", "verify")["ok"]
    assert run


def _honest_traffic(made: Deployment, prom: httpx.Client) -> None:
    made.produce("assistant.responses", [*turns(0, 150, "It is in stock."), b"{", b"[]"])
    made.produce("assistant.feedback", thumbs(0, 150, liked=True))
    until(lambda: query(prom, 'candor_window_verdicts{kind="honest"}') == [150.0])
    until(lambda: query(prom, 'sum(candor_feedback_total{state="matched"})') == [300.0])
    assert query(prom, 'candor_workers{state="alive"}') == [2.0]
    assert query(prom, "candor_score_rate_ratio") == [1.0]
    assert query(prom, "sum(candor_dead_letters_total)") == [2.0]
    assert firing(prom, "CandorHonestyAlarm") == []
    assert made.run("doctor")["ok"], "nothing is wrong with a running set"


def _drift(made: Deployment, api: httpx.Client, prom: httpx.Client, receiver: Receiver) -> None:
    made.produce("assistant.responses", turns(200, 80, "It was never in stock."))
    made.produce("assistant.feedback", thumbs(200, 80, liked=False))
    (alert, *_) = until(lambda: firing(prom, "CandorHonestyAlarm"))
    assert alert["labels"]["scope"] == STRATUM
    (sent, *_) = until(lambda: receiver.got("CandorHonestyAlarm", "firing"))
    assert sent["annotations"]["runbook_url"].endswith("/runbook/#candorhonestyalarm")
    assert sent["labels"]["severity"] == "page"
    gate = api.get("/v1/gate", params={"assistant": "support"}).json()
    assert gate["holds"], gate


def _gate_holds_then_blocks(made: Deployment, api: httpx.Client, prom: httpx.Client) -> Path:
    made.run("retrain", "collect", "--assistant", "support", "--out", "rows.jsonl")
    key = ["--key", "signing.pem"]
    held = made.run("gate", "check", "rows.jsonl", "--assistant", "support", *key, code=11)
    assert held["answer"] == "hold"
    # Only now, so that no confirm run is over before the gate was asked.
    made.start("launch", made.launch_port)

    def blocked() -> list[dict[str, Any]]:
        found = api.get("/v1/decisions", params={"assistant": "support"}).json()["decisions"]
        return [decision for decision in found if decision["answer"] == "block"]

    until(blocked, timeout_s=90, told="the confirm run found the candidate worse")
    (run, *_) = sorted((made.folder / "confirm").iterdir())
    answer = made.run(
        "gate", "check", f"{run}/rows.jsonl", "--assistant", "support", *key,
        "--confirm", f"{run}/run/report.json", code=12,
    )  # fmt: skip
    assert answer["answer"] == "block"
    until(lambda: firing(prom, "CandorRetrainBlocked"))
    return run


def _every_query_has_a_series(prom: httpx.Client) -> None:
    """Nothing that is shown or watched is empty because of a wrong name or label."""
    for name, expression in expressions(yaml.safe_load(RULES.read_text())).items():
        query(prom, expression)
        part = measured_part(expression)
        if any(missing in part for missing in NOT_HERE):
            continue
        assert until(lambda part=part: query(prom, part), 20, f"{name}: {part}")  # type: ignore[misc]
    silent = {
        f"{panel}: {expression}"
        for panel, expression in _panels()
        # An alarm of an evaluator, or an answer that the gate did not give, has no series.
        if not query(prom, expression) and not query(prom, measured_part(expression))
    }
    assert {one for one in silent if not any(name in one for name in NOT_HERE)} == set()


def _panels() -> list[tuple[str, str]]:
    """Title and query of every panel, with the dashboard's variables set to match everything."""
    found = []
    for path in sorted((DEPLOY / "grafana").rglob("*.json")):
        dashboard = json.loads(path.read_text())
        for panel in _flat(dashboard.get("panels", [])):
            for target in panel.get("targets", []):
                text = target.get("expr", "")
                text = re.sub(r"\$__rate_interval|\$__range|\$__interval", "5m", text)
                text = re.sub(r'=\s*"\$\w+"', '=~".*"', text)
                found.append(
                    (
                        f"{path.name}: {panel.get('title')}",
                        re.sub(r"\$\w+|\$\{\w+[^}]*\}", ".*", text),
                    )
                )
    return [(where, text) for where, text in found if text]


def _flat(panels: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [one for panel in panels for one in (panel, *_flat(panel.get("panels", [])))]


def _closing_resolves(api: httpx.Client, prom: httpx.Client, receiver: Receiver) -> None:
    reason = {"reason": "read twenty of them: the March prompt said so"}
    for state in ("open", "acknowledged"):
        for alarm in api.get("/v1/alarms", params={"state": state}).json()["alarms"]:
            url = f"/v1/alarms/{alarm['alarm_id']}"
            for step in ("confirm", "close"):
                assert api.post(f"{url}/{step}", json=reason).status_code == 200
    until(lambda: not firing(prom, "CandorHonestyAlarm"))
    until(lambda: receiver.got("CandorHonestyAlarm", "resolved"))


def _rehearsal(made: Deployment, api: httpx.Client, prom: httpx.Client) -> None:
    """Labelled synthetic traffic over the API, as the guide sends it."""
    made.run("simulate", "traffic", "--out", "rehearsal", "--raters", "40")
    before = query(prom, "sum(candor_records_seen_total)")[0]
    sent = 0
    for name in ("responses", "feedback"):
        body = (made.folder / "rehearsal" / f"{name}.jsonl").read_bytes()
        lines = body.splitlines(keepends=True)
        for first in range(0, len(lines), 500):
            part = lines[first : first + 500]
            answer = api.post(
                f"/v1/{name}",
                content=b"".join(part),
                headers={"content-type": "application/x-ndjson"},
            )
            assert answer.status_code == 202, answer.text
            sent += len(part)
    assert sent > 100
    until(lambda: query(prom, "sum(candor_records_seen_total)")[0] >= before + sent)
