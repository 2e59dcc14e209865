"""What the pages' tests share with those of the command."""

from tests.monitor.cli.conftest import scorer

__all__ = ["scorer"]
