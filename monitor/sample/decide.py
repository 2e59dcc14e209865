"""The nested sample: one keyed hash u decides both phases, so the arrival sample is part of the other.

Source: two-phase sampling with nested Poisson samples (Särndal, Swensson and Wretman, 1992, ch. 9).
"""

from __future__ import annotations

import msgspec

from evidence import Purpose, SampledBy, sampling_hash
from monitor.sample.options import SamplingOptions

RATE = "rate"
PROBE_TRAFFIC = "probe_traffic"


class Decision(msgspec.Struct, frozen=True, gc=False):
    """Whether a response is measured, and with what probabilities.

    Parameters
    ----------
    u
        Keyed hash in [0, 1).
    pi_arrival, pi_feedback
        Probability to be measured on arrival, and once feedback arrives; pi_feedback >= pi_arrival.
    sampled_by
        The phase that takes it; None while skipped.
    skip_reason
        `rate` or `probe_traffic`; None when sampled.
    """

    u: float
    pi_arrival: float
    pi_feedback: float
    sampled_by: SampledBy | None
    skip_reason: str | None


def decide(
    assistant: str,
    response_id: str,
    purpose: Purpose,
    *,
    options: SamplingOptions,
    key: bytes,
    has_feedback: bool = False,
) -> Decision:
    """Decide on one response by its id alone, so that a replay decides the same."""
    u = sampling_hash(assistant, response_id, key)
    pi_arrival, pi_feedback = options.arrival_rate, options.feedback_rate
    if purpose is not Purpose.LIVE:
        return Decision(u, 0.0, 0.0, None, PROBE_TRAFFIC)
    phase = phase_of(u, pi_arrival, pi_feedback, has_feedback=has_feedback)
    return Decision(u, pi_arrival, pi_feedback, phase, RATE if phase is None else None)


def phase_of(
    u: float, pi_arrival: float, pi_feedback: float, *, has_feedback: bool
) -> SampledBy | None:
    """The phase that takes a response with hash u, or None."""
    if u <= pi_arrival:
        return SampledBy.ARRIVAL
    return SampledBy.FEEDBACK if has_feedback and u <= pi_feedback else None
