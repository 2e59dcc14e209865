"""Targets, the engines that drive them, and the finds that they leave.

A target is a file in `targets/` with `TARGET`; nothing else is to be written down for it.
"""

from __future__ import annotations

import hashlib
import importlib
import pkgutil
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from hypothesis.database import InMemoryExampleDatabase

from tests.fuzz import targets
from tests.fuzz.choices import ConsumedChoices, DrawnChoices, RandomChoices
from tests.fuzz.target import Target

_ROUND = 500
_COVERED = ["monitor.ingest", "monitor.tap", "probes.reasoning"]
FINDS = Path(__file__).with_name("finds")


class Found(NamedTuple):
    """An input on which a target failed."""

    target: str
    data: bytes
    error: str


class Ran(NamedTuple):
    """What a run saw: outcomes, seconds, and the find that ended it."""

    outcomes: Counter[str]
    seconds: float
    found: Found | None

    @property
    def n(self) -> int:
        return self.outcomes.total()


def names() -> list[str]:
    """Of all targets: the files in `targets/`."""
    return sorted(module.name for module in pkgutil.iter_modules(targets.__path__))


def all_targets() -> dict[str, Target]:
    """By name; what a target feeds is imported here and not before."""
    return {name: importlib.import_module(f"{targets.__name__}.{name}").TARGET for name in names()}


def run_random(target: Target, *, seed: int, limit_s: float, limit_n: int | None = None) -> Ran:
    """Inputs from seeds that follow one another, until time or number runs out."""
    outcomes: Counter[str] = Counter()
    started = time.monotonic()
    number = 0
    while (limit_n is None or number < limit_n) and time.monotonic() - started < limit_s:
        data = target.make(RandomChoices(seed * 1_000_003 + number))
        number += 1
        found = _tried(target, data, outcomes)
        if found is not None:
            return Ran(outcomes, time.monotonic() - started, found)
    return Ran(outcomes, time.monotonic() - started, None)


def run_hypothesis(target: Target, *, limit_s: float, limit_n: int | None = None) -> Ran:
    """Inputs that Hypothesis draws, in rounds; a find is shrunk before it is told."""
    outcomes: Counter[str] = Counter()
    started = time.monotonic()
    least: list[Found] = []
    left = limit_n
    while not least and left != 0 and time.monotonic() - started < limit_s:
        n = _ROUND if left is None else min(left, _ROUND)
        left = None if left is None else left - n
        _round(target, n, outcomes, least)
    shortest = min(least, key=lambda found: len(found.data), default=None)
    return Ran(outcomes, time.monotonic() - started, shortest)


def _round(target: Target, n: int, outcomes: Counter[str], least: list[Found]) -> None:
    @settings(
        max_examples=n,
        deadline=None,
        database=InMemoryExampleDatabase(),
        phases=(Phase.generate, Phase.shrink),
        suppress_health_check=list(HealthCheck),
    )
    @given(st.data())
    def drive(data: st.DataObject) -> None:
        made = target.make(DrawnChoices(data.draw))
        found = _tried(target, made, outcomes)
        if found is not None:
            least.append(found)
            raise AssertionError(found.error)

    with suppress(AssertionError, BaseExceptionGroup):
        drive()


def run_atheris(name: str, *, limit_s: float) -> Ran:
    """Inputs that atheris grows by coverage. It ends the process when its time is up."""
    import atheris  # noqa: PLC0415 -- Linux alone

    with atheris.instrument_imports(include=_COVERED):
        target = all_targets()[name]
    outcomes: Counter[str] = Counter()
    started = time.monotonic()

    def drive(data: bytes) -> None:
        made = target.make(ConsumedChoices(atheris.FuzzedDataProvider(data)))
        found = _tried(target, made, outcomes)
        if found is not None:
            keep(found)
            raise AssertionError(found.error)

    arguments = ["fuzz", f"-max_total_time={int(limit_s)}", "-max_len=4096", "-print_final_stats=0"]
    atheris.Setup(arguments, drive)
    atheris.Fuzz()
    return Ran(outcomes, time.monotonic() - started, None)


def keep(found: Found) -> Path:
    """Write the input to `finds/<target>/`, where a normal test replays it for ever."""
    folder = FINDS / found.target
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{hashlib.sha256(found.data).hexdigest()[:16]}.bin"
    path.write_bytes(found.data)
    return path


def kept() -> Iterator[tuple[str, Path]]:
    """(target, file) of every find."""
    for path in sorted(FINDS.glob("*/*")):
        yield path.parent.name, path


def _tried(target: Target, data: bytes, outcomes: Counter[str]) -> Found | None:
    try:
        outcomes[target.check(data)] += 1
    except Exception as error:
        return Found(target.name, data, f"{type(error).__name__}: {error}"[:600])
    return None
