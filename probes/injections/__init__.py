"""Attacks on an evaluator, of our own writing, and where in a conversation they are put."""

from probes.injections.load import KINDS, Injection, load_injections

__all__ = ["KINDS", "Injection", "load_injections"]
