"""A confirm run as a local subprocess, which has rows and a model, and no credential."""

from __future__ import annotations

import fcntl
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO, Protocol

import msgspec

from evidence import UnreachableError

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

_RECORD, _LOCK, _LOG = "job.json", "job.lock", "job.log"


class _Process(msgspec.Struct, frozen=True):
    host: str
    pid: int


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
    """Starts the command of one run, finds it again after a restart, and says whether it lives.

    The job holds a lock on a file of the run's folder as long as it lives, so that whoever sees the
    folder, in another container or on another machine too, can tell.
    """

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._process: subprocess.Popen[bytes] | None = None

    def start(self, command: Sequence[str], environment: Mapping[str, str]) -> None:
        """Start in a session of its own, output in job.log; the working directory is the run's, so
        that no `candor.toml` is read. A job of this run that lives is followed instead."""
        with (
            (self._directory / _LOG).open("ab") as log,
            (self._directory / _LOCK).open("ab") as lock,
        ):
            if not _locked(lock):
                return
            self._process = subprocess.Popen(  # noqa: S603 -- our own interpreter and module
                list(command),
                cwd=self._directory,
                env=job_environment(environment),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                pass_fds=(lock.fileno(),),
            )
        record = _Process(socket.gethostname(), self._process.pid)
        (self._directory / _RECORD).write_bytes(msgspec.json.encode(record))

    def alive(self) -> bool:
        """Whether the process runs; also one that an earlier launcher started."""
        if self._process is not None:
            return self._process.poll() is None
        try:
            with (self._directory / _LOCK).open("rb") as lock:
                return not _locked(lock)
        except FileNotFoundError:
            return False

    def stop(self) -> None:
        """Ask the run's process group to end, if it lives."""
        record = self._record()
        if record is None or not self.alive():
            return
        if record.host != socket.gethostname():
            raise UnreachableError(record.host, "the job runs there, and is stopped from there")
        os.killpg(record.pid, signal.SIGTERM)

    def log_tail(self, lines: int = 3) -> str:
        """The last lines of the job's output, for the error of a failed run."""
        path = self._directory / _LOG
        if not path.is_file():
            return ""
        text = path.read_text(encoding="utf-8", errors="replace")
        return " / ".join(text.strip().splitlines()[-lines:])[-600:]

    def _record(self) -> _Process | None:
        try:
            return msgspec.json.decode((self._directory / _RECORD).read_bytes(), type=_Process)
        except (FileNotFoundError, msgspec.DecodeError):
            return None


def _locked(file: IO[bytes]) -> bool:
    """Take the file's lock; False while a job holds it."""
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


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
