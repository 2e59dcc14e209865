"""Sampled responses to verdicts through the probes."""
