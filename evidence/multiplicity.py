"""Many detectors, one false-alarm budget; and e-values that may be reported together.

Run lengths are counted in measured responses over everything watched. A response moves `streams`
detectors. If each has the run length streams * total in scores of its own, then
P(any alarm within T responses) <= sum_k E[N_k(T)] / (streams * total) <= T / total, where N_k(T) counts
the scores of detector k: every detector's statistic minus its own count is a supermartingale, whichever
streams the responses go to. Streams may therefore come and go without the budget being divided anew,
and in the common clock sum_k 1 / ARL_k <= 1 / ARL.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from evidence.errors import BadInputError


def total_run_length(false_alarms_per_month: float, responses_per_month: float) -> float:
    """Responses to a false alarm over everything watched."""
    if false_alarms_per_month <= 0 or responses_per_month <= 0:
        raise BadInputError("false alarms and responses a month must be positive")
    return responses_per_month / false_alarms_per_month


def run_length_of_each(total: float, streams: int) -> float:
    """Run length of each detector when one response moves `streams` of them."""
    if streams < 1:
        raise BadInputError(f"at least one stream shares the budget, not {streams}")
    return total * streams


def e_benjamini_hochberg(log_e_values: Sequence[float], level: float) -> list[int]:
    """Indices reported with a false discovery rate of at most `level`, under any dependence.

    Of K e-values the k largest are reported for the largest k with e_(k) >= K / (k level) (Wang and
    Ramdas, arXiv 2009.02824). Shiryaev-Roberts statistics are not e-values at stopping times; use
    `evidence.start_weighted.StartWeighted`.
    """
    if not 0.0 < level < 1.0:
        raise BadInputError(f"a level must lie in (0, 1), not {level!r}")
    values = np.asarray(log_e_values, dtype=np.float64)
    if not len(values):
        return []
    order = np.argsort(-values, kind="stable")
    rank = np.arange(1, len(values) + 1)
    passes = np.flatnonzero(values[order] >= np.log(len(values)) - np.log(rank * level))
    return sorted(order[: int(passes[-1]) + 1].tolist()) if len(passes) else []
