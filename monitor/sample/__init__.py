"""Which responses are measured, with what probability: pure."""

from monitor.sample.decide import Decision, decide, phase_of

__all__ = ["Decision", "decide", "phase_of"]
