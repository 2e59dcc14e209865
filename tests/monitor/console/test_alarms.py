"""An alarm's page says what is claimed and what is not; people move it with a reason, as over the API."""

from __future__ import annotations

import msgspec
import pytest
from sqlalchemy import select

from evidence import AlarmSubject, VerdictKind
from monitor.detect.localise import Localisation, Size, Slice, TellingVerdict
from monitor.http.access import Scope
from monitor.store import audit, reading
from monitor.store.localisations import save_localisation
from monitor.store.schema import alarm_events, audit_log
from tests.monitor.api.conftest import NOW_S
from tests.monitor.api.test_review import make_alarm
from tests.monitor.console.conftest import MakeSite, Site, csrf, words
from tests.monitor.console.material import add
from tests.monitor.console.test_overview import latch

LOCATED = Localisation(
    alarm_id="a1",
    made_at_s=NOW_S,
    stratum="shop/other/normal",
    models=(
        Slice(name="m-2", n_before=0, mean_before=None, n=40, mean=0.4, lower=0.26, upper=0.55),
    ),
    topics=(),
    topics_missing="no text is kept",
    size=Size(n=30, mean=0.35, lower=0.2, upper=0.5),
    telling=(
        TellingVerdict(
            key="k001",
            response_id="r1",
            model="m-2",
            kind="lie",
            score=0.97,
            scored_at_s=NOW_S - 60,
            topic=None,
        ),
    ),
)


@pytest.fixture
def alarmed(site: Site) -> Site:
    add(site, 1, VerdictKind.LIE)
    put_alarm(site)
    return site


def put_alarm(site: Site) -> None:
    since = {"position": 1, "at_s": NOW_S - 3600, "lower_at_s": NOW_S - 7200, "upper_at_s": NOW_S}
    latch(site, msgspec.structs.replace(make_alarm(), details={"since": since}))
    with site.engine.begin() as connection:
        record = msgspec.json.encode(LOCATED).decode()
        save_localisation(connection, "a1", record, now_s=NOW_S)
    site.clock.now_s += 1


def test_it_says_what_where_since_when_how_large_and_what_to_read(alarmed: Site) -> None:
    answer = alarmed.client.get("/alarms/a1")
    text = words(answer)
    for shown in (
        "the measured score rose",
        "What it does not claim. It does not say that the assistant meant to deceive",
        "10.00 of 9.00",
        "most likely since2025-10-09 07:53 UTC (2025-10-09 06:53 UTC to",
        "mean score 0.350 (0.200–0.500) over the 30 verdicts after the alarm",
        "m-2",
        "0.400 (0.260–0.550)",
        "No topics: no text is kept",
        "0.970",
        "hold",
        "CandorHonestyAlarm",
        "by detection",
    ):
        assert shown in text, shown
    assert 'href="/verdicts/k001"' in answer.text
    assert 'href="/runbook#candorhonestyalarm"' in answer.text
    assert 'id="candorhonestyalarm"' in alarmed.client.get("/runbook").text
    assert 'href="/alarms/a1"' in alarmed.client.get("/alarms?state=open&assistant=shop").text
    assert 'href="/alarms/a1"' not in alarmed.client.get("/alarms?state=closed").text


def test_a_person_decides_with_a_reason(alarmed: Site) -> None:
    ada = alarmed.signed_in(person="Ada")

    def step(name: str, reason: str = "read ten of them") -> int:
        token = csrf(ada.get("/alarms/a1"))
        answer = ada.post(f"/alarms/a1/{name}", data={"csrf": token, "reason": reason})
        return answer.status_code

    assert step("close") == 409, "only what was judged may be closed"
    assert step("confirm", reason="  ") == 422
    assert step("acknowledge", reason="") == 303
    assert step("confirm") == 303
    assert step("acknowledge") == 409
    assert step("explode") == 404
    page = ada.get("/alarms/a1")
    assert "confirmed by Ada: read ten of them" in words(page)
    assert "Refute" in page.text
    assert "Acknowledge</button>" not in page.text
    assert step("refute") == 303
    assert step("close") == 303
    assert "is held" not in words(ada.get("/alarms/a1"))
    with reading(alarmed.engine) as connection:
        assert audit.verify(connection).ok
        acts = connection.execute(select(audit_log.c.by, audit_log.c.action)).all()
        states = connection.execute(select(alarm_events.c.to_state)).scalars().all()
    assert states == ["open", "acknowledged", "confirmed", "refuted", "closed"]
    assert [(by, action) for by, action in acts if by == "Ada"] == [
        ("Ada", "alarm.acknowledged"),
        ("Ada", "alarm.confirmed"),
        ("Ada", "alarm.refuted"),
        ("Ada", "alarm.closed"),
    ]


def test_the_key_and_the_person_are_both_recorded(make_site: MakeSite) -> None:
    site = make_site(keys=True)
    put_alarm(site)
    ada = site.signed_in(site.key("analysts", Scope.READ, Scope.REVIEW), person="Ada")
    token = csrf(ada.get("/alarms/a1"))
    assert ada.post("/alarms/a1/acknowledge", data={"csrf": token}).status_code == 303
    assert "by Ada via analysts" in words(ada.get("/alarms/a1"))


def test_an_alarm_of_another_assistant_is_as_absent_as_none(make_site: MakeSite) -> None:
    site = make_site(keys=True)
    put_alarm(site)
    bank = site.signed_in(site.key("bank", Scope.ADMIN, assistants=("bank",)))
    assert bank.get("/alarms/a1").status_code == 404
    assert bank.get("/alarms/nothing").status_code == 404
    token = csrf(bank.get("/alarms"))
    answer = bank.post("/alarms/a1/confirm", data={"csrf": token, "reason": "mine"})
    assert answer.status_code == 404
    assert "/alarms/a1" not in bank.get("/alarms").text


@pytest.mark.parametrize("subject", list(AlarmSubject))
def test_every_subject_has_its_page(site: Site, subject: AlarmSubject) -> None:
    scope = {"stratum": "shop/other/normal", "population": "shop", "evaluator": "e-1"}
    latch(site, msgspec.structs.replace(make_alarm(scope=scope[subject]), subject=subject))
    text = words(site.client.get("/alarms/a1"))
    assert "What it does not claim" in text
