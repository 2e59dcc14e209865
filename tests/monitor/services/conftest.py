"""Fixtures shared with `cli`."""

from tests.monitor.cli.conftest import candor, scorer

__all__ = ["candor", "scorer"]
