"""Verdicts, alarms and gate decisions for other systems: what is sent, and how each of them takes it."""
