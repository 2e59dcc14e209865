"""Keys count once, the log keeps its order, feedback finds its response however they come."""

from __future__ import annotations

import threading
from collections.abc import Callable

import pytest
from sqlalchemy import Connection, Engine, func, select

from evidence import (
    Alarm,
    AlarmSubject,
    Assessment,
    Feedback,
    Message,
    Response,
    SampledBy,
    Stratum,
    Verdict,
    VerdictKind,
)
from monitor.score import make_verdict
from monitor.store import detectors, intake, rated, reading, sweeps, verdicts
from monitor.store.intake import NewFeedback, NewResponse, Position
from monitor.store.schema import alarms, feedback, outbox, responses, verdict_log
from monitor.store.schema import verdicts as verdicts_table

NOW = {"now_s": 10.0}


def response(i: int, u: float = 0.1, sampled_by: SampledBy | None = None) -> NewResponse:
    return NewResponse(
        response=Response(
            response_id=f"r{i}",
            stratum=Stratum("a"),
            model="m",
            conversation_id="c",
            rater="0" * 32,
            created_at_s=1.0,
            messages=(Message("assistant", f"hello {i} \u2028 \U0001f600"),),
        ),
        position=Position("k", "t", 0, i),
        u=u,
        pi_arrival=0.05,
        pi_feedback=0.5,
        sampled_by=sampled_by,
        skip_reason=None if sampled_by else "rate",
    )


def given(i: int, response_id: str) -> NewFeedback:
    one = Feedback(
        feedback_id=f"f{i}",
        assistant="a",
        response_id=response_id,
        rater="0" * 32,
        created_at_s=2.0,
        value=1.0,
        kind="thumb",
    )
    return NewFeedback(one, Position("k", "f", 0, i))


def verdict(i: int, by: SampledBy = SampledBy.ARRIVAL, version: str = "v") -> Verdict:
    return make_verdict(
        response(i).response,
        Assessment(
            kind=VerdictKind.LIE,
            p_lie=0.7,
            p_evasion=None,
            measurements=(),
            evaluator_version=version,
        ),
        sampled_by=by,
        inclusion_probability=0.5,
        scored_at_s=3.0,
    )


def test_a_response_is_accepted_once_and_its_body_comes_back(engine: Engine) -> None:
    with engine.begin() as connection:
        assert intake.insert_responses(connection, [response(1), response(2)], **NOW) == {
            ("a", "r1"),
            ("a", "r2"),
        }
    with engine.begin() as connection:
        assert intake.insert_responses(connection, [response(2), response(3)], **NOW) == {
            ("a", "r3")
        }
        body = connection.execute(
            select(responses.c.body).where(responses.c.response_id == "r1")
        ).scalar_one()
    assert intake.unpack_body(body) == response(1).response


def test_feedback_is_parked_then_matched_or_orphaned(engine: Engine) -> None:
    with engine.begin() as connection:
        intake.insert_responses(connection, [response(1)], **NOW)
        known = intake.known_responses(connection, [("a", "r1"), ("a", "r2")])
        assert set(known) == {("a", "r1")}
        items = [given(1, "r1"), given(2, "r2"), given(3, "r3")]
        assert len(intake.insert_feedback(connection, items, known, **NOW)) == 3
        assert intake.insert_feedback(connection, items, known, **NOW) == set()
        assert intake.match_parked(connection, [("a", "r2")]) == [("a", "r2")]
        assert intake.match_parked(connection, [("a", "r2")]) == []
        assert sweeps.orphan(connection, before_s=10.0) == 0
        assert sweeps.orphan(connection, before_s=11.0) == 1
        states = connection.execute(select(feedback.c.feedback_id, feedback.c.state)).all()
    assert dict(tuple(row) for row in states) == {"f1": "matched", "f2": "matched", "f3": "orphan"}


def match_late(connection: Connection) -> list[tuple[str, str]]:
    return sweeps.match_late(connection, since_s=0.0, before_s=0.0)


def test_a_race_between_feedback_and_response_is_swept(engine: Engine) -> None:
    with engine.begin() as connection:
        intake.insert_feedback(connection, [given(1, "r1")], set(), **NOW)
        intake.insert_responses(connection, [response(1)], **NOW)
        assert match_late(connection) == [("a", "r1")]
        assert rated.on_matched(connection, [("a", "r1")], since_s=0.0) == 1
        assert match_late(connection) == []
        (waiting,) = sweeps.unmeasured_feedback_sample(connection, 10)
        assert waiting.response == response(1).response
        assert (waiting.sampled_by, waiting.inclusion_probability) == (SampledBy.FEEDBACK, 0.5)
        sweeps.measured(connection, [("a", "r1")])
        assert sweeps.unmeasured_feedback_sample(connection, 10) == []


@pytest.mark.parametrize(
    ("since_s", "before_s", "found"), [(5.0, 0.0, 1), (15.0, 0.0, 0), (15.0, 11.0, 1)]
)
def test_only_what_may_have_raced_or_is_to_be_given_up_is_swept(
    engine: Engine, since_s: float, before_s: float, found: int
) -> None:
    with engine.begin() as connection:
        intake.insert_feedback(connection, [given(1, "r1")], set(), **NOW)
        intake.insert_responses(connection, [response(1)], **NOW)
        late = sweeps.match_late(connection, since_s=since_s, before_s=before_s)
        assert len(late) == found


def test_the_feedback_sample_takes_what_the_hash_allows(engine: Engine) -> None:
    items = [
        response(1, u=0.4),
        response(2, u=0.6),
        response(3, u=0.01, sampled_by=SampledBy.ARRIVAL),
        response(4, u=0.4),
    ]
    with engine.begin() as connection:
        intake.insert_responses(connection, items, **NOW)
        keys = [item.key for item in items[:3]]
        assert rated.on_matched(connection, keys, since_s=11.0) == 0, "received before the horizon"
        assert rated.on_matched(connection, keys, since_s=0.0) == 1
        assert rated.on_matched(connection, keys, since_s=0.0) == 0, "once"
        rows = connection.execute(select(responses.c.response_id, responses.c.sampled_by))
        expected = {"r1": "feedback", "r2": None, "r3": "arrival", "r4": None}
        assert dict(tuple(r) for r in rows) == expected


def test_bodies_go_after_their_retention(engine: Engine) -> None:
    with engine.begin() as connection:
        kept = response(2, sampled_by=SampledBy.ARRIVAL)
        intake.insert_responses(connection, [response(1), kept], **NOW)
        gone = sweeps.drop_bodies(connection, skipped_before_s=11.0, dead_letters_before_s=11.0)
        assert gone == (1, 0)
        assert rated.on_matched(connection, [("a", "r1")], since_s=0.0) == 0
        rows = connection.execute(select(responses.c.response_id, responses.c.body)).all()
    assert {r.response_id for r in rows if r.body is not None} == {"r2"}


def test_the_first_live_verdict_counts(engine: Engine) -> None:
    with engine.begin() as connection:
        assert verdicts.insert_verdicts(connection, [verdict(1)]) == {verdict(1).key}
        assert verdicts.insert_verdicts(connection, [verdict(1)]) == set()
        assert verdicts.insert_verdicts(connection, [verdict(1, version="v2")]) == set()
        slots = select(verdicts_table.c.live_slot)
        assert connection.execute(slots).scalars().all() == ["a/r1"]


def test_only_live_arrivals_enter_the_log_in_order(engine: Engine) -> None:
    made = [verdict(3), verdict(1), verdict(2, SampledBy.FEEDBACK)]
    with engine.begin() as connection:
        verdicts.insert_verdicts(connection, made)
        verdicts.append_log(connection, made)
        logged = connection.execute(
            select(verdict_log.c.verdict_key).order_by(verdict_log.c.id)
        ).scalars()
        assert logged.all() == [verdict(3).key, verdict(1).key]
        entries = verdicts.read_log(connection, "a/other/normal", after=0)
        assert [e.kind for e in entries] == ["lie", "lie"]
        assert verdicts.read_log(connection, "a/other/normal", after=entries[-1].log_position) == []


def test_no_reader_passes_a_log_entry_that_is_not_visible_yet(engine: Engine) -> None:
    """The log's ids become visible in their order, though transactions overlap."""
    stop = threading.Event()
    seen: list[int] = []
    late: list[int] = []

    def read() -> None:
        top = 0
        while not stop.is_set():
            with reading(engine) as connection:
                ids = connection.execute(select(verdict_log.c.id)).scalars().all()
            late.extend(i for i in ids if i < top and i not in seen)
            seen.extend(i for i in ids if i not in seen)
            top = max(seen, default=0)

    def write(start: int) -> None:
        for i in range(start, start + 30):
            with engine.begin() as connection:
                verdicts.insert_verdicts(connection, [verdict(i)])
                verdicts.append_log(connection, [verdict(i)])

    reader = threading.Thread(target=read)
    writers = [threading.Thread(target=write, args=(1000 * n,)) for n in range(3)]
    reader.start()
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    stop.set()
    reader.join()
    assert late == []
    with reading(engine) as connection:
        assert connection.execute(select(func.count()).select_from(verdict_log)).scalar() == 90


def test_detector_states_move_by_compare_and_set(engine: Engine) -> None:
    with engine.begin() as connection:
        read = detectors.read_detector(connection, "s")
        assert detectors.save_detector(connection, read, "one", 3, **NOW)
        assert not detectors.save_detector(connection, read, "lost", 3, **NOW)
        read = detectors.read_detector(connection, "s")
        assert (read.state, read.log_position, read.version) == ("one", 3, 1)
        assert detectors.save_detector(connection, read, "two", 5, **NOW)
        assert not detectors.save_detector(connection, read, "lost", 5, **NOW)
        assert detectors.read_detector(connection, "s").state == "two"


def test_strata_behind_their_log_are_found(engine: Engine) -> None:
    with engine.begin() as connection:
        assert detectors.behind(connection) == []
        verdicts.insert_verdicts(connection, [verdict(1)])
        verdicts.append_log(connection, [verdict(1)])
        assert detectors.behind(connection) == ["a/other/normal"]
        read = detectors.read_detector(connection, "a/other/normal")
        last = verdicts.read_log(connection, "a/other/normal", after=0)[-1].log_position
        detectors.save_detector(connection, read, "s", last, **NOW)
        assert detectors.behind(connection) == []


def test_an_alarm_opens_once_with_its_event_and_copy(engine: Engine) -> None:
    alarm = Alarm(
        alarm_id="x",
        subject=AlarmSubject.STRATUM,
        scope="a/other/normal",
        metric="lie",
        claim="the measured score rose",
        opened_at_s=1.0,
        log_position=1,
        n=5,
        log_evidence=9.0,
        log_threshold=8.0,
    )
    with engine.begin() as connection:
        options = {"by": "detection", "topic": "honesty.alarms", **NOW}
        assert detectors.latch(connection, [alarm], **options) == [alarm]
        assert detectors.latch(connection, [alarm], **options) == []
        assert connection.execute(select(func.count()).select_from(alarms)).scalar() == 1
        assert connection.execute(select(func.count()).select_from(outbox)).scalar() == 1


def test_two_processes_never_accept_one_key_twice(
    engine: Engine, open_again: Callable[[], Engine]
) -> None:
    accepted: list[tuple[str, str]] = []

    def take(own: Engine, order: list[int]) -> None:
        for start in range(0, 40, 8):
            with own.begin() as connection:
                items = [response(i) for i in order[start : start + 8]]
                accepted.extend(intake.insert_responses(connection, items, **NOW))
        own.dispose()

    threads = [
        threading.Thread(target=take, args=(open_again(), order))
        for order in (list(range(40)), list(reversed(range(40))), list(range(20, 40)) * 2)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(accepted) == len(set(accepted)) == 40
