"""Seconds and peak memory of an estimate and of a refresh, each in a process of its own."""

from __future__ import annotations

import multiprocessing
import resource
import tempfile
import time
from collections.abc import Iterator
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.cohort_populations import OPTIONS, draw, with_biased
from monitor.cohorts.estimate import estimate, estimate_and_carry
from monitor.cohorts.events import EventTable, RatedEvent

_NEW = 10_000


def scale_figures(raters: int) -> Iterator[dict[str, Any]]:
    """One row for the estimate, one for the refresh; events are drawn in a third process."""
    context = multiprocessing.get_context("spawn")
    with tempfile.TemporaryDirectory() as folder:
        path = str(Path(folder) / "events.npz")
        for work in (_save_events, _time_estimate, _time_refresh):
            receive, send = context.Pipe(duplex=False)
            process = context.Process(target=work, args=(path, raters, send))
            process.start()
            send.close()
            found = receive.recv()
            process.join()
            if found:
                yield {"raters": raters, **found}


def _save_events(path: str, raters: int, send: Connection) -> None:
    events = draw(with_biased(0.10, raters=raters), 0).events
    names = ("rater", "response", "topic", "value", "p_lie", "created_at_s")
    np.savez(path, n=len(events.responses), **{name: getattr(events, name) for name in names})
    send.send(None)


def _load_events(path: str, raters: int) -> EventTable:
    with np.load(path) as columns:
        return EventTable(
            raters=tuple(f"rater-{i:07d}" for i in range(raters)),
            responses=tuple(f"response-{i:08d}" for i in range(int(columns["n"]))),
            topics=("",),
            **{name: columns[name] for name in columns if name != "n"},
        )


def _time_estimate(path: str, raters: int, send: Connection) -> None:
    events = _load_events(path, raters)
    clock = _Clock()
    found = estimate(events, options=OPTIONS)
    send.send(clock.cost("estimate", found.n_events, found.biased_fraction.estimate))


def _time_refresh(path: str, raters: int, send: Connection) -> None:
    events = _load_events(path, raters)
    new = [
        RatedEvent(
            feedback_id=f"f{i}",
            rater=events.raters[events.rater[i]],
            response_id=events.responses[events.response[i]],
            value=float(events.value[i]),
            p_lie=float(events.p_lie[i]),
            created_at_s=float(events.created_at_s[i]),
        )
        for i in range(len(events) - _NEW, len(events))
    ]
    _, carry = estimate_and_carry(events.select(np.arange(len(events) - _NEW)), options=OPTIONS)
    if carry is None:
        raise RuntimeError("nothing was measured")
    standing = carry()
    clock = _Clock()
    found = standing.refresh(new)
    send.send(clock.cost("refresh by 10 000 events", _NEW, found.biased_fraction.estimate))


class _Clock:
    """Seconds on the wall and of this process since it was made."""

    def __init__(self) -> None:
        self._wall, self._own = time.perf_counter(), time.process_time()

    def cost(self, what: str, events: int, share: float | None) -> dict[str, Any]:
        return {
            "what": what,
            "events": events,
            "seconds": time.perf_counter() - self._wall,
            "cpu_seconds": time.process_time() - self._own,
            "peak_gib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20,
            "share": share,
        }
