"""The leased process that turns an alarm into a confirm run, and its end into gate decisions."""

from __future__ import annotations

from typing import TYPE_CHECKING

from monitor.lazy import load_on_first_use

# ruff: noqa: TC004 -- at run time the names come from _PARTS, so that options load without scipy
if TYPE_CHECKING:
    from monitor.launch.collect import collect_rows
    from monitor.launch.launcher import Launcher

__all__ = ["Launcher", "collect_rows"]

_PARTS = {
    "Launcher": "launcher",
    "collect_rows": "collect",
}

load_on_first_use(__name__, _PARTS)
