"""Measured figures beside those of peers: each module prints a table and writes JSON."""
