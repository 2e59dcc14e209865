"""Honesty by day from lines of verdicts, each response counted once with weight one."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any

import msgspec

from candor_guard.reading.values import time_s
from evidence import Measurement, VerdictKind
from evidence.prevalence import LEANS_FROM, Honesty, corrected_honesty, tells_apart
from evidence.records import ASSERTED, Accuracy
from evidence.survey import KindTotal, score_rate_of
from probes.visible import Visible, visible_acts

_TIMES = ("created_at", "created", "timestamp")


class Day(msgspec.Struct, frozen=True, kw_only=True):
    """What was seen of one day (UTC); `day` is None for responses without a time.

    Parameters
    ----------
    n, decided
        Responses, and those of them whose verdict is honest, lie or evasion.
    honesty, why_missing
        The corrected estimate, or why there is none.
    score_rate, score_rate_lower, score_rate_upper
        The bare share of honest verdicts with its interval: no honesty.
    """

    day: str | None
    n: int
    decided: int
    verdicts: dict[str, int]
    honesty: Honesty | None
    why_missing: str | None
    score_rate: float | None
    score_rate_lower: float | None
    score_rate_upper: float | None


class _Probe(msgspec.Struct):
    answers: dict[str, float] = {}


class _Line(msgspec.Struct):
    verdict: str
    p_lie: float | None = None
    probes: dict[str, _Probe] = {}

    @property
    def contradicted(self) -> bool:
        """Whether a tool record contradicts what is said of acts."""
        found = (
            Measurement(probe=name, version="", answers=p.answers)
            for name, p in self.probes.items()
        )
        return visible_acts(found) is Visible.CONTRADICTED


_line = msgspec.json.Decoder(_Line).decode


def day_of(fields: Mapping[str, Any]) -> str | None:
    """The day of a record's time, `2026-11-29`; None where it has none."""
    for name in _TIMES:
        try:
            if fields.get(name) is not None:
                return datetime.fromtimestamp(time_s(fields[name]), UTC).date().isoformat()
        except (ValueError, OverflowError, OSError):
            continue
    return None


def by_day(lines: Iterable[tuple[str | None, bytes]], accuracy: Accuracy | None) -> list[Day]:
    """Days in their order from (day, line of a verdict); memory grows with days alone.

    Parameters
    ----------
    accuracy
        How often the sensor is right; None where that was not measured.
    """
    totals: dict[str | None, dict[VerdictKind, KindTotal]] = {}
    for day, raw in lines:
        line = _line(raw)
        kind = VerdictKind(line.verdict)
        of_day = totals.setdefault(day, {})
        held = of_day.get(kind, KindTotal())
        leans = line.p_lie is not None and line.p_lie >= LEANS_FROM
        n = held.n + 1
        against = held.contradicted + (leans and line.contradicted)
        of_day[kind] = KindTotal(n, float(n), float(n), held.leaning + leans, against)
    return [_day(day, totals[day], accuracy) for day in sorted(totals, key=lambda d: d or "~")]


def _day(
    day: str | None, totals: Mapping[VerdictKind, KindTotal], accuracy: Accuracy | None
) -> Day:
    rate = score_rate_of(totals)
    honesty = corrected_honesty([(totals, accuracy)])
    return Day(
        day=day,
        n=sum(total.n for total in totals.values()),
        decided=rate.n,
        verdicts={kind.value: total.n for kind, total in sorted(totals.items())},
        honesty=honesty,
        why_missing=None if honesty is not None else _why(totals, accuracy),
        score_rate=rate.value,
        score_rate_lower=rate.lower,
        score_rate_upper=rate.upper,
    )


def _why(totals: Mapping[VerdictKind, KindTotal], accuracy: Accuracy | None) -> str:
    if not any(kind in totals for kind in ASSERTED):
        return "no response asserted anything that was measured"
    if accuracy is None:
        return "nothing says how often these probes err here (candor calibrate)"
    if not tells_apart(accuracy):
        return "the sensor does not tell lies from honest answers"
    return "too little was measured"
