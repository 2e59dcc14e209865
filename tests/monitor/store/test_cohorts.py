"""What cohorts are estimated from, and that only the estimate after the newest is stored."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Engine, insert, select

from evidence import Purpose, VerdictKind
from monitor.store import cohorts, rated
from monitor.store.cohorts import NewEstimate
from monitor.store.schema import feedback, labels, rater_posteriors, responses, verdicts

SHARED = {
    "cluster_id": "k",
    "topic": "t",
    "partition": 0,
    "received_at_s": 1.0,
    "created_at_s": 1.0,
    "rater": "u",
}


def add(
    connection: Any, i: int, *, kind: str | None, state: str = "matched", skip: str = ""
) -> None:
    connection.execute(
        insert(responses).values(
            assistant="a",
            response_id=f"r{i}",
            stratum="a/other/normal",
            segment="other",
            stakes="normal",
            model="m",
            conversation_id="c",
            u=0.5,
            pi_arrival=1.0,
            pi_feedback=1.0,
            skip_reason=skip or None,
            offset=i,
            **SHARED,
        )
    )
    connection.execute(
        insert(feedback).values(
            assistant="a",
            feedback_id=f"f{i}",
            response_id=f"r{i}",
            value=1.0,
            kind="thumb",
            state=state,
            offset=i,
            **SHARED,
        )
    )
    if kind is not None:
        connection.execute(
            insert(verdicts).values(
                key=f"v{i}",
                assistant="a",
                response_id=f"r{i}",
                purpose=Purpose.LIVE.value,
                repeat=0,
                live_slot=f"a/r{i}",
                stratum="a/other/normal",
                segment="other",
                stakes="normal",
                model="m",
                kind=kind,
                p_lie=0.4,
                sampled_by="arrival",
                inclusion_probability=1.0,
                evaluator_version="e",
                record="{}",
                created_at_s=1.0,
                scored_at_s=1.0,
            )
        )


def test_events_are_matched_feedback_with_asserted_verdicts(engine: Engine) -> None:
    with engine.begin() as connection:
        add(connection, 1, kind="honest")
        add(connection, 2, kind="no_belief")
        add(connection, 3, kind=None)
        add(connection, 4, kind="lie", state="parked")
        add(connection, 5, kind=None, skip="probe_traffic")
        rows = cohorts.rated_events(connection, "a")
        assert [(r.response_id, r.p_lie) for r in rows] == [("r1", 0.4), ("r2", None), ("r3", None)]
        rated.recount(connection, ["a"])
        assert cohorts.rated_assistants(connection) == [("a", 3, 1)]
        assert cohorts.rated_events(connection, "b") == []


def test_truth_is_where_random_labellers_agree(engine: Engine) -> None:
    found = [
        ("r1", "x", VerdictKind.LIE, 0.1),
        ("r1", "y", VerdictKind.LIE, 0.1),
        ("r2", "x", VerdictKind.LIE, 0.1),
        ("r2", "y", VerdictKind.HONEST, 0.1),
        ("r3", "x", VerdictKind.HONEST, 0.1),
        ("r4", "x", VerdictKind.LIE, None),
        ("r5", "x", VerdictKind.NOT_ASSERTED, 0.1),
    ]
    with engine.begin() as connection:
        for response_id, labeller, kind, pi in found:
            connection.execute(
                insert(labels).values(
                    assistant="a",
                    response_id=response_id,
                    labeller=labeller,
                    kind=kind.value,
                    inclusion_probability=pi,
                    at_s=1.0,
                )
            )
        assert cohorts.audited_truth(connection, "a") == {"r1": True, "r3": False}


def test_an_estimate_follows_the_newest(engine: Engine) -> None:
    def new(p: float) -> NewEstimate:
        rater = {"rater": "u", "p_biased": p, "status": "benign", "n_events": 3}
        return NewEstimate(
            assistant="a",
            cutoff_s=1.0,
            n_events=3,
            record="{}",
            alarm_state=f"state {p}",
            raters=(rater,),
        )

    with engine.begin() as connection:
        first = cohorts.newest_estimate(connection, "a")
        assert first.id == 0
        assert cohorts.save_estimate(connection, new(0.1), first, now_s=1.0)
        assert not cohorts.save_estimate(connection, new(0.2), first, now_s=1.0)
        second = cohorts.newest_estimate(connection, "a")
        assert second.alarm_state == "state 0.1"
        assert cohorts.save_estimate(connection, new(0.3), second, now_s=1.0)
        (row,) = connection.execute(select(rater_posteriors)).all()
        assert row.p_biased == 0.3
        assert row.estimate_id == cohorts.newest_estimate(connection, "a").id
