"""The command line: the composition root, one file per family of commands."""

import os

# Read when numpy is loaded, so it is set before. Its matrices are small here: threads win nothing on an idle machine, and on
# a busy one they wait for each other in turns; estimating raters took seven times the processor time so.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

from monitor.cli.app import main

__all__ = ["main"]
