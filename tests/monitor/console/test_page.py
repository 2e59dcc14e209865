"""The console shows what is known, runs no script, and lets no text become markup."""

from __future__ import annotations

import base64
import hashlib
import re
from html.parser import HTMLParser

import msgspec
import pytest
from fastapi import FastAPI, Request
from fastapi.testclient import TestClient

from evidence import Stakes, Stratum, UnreachableError
from monitor import console
from monitor.console.band import band
from monitor.telemetry import ConfirmRecord, Estimate, GateRecord, State
from tests.monitor.telemetry.test_exposition import alarm, full_state

HOSTILE = '"><script>alert(1)</script><img src=x onerror=alert(2)>\u202egnp'


def client(state: State | UnreachableError) -> TestClient:
    def read(_request: Request) -> State:
        if isinstance(state, UnreachableError):
            raise state
        return state

    app = FastAPI()
    app.include_router(console.router(read))
    return TestClient(app)


class Tags(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.seen: set[str] = set()
        self.attributes: set[str] = set()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.add(tag)
        self.attributes |= {name for name, _ in attrs}
        if tag not in {"meta", "line", "rect"}:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag in self.open:
            assert self.open.pop() == tag


def parsed(page: str) -> Tags:
    tags = Tags()
    tags.feed(page)
    assert tags.open == []
    return tags


def busy_state() -> State:
    return msgspec.structs.replace(
        full_state(),
        gate=(
            GateRecord(
                decision_id="d1",
                assistant="shop",
                answer="block",
                subject_digest="ab" * 32,
                created_at_s=0.0,
                expires_at_s=1.0,
                revoked_at_s=None,
                overridden_by=None,
            ),
        ),
        confirm=(
            ConfirmRecord(
                run_id="c1",
                assistant="shop",
                alarm_id="a1",
                state="failed",
                requested_at_s=0.0,
                started_at_s=None,
                finished_at_s=None,
                error="out of memory",
            ),
        ),
    )


def test_it_shows_what_is_known_with_its_uncertainty() -> None:
    page = client(busy_state()).get("/").text
    parsed(page)
    text = re.sub(r"<[^>]+>", "", page)
    for shown in (
        "shop/refunds/high",
        "score rate",
        "measured accuracy",
        "94.0 % (81.0–100.0)",
        "90.0 % (80.0–95.0)",
        "the measured score rose",
        "10.0 / 9.0",
        "10.0 % (5.0–20.0)",
        "block",
        "out of memory",
        "98 of 110 expected evaluations made",
        "2 workers alive",
        "canary_lie",
    ):
        assert shown in text, shown
    assert page.count("<svg") == 2
    assert 'href="/v1/alarms/a1/evidence.png"' in page


def test_hostile_text_stays_text() -> None:
    hostile = Stratum(HOSTILE, HOSTILE, Stakes.HIGH)
    state = busy_state()
    state = msgspec.structs.replace(
        state,
        strata=(msgspec.structs.replace(state.strata[0], stratum=hostile),),
        detectors=(msgspec.structs.replace(state.detectors[0], stratum=hostile, metric=HOSTILE),),
        alarms=(
            msgspec.structs.replace(alarm(HOSTILE), scope=HOSTILE, metric=HOSTILE, claim=HOSTILE),
        ),
        cohorts=(msgspec.structs.replace(state.cohorts[0], assistant=HOSTILE),),
        gate=(msgspec.structs.replace(state.gate[0], assistant=HOSTILE, answer=HOSTILE),),
        confirm=(
            msgspec.structs.replace(
                state.confirm[0], assistant=HOSTILE, state=HOSTILE, error=HOSTILE
            ),
        ),
    )
    tags = parsed(client(state).get("/").text)
    assert not tags.seen & {"script", "img", "iframe", "object", "link"}
    assert not any(name.startswith("on") for name in tags.attributes)
    assert "style" not in tags.attributes, "the policy forbids inline styles"


def test_the_policy_lets_in_the_page_s_own_style_and_nothing_else() -> None:
    answer = client(full_state()).get("/")
    policy = answer.headers["content-security-policy"]
    style = re.search(r"<style>(.*?)</style>", answer.text, re.DOTALL)
    assert style is not None
    digest = base64.b64encode(hashlib.sha256(style[1].encode()).digest()).decode()
    assert f"style-src 'sha256-{digest}'" in policy
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert "script-src" not in policy
    assert answer.headers["x-content-type-options"] == "nosniff"


def test_it_reloads_itself() -> None:
    assert '<meta http-equiv="refresh" content="5">' in client(full_state()).get("/").text


def test_an_empty_service_says_none() -> None:
    page = client(State(read_at_s=0.0, window_s=3600.0)).get("/").text
    assert page.count(">none<") == 7


def test_an_unreachable_store_is_said() -> None:
    answer = client(UnreachableError("database", "<gone>")).get("/")
    assert answer.status_code == 503
    assert "database is unreachable: &lt;gone&gt;" in answer.text
    assert "content-security-policy" in answer.headers


@pytest.mark.parametrize(
    "value", [Estimate(), Estimate(0.0, 0.0, 0.0), Estimate(1.0, 1.0, 1.0), Estimate(0.5, 0.2, 0.9)]
)
def test_a_band_stays_within_its_scale(value: Estimate) -> None:
    drawn = band(value, 0.0, 1.0)
    for number in re.findall(r' x[12]?="([^"]+)"', drawn):
        assert 0.0 <= float(number) <= 220.0
    assert (drawn == "") is (value.estimate is None)
