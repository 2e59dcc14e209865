"""Which responses are measured, with what probability: pure."""

from monitor.sample.decide import Decision, decide, final_probability, phase_of

__all__ = ["Decision", "decide", "final_probability", "phase_of"]
