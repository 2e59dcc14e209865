"""Real Phoenix and MLflow servers on SQLite, spans sent to them, and what they count of verdicts."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from base64 import b64decode
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import httpx
import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from tests.system.services import free_port, missing
from tests.system.vllm_server import services_dir

NAME = "candor.verdict"
_STARTUP_S = 300.0
_PAGE = 200


class Told(NamedTuple):
    """A verdict as a server shows it, with the trace and the span that it has it beside."""

    trace_id: str
    span_id: str
    span_name: str
    label: str
    archetype: str | None
    words: str


class Receiver:
    """One server in a process group of its own, which can be killed and started again where it was."""

    health = "/"

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self._process: subprocess.Popen[bytes] | None = None
        self._client = httpx.Client(base_url=self.url, timeout=60.0)

    def command(self) -> list[str]:
        raise NotImplementedError

    def environment(self) -> Mapping[str, str]:
        return {}

    def start(self) -> None:
        """Start it without waiting."""
        command = self.command()
        if not Path(command[0]).exists():
            missing(f"{Path(command[0]).name} is not installed: run tools/services.sh")
        with (self.folder / f"{type(self).__name__}.log").open("ab") as log:
            self._process = subprocess.Popen(
                command,
                env=os.environ | dict(self.environment()),
                cwd=self.folder,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def wait(self) -> None:
        """Until it answers."""
        end = time.monotonic() + _STARTUP_S
        while time.monotonic() < end:
            assert self._process is not None
            if self._process.poll() is not None:
                break
            try:
                if self._client.get(self.health, timeout=5.0).status_code == 200:
                    return
            except httpx.HTTPError:
                time.sleep(0.2)
        log = (self.folder / f"{type(self).__name__}.log").read_text(errors="replace")
        pytest.fail(f"{type(self).__name__} is not up: {log[-3000:]}")

    def kill(self) -> None:
        """End it at once, with its children."""
        if self._process is not None and self._process.poll() is None:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()

    def close(self) -> None:
        self.kill()
        self._client.close()

    def take(self, spans: Sequence[tuple[str, str]], headers: Mapping[str, str]) -> None:
        """Send spans as (trace id, span id) over OTLP/HTTP."""
        body = _export(spans).SerializeToString()
        answer = self._client.post(
            "/v1/traces",
            content=body,
            headers={"Content-Type": "application/x-protobuf", **headers},
        )
        assert answer.is_success, answer.text


class Phoenix(Receiver):
    health = "/healthz"

    def command(self) -> list[str]:
        return [str(services_dir() / "phoenix" / "bin" / "phoenix"), "serve"]

    def environment(self) -> Mapping[str, str]:
        return {
            "PHOENIX_WORKING_DIR": str(self.folder / "phoenix"),
            "PHOENIX_HOST": "127.0.0.1",
            "PHOENIX_PORT": str(self.port),
            "PHOENIX_GRPC_PORT": str(free_port()),
            "PHOENIX_TELEMETRY_ENABLED": "false",
        }

    def spans(self, spans: Sequence[tuple[str, str]]) -> None:
        self.take(spans, {})

    def verdicts(self, spans: Sequence[tuple[str, str]]) -> dict[str, list[str]]:
        """The labels of each span's verdicts, by span id."""
        found: dict[str, list[str]] = {}
        for start in range(0, len(spans), _PAGE):
            page = [span for _, span in spans[start : start + _PAGE]]
            answer = self._client.get(
                "/v1/projects/default/span_annotations",
                params={"span_ids": page, "include_annotation_names": NAME, "limit": 10_000},
            )
            if answer.status_code == 404:
                continue  # none of these spans is there
            for one in answer.raise_for_status().json()["data"]:
                found.setdefault(one["span_id"], []).append(one["result"]["label"])
        return found

    def told(self, traces: Collection[str]) -> list[Told]:
        """The verdicts beside spans of these traces."""
        params = {"trace_id": list(traces), "limit": 1_000}
        answer = self._client.get("/v1/projects/default/spans", params=params)
        spans = [] if answer.status_code == 404 else answer.raise_for_status().json()["data"]
        by_id = {one["context"]["span_id"]: one for one in spans}
        if not by_id:
            return []
        answer = self._client.get(
            "/v1/projects/default/span_annotations",
            params={"span_ids": list(by_id), "include_annotation_names": NAME, "limit": 10_000},
        )
        return [
            Told(
                by_id[one["span_id"]]["context"]["trace_id"],
                one["span_id"],
                by_id[one["span_id"]]["name"],
                one["result"]["label"],
                one["metadata"].get("candor.archetype"),
                one["result"]["explanation"],
            )
            for one in answer.raise_for_status().json()["data"]
        ]


class Mlflow(Receiver):
    health = "/health"

    def command(self) -> list[str]:
        store = f"sqlite:///{self.folder}/mlflow.db"
        return [
            str(services_dir() / "mlflow" / "bin" / "mlflow"), "server", "--host", "127.0.0.1",
            "--port", str(self.port), "--backend-store-uri", store, "--workers", "1",
            "--default-artifact-root", str(self.folder / "artifacts"),
        ]  # fmt: skip

    def environment(self) -> Mapping[str, str]:
        return {
            "MLFLOW_DISABLE_TELEMETRY": "true",
            "DO_NOT_TRACK": "true",
            "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
        }

    def spans(self, spans: Sequence[tuple[str, str]]) -> None:
        self.take(spans, {"x-mlflow-experiment-id": "0"})

    def verdicts(self, spans: Sequence[tuple[str, str]]) -> dict[str, list[str]]:
        """The values of each trace's verdicts, by span id."""
        found: dict[str, list[str]] = {}
        for trace, span in spans:
            answer = self._client.get(f"/api/3.0/mlflow/traces/tr-{trace}")
            if answer.status_code == 404:
                continue
            info = answer.raise_for_status().json()["trace"]["trace_info"]
            for one in info.get("assessments", []):
                if one["assessment_name"] == NAME:
                    assert one["span_id"] == span
                    found.setdefault(span, []).append(one["feedback"]["value"])
        return found

    def told(self, traces: Collection[str]) -> list[Told]:
        """The verdicts of these traces."""
        found = []
        for trace in traces:
            params = {"trace_id": f"tr-{trace}"}
            answer = self._client.get("/api/3.0/mlflow/traces/get", params=params)
            if answer.status_code == 404:
                continue
            told = answer.raise_for_status().json()["trace"]
            names = {b64decode(one["span_id"]).hex(): one["name"] for one in told["spans"]}
            found += [
                Told(
                    trace,
                    one["span_id"],
                    names[one["span_id"]],
                    one["feedback"]["value"],
                    one["metadata"].get("candor.archetype"),
                    one["rationale"],
                )
                for one in told["trace_info"].get("assessments", [])
                if one["assessment_name"] == NAME
            ]
        return found


def counts(found: Mapping[str, Sequence[str]]) -> Counter[int]:
    """How many spans have how many verdicts."""
    return Counter(len(labels) for labels in found.values())


def _export(spans: Sequence[tuple[str, str]]) -> ExportTraceServiceRequest:
    request = ExportTraceServiceRequest()
    scope = request.resource_spans.add().scope_spans.add()
    now_ns = time.time_ns()
    for trace, number in spans:
        span = scope.spans.add()
        span.trace_id, span.span_id = bytes.fromhex(trace), bytes.fromhex(number)
        span.name = "chat"
        span.start_time_unix_nano, span.end_time_unix_nano = now_ns - 10**9, now_ns
    return request
