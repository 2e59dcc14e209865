from __future__ import annotations

import json
import os
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from evidence import UnreachableError
from monitor.launch.job import LocalJob, job_environment


def test_a_job_inherits_an_allow_list() -> None:
    kept = job_environment(
        {"PATH": "/bin", "CANDOR_JUDGE_URL": "x", "AWS_SECRET": "y", "HOME": "/h"}
    )
    assert kept["PATH"] == "/bin"
    assert not {"CANDOR_JUDGE_URL", "AWS_SECRET"} & set(kept)


def test_a_job_is_found_by_whoever_sees_its_folder(tmp_path: Path) -> None:
    first, second = LocalJob(tmp_path), LocalJob(tmp_path)
    assert not second.alive()
    first.start([sys.executable, "-c", "import time; time.sleep(600)"], {"PATH": "/usr/bin"})
    assert first.alive()
    assert second.alive()
    record = (tmp_path / "job.json").read_bytes()
    second.start(["false"], {})
    assert (tmp_path / "job.json").read_bytes() == record, "it is followed, not started twice"
    os.killpg(msgspec.json.decode(record)["pid"], signal.SIGKILL)
    _until(lambda: not first.alive())
    assert not second.alive()


def test_a_record_of_a_process_that_is_another_now_is_no_life(tmp_path: Path) -> None:
    (tmp_path / "job.json").write_text(json.dumps({"host": "here", "pid": os.getpid()}))
    (tmp_path / "job.lock").touch()
    job = LocalJob(tmp_path)
    assert not job.alive()
    job.stop()


def test_a_job_on_another_machine_is_not_stopped_from_here(tmp_path: Path) -> None:
    job = LocalJob(tmp_path)
    job.start([sys.executable, "-c", "import time; time.sleep(600)"], {"PATH": "/usr/bin"})
    pid = msgspec.json.decode((tmp_path / "job.json").read_bytes())["pid"]
    (tmp_path / "job.json").write_text(json.dumps({"host": "elsewhere", "pid": pid}))
    with pytest.raises(UnreachableError, match="elsewhere"):
        LocalJob(tmp_path).stop()
    os.killpg(pid, signal.SIGKILL)
    _until(lambda: not job.alive())


def _until(true: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.02)
