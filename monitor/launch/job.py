"""A confirm run as a local subprocess, which has rows and a model, and no credential."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Protocol

import msgspec

ALLOWED_ENVIRONMENT = (
    "PATH",
    "HOME",
    "LANG",
    "LC_ALL",
    "TMPDIR",
    "TZ",
    "VIRTUAL_ENV",
    "LD_LIBRARY_PATH",
    "XDG_CACHE_HOME",
    "CUDA_VISIBLE_DEVICES",
    "OMP_NUM_THREADS",
    "MKL_NUM_THREADS",
)
"""What a job inherits. Everything else, all `CANDOR_*` with it, stays here."""

_PID = "job.json"


class _Process(msgspec.Struct, frozen=True):
    pid: int
    started_ticks: str


def job_environment(environment: Mapping[str, str]) -> dict[str, str]:
    """The part of `environment` that a job gets, with the hub switched off."""
    kept = {name: environment[name] for name in ALLOWED_ENVIRONMENT if name in environment}
    fixed = {
        "HF_HUB_OFFLINE": "1",
        "TRANSFORMERS_VERBOSITY": "error",
        "PYTHONSAFEPATH": "1",
        # Threads that wait sleep: the worker on the same machine needs the cores more.
        "OMP_WAIT_POLICY": "PASSIVE",
    }
    return {**kept, **fixed}


class Job(Protocol):
    """One run's job, wherever it runs. Methods raise UnreachableError when that place does not answer."""

    def start(self, command: Sequence[str], environment: Mapping[str, str]) -> None: ...
    def alive(self) -> bool: ...
    def stop(self) -> None: ...
    def log_tail(self, lines: int = 3) -> str: ...


class LocalJob:
    """Starts the command of one run, finds it again after a restart, and says whether it lives."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._process: subprocess.Popen[bytes] | None = None

    def start(self, command: Sequence[str], environment: Mapping[str, str]) -> None:
        """Start in a session of its own, output in job.log; the working directory is the run's, so
        that no `candor.toml` is read."""
        with (self._directory / "job.log").open("ab") as log:
            self._process = subprocess.Popen(  # noqa: S603 -- our own interpreter and module
                list(command),
                cwd=self._directory,
                env=job_environment(environment),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        pid = self._process.pid
        record = _Process(pid, _started(pid) or "")
        (self._directory / _PID).write_bytes(msgspec.json.encode(record))

    def alive(self) -> bool:
        """Whether the process runs; also one that an earlier launcher started."""
        if self._process is not None:
            return self._process.poll() is None
        record = self._record()
        return record is not None and _started(record.pid) == record.started_ticks

    def stop(self) -> None:
        """End the run's process group, if it lives."""
        record = self._record()
        if record is not None and self.alive():
            os.killpg(record.pid, signal.SIGTERM)
            if self._process is not None:
                self._process.wait(30)

    def log_tail(self, lines: int = 3) -> str:
        """The last lines of the job's output, for the error of a failed run."""
        path = self._directory / "job.log"
        if not path.is_file():
            return ""
        text = path.read_text(encoding="utf-8", errors="replace")
        return " / ".join(text.strip().splitlines()[-lines:])[-600:]

    def _record(self) -> _Process | None:
        try:
            return msgspec.json.decode((self._directory / _PID).read_bytes(), type=_Process)
        except (FileNotFoundError, msgspec.DecodeError):
            return None


def _started(pid: int) -> str | None:
    """Start time of a live process in clock ticks: a pid alone may have been given to another."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return None
    return None if fields[0] == "Z" else fields[19]


def confirm_command(
    directory: Path, assistant: str, model: Path, options: Mapping[str, str]
) -> list[str]:
    """`candor retrain confirm` for the rows and evidence in the run's directory."""
    command = [sys.executable, "-m", "monitor.cli", "retrain", "confirm", "--json"]
    fixed = {
        "--assistant": assistant,
        "--rows": str(directory / "rows.jsonl"),
        "--evidence": str(directory / "evidence.json"),
        "--model": str(model),
        "--out": str(directory / "run"),
        "--run-id": directory.name,
    }
    for name, value in {**fixed, **options}.items():
        command += [name, value]
    return command
