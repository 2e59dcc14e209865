"""Labels by keyboard or form: blind, with the probability of the queue, taken back, agreed upon."""

from __future__ import annotations

import re
from collections import Counter

import pytest
from fastapi.testclient import TestClient
from sqlalchemy import select

from evidence import VerdictKind
from evidence.records import Finding
from monitor.console import review
from monitor.console.review import AUDIT_SHARE, agreements, in_audit
from monitor.http.access import Scope
from monitor.store import audit, reading
from monitor.store import decisions as stored_decisions
from monitor.store.gate_queues import ReviewItem
from monitor.store.review import Candidate, SharedLabel
from monitor.store.schema import labels
from tests.monitor.api.conftest import NOW_S
from tests.monitor.console.conftest import MakeSite, Site, csrf, words
from tests.monitor.console.material import CLAIM, FACT, add

FINDING = Finding(claim=CLAIM, contradicts=FACT)


@pytest.fixture
def audited(site: Site, monkeypatch: pytest.MonkeyPatch) -> Site:
    monkeypatch.setattr(review, "AUDIT_SHARE", 0.5)
    for i in range(12):
        add(site, i, VerdictKind.LIE if i % 2 else VerdictKind.HONEST, finding=FINDING)
    return site


def key_on(page: str) -> str | None:
    found = re.search(r'name="key" value="(k\d+)"', page)
    return found[1] if found else None


def answer(browser: TestClient, page: str, kind: str, token: str, queue: str = "audit") -> str:
    given = {"csrf": token, "queue": queue, "key": key_on(page) or "", "kind": kind}
    done = browser.post("/review/label?assistant=shop", data=given)
    assert done.status_code == 303, done.text
    return done.headers["location"]


def test_the_audit_is_read_one_after_another_and_blind(audited: Site) -> None:
    ada = audited.signed_in(person="Ada")
    address, read = "/review?assistant=shop", []
    while True:
        page = ada.get(address)
        key = key_on(page.text) if "Read this" in page.text else None
        if key is None:
            break
        read.append(key)
        assert "p_lie 0" not in words(page), "blind"
        assert 'class="claim"' not in page.text
        assert CLAIM in page.text
        address = answer(ada, page.text, "lie", csrf(page))
    expected = {f"k{i:03d}" for i in range(12) if in_audit(f"k{i:03d}")}
    assert set(read) == expected
    assert 0 < len(read) < 12
    with reading(audited.engine) as connection:
        rows = connection.execute(select(labels)).mappings().all()
        assert audit.verify(connection).entries == len(read)
    assert {(row["labeller"], row["kind"], row["inclusion_probability"]) for row in rows} == {
        ("Ada", "lie", 0.5)
    }


def test_the_verdict_is_shown_when_asked_for(audited: Site) -> None:
    ada = audited.signed_in(person="Ada")
    page = ada.get("/review?assistant=shop&shown=1")
    assert "The verdict:" in words(page)
    assert f'<mark class="claim">{CLAIM}</mark>' in page.text


def test_a_label_is_taken_back_and_an_item_skipped(audited: Site) -> None:
    ada = audited.signed_in(person="Ada")
    page = ada.get("/review?assistant=shop")
    first, token = key_on(page.text), csrf(page)
    skip = re.search(r'href="([^"]*)" data-key="s"', page.text)
    assert skip is not None
    skipped = ada.get(skip[1].replace("&amp;", "&"))
    assert key_on(skipped.text) not in {first, None}
    after = ada.get(answer(ada, page.text, "honest", token))
    assert "undo the last label" in words(after)
    undone = ada.post(
        "/review/undo?assistant=shop", data={"csrf": token, "queue": "audit", "key": first}
    )
    assert undone.status_code == 303
    again = ada.get(undone.headers["location"])
    assert key_on(again.text) == first
    with reading(audited.engine) as connection:
        assert connection.execute(select(labels)).all() == []
        assert audit.verify(connection).entries == 2
    twice = ada.post("/review/undo", data={"csrf": token, "queue": "audit", "key": first})
    assert twice.status_code == 404


def test_the_probability_is_that_of_the_queue_whatever_the_form_says(audited: Site) -> None:
    ada = audited.signed_in(person="Ada")
    token = csrf(ada.get("/review"))
    outside = next(f"k{i:03d}" for i in range(12) if not in_audit(f"k{i:03d}"))
    given = {"csrf": token, "queue": "audit", "key": outside, "kind": "lie"}
    assert ada.post("/review/label", data=given).status_code == 303
    escalated = key_on(ada.get("/review?queue=escalated&assistant=shop").text)
    given |= {"queue": "escalated", "key": escalated or ""}
    assert ada.post("/review/label", data=given).status_code == 303
    item = ReviewItem(
        assistant="shop",
        decision_id="d1",
        row_digest="ab" * 32,
        response_id="r4",
        inclusion_probability=0.25,
        queued_at_s=NOW_S,
    )
    with audited.engine.begin() as connection:
        stored_decisions.queue_review(connection, [item])
    page = ada.get("/review?queue=gate&assistant=shop")
    assert key_on(page.text) == "k004"
    answer(ada, page.text, "honest", token, queue="gate")
    bob = audited.signed_in(person="Bob")
    page = bob.get("/review?queue=second&assistant=shop")
    assert "3 waiting" in words(page)
    while (key := key_on(page.text)) != "k004":
        skip = re.search(r'href="([^"]*)" data-key="s"', page.text)
        assert skip is not None, key
        page = bob.get(skip[1].replace("&amp;", "&"))
    answer(bob, page.text, "lie", csrf(page), queue="second")
    with reading(audited.engine) as connection:
        rows = connection.execute(select(labels)).mappings().all()
    found = {(row["response_id"], row["labeller"]): row["inclusion_probability"] for row in rows}
    assert found["r" + str(int(outside[1:])), "Ada"] is None
    assert found["r" + str(int((escalated or "k0")[1:])), "Ada"] is None
    assert found["r4", "Ada"] is None, (
        "chosen among what was released: no audit of what was answered"
    )
    assert found["r4", "Bob"] is None


def test_what_was_read_out_of_suspicion_stays_in_the_audit(audited: Site) -> None:
    ada = audited.signed_in(person="Ada")
    token = csrf(ada.get("/review"))
    suspected = next(f"k{i:03d}" for i in range(1, 12, 2) if in_audit(f"k{i:03d}"))
    given = {"csrf": token, "queue": "escalated", "key": suspected, "kind": "lie"}
    assert ada.post("/review/label", data=given).status_code == 303
    waiting = ada.get("/review?assistant=shop")
    n = sum(in_audit(f"k{i:03d}") for i in range(12))
    assert f"{n} waiting" in words(waiting)
    assert ada.post("/review/label", data=given | {"queue": "audit"}).status_code == 303
    with reading(audited.engine) as connection:
        (row,) = connection.execute(select(labels)).mappings().all()
    assert row["inclusion_probability"] == review.AUDIT_SHARE
    assert f"{n - 1} waiting" in words(ada.get("/review?assistant=shop"))


@pytest.mark.parametrize(
    ("changed", "status"),
    [
        ({"kind": "error"}, 422),
        ({"queue": "mine"}, 422),
        ({"key": "nothing"}, 404),
        ({"key": ""}, 422),
    ],
)
def test_what_is_no_answer_is_refused(audited: Site, changed: dict[str, str], status: int) -> None:
    ada = audited.signed_in(person="Ada")
    given = {"csrf": csrf(ada.get("/review")), "queue": "audit", "key": "k001", "kind": "lie"}
    assert ada.post("/review/label", data=given | changed).status_code == status


def test_of_another_assistant_nothing_is_read_or_labelled(make_site: MakeSite) -> None:
    site = make_site(keys=True)
    for i in range(60):
        add(site, i)
    bank = site.signed_in(site.key("bank", Scope.ADMIN, assistants=("bank",)))
    page = bank.get("/review")
    assert key_on(page.text) is None
    given = {"csrf": csrf(page), "queue": "audit", "key": "k001", "kind": "lie"}
    assert bank.post("/review/label", data=given).status_code == 404
    assert bank.post("/review/undo", data=given).status_code == 404


def test_the_audit_takes_its_share() -> None:
    taken = sum(in_audit(f"key {i}") for i in range(20_000))
    assert abs(taken / 20_000 - AUDIT_SHARE) < 0.006, "four standard errors"


def test_people_who_share_five_labels_are_compared(audited: Site) -> None:
    shared = [
        SharedLabel("shop", f"r{i}", who, "lie" if i < 5 - (who == "Bob") else "honest")
        for i in range(10)
        for who in ("Ada", "Bob")
    ]
    (pair,) = agreements([*shared, SharedLabel("shop", "r1", "Eve", "lie")])
    assert (pair.first, pair.second, pair.agreement.n, pair.agreement.agreed) == (
        "Ada",
        "Bob",
        10,
        9,
    )
    assert pair.agreement.kappa == pytest.approx(0.8)


def test_the_calibration_queue_takes_as_many_of_each_tenth(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = [
        Candidate(key=f"k{i:03d}", assistant="shop", response_id=f"r{i}", p_lie=p_lie)
        for i, p_lie in enumerate([0.05] * 30 + [0.55] * 4 + [1.0] * 30 + [None])
    ]
    taken = review.by_tenth(found)
    counts = Counter(None if one.p_lie is None else int(10 * one.p_lie) for one in taken)
    assert counts == {0: 20, 5: 4, 10: 20}
    assert {one.key for one in review.by_tenth(reversed(found))} == {one.key for one in taken}
    for i in range(4):
        add(site, i, VerdictKind.LIE if i % 2 else VerdictKind.HONEST, finding=FINDING)
    ada = site.signed_in(person="Ada")
    page = ada.get("/review?queue=calibration&assistant=shop")
    assert "(4 waiting)" in words(page)
    answer(ada, page.text, "lie", csrf(page), queue="calibration")
    with reading(site.engine) as connection:
        (row,) = connection.execute(select(labels)).mappings().all()
    assert row["inclusion_probability"] is None, "chosen by the verdict: it counts for no honesty"
