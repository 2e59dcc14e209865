"""Honesty of one response: belief, consistency and activation probes, a judge, and their fusion."""

from probes.probe import Probe, Transcript

__all__ = ["Probe", "Transcript"]
