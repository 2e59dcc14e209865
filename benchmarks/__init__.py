"""Measured figures beside those of peers: each module prints a table and writes JSON."""

import os

# Read when torch is loaded. Threads that spin while they wait make a run ten times as long beside other work.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
