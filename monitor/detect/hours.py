"""When in the week a score was made: what is ranked among its own kind alone."""

from __future__ import annotations

from collections.abc import Iterable

from evidence.rank_detector import past_of
from evidence.records import LoggedVerdict
from monitor.detect.options import DetectionOptions
from monitor.detect.records import RANKED
from monitor.detect.scores import score_of

_HOUR_S = 3_600.0
_DAY_S = 24.0 * _HOUR_S
_QUARTERS = 4


def hours_of(entry: LoggedVerdict, options: DetectionOptions) -> str:
    """`week` or `end`, for Saturday and Sunday, with the quarter of the day, 0 to 3.

    Of the response's time, else the verdict's. Eight cells are what a stratum of a few verdicts an
    hour can fill; they hold what recurs by the hour and by the week.
    """
    at_s = entry.scored_at_s if entry.created_at_s is None else entry.created_at_s
    days, of_day_s = divmod(at_s + options.hours_ahead_of_utc * _HOUR_S, _DAY_S)
    # The epoch was a Thursday.
    part = "end" if (int(days) + 3) % 7 >= 5 else "week"
    return f"{part}{int(of_day_s * _QUARTERS / _DAY_S)}"


def days_of(cell: str) -> str:
    """Which days a cell is of.

    >>> days_of("week0"), days_of("end3")
    ('week', 'end')
    """
    return cell.rstrip("0123")


def pasts_of(
    entries: Iterable[LoggedVerdict], options: DetectionOptions
) -> dict[str, dict[str, dict[int, int]]]:
    """By ranked metric: the past that these verdicts make, for scores to come to be ranked among."""
    by_cell: dict[str, dict[str, list[float]]] = {metric: {} for metric in RANKED}
    for entry in entries:
        cell = hours_of(entry, options)
        for metric in RANKED:
            score = score_of(metric, entry)
            if score is not None:
                by_cell[metric].setdefault(cell, []).append(score)
    return {metric: past_of(cells) for metric, cells in by_cell.items()}
