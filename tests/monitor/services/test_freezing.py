"""Which verdicts may be read while an evaluator's health is in doubt, and what is frozen."""

from __future__ import annotations

from pathlib import Path

import pytest
from sqlalchemy import event, insert

from evidence.records import LoggedVerdict
from monitor.detect.options import DetectionOptions
from monitor.detect.records import encode_state
from monitor.detect.stratum import new_state
from monitor.services.freezing import freeze_unhealthy, frozen_as, readable
from monitor.store import health as store
from monitor.store import open_store
from monitor.store.health import StoredHealth
from monitor.store.schema import detectors

WELL, FAILED = "judge=answered verdict=answered", "judge=unreadable verdict=answered"


def entry(position: int, outcomes: str | None = WELL) -> LoggedVerdict:
    return LoggedVerdict(
        log_position=position,
        stratum="a/b/normal",
        kind="honest",
        p_lie=0.1,
        p_evasion=0.0,
        inclusion_probability=1.0,
        model="m",
        evaluator_version="e",
        scored_at_s=100.0 + position,
        outcomes=outcomes,
    )


LOG = [entry(1), entry(2, FAILED), entry(3), entry(4, None)]


def known(**fields: object) -> dict[str, StoredHealth]:
    return {"e": StoredHealth(evaluator_version="e", version=1, **fields)}  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("health", "now_s", "taken"),
    [
        ({}, 110.0, 4),  # no watch runs: nothing waits
        (known(log_position=1), 110.0, 1),  # no look has covered the failure
        (known(log_position=2), 110.0, 4),  # one has, and found the evaluator well
        (known(log_position=9, suspect_since_s=105.0), 110.0, 1),  # too many failures: wait
        (known(log_position=9, unhealthy=("parse_failures",)), 110.0, 4),  # frozen: read past
        (known(log_position=1), 161.9, 1),
        (known(log_position=9, suspect_since_s=105.0), 162.0, 4),  # patience is at its end
    ],
)
def test_a_failure_waits_until_health_has_judged_it(
    health: dict[str, StoredHealth], now_s: float, taken: int
) -> None:
    assert readable(LOG, health, now_s=now_s, patience_s=60.0) == LOG[:taken]


def test_a_stratum_that_meets_an_ill_evaluator_first_is_frozen_from_the_start() -> None:
    state = new_state(
        "a/b/normal",
        options=DetectionOptions(reference=0.1, evasion_reference=0.1, worst_case_reference=0.1),
    )
    frozen = frozen_as(state, known(unhealthy=("canary_lie", "parse_failures")))
    assert frozen.frozen == {"e": "canary_lie, parse_failures"}
    assert frozen_as(frozen, known(unhealthy=("canary_lie", "parse_failures"))) == frozen
    thawed = frozen_as(frozen, known(log_position=7))
    assert (thawed.frozen, thawed.believed_after) == ({}, {"e": 7})
    assert frozen_as(frozen, {}) == frozen, "what is not known of changes nothing"


def test_every_stratum_is_frozen_however_many_there_are(tmp_path: Path) -> None:
    engine = open_store(f"sqlite:///{tmp_path}/candor.db")
    event.listen(engine, "connect", lambda c, _: c.execute("PRAGMA synchronous = OFF"))
    engine.dispose()
    strata = [f"a{i}/b/normal" for i in range(2001)]
    options = DetectionOptions(reference=0.1, evasion_reference=0.1, worst_case_reference=0.1)
    rows = [
        {
            "stratum": name,
            "state": encode_state(new_state(name, options=options)),
            "log_position": 0,
            "version": 1,
            "updated_at_s": float(number),
        }
        for number, name in enumerate(strata)
    ]
    ill = StoredHealth(evaluator_version="e", unhealthy=("canary_lie",))
    with engine.begin() as connection:
        connection.execute(insert(detectors), rows)
        store.save(connection, StoredHealth(evaluator_version="e"), ill, now_s=1.0)
    assert freeze_unhealthy(engine, clock=lambda: 1.0) == len(strata)
    engine.dispose()
