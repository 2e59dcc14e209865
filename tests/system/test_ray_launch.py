"""A confirm run as a job of a real Ray cluster, its arms as tasks; token authentication is on."""

from __future__ import annotations

import os
import re
import secrets
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import msgspec
import pytest

from candor_guard.rows import ChatMessage, Provenance, Row, write_rows
from evidence import UnreachableError
from monitor.launch.job import confirm_command
from monitor.launch.ray_job import RayJob
from probes.scenarios import load_scenarios
from retrain.context import GateContext
from retrain.files import write_durably
from retrain.report import Arm, read_report
from tests.retrain.conftest import tiny_model  # noqa: F401 -- a fixture

# Found without importing: Ray reads how it authenticates when it is imported, which the fixture sets.
pytestmark = [
    pytest.mark.system,
    pytest.mark.skipif(find_spec("ray") is None, reason="the extra `ray` is not installed"),
]


def _free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A head node on loopback and free ports, with a token of its own; stopped by its process group."""
    folder = tmp_path_factory.mktemp("ray")
    token = folder / "token"
    token.write_text(secrets.token_hex(32))
    port, dashboard = _free_port(), _free_port()
    variables = {
        "RAY_AUTH_MODE": "token",
        "RAY_AUTH_TOKEN_PATH": str(token),
    }
    kept = {name: os.environ.get(name) for name in variables}
    os.environ |= variables
    short = Path(f"/tmp/ray-{secrets.token_hex(3)}")  # noqa: S108 -- its sockets need a short path
    command = [
        str(Path(sys.executable).with_name("ray")), "start", "--head", "--block",
        "--node-ip-address=127.0.0.1", f"--port={port}", "--dashboard-host=127.0.0.1",
        f"--dashboard-port={dashboard}", "--num-cpus=2", "--disable-usage-stats",
        f"--temp-dir={short}", "--object-store-memory=100000000",
    ]  # fmt: skip
    with (folder / "head.log").open("wb") as log:
        head = subprocess.Popen(command, stdout=log, stderr=log, start_new_session=True)
    try:
        _wait_open(dashboard, head, folder / "head.log")
        yield f"http://127.0.0.1:{dashboard}"
    finally:
        head.terminate()
        try:
            head.wait(30)
        except subprocess.TimeoutExpired:
            os.killpg(head.pid, 9)
        for name, value in kept.items():
            os.environ.pop(name) if value is None else os.environ.update({name: value})


def _wait_open(port: int, head: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        if head.poll() is not None:
            break
        with socket.socket() as trial:
            if trial.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.5)
    pytest.fail("Ray did not start: " + re.sub(r"\s+", " ", log.read_text())[-800:])


def _prepare(directory: Path) -> None:
    rows = [
        Row(
            messages=tuple(
                ChatMessage(m.role, m.content)
                for m in (
                    *item.pressured_messages(),
                    ChatMessage("assistant", item.honest_answers[0]),
                )
            ),
            provenance=Provenance(source="own"),
        )
        for item in load_scenarios(split="train")[:8]
    ]
    directory.mkdir()
    write_rows(directory / "rows.jsonl", rows)
    evidence = GateContext(assistant="support")
    write_durably(directory / "evidence.json", msgspec.json.encode(evidence))


def test_arms_are_tasks_and_the_job_is_found_again(
    cluster: str,
    tmp_path: Path,
    tiny_model: Path,  # noqa: F811
) -> None:
    directory = tmp_path / "run-1"
    _prepare(directory)
    control = tmp_path / "control.jsonl"
    control.write_bytes((directory / "rows.jsonl").read_bytes())
    options = {"--control": str(control), "--items-per-template": "1", "--paraphrases": "1"}
    os.environ["KAFKA_PASSWORD"] = "not for jobs"
    job = RayJob(directory, cluster)
    try:
        job.start(confirm_command(directory, "support", tiny_model, options), {})
    finally:
        del os.environ["KAFKA_PASSWORD"]
    assert RayJob(directory, cluster).alive(), "another launcher finds it"
    deadline = time.monotonic() + 240
    while job.alive() and time.monotonic() < deadline:
        time.sleep(1)
    assert not job.alive(), job.log_tail(40)
    report_file = directory / "run" / "report.json"
    assert report_file.is_file(), job.log_tail(40)
    report = read_report(report_file)
    assert {arm.arm for arm in report.arms} >= {Arm.VANILLA, Arm.CONTROL, Arm.CANDIDATE}
    assert "not for jobs" not in job.log_tail(1000)


def test_a_cluster_that_does_not_answer_is_said_so(tmp_path: Path) -> None:
    directory = tmp_path / "run-2"
    directory.mkdir()
    with pytest.raises(UnreachableError, match="Ray"):
        RayJob(directory, f"http://127.0.0.1:{_free_port()}").start(["true"], {})
