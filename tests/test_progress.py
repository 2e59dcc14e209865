"""What ends a test is that it stands still or runs wild, never that the machine is slow."""

from __future__ import annotations

import subprocess
import sys

from tests.progress import Watch, work_s


def test_a_slow_machine_ends_no_test() -> None:
    watch = Watch(stalled_s=600, most_work_s=3_600)
    assert all(watch.problem(now_s=600.0 * i, work_s=6.0 * i) is None for i in range(500))


def test_a_test_that_does_nothing_ends() -> None:
    watch = Watch(stalled_s=600)
    assert watch.problem(0.0, 5.0) is None
    assert watch.problem(600.0, 5.4) is None
    assert "nothing for 610 s" in (watch.problem(610.0, 5.4) or "")


def test_a_test_that_runs_wild_ends() -> None:
    watch = Watch(most_work_s=3_600)
    assert watch.problem(0.0, 100.0) is None
    assert watch.problem(10.0, 3_700.0) is None
    assert "3601 s of processor time" in (watch.problem(20.0, 3_701.0) or "")


def test_the_work_of_children_counts() -> None:
    busy = subprocess.Popen([sys.executable, "-c", "while True: pass"])
    try:
        before = work_s()
        while work_s() < before + 0.3:
            assert busy.poll() is None
    finally:
        busy.kill()
        busy.wait()
