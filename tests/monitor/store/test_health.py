"""Evaluators' health, evaluations that are asked for, references, reports and localisations, on both databases."""

from __future__ import annotations

import msgspec
from sqlalchemy import Engine, select, update

from evidence import (
    Assessment,
    Message,
    Purpose,
    Response,
    SampledBy,
    Stratum,
    Verdict,
    VerdictKind,
)
from monitor.score import make_verdict
from monitor.store import health, intake, leases, localisations, reading, references, reports
from monitor.store import verdicts as store_verdicts
from monitor.store.health import Asked, StoredHealth
from monitor.store.intake import NewResponse, Position
from monitor.store.references import MovedReference
from monitor.store.schema import audit_log, responses
from monitor.store.schema import references as references_table
from probes.scorer import Evaluator

STRATUM = Stratum("a")

E1, E2 = Evaluator("e1", calibrated=True), Evaluator("e2", calibrated=True)


def response(i: int) -> Response:
    return Response(
        response_id=f"r{i}",
        stratum=STRATUM,
        model="m",
        conversation_id="c",
        rater="0" * 32,
        created_at_s=1.0,
        messages=(Message("user", "So?"), Message("assistant", f"hello {i}")),
    )


def measured(
    i: int, purpose: Purpose = Purpose.LIVE, version: str = "e1", kind: str = "honest"
) -> Verdict:
    failed = kind == "error"
    return make_verdict(
        response(i),
        Assessment(
            kind=VerdictKind(kind),
            p_lie=None if failed else 0.25,
            p_evasion=None if failed else 0.0,
            measurements=(),
            evaluator_version=version,
        ),
        sampled_by=SampledBy.ARRIVAL,
        inclusion_probability=1.0,
        scored_at_s=float(i),
        purpose=purpose,
        repeat=int(purpose is Purpose.REPEAT),
    )


def write(engine: Engine, *made: Verdict) -> None:
    with engine.begin() as connection:
        store_verdicts.insert_verdicts(connection, made)
        store_verdicts.append_log(connection, made)


def arrive(engine: Engine, n: int) -> None:
    """n measured responses in the log."""
    rows = [
        NewResponse(response(i), Position("k", "t", 0, i), 0.1, 1.0, 1.0, SampledBy.ARRIVAL, None)
        for i in range(n)
    ]
    with engine.begin() as connection:
        intake.insert_responses(connection, rows, now_s=1.0)
    write(engine, *[measured(i, kind="error" if i % 5 == 4 else "honest") for i in range(n)])


def test_health_moves_by_compare_and_set(engine: Engine) -> None:
    first = StoredHealth(evaluator_version="e1")
    new = StoredHealth(
        evaluator_version="e1", state="{}", unhealthy=("canary_lie",), log_position=7
    )
    with engine.begin() as connection:
        assert health.save(connection, first, new, now_s=1.0)
        assert not health.save(connection, first, new, now_s=1.0)
        read = health.read_all(connection)["e1"]
        assert (read.unhealthy, read.log_position, read.version) == (("canary_lie",), 7, 1)
        well = StoredHealth(evaluator_version="e1", state="{}", suspect_since_s=3.0)
        assert health.save(connection, read, well, now_s=2.0)
        assert not health.save(connection, read, well, now_s=2.0)
        again = health.read_all(connection)["e1"]
        assert (again.unhealthy, again.suspect_since_s, again.version) == ((), 3.0, 2)


def test_counts_by_how_evaluations_ended(engine: Engine) -> None:
    arrive(engine, 10)
    write(engine, measured(99, version="e2"))
    with reading(engine) as connection:
        end = health.log_end(connection)
        counts = health.outcome_counts(connection, "e1", after=0, upto=end)
        assert counts == {"verdict=answered": 8, "verdict=unanswered": 2}
        assert health.outcome_counts(connection, "e1", after=end, upto=end) == {}
        assert len(health.logged_keys(connection, "e1", after=0, upto=end)) == 8


def test_workers_say_what_they_measure_with(engine: Engine) -> None:
    with engine.begin() as connection:
        for name, version, at_s in (("w1", "e1", 5.0), ("w2", "e2", 1.0), ("w3", None, 5.0)):
            leases.beat(
                connection,
                name,
                expected=1,
                actual=1,
                paused=False,
                now_s=at_s,
                evaluators=version and [Evaluator(version, calibrated=True, assistants=("a",))],
            )
        (found,) = health.live_evaluators(connection, since_s=2.0, until_s=9.0)
        assert found == (Evaluator("e1", calibrated=True, assistants=("a",)),)


def test_asked_evaluations_end_with_a_verdict_or_when_they_are_due(engine: Engine) -> None:
    arrive(engine, 3)
    canary = Asked(purpose=Purpose.CANARY, assistant="a", response_id="c1", known="lie")
    repeat = [
        Asked(purpose=Purpose.REPEAT, assistant="a", response_id=f"r{i}", evaluator_version="e1")
        for i in range(3)
    ]
    with engine.begin() as connection:
        assert health.ask(connection, [canary, *repeat], now_s=10.0, due_s=5.0) == 4
        assert health.ask(connection, [canary, *repeat], now_s=11.0, due_s=5.0) == 0, "once"
    both = (Purpose.CANARY, Purpose.REPEAT)
    with reading(engine) as connection:
        assert health.ended(connection, both, now_s=12.0) == []
        waiting = health.pending(connection, E1, now_s=12.0, limit=10)
        assert [p.response.response_id for p in waiting] == ["r0", "r1", "r2"]
        assert health.pending(connection, E2, now_s=12.0, limit=10) == []
        for taken_on, n in (({"assistants": ("a",)}, 3), ({"assistants": ("b",)}, 0)):
            own = msgspec.structs.replace(E1, **taken_on)
            assert len(health.pending(connection, own, now_s=12.0, limit=10)) == n
        assert health.pending(connection, E1, others=["a"], now_s=12.0, limit=10) == []
    write(engine, measured(1, Purpose.REPEAT))
    with reading(engine) as connection:
        (one,) = health.ended(connection, both, now_s=12.0)
        assert (one.purpose, one.evaluator_version) == (Purpose.REPEAT, "e1")
        assert (one.p_lie, one.live_p_lie) == (0.25, 0.25)
        assert len(health.pending(connection, E1, now_s=12.0, limit=10)) == 2
        late = health.ended(connection, both, now_s=15.0)
        assert [item.kind for item in late] == [None, None, "honest", None]
        assert [item.known for item in late] == ["lie", None, None, None]
        assert not any(item.void for item in late)
    with engine.begin() as connection:
        connection.execute(update(responses).values(body=None))
        late = health.ended(connection, both, now_s=15.0)
        assert [item.void for item in late] == [False, True, False, True]
    with engine.begin() as connection:
        health.mark_counted(connection, [item.id for item in late])
        assert health.ended(connection, both, now_s=15.0) == []
        assert health.prune(connection, before_s=11.0) == 4


def test_a_window_is_measured_again(engine: Engine) -> None:
    arrive(engine, 8)
    key = STRATUM.key
    with engine.begin() as connection:
        end = health.log_end(connection)
        window = references.window_before(connection, key, "e1", upto=end, limit=5)
        assert [name for _, name in window] == ["r7", "r6", "r5", "r4", "r3"]
        asked = [
            Asked(
                purpose=Purpose.RESCORE,
                assistant=assistant,
                response_id=name,
                evaluator_version="e2",
                stratum=key,
            )
            for assistant, name in window
        ]
        health.ask(connection, asked, now_s=10.0, due_s=5.0)
    write(engine, measured(7, Purpose.RESCORE, "e2"))
    with reading(engine) as connection:
        found = references.rescored(connection, key, "e2", now_s=12.0)
        assert (found.asked, found.open, len(found.entries)) == (5, 4, 1)
        assert references.rescored(connection, key, "e2", now_s=15.0).open == 0
        assert references.rescored(connection, key, "e3", now_s=12.0).asked == 0
        newest = references.newest_entries(connection, key, "e1", limit=3)
        assert [entry.scored_at_s for entry in newest] == [7.0, 6.0, 5.0]


def test_moved_references_are_kept_and_audited(engine: Engine) -> None:
    moved = MovedReference(
        stratum=STRATUM.key,
        metric="lie",
        evaluator_version="e1",
        value=0.2,
        n=0,
        source="person",
        approved_by="ada",
        created_at_s=1.0,
    )
    with engine.begin() as connection:
        references.record(connection, [moved], by="ada", details={"log_position": 3})
        stored = connection.execute(select(references_table)).mappings().one()
        assert {name: stored[name] for name in msgspec.structs.asdict(moved)} == (
            msgspec.structs.asdict(moved)
        )
        assert connection.execute(select(audit_log.c.action)).scalars().all() == [
            "reference.person"
        ]


def test_reports_and_localisations_are_replaced_by_newer_ones(engine: Engine) -> None:
    arrive(engine, 6)
    with engine.begin() as connection:
        assert reports.newest_report(connection) is None
        for text in ("1", "2"):
            reports.save_report(connection, text, level=0.1, now_s=float(text))
            localisations.save_localisation(connection, "a1", text, now_s=1.0)
        assert reports.newest_report(connection) == reports.StoredReport(2.0, "2")
        assert localisations.read_localisation(connection, "a1") == "2"
        assert localisations.read_localisation(connection, "a2") is None
        end = health.log_end(connection)
        around = localisations.entries_around(
            connection, STRATUM.key, "e1", position=end - 2, before=2, since=2, with_text=True
        )
        assert [item.response_id for item in around] == ["r1", "r2", "r3", "r4"]
        assert around[0].response == response(1)
        after = localisations.count_after(connection, STRATUM.key, "e1", after=end - 2)
        assert after == 2
