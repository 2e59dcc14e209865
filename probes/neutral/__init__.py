"""The conversation before a response with what was told kept and the pressure taken away."""

from probes.neutral.frames import FRAMES, neutral_contexts

__all__ = ["FRAMES", "neutral_contexts"]
