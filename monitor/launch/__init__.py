"""The leased process that turns an alarm into a confirm run, and its end into gate decisions."""

from monitor.launch.collect import collect_rows
from monitor.launch.launcher import Launcher

__all__ = ["Launcher", "collect_rows"]
