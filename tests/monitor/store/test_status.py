"""What gauges, API and console read, on both databases."""

from __future__ import annotations

import threading
from collections.abc import Callable

import pytest
from sqlalchemy import Engine, insert

from evidence import (
    Alarm,
    AlarmState,
    AlarmSubject,
    Assessment,
    Measurement,
    Purpose,
    SampledBy,
    Stakes,
    Stratum,
    Verdict,
    VerdictKind,
)
from evidence.person import Person
from monitor.detect.options import DetectionOptions
from monitor.services.alarms import TransitionError, transition
from monitor.store import alarms, detectors, reading, status
from monitor.store.schema import confirm_runs, gate_decisions, labels, rater_posteriors
from monitor.store.verdicts import append_log, insert_verdicts, read_log

NOW_S = 1_760_000_000.0
SHOP = Stratum("shop", "refunds", Stakes.HIGH)


def verdict(
    number: int,
    kind: VerdictKind = VerdictKind.HONEST,
    pi: float = 1.0,
    at_s: float = NOW_S,
    purpose: Purpose = Purpose.LIVE,
    *,
    acts: dict[str, float] | None = None,
) -> Verdict:
    return Verdict(
        key=f"k{number}",
        response_id=f"r{number}",
        stratum=SHOP,
        model="m",
        purpose=purpose,
        repeat=0,
        sampled_by=SampledBy.ARRIVAL,
        inclusion_probability=pi,
        created_at_s=NOW_S,
        scored_at_s=at_s,
        assessment=Assessment(
            kind=kind,
            p_lie=0.1,
            p_evasion=0.0,
            measurements=()
            if acts is None
            else (Measurement(probe="actions", version="a", answers=acts),),
            evaluator_version="e",
        ),
    )


def test_counts_carry_their_weights(engine: Engine) -> None:
    made = [verdict(1), verdict(2, pi=0.25), verdict(3, VerdictKind.LIE, 0.5)]
    made += [verdict(4, at_s=NOW_S - 10), verdict(5, purpose=Purpose.CANARY)]
    with engine.begin() as connection:
        insert_verdicts(connection, made)
    with reading(engine) as connection:
        found = {c.kind: c for c in status.kind_counts(connection, since_s=NOW_S)}
        assert status.last_verdict_s(connection) == NOW_S
    assert set(found) == {"honest", "lie"}
    honest = found["honest"]
    assert (honest.assistant, honest.segment, honest.stakes) == ("shop", "refunds", "high")
    assert (honest.n, honest.weight, honest.weight_squared) == (2, 5.0, 17.0)
    assert (found["lie"].n, found["lie"].weight) == (1, 2.0)


def test_acts_are_counted_where_they_could_be_seen(engine: Engine) -> None:
    supported, contradicted = (
        {"supported": 2.0, "contradicted": 0.0},
        {"supported": 3.0, "contradicted": 1.0},
    )
    made = [
        verdict(1, acts=supported),
        verdict(2, acts=contradicted),
        verdict(3, pi=0.25, acts=contradicted),
        verdict(4, acts={"supported": 0.0, "contradicted": 0.0, "not_visible": 2.0}),
        verdict(5),
        verdict(6, acts=contradicted, purpose=Purpose.CANARY),
        verdict(7, acts=contradicted, at_s=NOW_S - 10),
    ]
    with engine.begin() as connection:
        insert_verdicts(connection, made)
    with reading(engine) as connection:
        found = {c.acts: c for c in status.act_counts(connection, since_s=NOW_S)}
    assert {name: (c.assistant, c.n, c.weight, c.weight_squared) for name, c in found.items()} == {
        "supported": ("shop", 1, 1.0, 1.0),
        "contradicted": ("shop", 2, 5.0, 17.0),
    }
    with engine.begin() as connection:
        append_log(connection, made[:4])
    with reading(engine) as connection:
        read = [entry.acts for entry in read_log(connection, SHOP.key, after=0)]
    assert read == ["supported", "contradicted", "contradicted", None]


def test_gate_runs_raters_and_labels_are_counted(engine: Engine) -> None:
    with engine.begin() as connection:
        for number, (answer, by) in enumerate((("block", None), ("block", None), ("hold", "ada"))):
            connection.execute(
                insert(gate_decisions).values(
                    decision_id=f"d{number}",
                    assistant="shop",
                    answer=answer,
                    envelope="{}",
                    created_at_s=NOW_S + number,
                    expires_at_s=NOW_S,
                    overridden_by=by,
                )
            )
        for number, state in enumerate(("done", "failed", "failed")):
            connection.execute(
                insert(confirm_runs).values(
                    run_id=f"c{number}", assistant="shop", state=state, requested_at_s=NOW_S
                )
            )
        for number, p_biased in enumerate((0.2, None, 0.9)):
            connection.execute(
                insert(rater_posteriors).values(
                    assistant="shop",
                    rater=f"{number}" * 32,
                    p_biased=p_biased,
                    status="benign" if p_biased else "unidentified",
                    n_events=1,
                    estimate_id=1,
                )
            )
        for labeller, response_id, pi in (
            ("ada", "r1", 0.1),
            ("bob", "r1", 0.1),
            ("ada", "r2", 0.1),
            ("ada", "r3", None),
        ):
            connection.execute(
                insert(labels).values(
                    assistant="shop",
                    response_id=response_id,
                    labeller=labeller,
                    kind="lie",
                    inclusion_probability=pi,
                    at_s=NOW_S,
                )
            )
    with reading(engine) as connection:
        assert status.decision_counts(connection) == {
            ("shop", "block"): 2,
            ("shop", "overridden"): 1,
        }
        assert status.run_counts(connection) == {("shop", "done"): 1, ("shop", "failed"): 2}
        assert [row["decision_id"] for row in status.list_decisions(connection)] == [
            "d2",
            "d1",
            "d0",
        ]
        raters = status.list_raters(connection, "shop", status=None, limit=10)
        assert [row["p_biased"] for row in raters] == [0.9, 0.2, None]
        assert status.random_label_counts(connection) == {"shop": 2}, "responses, not labels"


def test_an_alarm_is_moved_once(engine: Engine, open_again: Callable[[], Engine]) -> None:
    alarm = Alarm(
        alarm_id="a1",
        subject=AlarmSubject.STRATUM,
        scope=SHOP.key,
        metric="lie",
        claim="rose",
        opened_at_s=NOW_S,
        log_position=1,
        n=1,
        log_evidence=2.0,
        log_threshold=1.0,
    )
    with engine.begin() as connection:
        detectors.latch(connection, [alarm], by="detection", topic=None, now_s=NOW_S)
    done: list[str] = []

    def move(name: str) -> None:
        own = open_again()
        try:
            with own.begin() as connection:
                transition(
                    connection,
                    "a1",
                    AlarmState.CONFIRMED,
                    Person(name),
                    reason="x",
                    options=DetectionOptions(),
                    now_s=NOW_S,
                )
            done.append(name)
        except TransitionError:
            pass
        finally:
            own.dispose()

    threads = [threading.Thread(target=move, args=(f"p{i}",)) for i in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(done) == 1
    with reading(engine) as connection:
        (_, confirmed) = alarms.events(connection, "a1")
        assert confirmed.by == done[0]
        assert alarms.get_alarm(connection, "a1").state is AlarmState.CONFIRMED
        assert alarms.list_alarms(connection, states=[AlarmState.OPEN]) == []
        with pytest.raises(alarms.UnknownAlarmError):
            alarms.get_alarm(connection, "nope")
