"""Questions of all kinds to the gate, from a seed."""

from __future__ import annotations

import random
import time
from datetime import UTC, datetime
from typing import Any

import msgspec

from candor_guard.rows import Row
from evidence import AlarmState, AlarmSubject, VerdictKind
from retrain.report import ConfirmReport, Finding
from tests.monitor.services.gate_doors import ASSISTANT, STRATUM, Question, beat, row
from tests.retrain.gate_values import report as made_report


def generated(rng: random.Random) -> Question:
    """Any question; in about half of them little stands against the rows."""
    n = rng.randint(1, 7)
    calm = rng.random() < 0.5
    rows = [_any_row(rng, i, calm=calm) for i in range(n)]
    verdicts = {
        f"r{i}": _any_verdict(rng, calm=calm) for i in range(n) if calm or rng.random() < 0.95
    }
    values: dict[str, Any] = {"rows": rows, "verdicts": verdicts, "policy": _any_policy(rng)}
    if not calm and rng.random() < 0.5:
        values["stored"] = list(rows)
        rows[:] = [_claims_else(rng, r) if rng.random() < 0.15 else r for r in rows]
    values["report"] = _any_report(rng, rows, verdicts, calm=calm)
    values["beats"] = [beat()] if calm else [_any_beat(rng) for _ in range(rng.randint(0, 2))]
    values["health"] = {"v1": [] if calm or rng.random() < 0.8 else ["canary_lie"], "v2": []}
    if not calm or rng.random() < 0.5:
        one_of = [f"u{i}" for i in range(3)] + [f"r{i}" for i in range(n)]
        for name in ("suspects", "grouped", "forgotten", "probe_traffic"):
            values[name] = frozenset(x for x in one_of if rng.random() < 0.06)
        values["missing"] = rng.choice([0, 0, 0, 4, 6])
        values["dead_letters"] = rng.choice([0, 0, 0, 4, 12])
        scopes = [STRATUM.key, ASSISTANT, "other/other/normal", f"{ASSISTANT}-2/other/normal"]
        values["alarms"] = [
            (rng.choice(list(AlarmSubject)), rng.choice(scopes), rng.choice(list(AlarmState)))
            for _ in range(rng.choice([0, 0, 0, 1, 2]))
        ]
    return Question(**values)


def _any_row(rng: random.Random, number: int, *, calm: bool) -> Row:
    text = rng.choice([None, "The same words for everybody, again and again and again."])
    sources = ["candor.feedback"] if calm else ["candor.feedback"] * 15 + ["dolly", "bad", None]
    return row(number, text=text, source=rng.choice(sources))


def _claims_else(rng: random.Random, true: Row) -> Row:
    """The row with something in it that the store does not hold."""
    said = true.messages or ()
    other = msgspec.structs.replace(said[-1], content="Another answer.")
    changed: list[dict[str, Any]] = [
        {"messages": (*said[:-1], other)},
        {"messages": said[-1:]},
        {"extra": {"purpose": "replay"}},
        {"extra": {"tools": [{"name": "stock"}]}},
    ]
    origin: list[dict[str, Any]] = [
        {"response_id": "r0"},
        {"feedback_id": "f0"},
        {"rater": "u9"},
        {"collected_at": None},
        {"source_version": "m2"},
    ]
    if rng.random() < 0.5:
        return msgspec.structs.replace(true, **rng.choice(changed))
    given = msgspec.structs.replace(true.provenance, **rng.choice(origin))
    return msgspec.structs.replace(true, provenance=given)


def _any_verdict(rng: random.Random, *, calm: bool) -> tuple[VerdictKind, float | None, str]:
    kinds = [VerdictKind.HONEST] * 6 + [VerdictKind.LIE] if calm else list(VerdictKind)
    kind = rng.choice([VerdictKind.HONEST] * 12 + kinds)
    p_lie = rng.choice([0.1, 0.2] if calm else [0.1, 0.2, 0.2, 0.45, 0.7, None])
    return kind, p_lie, rng.choice(["v1"] * 9 + ["v2"])


def _any_beat(rng: random.Random) -> dict[str, Any]:
    return beat(
        age_s=rng.choice([1.0, 1.0, 30.0, 100.0, 4000.0, -1000.0]),
        version=rng.choice(["v1", "v1", "v2", "v3", None]),
        calibrated=rng.choice([True, True, True, False, None]),
        lag=rng.choice([0, 0, 7, 99, 150, None]),
    )


def _any_policy(rng: random.Random) -> dict[str, Any]:
    now = time.time()
    choices: dict[str, list[Any]] = {
        "max_near_duplicates": [1, 2],
        "blocked_sources": [["bad"], ["candor.feedback"]],
        "trusted_sources": [["dolly"]],
        "believed_sources": [["dolly"]],
        "max_p_lie": [0.25, 0.9],
        "max_removed_share": [0.1, 1.0],
        "max_lag_records": [0, 5, 1000],
        "max_report_age_s": [10.0, 1e6],
        "coverage_s": [3600.0, 864_000.0],
        "valid_until": [datetime.fromtimestamp(now + s, UTC) for s in (-1e5, 1e5)],
        "suspect_raters": [False],
    }
    return {name: rng.choice(values) for name, values in choices.items() if rng.random() < 0.1}


def _any_report(
    rng: random.Random, rows: list[Row], verdicts: dict[str, Any], *, calm: bool
) -> ConfirmReport | None:
    if not calm and rng.random() < 0.15:
        return None
    kept = [r for i, r in enumerate(rows) if verdicts.get(f"r{i}", ("",))[0] is VerdictKind.HONEST]
    age_s = rng.choice([60.0] * 12 + [1e6, 5e7, -4000.0])
    return made_report(
        rows if calm or rng.random() < 0.9 else rows[:-1],
        rng.choice([kept] * 5 + [rows]),
        candidate_finding=rng.choice([Finding.NOT_WORSE] * 9 + list(Finding)),
        released_finding=rng.choice([Finding.NOT_WORSE] * 9 + list(Finding)),
        control=rng.choice(["approved_model"] * 8 + [None]),
        at_s=time.time() - age_s,
    )
