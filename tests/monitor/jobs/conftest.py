"""Fixtures shared with `worker`."""

from tests.monitor.worker.conftest import another_house, house, kit

__all__ = ["another_house", "house", "kit"]
