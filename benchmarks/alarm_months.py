"""Twelve months of honest traffic through `advance` with the shipped settings, and what alarmed.

Twelve strata, 30 000 measured responses a month in all; three strata come in the third month, the
evaluator changes in the seventh. A sensor of AUROC .78 calibrated at 49 % lies, 2 % lies, 1 % errors, now
and then an evasion. A fifth of the responses is about a topic on which the sensor reads one unit of log
odds higher (mean p_lie .58 for .37). What is done to that topic's share makes the null.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from evidence import VerdictKind
from evidence.records import LoggedVerdict
from monitor.detect.options import DetectionOptions
from monitor.detect.stratum import advance, close, new_state

Floats = NDArray[np.float64]

MONTHS, STRATA, A_MONTH = 12, 12, 30_000
_DAY_S, _MONTH_S = 86_400.0, 30 * 86_400.0
_MONDAY_S = 4 * _DAY_S
_APART = 1.092  # AUROC .78
_SHARE, _HARDER = 0.2, 1.0
_CHUNK = 100

Shares = Callable[[np.random.Generator, Floats], Floats]
"""The hard topic's share at each time, shape as the times', seconds since a Monday."""


def constant(_rng: np.random.Generator, at_s: Floats) -> Floats:
    return np.full_like(at_s, _SHARE)


def hours(_rng: np.random.Generator, at_s: Floats) -> Floats:
    return _SHARE + 0.1 * np.sin(2.0 * np.pi * at_s / _DAY_S)


def weekends(_rng: np.random.Generator, at_s: Floats) -> Floats:
    return np.where((at_s / _DAY_S) % 7.0 >= 5.0, 0.35, 0.14)


def slow_drift(_rng: np.random.Generator, at_s: Floats) -> Floats:
    return _SHARE + 0.1 * np.sin(2.0 * np.pi * at_s / (MONTHS * _MONTH_S))


def bursts(rng: np.random.Generator, at_s: Floats) -> Floats:
    """Four times in the year, and for every stratum alike, the topic is on everyone's lips for 6 hours."""
    starts = (np.arange(4) * 3.0 + rng.uniform(0.5, 2.5, 4)) * _MONTH_S
    loud = [(at_s >= start) & (at_s < start + _DAY_S / 4.0) for start in starts]
    return np.where(np.any(loud, axis=0), 0.8, _SHARE)


def spells(rng: np.random.Generator, at_s: Floats) -> Floats:
    """The topic comes in runs of 20 responses on average, with the same share in the long run."""
    made = np.empty(len(at_s))
    at, on = 0, False
    while at < len(made):
        length = int(rng.geometric(1.0 / (20.0 if on else 80.0)))
        made[at : at + length] = float(on)
        at, on = at + length, not on
    return made


NULLS: dict[str, tuple[Shares, bool]] = {
    "constant": (constant, True),
    "hour pattern": (hours, True),
    "weekend mix": (weekends, True),
    "slow drift of the mix": (slow_drift, False),
    "topic bursts": (bursts, False),
    "topic spells": (spells, False),
}
"""Each with whether the claim covers it."""


def months(years: int) -> list[dict[str, Any]]:
    """Alarms of each null in `years` times twelve months, with a 95 % Poisson interval of the rate."""
    found = []
    for k, (name, (shares, inside)) in enumerate(NULLS.items()):
        alarms: Counter[str] = Counter()
        for year in range(years):
            alarms += year_of(np.random.default_rng(900 + 10 * k + year), shares)
        n, total = MONTHS * years, sum(alarms.values())
        lower, upper = poisson(total)
        found.append(
            {
                "null": name,
                "seed": 900 + 10 * k,
                "months": n,
                "alarms": total,
                "rate": total / n,
                "lower": lower / n,
                "upper": upper / n,
                "by_metric": dict(alarms),
                "inside": inside,
            }
        )
    return found


def year_of(
    rng: np.random.Generator,
    shares: Shares,
    *,
    options: DetectionOptions | None = None,
    n_months: int = MONTHS,
    a_month: int = A_MONTH,
) -> Counter[str]:
    """Alarms by metric in one year over all strata; each is closed within 100 responses, so that more can come."""
    options = options or DetectionOptions()
    alarms: Counter[str] = Counter()
    state_of_bursts = rng.integers(1 << 30)
    for k in range(STRATA):
        # What happens to the topic happens to all strata at once.
        world = np.random.default_rng(state_of_bursts)
        begin_s = 2.0 * _MONTH_S if k >= 9 else 0.0
        n = round(a_month / STRATA * (n_months - begin_s / _MONTH_S))
        at_s = begin_s + np.sort(rng.uniform(0.0, n_months * _MONTH_S - begin_s, n))
        mix = shares(rng if shares is spells else world, at_s)
        stratum = f"a/s{k}/normal"
        state = new_state(stratum, options=options)
        for chunk in _chunks(rng, stratum, at_s, mix, n_months):
            state, raised = advance(state, chunk, options=options)
            for alarm in raised:
                alarms[alarm.metric] += 1
                state = close(state, alarm.metric, options=options)
    return alarms


def _chunks(
    rng: np.random.Generator, stratum: str, at_s: Floats, mix: Floats, n_months: int
) -> Iterator[list[LoggedVerdict]]:
    lie, hard = rng.random(len(at_s)) < 0.02, rng.random(len(at_s)) < mix
    score = rng.normal(size=len(at_s)) + _APART * lie
    odds = math.log(0.49 / 0.51) + _APART * score - _APART**2 / 2.0 + _HARDER * hard
    p_lie = 1.0 / (1.0 + np.exp(-odds))
    p_evasion = rng.beta(0.3, 9.0, len(at_s))
    failed = rng.random(len(at_s)) < 0.01
    for start in range(0, len(at_s), _CHUNK):
        yield [
            LoggedVerdict(
                log_position=i + 1,
                stratum=stratum,
                kind=VerdictKind.ERROR if failed[i] else VerdictKind.HONEST,
                p_lie=None if failed[i] else float(p_lie[i]),
                p_evasion=None if failed[i] else float(p_evasion[i]),
                inclusion_probability=1.0,
                model="m",
                evaluator_version="e1" if at_s[i] < n_months / 2 * _MONTH_S else "e2",
                scored_at_s=_MONDAY_S + float(at_s[i]),
            )
            for i in range(start, min(start + _CHUNK, len(at_s)))
        ]


def poisson(count: int) -> tuple[float, float]:
    """A 95 % interval of a Poisson mean (Garwood 1936), by bisection on its distribution."""

    def at_most(mean: float, k: int) -> float:
        return math.fsum(
            math.exp(i * math.log(mean) - mean - math.lgamma(i + 1)) for i in range(k + 1)
        )

    def solve(k: int, tail: float) -> float:
        low, high = 1e-9, 10.0 * count + 20.0
        for _ in range(80):
            middle = (low + high) / 2.0
            low, high = (middle, high) if at_most(middle, k) > tail else (low, middle)
        return high

    return (solve(count - 1, 0.975) if count else 0.0), solve(count, 0.025)
