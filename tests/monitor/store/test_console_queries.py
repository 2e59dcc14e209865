"""What the console asks, on both databases."""

from __future__ import annotations

from sqlalchemy import Engine

from evidence import VerdictKind
from monitor.store import audit, reading, review
from monitor.store.cohorts import NewEstimate, newest_estimate, save_estimate
from monitor.store.coverage import newest_time
from monitor.store.estimates import estimates_between, posterior_of
from monitor.store.gate_rows import KEPT, GateRow, list_rows, put_rows, uses_of_response
from monitor.store.given import given_by, given_on, live_verdict
from monitor.store.labels import Label, put_label
from monitor.store.pages import Page, VerdictFilter, list_insides, verdicts_of
from monitor.store.sessions import Session, end_session, find_session, open_session
from monitor.store.timeline import decisions_between, step_counts
from tests.monitor.api.conftest import NOW_S
from tests.monitor.console.conftest import Clock, Site
from tests.monitor.console.material import add, rate

PERIOD = {"start_s": NOW_S - 7200, "end_s": NOW_S + 1}


def filled(engine: Engine) -> Site:
    site = Site(engine, None, Clock(), None)
    for i in range(6):
        kind = VerdictKind.LIE if i < 2 else VerdictKind.HONEST
        add(site, i, kind, scored_at_s=NOW_S - 600 * i)
        rate(site, i)
    return site


def label(response_id: str, who: str, probability: float | None = 0.05) -> Label:
    return Label(
        assistant="shop",
        response_id=response_id,
        labeller=who,
        kind=VerdictKind.LIE,
        inclusion_probability=probability,
        at_s=NOW_S,
    )


def test_verdicts_are_counted_by_the_step_that_they_fall_into(engine: Engine) -> None:
    filled(engine)
    with reading(engine) as connection:
        found = step_counts(connection, **PERIOD, width_s=1000.0)
        wanted, part = VerdictFilter(assistant="shop"), Page(limit=2)
        texts = list_insides(connection, wanted, part, text=True)
        bare = list_insides(connection, wanted, part, text=False)
        whole = verdicts_of(connection, [one.key for one in reversed(texts)])
        newest = newest_time(connection)
    by_step: dict[int, int] = {}
    for one in found:
        by_step[one.step] = by_step.get(one.step, 0) + one.n
    expected: dict[int, int] = {}
    for i in range(6):
        step = int((NOW_S - 600 * i) // 1000)
        expected[step] = expected.get(step, 0) + 1
    assert by_step == expected
    assert sum(one.weight for one in found if one.kind == "lie") == 2.0
    said = [response.response_id for one in texts if (response := one.response()) is not None]
    assert said == ["r0", "r1"]
    assert [one.response() for one in bare] == [None, None]
    assert {outcome.value for one in bare for outcome in one.outcomes.values()} == {"answered"}
    assert [verdict.response_id for verdict in whole] == ["r1", "r0"]
    assert newest == NOW_S


def test_feedback_of_a_response_and_of_a_rater(engine: Engine) -> None:
    filled(engine)
    with reading(engine) as connection:
        (one,) = given_on(connection, "shop", "r1", limit=9)
        of_rater = given_by(connection, "shop", one.rater, limit=9)
        assert live_verdict(connection, "shop", "r1") == one.verdict_key == "k001"
        assert live_verdict(connection, "shop", "r9") is None
        assert posterior_of(connection, "shop", one.rater) is None
    assert (one.kind, one.value, one.state) == ("lie", 1.0, "matched")
    assert {given.response_id for given in of_rater} == {"r1", "r4"}


def test_queues_of_responses_to_read(engine: Engine) -> None:
    filled(engine)
    with engine.begin() as connection:
        put_label(connection, label("r0", "Ada"), by="Ada")
        put_label(connection, label("r1", "Ada", None), by="Ada")
        put_label(connection, label("r1", "Bob", None), by="Bob")
    with reading(engine) as connection:
        period = {"assistant": "shop", "since_s": NOW_S - 7200, "until_s": NOW_S + 1}
        unread = review.unread(connection, **period, limit=9)  # type: ignore[arg-type]
        lies = review.unread(connection, **period, kinds=[VerdictKind.LIE], limit=9)  # type: ignore[arg-type]
        second = review.labelled_once(connection, assistants=["shop"], labeller="Bob", limit=9)
        own = review.labelled_once(connection, assistants=None, labeller="Ada", limit=9)
        shared = review.shared_labels(connection, assistants=None, limit=9)
        assert review.released_unread(connection, assistants=["shop"], limit=9) == []
        assert review.known_probability(connection, "shop", "r0") == 0.05
        again = review.unread(connection, **period, at_random=True, limit=9)  # type: ignore[arg-type]
    assert [one.response_id for one in unread] == ["r2", "r3", "r4", "r5"]
    assert [one.response_id for one in again] == ["r1", "r2", "r3", "r4", "r5"]
    assert lies == []
    assert [(one.response_id, one.inclusion_probability) for one in second] == [("r0", 0.05)]
    assert own == []
    assert {(one.response_id, one.labeller) for one in shared} == {("r1", "Ada"), ("r1", "Bob")}
    with engine.begin() as connection:
        assert review.take_back(connection, "shop", "r1", "Ada", at_s=NOW_S)
        assert not review.take_back(connection, "shop", "r1", "Ada", at_s=NOW_S)
        assert audit.verify(connection).entries == 4


def test_rows_that_were_taken_out_and_sessions(engine: Engine) -> None:
    rows = [
        GateRow(
            index=i,
            row_digest=f"{i:064x}",
            reason="p_lie" if i else "forgotten",
            response_id=f"r{i}",
            feedback_id=f"f{i}",
        )
        for i in range(5)
    ]
    kept = [GateRow(index=i, row_digest=f"{i:064x}", response_id=f"r{i}") for i in (5, 6)]
    session = Session(
        token_sha256="ab" * 32, key_sha256=None, person="Ada", created_at_s=1.0, expires_at_s=9.0
    )
    with engine.begin() as connection:
        put_rows(connection, "d1", "shop", removed=rows, kept=kept)
        assert list_rows(connection, "d1", limit=9) == rows
        assert list_rows(connection, "d1", reason="p_lie", after=2, limit=1) == [rows[3]]
        assert list_rows(connection, "d1", response_id="r4", limit=9) == [rows[4]]
        assert list_rows(connection, "d1", reason=KEPT, after=5, limit=9) == [kept[1]]
        assert uses_of_response(connection, "shop", "r4") == [], "of no stored decision"
        assert decisions_between(connection, **PERIOD, limit=9) == []
        assert estimates_between(connection, "shop", **PERIOD, limit=9) == []
        open_session(connection, session)
        assert find_session(connection, "ab" * 32, now_s=8.9) == session
        assert find_session(connection, "ab" * 32, now_s=9.0) is None
        end_session(connection, "ab" * 32)
        assert find_session(connection, "ab" * 32, now_s=2.0) is None


def test_a_curve_takes_the_last_estimate_of_each_part(engine: Engine) -> None:
    with engine.begin() as connection:
        for i in range(100):
            follows = newest_estimate(connection, "shop")
            new = NewEstimate(
                assistant="shop", cutoff_s=0.0, n_events=i, record=str(i), alarm_state="", raters=()
            )
            assert save_estimate(connection, new, follows, now_s=1000.0 + i)
    with reading(engine) as connection:
        period = {"start_s": 1000.0, "end_s": 1100.0}
        found = estimates_between(connection, "shop", **period, limit=10)
        few = estimates_between(connection, "shop", start_s=1095.0, end_s=1100.0, limit=10)
    assert len(found) == 10
    assert [at_s for at_s, _, _ in found] == sorted((at_s for at_s, _, _ in found), reverse=True)
    assert found[0] == (1099.0, 0, "99"), "the newest of all is always there"
    assert [record for _, _, record in few] == ["99", "98", "97", "96", "95"]
