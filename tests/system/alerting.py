"""A real Prometheus and Alertmanager with the shipped rules and routes, made quick for a test."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx
import yaml

from tests.system.services import free_port, missing

DEPLOY = Path(__file__).parents[2] / "deploy"
RULES = DEPLOY / "prometheus" / "rules.yml"
_QUICK = "1s"


def until(what: Callable[[], Any], timeout_s: float = 600.0, told: str = "") -> Any:
    """What `what` returns once that is true."""
    end = time.monotonic() + timeout_s
    while not (found := what()):
        assert time.monotonic() < end, f"it did not happen in {timeout_s:g} s: {told}"
        time.sleep(0.2)
    return found


class Receiver:
    """What the webhook was sent: alerts by name and status."""

    def __init__(self) -> None:
        self.alerts: list[dict[str, Any]] = []

    def got(self, name: str, status: str) -> list[dict[str, Any]]:
        return [
            alert
            for alert in list(self.alerts)
            if alert["labels"]["alertname"] == name and alert["status"] == status
        ]


@contextmanager
def webhook(receiver: Receiver) -> Iterator[str]:
    """A server that takes Alertmanager's notifications; yields its address."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["content-length"])))
            receiver.alerts += body["alerts"]
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/alerts"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@contextmanager
def alertmanager(folder: Path, webhook_url: str) -> Iterator[str]:
    """The shipped routes with every wait shortened; yields host and port."""
    config = yaml.safe_load((DEPLOY / "alertmanager" / "alertmanager.yml").read_text())
    for receiver in config["receivers"]:
        for hook in receiver.get("webhook_configs", ()):
            # Debian's Alertmanager is older than `url_file` (0.26).
            del hook["url_file"]
            hook["url"] = webhook_url
    _shorten_routes(config["route"])
    (folder / "alertmanager.yml").write_text(yaml.safe_dump(config))
    port = free_port()
    command = [
        _binary("prometheus-alertmanager"),
        f"--config.file={folder}/alertmanager.yml",
        f"--storage.path={folder}/alertmanager",
        f"--web.listen-address=127.0.0.1:{port}",
        "--cluster.listen-address=",
    ]
    with _running(command, folder / "alertmanager.log", f"http://127.0.0.1:{port}/-/ready"):
        yield f"127.0.0.1:{port}"


@contextmanager
def prometheus(folder: Path, targets: Sequence[str], alerts_to: str) -> Iterator[httpx.Client]:
    """The shipped rules over these targets; yields a client of its query API."""
    rules = yaml.safe_load(RULES.read_text())
    for group in rules["groups"]:
        for rule in group["rules"]:
            if "alert" in rule and rule.get("for", "0s") != "0s":
                rule["for"] = _QUICK
    (folder / "rules.yml").write_text(yaml.safe_dump(rules))
    config = {
        "global": {"scrape_interval": _QUICK, "evaluation_interval": _QUICK},
        "rule_files": ["rules.yml"],
        "alerting": {"alertmanagers": [{"static_configs": [{"targets": [alerts_to]}]}]},
        "scrape_configs": [{"job_name": "candor", "static_configs": [{"targets": list(targets)}]}],
    }
    (folder / "prometheus.yml").write_text(yaml.safe_dump(config))
    port = free_port()
    command = [
        _binary("prometheus"),
        f"--config.file={folder}/prometheus.yml",
        f"--storage.tsdb.path={folder}/tsdb",
        f"--web.listen-address=127.0.0.1:{port}",
    ]
    with (
        _running(command, folder / "prometheus.log", f"http://127.0.0.1:{port}/-/ready"),
        httpx.Client(base_url=f"http://127.0.0.1:{port}/api/v1", timeout=20) as client,
    ):
        yield client


def query(client: httpx.Client, expression: str) -> list[float]:
    """Values of the series that an expression gives; asserts that Prometheus understands it."""
    answer = client.get("/query", params={"query": expression}).json()
    assert answer["status"] == "success", (expression, answer)
    return [float(series["value"][1]) for series in answer["data"]["result"]]


def firing(client: httpx.Client, name: str) -> list[dict[str, Any]]:
    """The alerts of a name that fire now."""
    alerts = client.get("/alerts").json()["data"]["alerts"]
    return [a for a in alerts if a["labels"]["alertname"] == name and a["state"] == "firing"]


def measured_part(expression: str) -> str:
    """What an alert's expression compares, over all labels: it has a series also while all is well."""
    over_all = re.sub(r"\b(absent)\(([^)]*)\)", r"\2", expression)
    over_all = re.sub(r"(candor\w+)\{[^}]*\}", r"\1", over_all)
    return re.sub(r"\s(?:>|<|==)\s*(?:bool\s*)?[\d.]+", "", over_all)


def expressions(rules: dict[str, Any]) -> dict[str, str]:
    """Every rule's expression by name."""
    return {
        rule.get("alert") or rule["record"]: rule["expr"]
        for group in rules["groups"]
        for rule in group["rules"]
    }


def _shorten_routes(route: dict[str, Any]) -> None:
    route |= {"group_wait": _QUICK, "group_interval": _QUICK}
    for inner in route.get("routes", ()):
        _shorten_routes(inner)


def _binary(name: str) -> str:
    found = shutil.which(name)
    if found is None:
        missing(f"{name} is not installed (Debian's package of that name)")
    return found


@contextmanager
def _running(command: list[str], log: Path, ready: str) -> Iterator[None]:
    with log.open("wb") as out:
        process = subprocess.Popen(command, stdout=out, stderr=subprocess.STDOUT, cwd=log.parent)
    try:
        until(lambda: _answers(process, ready), told=log.read_text()[-2000:])
        yield
    finally:
        process.terminate()
        process.wait(20)


def _answers(process: subprocess.Popen[bytes], url: str) -> bool:
    assert process.poll() is None, f"{url} ended with {process.returncode}"
    try:
        return httpx.get(url, timeout=2).status_code == 200
    except httpx.HTTPError:
        return False
