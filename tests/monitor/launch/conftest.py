"""A store with rated turns, for every test of a launcher."""

from tests.monitor.launch.launch_house import engine

__all__ = ["engine"]
