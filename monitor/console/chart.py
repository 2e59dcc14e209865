"""Curves as points of an SVG, drawn here: a page needs no script to show them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime

import msgspec

from monitor.console.timeline import Audited, Step
from monitor.telemetry import Bounded

WIDTH, HEIGHT = 720.0, 200.0
_LEFT, _RIGHT, _TOP, _BOTTOM = 44.0, 8.0, 10.0, 24.0
_DAY_S = 86_400.0


class Mark(msgspec.Struct, frozen=True, order=True):
    """Something that happened: `kind` is version, alarm, evaluator or gate."""

    at_s: float
    kind: str
    label: str
    link: str | None = None
    x: float = 0.0


class Tick(msgspec.Struct, frozen=True):
    """A place on an axis with its label."""

    at: float
    label: str


class Chart(msgspec.Struct, frozen=True, kw_only=True):
    """What a template draws. `bands` and `bounds` are outlines, `lines` the estimate between gaps, all as SVG
    points; `dots` are estimates without a neighbour: x, y, and the ends of the interval. `audits` are estimates
    by random labels: where they begin and end, and y with the ends of the interval."""

    measure: str
    bands: tuple[str, ...]
    bounds: tuple[str, ...]
    lines: tuple[str, ...]
    dots: tuple[tuple[float, float, float, float], ...]
    audits: tuple[tuple[float, float, float, float, float], ...]
    audited: tuple[Audited, ...]
    marks: tuple[Mark, ...]
    x_ticks: tuple[Tick, ...]
    y_ticks: tuple[Tick, ...]
    steps: tuple[tuple[float, int, Bounded], ...]


def drawn(
    steps: Sequence[Step],
    marks: Iterable[Mark],
    start_s: float,
    end_s: float,
    width_s: float,
    *,
    measure: str = "honesty",
    top: float = 1.0,
    audits: Sequence[Audited] = (),
) -> Chart:
    """Honesty, or another `measure`, over time with its interval and its worst and best case; the score rate
    where honesty is not known for any step. `top` is the largest value that the axis shows."""
    corrected = any(step.honesty.estimate is not None for step in steps)
    shown = [(s.at_s, s.n, s.honesty if corrected else s.score_rate) for s in steps]
    known = [(at_s, value) for at_s, _, value in shown if value.estimate is not None]
    labelled = [one for one in audits if one.honesty.estimate is not None]
    all_shown = [v for _, v in known] + [one.honesty for one in labelled]
    lowest = min((v.lower for v in all_shown if v.lower is not None), default=0.0)
    floor = max(0.0, min(0.9, int(lowest * 10) / 10)) if top == 1.0 else 0.0

    def x(at_s: float) -> float:
        share = (at_s - start_s) / max(end_s - start_s, 1e-9)
        return round(_LEFT + min(1.0, max(0.0, share)) * (WIDTH - _LEFT - _RIGHT), 1)

    def y(value: float | None) -> float:
        share = (min(top, max(floor, value or 0.0)) - floor) / (top - floor)
        return round(HEIGHT - _BOTTOM - share * (HEIGHT - _TOP - _BOTTOM), 1)

    runs = _runs(known, width_s)

    def outline(run: list[tuple[float, Bounded]], low: str, high: str) -> str:
        up = [(x(at), y(getattr(v, high))) for at, v in run]
        down = [(x(at), y(getattr(v, low))) for at, v in reversed(run)]
        return _points(up + down)

    def bounded(run: list[tuple[float, Bounded]]) -> bool:
        return all(v.worst_case is not None for _, v in run)

    long_runs = [run for run in runs if len(run) > 1]
    return Chart(
        measure=measure if corrected or not shown else "score rate",
        bands=tuple(outline(run, "lower", "upper") for run in long_runs),
        bounds=tuple(outline(run, "worst_case", "best_case") for run in long_runs if bounded(run)),
        lines=tuple(_points([(x(at), y(v.estimate)) for at, v in run]) for run in long_runs),
        dots=tuple(
            (x(at), y(v.estimate), y(v.lower), y(v.upper))
            for run in runs
            if len(run) == 1
            for at, v in run
        ),
        audits=tuple(_bar(one, x, y) for one in labelled),
        audited=tuple(audits),
        marks=tuple(
            msgspec.structs.replace(mark, x=x(mark.at_s))
            for mark in sorted(marks)
            if start_s <= mark.at_s <= end_s
        ),
        x_ticks=tuple(Tick(x(at), _label(at, end_s - start_s)) for at in _times(start_s, end_s)),
        y_ticks=tuple(
            Tick(y(floor + (top - floor) * i / 4), f"{100 * (floor + (top - floor) * i / 4):.3g} %")
            for i in range(5)
        ),
        steps=tuple(shown),
    )


def _bar(
    one: Audited, x: Callable[[float], float], y: Callable[[float | None], float]
) -> tuple[float, float, float, float, float]:
    value = one.honesty
    return x(one.start_s), x(one.end_s), y(value.estimate), y(value.lower), y(value.upper)


def _runs(
    known: Sequence[tuple[float, Bounded]], width_s: float
) -> list[list[tuple[float, Bounded]]]:
    """Stretches without a missing step: a line over a gap would say what nobody measured."""
    runs: list[list[tuple[float, Bounded]]] = []
    for item in known:
        if runs and item[0] - runs[-1][-1][0] < 1.5 * width_s:
            runs[-1].append(item)
        else:
            runs.append([item])
    return runs


def _points(pairs: Iterable[tuple[float, float]]) -> str:
    return " ".join(f"{x:g},{y:g}" for x, y in pairs)


def _times(start_s: float, end_s: float, ticks: int = 6) -> list[float]:
    return [start_s + (end_s - start_s) * i / ticks for i in range(1, ticks)]


def _label(at_s: float, span_s: float) -> str:
    form = "%H:%M" if span_s <= 1.5 * _DAY_S else "%m-%d"
    return datetime.fromtimestamp(at_s, UTC).strftime(form)
