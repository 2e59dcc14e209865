"""Keeps what was imported out of the garbage collector's way.

Libraries bring a million objects that live as long as the process, and trainers collect garbage at
every turn: each time all of these would be walked through.
"""

from __future__ import annotations

import gc
import sys

import pytest

_MANY = 100


class Frozen:
    """How many modules there were when they were last set aside."""

    def __init__(self) -> None:
        self._modules = 0

    def pytest_runtest_setup(self, item: pytest.Item) -> None:
        """Set all objects aside once many modules were imported since the last time."""
        del item
        if len(sys.modules) >= self._modules + _MANY:
            gc.collect()
            gc.freeze()
            self._modules = len(sys.modules)


def pytest_configure(config: pytest.Config) -> None:
    config.pluginmanager.register(Frozen(), "garbage")
