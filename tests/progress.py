"""Ends a test that stands still, however fast or busy the machine is: what counts is work, not time.

A test is stuck when its processes took hardly any processor time for a while, and runs wild when they
took more than any test needs. A loaded machine makes a test slow; neither limit notices.
"""

from __future__ import annotations

import faulthandler
import os
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

STALLED_S = 600.0
LEAST_WORK_S = 5.0
MOST_WORK_S = 3_600.0
_LOOK_S = 10.0


class Watch:
    """Decides from looks at a stopwatch and at the processor time so far whether a test goes on."""

    def __init__(self, stalled_s: float = STALLED_S, most_work_s: float = MOST_WORK_S) -> None:
        self._stalled_s, self._most_work_s = stalled_s, most_work_s
        self._begun: float | None = None
        self._since: tuple[float, float] | None = None

    def problem(self, now_s: float, work_s: float) -> str | None:
        """Why the test must end; None while it gets on."""
        if self._begun is None or self._since is None:
            self._begun, self._since = work_s, (now_s, work_s)
            return None
        if work_s - self._begun > self._most_work_s:
            return f"it took {work_s - self._begun:.0f} s of processor time"
        since_s, before_s = self._since
        if work_s - before_s >= LEAST_WORK_S:
            self._since = (now_s, work_s)
        elif now_s - since_s > self._stalled_s:
            return f"it has done nothing for {now_s - since_s:.0f} s"
        return None


def work_s() -> float:
    """Processor time of this process, of its ended children and of all that descend from it and live."""
    times = os.times()
    ours = times.user + times.system + times.children_user + times.children_system
    return ours + _descendants_s(os.getpid())


def _descendants_s(root: int) -> float:
    parents: dict[int, int] = {}
    ticks: dict[int, int] = {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = path.read_text(encoding="ascii", errors="replace").rpartition(")")[2].split()
        except OSError:  # it ended meanwhile
            continue
        number = int(path.parent.name)
        parents[number], ticks[number] = int(fields[1]), sum(map(int, fields[11:15]))
    total = 0
    for number, spent in ticks.items():
        at = parents[number]
        while at not in {0, 1, root}:
            at = parents.get(at, 0)
        total += spent if at == root else 0
    return total / os.sysconf("SC_CLK_TCK")


def watched(name: str, done: threading.Event, end: Callable[[str], None]) -> None:
    """Look now and then until `done`; `end` is told why a test must end."""
    watch = Watch()
    while not done.wait(_LOOK_S):
        problem = watch.problem(time.monotonic(), work_s())
        if problem is not None:
            end(f"{name}: {problem}")


def _end(why: str) -> None:
    stderr = sys.__stderr__ or sys.stderr
    stderr.write(f"\n{why}\n")
    faulthandler.dump_traceback(file=stderr)
    os._exit(1)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Iterator[None]:
    """Watch each test, its fixtures included."""
    done = threading.Event()
    thread = threading.Thread(target=watched, args=(item.nodeid, done, _end), daemon=True)
    thread.start()
    try:
        return (yield)
    finally:
        done.set()
        thread.join()
