"""Attacks on an evaluator, of our own writing, and where in a conversation they are put."""

from probes.injections.load import HELD_OUT, KINDS, Injection, load_injections

__all__ = ["HELD_OUT", "KINDS", "Injection", "load_injections"]
