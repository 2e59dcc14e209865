"""A key that may only read is offered no act, and every act that is forged for it is refused and changes nothing."""

from __future__ import annotations

import re

import pytest
from sqlalchemy import select

from monitor.console.frame import PAGES
from monitor.http.access import Scope
from monitor.store import confirm_runs, reading
from monitor.store.schema import alarms, audit_log, labels
from tests.monitor.api.conftest import NOW_S
from tests.monitor.api.test_review import make_alarm
from tests.monitor.console.conftest import MakeSite, Site, csrf
from tests.monitor.console.material import add
from tests.monitor.console.test_overview import latch

ACTS = {
    "/alarms/a1/acknowledge": Scope.REVIEW,
    "/alarms/a1/confirm": Scope.REVIEW,
    "/alarms/a1/refute": Scope.REVIEW,
    "/alarms/a1/close": Scope.REVIEW,
    "/review/label": Scope.REVIEW,
    "/review/undo": Scope.REVIEW,
    "/retrain/d1/override": Scope.OVERRIDE,
    "/retrain/d1/revoke": Scope.GATE,
    "/retrain/runs/run-1/approve": Scope.GATE,
    "/retrain/runs/run-1/cancel": Scope.GATE,
}
FIELDS = {
    "reason": "forged",
    "queue": "audit",
    "key": "k001",
    "kind": "lie",
    "requested_by": "Bo",
    "until": "2025-10-10T08:00",
}


@pytest.fixture
def keyed(make_site: MakeSite) -> Site:
    site = make_site(keys=True)
    for i in range(40):
        add(site, i)
    latch(site, make_alarm())
    with site.engine.begin() as connection:
        confirm_runs.add_run(
            connection, "run-1", "shop", alarm_id=None, state="proposed", now_s=NOW_S
        )
    return site


def test_every_act_of_the_console_is_known_here(keyed: Site) -> None:
    posts = {
        route.path
        for route in keyed.app.routes
        if "POST" in getattr(route, "methods", ()) and not route.path.startswith(("/v1", "/sign"))
    }
    shapes = {re.sub(r"\{\w+\}", "[^/]+", path) for path in posts}
    for shape in shapes:
        assert any(re.fullmatch(shape, act) for act in ACTS), shape


def test_a_reader_is_offered_no_act(keyed: Site) -> None:
    reader = keyed.signed_in(keyed.key("ana", Scope.READ))
    for path in [*(address for address, _ in PAGES), "/alarms/a1", "/verdicts/k001"]:
        page = reader.get(path)
        assert page.status_code == 200
        posts = re.findall(r'<form[^>]*method="post"[^>]*action="([^"]*)"', page.text)
        assert posts == ["/sign-out"], path
        assert "formaction" not in page.text


@pytest.mark.parametrize("act", ACTS)
def test_an_act_that_is_forged_is_refused(keyed: Site, act: str) -> None:
    others = [scope for scope in Scope if scope not in {ACTS[act], Scope.ADMIN}]
    before = held(keyed)
    for name, scopes in (("ana", [Scope.READ]), ("bob", others)):
        browser = keyed.signed_in(keyed.key(name, *scopes))
        given = FIELDS | {"csrf": csrf(browser.get("/"))}
        assert browser.post(act, data=given).status_code == 403
    full = keyed.signed_in(keyed.key("eve", *Scope))
    assert full.post(act, data=FIELDS).status_code == 403, "without the token of the session"
    token = csrf(full.get("/"))
    crossed = full.post(
        act, data=FIELDS | {"csrf": token}, headers={"sec-fetch-site": "cross-site"}
    )
    assert crossed.status_code == 403
    assert keyed.client.post(act, data=FIELDS | {"csrf": token}).status_code == 403, "unsigned"
    assert held(keyed) == before


def held(site: Site) -> list[object]:
    with reading(site.engine) as connection:
        return [connection.execute(select(table)).all() for table in (alarms, audit_log, labels)]
