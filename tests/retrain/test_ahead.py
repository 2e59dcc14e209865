"""Arms that are trained by a process of its own while others are asked."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
import torch
from test_confirm import _plan

from retrain import ahead, confirm
from retrain.ahead import TrainingAhead, can_train_ahead
from retrain.arm_run import arm_name, rows_file
from retrain.confirm import run_confirm
from retrain.memory import available_bytes
from retrain.plan import ConfirmPlan

pytestmark = pytest.mark.model


@pytest.fixture
def two_threads() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> list[TrainingAhead]:
    """What the run trains ahead with."""
    made: list[TrainingAhead] = []

    class Kept(TrainingAhead):
        def __init__(self, plan: ConfirmPlan) -> None:
            super().__init__(plan)
            made.append(self)

    monkeypatch.setattr(confirm, "TrainingAhead", Kept)
    return made


def _compared(report: Any) -> Any:
    """What a run found, without how long it took; likelihoods to four places, as threads round differently."""
    return [
        (a.arm, a.rows_digest, a.trained_digest, a.steps, a.outcomes, round(a.margin, 4))
        for a in report.arms
    ]


def _alive(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


@pytest.mark.usefixtures("two_threads")
def test_a_run_finds_what_it_finds_alone(
    tmp_path: Path, tiny_model: Path, started: list[TrainingAhead]
) -> None:
    said: list[str] = []
    plan = _plan(tmp_path, tiny_model)
    found = run_confirm(plan, progress=lambda what, _: said.append(what))
    assert started[0].peak_mib > 0, "nothing was trained ahead"
    assert torch.get_num_threads() == 2
    assert any("control-0: training, step" in what for what in said)
    torch.set_num_threads(1)
    alone = run_confirm(plan.model_copy(update={"out": tmp_path / "alone"}))
    assert len(started) == 1
    assert _compared(found) == _compared(alone)
    assert found.peak_memory_mib > started[0].peak_mib


@pytest.mark.usefixtures("two_threads")
def test_a_finished_run_starts_no_process(
    tmp_path: Path, tiny_model: Path, started: list[TrainingAhead]
) -> None:
    plan = _plan(tmp_path, tiny_model)
    first = run_confirm(plan)
    assert run_confirm(plan) == first
    assert len(started) == 1


@pytest.mark.usefixtures("two_threads")
def test_a_process_that_dies_costs_time_alone(
    tmp_path: Path, tiny_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    killed: list[int] = []

    class Dying(TrainingAhead):
        def wait(self, name: str, said: Any) -> None:
            if not killed and self._process is not None:
                killed.append(self._process.pid)
                os.kill(self._process.pid, signal.SIGKILL)
            super().wait(name, said)

    monkeypatch.setattr(confirm, "TrainingAhead", Dying)
    report = run_confirm(_plan(tmp_path, tiny_model))
    assert killed
    assert not _alive(killed[0])
    assert len(report.arms) == 4


@pytest.mark.usefixtures("two_threads")
def test_an_arm_that_cannot_be_trained_is_left_to_the_run(tmp_path: Path, tiny_model: Path) -> None:
    plan = _plan(tmp_path, tiny_model)
    missing, name = arm_name("control", 0), arm_name("candidate", 0)
    rows_file(plan, name).parent.mkdir(parents=True)
    plan.rows.rename(rows_file(plan, name))
    training = TrainingAhead(plan)
    try:
        training.want(missing, 0, "m")
        training.want(name, 0, "m")
        training.wait(name, lambda _what, _share: None)
    finally:
        training.close()
    arms = rows_file(plan, name).parent
    assert (arms / name / "adapter-manifest.json").is_file()
    assert not (arms / missing).exists()


def test_the_process_ends_with_the_run_that_started_it(tmp_path: Path, tiny_model: Path) -> None:
    """One that is killed outright too, before it can say anything."""
    plan = _plan(tmp_path, tiny_model)
    code = (
        "import sys, time\n"
        "from retrain.ahead import TrainingAhead\n"
        "from retrain.plan import ConfirmPlan\n"
        "made = TrainingAhead(ConfirmPlan.model_validate_json(sys.argv[1]))\n"
        "print(made._process.pid, flush=True)\n"
        "time.sleep(600)\n"
    )
    run = subprocess.Popen(
        [sys.executable, "-c", code, plan.model_dump_json()], stdout=subprocess.PIPE
    )
    assert run.stdout is not None
    child = int(run.stdout.readline())
    assert _alive(child)
    run.kill()
    run.communicate()
    deadline = time.monotonic() + 120
    while _alive(child) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not _alive(child)


@pytest.mark.usefixtures("two_threads")
def test_only_where_there_is_room(
    tmp_path: Path, tiny_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = _plan(tmp_path, tiny_model)
    assert can_train_ahead(plan)
    on_gpu = plan.model_copy(
        update={"finetune": plan.finetune.model_copy(update={"device": "cuda"})}
    )
    assert not can_train_ahead(on_gpu)
    for free in (None, 1 << 30):
        monkeypatch.setattr(ahead, "available_bytes", lambda free=free: free)
        assert not can_train_ahead(plan)


def test_memory_that_is_left_is_that_of_machine_and_container(tmp_path: Path) -> None:
    assert available_bytes(tmp_path) is None
    (tmp_path / "proc").mkdir()
    (tmp_path / "proc/meminfo").write_text("MemTotal: 9 kB\nMemAvailable:    2048 kB\n")
    group = tmp_path / "sys/fs/cgroup"
    group.mkdir(parents=True)
    assert available_bytes(tmp_path) == 2048 << 10
    (group / "memory.current").write_text("1000000\n")
    (group / "memory.max").write_text("max\n")
    assert available_bytes(tmp_path) == 2048 << 10
    (group / "memory.max").write_text("1500000\n")
    assert available_bytes(tmp_path) == 500000
    (group / "memory.max").write_text("900000\n")
    assert available_bytes(tmp_path) == 0
