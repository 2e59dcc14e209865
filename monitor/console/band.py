"""A share with its interval as a small inline SVG."""

from __future__ import annotations

from monitor.telemetry import Estimate

_WIDTH, _HEIGHT = 220, 18


def band(value: Estimate, worst: float | None, best: float | None) -> str:
    """A scale from 0 to 1: bar for the interval, tick for the estimate, thin line for the bounds."""
    if value.estimate is None or value.lower is None or value.upper is None:
        return ""
    label = f"{value.estimate:.3f}, from {value.lower:.3f} to {value.upper:.3f}"
    middle = _HEIGHT / 2
    parts = [
        f'<line x1="0" x2="{_WIDTH}" y1="{_HEIGHT - 1}" y2="{_HEIGHT - 1}" stroke="#8886"/>',
    ]
    if worst is not None and best is not None:
        parts.append(
            f'<line x1="{_x(worst)}" x2="{_x(best)}" y1="{middle}" y2="{middle}" stroke="#888"/>'
        )
    bar = max(1.0, _x(value.upper) - _x(value.lower))
    parts += [
        f'<rect x="{_x(value.lower)}" y="4" width="{bar:.1f}" height="10" fill="#4a90d9"/>',
        (
            f'<line x1="{_x(value.estimate)}" x2="{_x(value.estimate)}" y1="1" y2="{_HEIGHT - 2}" '
            'stroke="currentColor" stroke-width="2"/>'
        ),
    ]
    return (
        f'<svg role="img" aria-label="{label}" width="{_WIDTH}" height="{_HEIGHT}" '
        f'viewBox="0 0 {_WIDTH} {_HEIGHT}">{"".join(parts)}</svg>'
    )


def _x(share: float) -> float:
    return round(min(1.0, max(0.0, share)) * _WIDTH, 1)
