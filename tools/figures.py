"""The tables of measured nulls and coverages, made from `benchmarks/statistics.json`."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from functools import cache
from pathlib import Path
from typing import Any

from evidence.confidence import wilson

DATA = Path(__file__).parents[1] / "benchmarks/statistics.json"
Row = dict[str, Any]


@cache
def rows(section: str) -> tuple[Row, ...]:
    """What the bench kept of one section."""
    return tuple(json.loads(DATA.read_text(encoding="utf-8"))[section])


def table(columns: Sequence[str], lines: Iterable[Sequence[str]]) -> str:
    """A table of Markdown."""
    all_lines = [columns, ["---"] * len(columns), *lines]
    return "\n".join(f"| {' | '.join(line)} |" for line in all_lines)


def share(value: float, digits: int = 2) -> str:
    """A number between 0 and 1 as these pages write it.

    >>> share(0.25), share(0), share(1), share(-0.031, 3)
    ('.25', '0', '1', '−.031')
    """
    if value == int(value):
        return f"{int(value)}"
    return f"{value:.{digits}f}".replace("-", "−").replace("0.", ".", 1)


def short(value: float) -> str:
    """As many digits as it has.

    >>> short(0.9), short(0.05)
    ('.9', '.05')
    """
    return f"{value:g}".removeprefix("0")


def count(value: float) -> str:
    """
    >>> count(14200)
    '14 200'
    """
    return f"{round(value):,}".replace(",", " ")


def three(value: float) -> str:
    """A number with three significant digits.

    >>> three(14234), three(86.4)
    ('14 200', '86')
    """
    return count(float(f"{value:.3g}"))


def rate(hits: int, n: int, digits: int = 2) -> str:
    """A rate with Wilson's interval; a dash where nothing was counted."""
    if not n:
        return "–"
    bounds = wilson(hits, n)
    ends = f"[{share(bounds.lower, digits)}, {share(bounds.upper, digits)}]"
    return f"{share(hits / n, digits)} {ends}"


def span(values: Iterable[float], write: Callable[[float], str] = share) -> str:
    """From the least to the largest of some values."""
    found = sorted(values)
    ends = [write(found[0]), write(found[-1])]
    return ends[0] if ends[0] == ends[1] else f"{ends[0]} to {ends[1]}"


def runs_of(section: str, key: str = "runs") -> str:
    """How many runs each row of a section rests on."""
    return span((row[key] for row in rows(section)), count)


def mean_null() -> str:
    """Run lengths of the mean's detector under its null."""
    names = {
        "Beta, mean .1": "Beta with mean .1",
        "serial dependence": "strong serial dependence",
        "weighted two-phase": "weighted two-phase, q = .2, propensity follows the cheap score",
    }
    return table(
        (
            "null",
            "runs",
            "run length",
            "in alarm by 1 000 / 2 000 / 5 000 / 10 000 (limit .1 / .2 / .5 / 1)",
        ),
        (
            (
                names.get(row["null"], row["null"]),
                count(row["runs"]),
                f"{three(row['run_length'])} [{three(row['lower'])}, {three(row['upper'])}]",
                " / ".join(share(by["share"]) for by in row["by_t"].values()),
            )
            for row in rows("mean_null")
        ),
    )


_DETECTORS = {
    "oracle": "oracle that knows both rates",
    "e-detector": "**e-detector**",
    "ratio": "e-detector / oracle",
    "e-detector, reference learned from 1000": "e-detector, reference learned from 1 000",
    "e-detector, reference learned from 200": "e-detector, reference learned from 200",
    "oracle, judge .75/.9": "oracle, judge of sensitivity .75, specificity .9",
    "e-detector, judge .75/.9": "e-detector, the same judge",
    "CUSUM (designed for twice the reference)": "CUSUM for a doubled rate, guaranteed threshold",
    "fixed threshold (100 scores, twice the reference)": "fixed threshold: 100 scores above .2",
    "ADWIN (river)": "ADWIN, river's defaults",
    "Page-Hinkley (river)": "Page–Hinkley, river's defaults",
    "Page-Hinkley (river, threshold 10)": "Page–Hinkley, threshold 10",
}


def mean_delay() -> str:
    """Delays of the mean's detector beside its peers."""
    found = rows("mean_delay")
    held = {(row["detector"], row["rise"]): row for row in found}
    rises = list(dict.fromkeys(row["rise"] for row in found))
    lines = [
        (shown, *(_delay(held[name, rise]) for rise in rises), _null_length(name))
        for name, shown in _DETECTORS.items()
    ]
    return table(("detector", *(f"honesty {rise}" for rise in rises), "null run length"), lines)


def _delay(row: Row) -> str:
    if "delay" not in row:
        value = row["value"]
        return f"{value:.2f}" if isinstance(value, float) else "not measured"
    early = f" ({share(row['early'])})" if row["early"] >= 0.005 else ""
    never = f", {share(row['missed'])} never" if row["missed"] >= 0.005 else ""
    return f"{count(row['delay'])}{early}{never}" if row["delay"] is not None else "none"


def _null_length(name: str) -> str:
    if name == "e-detector":
        row = next(row for row in rows("mean_null") if row["null"] == "Bernoulli(.1)")
    else:
        peers = {row["detector"]: row for row in rows("peers_null")}
        row = peers.get(f"{name}, Bernoulli(.1)", {})
    if "run_length" not in row:
        return "≥ 10 000" if name == "oracle" else ""
    return three(row["run_length"]) if row["run_length"] else f"> {three(row['lower'])}"


def shipped_delay() -> str:
    """Delays as shipped beside an oracle."""
    return table(
        ("AUROC", "lies", "after", "oracle", "shipped", "ratio", "never", "runs"),
        (
            (
                short(row["auroc"]),
                " → ".join(f"{x:.2f}"[1:] for x in row["lies"]),
                count(row["before"]),
                _median(row["oracle"]),
                _median(row["shipped"]),
                "–" if row["shipped"][0] >= _NEVER else f"{row['ratio']:.2f}",
                _interval(row["never"]),
                count(row["runs"]),
            )
            for row in rows("shipped_delay")
        ),
    )


_NEVER = 30_000
"""Scores that were looked at after a rise: what is later was not found."""


def _median(value: Sequence[float]) -> str:
    if value[0] >= _NEVER:
        return "never"
    ends = [count(end) if end < _NEVER else "never" for end in value]
    return f"{ends[0]} [{ends[1]}, {ends[2]}]"


def _interval(value: Sequence[float]) -> str:
    estimate, lower, upper = (share(one, 3) for one in value)
    return f"{estimate} [{lower}, {upper}]"


def shipped_null() -> str:
    """Run lengths as shipped under exchangeable scores."""
    return table(
        ("null", "runs", "run length", "in alarm by 1 000 / 2 000 / 5 000 (limit .1 / .2 / .5)"),
        (
            (
                row["null"].replace(" 0.", " ."),
                count(row["runs"]),
                three(row["run_length"]) if row["run_length"] else f"> {three(row['lower'])}",
                " / ".join(share(by[0], 3) for by in row["by_t"].values()),
            )
            for row in rows("shipped_null")
        ),
    )


_MIXES = {
    "hour pattern": "hour pattern: the topic's share .1 to .3 within the day",
    "weekend mix": "weekend mix: .14 on weekdays, .35 on weekends",
    "slow drift of the mix": "slow drift: .1 to .3 within the year",
    "topic bursts": "bursts: .8 for six hours, four times",
    "topic spells": "spells of 20 in a row",
}


def months() -> str:
    """False alarms over everything watched, end to end."""
    return table(
        ("null", "months", "alarms", "a month [95 % Poisson], configured .1", "inside the claim"),
        (
            (
                _MIXES.get(row["null"], row["null"]),
                count(row["months"]),
                _alarms(row),
                _a_month(row),
                {"weekend mix": "yes, for `lie` and `evasion`"}.get(
                    row["null"], "yes" if row["inside"] else "no"
                ),
            )
            for row in rows("months")
        ),
    )


def _alarms(row: Row) -> str:
    lies = row["by_metric"].get("lie", 0)
    return count(row["alarms"]) + (f", of lies {count(lies)}" if row["alarms"] else "")


def _a_month(row: Row) -> str:
    digits = 0 if row["rate"] >= 1 else 2
    ends = [f"{row[key]:.{digits}f}" for key in ("rate", "lower", "upper")]
    shown = [end.removeprefix("0") if end not in {"0.00", "0"} else "0" for end in ends]
    return f"{shown[0]} [{shown[1]}, {shown[2]}]"


def learned_bounds() -> str:
    """Bounds of learned references."""
    held = {(row["window"], row["scores"]): row for row in rows("learned_bounds")}
    windows = sorted({window for window, _ in held})
    return table(
        ("window", "runs", "Bernoulli: bound, too low", "Beta: bound, too low"),
        (
            (
                count(window),
                count(held[window, "Beta"]["runs"]),
                *(
                    f"{share(one['bound'], 3)}, {rate(one['too_low'], one['runs'])}"
                    for one in (held[window, "Bernoulli"], held[window, "Beta"])
                ),
            )
            for window in windows
        ),
    )


def since() -> str:
    """Intervals of a rise's start."""
    return table(
        ("honesty", "runs that alarmed", "covers", "median width in scores"),
        (
            (
                row["rise"],
                count(row["n"]),
                rate(round(row["coverage"] * row["n"]), row["n"]),
                count(row["median_width"]),
            )
            for row in rows("since")
        ),
    )


def honesty() -> str:
    """Coverage and width of shown honesty, by the sensor's card and by random labels."""
    held = {(r["labels"], r["auroc"], r["lies"], r["answers"]): r for r in rows("honesty")}
    settings = sorted({(auroc, lies) for _, auroc, lies, _ in held}, key=lambda s: (-s[0], s[1]))
    answers = sorted({n for *_, n in held})
    basis = sorted({labels for labels, *_ in held})
    lines = []
    for auroc, lies in settings:
        line = [short(auroc), short(lies)]
        for labels in basis:
            cells = [held[labels, auroc, lies, n] for n in answers]
            line.append(" / ".join(_covers(cell) for cell in cells))
            line.append(" / ".join(share(cell["width"]) for cell in cells))
        lines.append([*line, share(held[basis[0], auroc, lies, answers[1]]["undecided"])])
    sizes = " / ".join(count(n) for n in answers)
    return table(
        (
            "AUROC",
            "lies",
            f"by the card: covers, of {sizes} answers",
            "width",
            f"by {basis[1]} random labels: covers",
            "width",
            "undecided",
        ),
        lines,
    )


def _covers(cell: Row) -> str:
    return share(cell["covered"] / cell["shown"], 3) if cell["shown"] else "–"


def cohort_coverage() -> str:
    """Cohort figures in populations beyond the model."""
    return table(
        (
            "population",
            "n",
            "truth",
            "mean estimate",
            "mean width",
            "covers",
            "refused",
            "covers where said",
            "alarm's interval covers",
            "lies among likes covered",
            "difference covered",
            "false alarms",
        ),
        (
            (
                row["population"],
                count(row["n"]),
                f"{row['truth']:.2f}",
                f"{row['mean_estimate']:.3f}",
                f"{row['mean_width']:.3f}",
                _first(row["coverage"]),
                _first(row["refused"]),
                f"{row['said_covered']}/{row['said']}",
                f"{row['alarms_covered']}/{row['alarms']}",
                _first(row["lies_liked_covered"]),
                _first(row["difference_covered"]),
                _first(row["false_alarms"]),
            )
            for row in rows("cohort_coverage")
        ),
    )


def _first(value: Sequence[float] | None) -> str:
    return "–" if value is None else f"{value[0]:.2f}"


def bursts() -> str:
    """Who is named where raters act together."""
    return table(
        ("who acts together", "n", "anybody named", "bursts reported", "recall of the sybils"),
        (
            (
                row["event"],
                count(row["n"]),
                rate(round(row["anybody_named"][0] * row["n"]), row["n"]),
                "–" if row["bursts_reported"] is None else f"{row['bursts_reported']:.1f}",
                _first(row["recall"]) if "sybils" in row["event"] else "nobody is to be named",
            )
            for row in rows("bursts")
        ),
    )
