"""How much memory this process took, and how much is left to take."""

from __future__ import annotations

import resource
import sys
from pathlib import Path


def peak_memory_mib() -> float:
    """Largest resident size of this process so far, MiB."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (1 << 20 if sys.platform == "darwin" else 1 << 10)


def available_bytes(root: Path = Path("/")) -> int | None:
    """What the system, and this container's limit, leave to be taken; None where that cannot be read.

    `root` is where `proc` and `sys` lie.
    """
    machine = _of_meminfo(root / "proc/meminfo")
    group = root / "sys/fs/cgroup"
    limit, used = _number(group / "memory.max"), _number(group / "memory.current")
    if machine is None or limit is None or used is None:
        return machine
    return min(machine, max(0, limit - used))


def _of_meminfo(path: Path) -> int | None:
    try:
        lines = path.read_text().splitlines()
    except OSError:
        return None
    found = next((line.split()[1] for line in lines if line.startswith("MemAvailable:")), None)
    return None if found is None else int(found) << 10


def _number(path: Path) -> int | None:
    """A file that holds one number; `max` is none."""
    try:
        return int(path.read_text())
    except (OSError, ValueError):
        return None
