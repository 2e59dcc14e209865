"""The command line: the composition root, one file per family of commands."""

from monitor.cli.app import main

__all__ = ["main"]
