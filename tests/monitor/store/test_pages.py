"""Lists page without loss or repeat, filter what the reader may see, and are read by index."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import msgspec
import pytest
from sqlalchemy import Connection, Engine, event, insert, text

from evidence import Alarm, AlarmState, AlarmSubject, Purpose, Stratum, VerdictKind
from monitor.store import detectors, reading
from monitor.store.pages import (
    AlarmFilter,
    Page,
    VerdictFilter,
    find_verdict,
    list_alarms,
    list_decisions,
    list_labels,
    list_verdicts,
)
from monitor.store.schema import gate_decisions, labels
from monitor.store.verdicts import insert_verdicts
from tests.monitor.api.test_reads import NOW_S, verdict

N = 23


def alarm(index: int, scope: str, subject: AlarmSubject = AlarmSubject.STRATUM) -> Alarm:
    return Alarm(
        alarm_id=f"a{index:03d}",
        subject=subject,
        scope=scope,
        metric="lie",
        claim="the measured score rose",
        opened_at_s=NOW_S + index // 4,
        log_position=5,
        n=5,
        log_evidence=10.0,
        log_threshold=9.0,
    )


@pytest.fixture
def filled(engine: Engine) -> Engine:
    scopes = ("shop/other/normal", "shop", "shop_two/other/normal", "bank/other/normal")
    made = [alarm(i, scopes[i % 4]) for i in range(N)]
    made.append(alarm(N, "shop", AlarmSubject.EVALUATOR))
    with engine.begin() as connection:
        insert_verdicts(
            connection,
            [
                verdict(
                    i,
                    VerdictKind.LIE if i % 5 == 0 else VerdictKind.HONEST,
                    stratum=Stratum("shop" if i % 2 else "bank"),
                    scored_at_s=NOW_S + i // 4,
                    purpose=Purpose.CANARY if i % 7 == 6 else Purpose.LIVE,
                )
                for i in range(N)
            ],
        )
        detectors.latch(connection, made, by="detection", topic=None, now_s=NOW_S)
        for i in range(N):
            connection.execute(
                insert(labels).values(
                    assistant="shop" if i % 2 else "bank",
                    response_id=f"r{i // 2}",
                    labeller="ana" if i % 3 else "bo",
                    kind="lie",
                    at_s=NOW_S + i // 4,
                )
            )
            connection.execute(
                insert(gate_decisions).values(
                    decision_id=f"d{i:03d}",
                    assistant="shop" if i % 2 else "bank",
                    answer="hold" if i % 3 else "block",
                    envelope="{}",
                    created_at_s=NOW_S + i // 4,
                    expires_at_s=NOW_S + 100,
                )
            )
    return engine


Listing = Callable[[Connection, Page], list[tuple[Any, ...]]]


def all_verdicts(connection: Connection, page: Page) -> list[tuple[Any, ...]]:
    found = list_verdicts(connection, VerdictFilter(purposes=tuple(Purpose)), page)
    return [(one.scored_at_s, one.key) for one in found]


def all_alarms(connection: Connection, page: Page) -> list[tuple[Any, ...]]:
    return [(one.opened_at_s, one.alarm_id) for one in list_alarms(connection, AlarmFilter(), page)]


def all_labels(connection: Connection, page: Page) -> list[tuple[Any, ...]]:
    found = list_labels(connection, page, assistant=None, response_id=None)
    return [(one.at_s, one.assistant, one.response_id, one.labeller) for one in found]


def all_decisions(connection: Connection, page: Page) -> list[tuple[Any, ...]]:
    found = list_decisions(connection, page, assistant=None)
    return [(one["created_at_s"], one["decision_id"]) for one in found]


LISTS: list[Listing] = [all_verdicts, all_alarms, all_labels, all_decisions]


def paged(listing: Listing, connection: Connection, **changed: Any) -> Iterator[tuple[Any, ...]]:
    page = Page(limit=3, **changed)
    while found := listing(connection, page):
        yield from found
        page = msgspec.structs.replace(page, after=found[-1])


@pytest.mark.parametrize("listing", LISTS)
def test_pages_hold_everything_once_newest_first(filled: Engine, listing: Listing) -> None:
    with reading(filled) as connection:
        whole = listing(connection, Page(limit=1000))
        assert len(whole) in (N, N + 1)
        assert whole == sorted(whole, reverse=True)
        assert list(paged(listing, connection)) == whole


@pytest.mark.parametrize("listing", LISTS)
def test_a_time_includes_its_beginning_and_not_its_end(filled: Engine, listing: Listing) -> None:
    with reading(filled) as connection:
        whole = listing(connection, Page(limit=1000))
        inside = list(paged(listing, connection, since_s=NOW_S + 1, until_s=NOW_S + 3))
        assert inside == [one for one in whole if NOW_S + 1 <= one[0] < NOW_S + 3]
        assert len(inside) == 8


def test_limits_count_what_may_be_seen(filled: Engine) -> None:
    seen = AlarmFilter(assistants=["bank"])
    with reading(filled) as connection:
        found = list_alarms(connection, seen, Page(limit=4))
        assert [one.scope for one in found] == ["shop", *["bank/other/normal"] * 3]
        assert found[0].subject is AlarmSubject.EVALUATOR
        only = list_alarms(connection, AlarmFilter(assistant="shop"), Page())
        assert {one.scope for one in only} == {"shop", "shop/other/normal"}
        assert all(one.subject is not AlarmSubject.EVALUATOR for one in only)
        assert list_alarms(connection, AlarmFilter(assistants=[]), Page())[0].scope == "shop"
        assert list_alarms(connection, AlarmFilter(states=[AlarmState.CLOSED]), Page()) == []


def test_verdicts_by_purpose_and_p_lie(filled: Engine) -> None:
    with reading(filled) as connection:
        live = list_verdicts(connection, VerdictFilter(), Page())
        canaries = list_verdicts(connection, VerdictFilter(purposes=[Purpose.CANARY]), Page())
        assert len(live) + len(canaries) == N
        assert {one.purpose for one in canaries} == {Purpose.CANARY}
        likely = list_verdicts(connection, VerdictFilter(least_p_lie=0.2), Page())
        assert {one.assessment.kind for one in likely} == {VerdictKind.LIE}
        others = list_verdicts(connection, VerdictFilter(most_p_lie=0.1), Page())
        assert len(likely) + len(others) == len(live)


def test_a_verdict_of_no_response_has_no_text(filled: Engine) -> None:
    with reading(filled) as connection:
        found = find_verdict(connection, "k001")
        assert found is not None
        assert (found[0].key, found[1]) == ("k001", None)
        assert find_verdict(connection, "nope") is None


ASKED: dict[str, Callable[[Connection, Page], object]] = {
    "verdicts": lambda c, p: list_verdicts(c, VerdictFilter(), p),
    "verdicts of an assistant": lambda c, p: list_verdicts(c, VerdictFilter(assistant="shop"), p),
    "verdicts of a kind": lambda c, p: list_verdicts(c, VerdictFilter(kind=VerdictKind.LIE), p),
    "verdicts of a stratum": lambda c, p: list_verdicts(
        c, VerdictFilter(stratum="shop/other/normal"), p
    ),
    "verdicts of a response": lambda c, p: list_verdicts(c, VerdictFilter(response_id="r1"), p),
    "canaries": lambda c, p: list_verdicts(c, VerdictFilter(purposes=[Purpose.CANARY]), p),
    "alarms": lambda c, p: list_alarms(c, AlarmFilter(), p),
    "labels": lambda c, p: list_labels(c, p, assistant=None, response_id=None),
    "labels of an assistant": lambda c, p: list_labels(c, p, assistant="shop", response_id=None),
    "labels of a response": lambda c, p: list_labels(c, p, assistant=None, response_id="r1"),
    "decisions": lambda c, p: list_decisions(c, p, assistant=None),
    "decisions of an assistant": lambda c, p: list_decisions(c, p, assistant="shop"),
}
AFTER: dict[str, tuple[float | str, ...]] = {"labels": (NOW_S + 3, "shop", "r3", "ana")}


@pytest.mark.parametrize("asked", ASKED)
def test_no_page_is_read_by_going_through_the_table(filled: Engine, asked: str) -> None:
    """The plan of the very statement that was run, on both databases."""
    ran: list[tuple[str, Any]] = []

    def note(_c: Any, _cursor: Any, statement: str, parameters: Any, *_: Any) -> None:
        ran.append((statement, parameters))

    after = AFTER.get(asked.split(maxsplit=1)[0], (NOW_S + 3, "k010"))
    with reading(filled) as connection:
        event.listen(filled, "before_cursor_execute", note)
        ASKED[asked](connection, Page(after=after, limit=3))
        event.remove(filled, "before_cursor_execute", note)
        statement, parameters = ran[-1]
        if filled.dialect.name == "sqlite":
            rows = connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", parameters)
            plan = [row[3] for row in rows]
            assert all("USING" in step or "TEMP B-TREE" in step for step in plan), plan
            scanned = [step for step in plan if step.startswith("SCAN")]
        else:
            connection.execute(text("SET LOCAL enable_seqscan = off"))
            connection.execute(text("SET LOCAL enable_bitmapscan = off"))
            connection.execute(text("SET LOCAL enable_sort = off"))
            rows = connection.exec_driver_sql(f"EXPLAIN {statement}", parameters)
            plan = [row[0] for row in rows]
            scanned = [step for step in plan if "Seq Scan" in step]
        assert scanned == [], plan
        if not asked.endswith("of a response"):
            assert not any("B-TREE FOR ORDER" in step or "Sort" in step for step in plan), plan
