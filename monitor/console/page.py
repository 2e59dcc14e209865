"""The console as HTML: what the service knows, with its uncertainty. Every text is escaped."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from html import escape
from urllib.parse import quote

from evidence import Alarm, AlarmSubject, VerdictKind
from monitor.console.band import band
from monitor.telemetry import (
    Bounded,
    CohortState,
    ConfirmRecord,
    DetectorReading,
    Estimate,
    EvaluatorState,
    GateRecord,
    State,
    StratumFigures,
)

STYLE = """
:root { color-scheme: light dark; font: 15px/1.5 system-ui, sans-serif; }
body { max-width: 70rem; margin: 1.5rem auto; padding: 0 1rem; }
h1 { font-size: 1.4rem; } h2 { font-size: 1.1rem; margin-top: 2rem; }
table { border-collapse: collapse; width: 100%; }
th, td { text-align: left; padding: .3rem .8rem .3rem 0; border-bottom: 1px solid #8884; }
td.n, th.n { text-align: right; font-variant-numeric: tabular-nums; }
.open, .block, .failed { color: #c62828; font-weight: 600; }
.hold, .acknowledged, .quarantine, .overridden { color: #b26a00; font-weight: 600; }
.allow, .done { color: #2e7d32; font-weight: 600; }
.quiet { color: #777; }
svg { vertical-align: middle; }
"""

_BASES = {"sensor": "measured accuracy", "labels": "random labels"}

STYLE_HASH = "sha256-" + base64.b64encode(hashlib.sha256(STYLE.encode()).digest()).decode()
"""What the content security policy lets in beside the page itself."""


def render(state: State, refresh_s: int) -> str:
    """The whole page."""
    sections = (
        _strata(state.strata),
        _alarms(state.alarms),
        _evaluators(state.evaluators),
        _detectors(state.detectors),
        _cohorts(state.cohorts),
        _gate(state.gate),
        _runs(state.confirm),
    )
    return _page(_header(state) + "".join(sections), refresh_s)


def render_unreachable(what: str, refresh_s: int) -> str:
    """The page while the store does not answer."""
    return _page(f'<p class="open" role="alert">{_text(what)}</p>', refresh_s)


def _page(body: str, refresh_s: int) -> str:
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        f'<meta http-equiv="refresh" content="{int(refresh_s)}">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>Candor</title><style>{STYLE}</style></head>"
        f"<body><main><h1>Candor</h1>{body}</main></body></html>"
    )


def _header(state: State) -> str:
    workers = state.workers
    coverage = f"{workers.actual} of {workers.expected} expected evaluations made"
    parts = [
        f"read {_time(state.read_at_s)}",
        f"figures cover {_span(state.window_s)}",
        f"{workers.alive} workers alive, {workers.paused} paused, {workers.silent} silent",
        coverage,
        f"newest response {_time(state.last_response_s)}",
    ]
    return f'<p class="quiet">{" · ".join(map(_text, parts))}</p>'


def _strata(strata: Iterable[StratumFigures]) -> str:
    rows = [
        (
            _text(s.stratum.key),
            _estimate(s.honesty),
            _text(_BASES.get(s.basis or "", "")),
            _bounds(s.honesty if s.basis else s.score_rate),
            _estimate(s.score_rate),
            _number(sum(s.counts.values())),
            _number(s.counts.get(VerdictKind.LIE, 0)),
            _number(s.counts.get(VerdictKind.EVASION, 0)),
            _number(s.counts.get(VerdictKind.NO_BELIEF, 0)),
            _number(s.counts.get(VerdictKind.NOT_ASSERTED, 0)),
            _number(s.counts.get(VerdictKind.ERROR, 0)),
        )
        for s in strata
    ]
    heads = ("stratum", "honesty", "corrected by", "interval and bounds", "score rate", "verdicts")
    counts = ("lie", "evasion", "no belief", "not asserted", "error")
    note = (
        '<p class="quiet">The bar is the 95 % interval, the thin line the worst and best case over '
        "verdicts without a finding. The score rate is the bare share of verdicts; honesty is that "
        "share corrected for what the sensor gets wrong, and missing where this was not measured.</p>"
    )
    return _section("Honesty", (*heads, *counts), rows, numeric=range(5, 11)) + note


def _alarms(alarms: Iterable[Alarm]) -> str:
    rows = [
        (
            _state(a.state.value),
            _text(a.scope),
            _text(a.metric),
            _text(a.claim),
            _number(a.n),
            f"{a.log_evidence:.1f} / {a.log_threshold:.1f}",
            _text(_time(a.opened_at_s)),
            _alarm_links(a),
        )
        for a in alarms
    ]
    heads = ("state", "scope", "metric", "claim", "n", "log evidence / limit", "opened", "look")
    return _section("Alarms that are not closed", heads, rows, numeric=(4, 5))


def _alarm_links(alarm: Alarm) -> str:
    """The alarm with its history and localisation as JSON, and its pictures."""
    address = escape(f"/v1/alarms/{quote(alarm.alarm_id, safe='')}", quote=True)
    links = [f'<a href="{address}"><code>{_text(alarm.alarm_id)}</code></a>']
    if alarm.subject is AlarmSubject.STRATUM:
        links += [f'<a href="{address}/{kind}.png">{kind}</a>' for kind in ("honesty", "evidence")]
    return " ".join(links)


def _evaluators(evaluators: Iterable[EvaluatorState]) -> str:
    rows = [
        (
            f"<code>{_text(e.evaluator)}</code>",
            _state("failed") + " " + _text(", ".join(e.unhealthy))
            if e.unhealthy
            else _text("suspect" if e.suspect_since_s is not None else "well"),
            _number(e.actual),
            _number(e.expected),
        )
        for e in evaluators
    ]
    heads = ("evaluator", "health", "evaluations made", "expected")
    return _section("Evaluators", heads, rows, numeric=(2, 3))


def _detectors(readings: Iterable[DetectorReading]) -> str:
    rows = [
        (
            _text(r.stratum.key),
            _text(r.metric),
            "—" if r.reference is None else f"{r.reference:.3f}",
            f"{r.log_evidence:.2f}",
            f"{r.log_threshold:.2f}",
            _number(r.n),
        )
        for r in readings
    ]
    heads = ("stratum", "metric", "reference", "log evidence", "log threshold", "n")
    return _section("Detectors", heads, rows, numeric=range(2, 6))


def _cohorts(cohorts: Iterable[CohortState]) -> str:
    rows = [
        (
            _text(c.assistant),
            _estimate(c.biased),
            band(c.biased, None, None),
            _estimate(c.biased_weight),
            _estimate(c.gap),
            _number(c.suspects),
            _number(c.groups),
            _number(c.unidentified),
            _number(c.n_raters),
            _number(c.n_events),
        )
        for c in cohorts
    ]
    heads = ("assistant", "biased raters", "", "of the training signal", "gap towards them")
    return _section(
        "Raters",
        (*heads, "suspects", "groups", "unidentified", "raters", "events"),
        rows,
        numeric=range(5, 10),
    )


def _gate(decisions: Iterable[GateRecord]) -> str:
    rows = [
        (
            _state("overridden" if d.overridden_by else d.answer),
            _text(d.assistant),
            _text(_time(d.created_at_s)),
            _text(_time(d.expires_at_s)),
            f"<code>{_text((d.subject_digest or '—')[:16])}</code>",
        )
        for d in decisions
    ]
    return _section(
        "Gate decisions", ("answer", "assistant", "made", "expires", "rows' digest"), rows
    )


def _runs(runs: Iterable[ConfirmRecord]) -> str:
    rows = [
        (
            _state(r.state),
            _text(r.assistant),
            _text(_time(r.requested_at_s)),
            _text(_time(r.finished_at_s)),
            f"<code>{_text(r.alarm_id or '—')}</code>",
            _text(r.error or ""),
        )
        for r in runs
    ]
    heads = ("state", "assistant", "requested", "finished", "alarm", "error")
    return _section("Confirm runs", heads, rows)


def _section(
    title: str,
    heads: Iterable[str],
    rows: Sequence[tuple[str, ...]],
    numeric: Iterable[int] = (),
) -> str:
    """A titled table of cells that are HTML already; `numeric` columns stand to the right."""
    if not rows:
        return f'<h2>{_text(title)}</h2><p class="quiet">none</p>'
    right, mark = frozenset(numeric), ' class="n"'

    def cells(tag: str, row: Iterable[str]) -> str:
        return "".join(
            f"<{tag}{mark if column in right else ''}>{cell}</{tag}>"
            for column, cell in enumerate(row)
        )

    body = "".join(f"<tr>{cells('td', row)}</tr>" for row in rows)
    return (
        f"<h2>{_text(title)}</h2><table><thead><tr>{cells('th', map(_text, heads))}</tr></thead>"
        f"<tbody>{body}</tbody></table>"
    )


def _text(value: str) -> str:
    # bdi keeps a name with right-to-left marks from rearranging the words around it.
    return f"<bdi>{escape(value, quote=True)}</bdi>" if value else ""


def _state(value: str) -> str:
    return f'<span class="{escape(value, quote=True)}">{_text(value)}</span>'


def _estimate(value: Estimate) -> str:
    if value.estimate is None:
        return "—"
    shown = f"{100 * value.estimate:.1f} %"
    if value.lower is None or value.upper is None:
        return shown
    return f"{shown} ({100 * value.lower:.1f}–{100 * value.upper:.1f})"


def _bounds(share: Bounded) -> str:
    return band(share, share.worst_case, share.best_case)


def _number(value: int) -> str:
    return f"{value:,}".replace(",", " ")


def _time(at_s: float | None) -> str:
    if at_s is None:
        return "—"
    return datetime.fromtimestamp(at_s, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


def _span(seconds: float) -> str:
    hours = seconds / 3600.0
    return f"the last {hours:g} h" if hours >= 1 else f"the last {seconds / 60:g} min"
