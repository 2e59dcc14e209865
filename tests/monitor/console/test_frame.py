"""Signing in, forms that are ours, and what every page holds to."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest
from sqlalchemy import select

from evidence import UnreachableError
from monitor.console.frame import PAGES, local
from monitor.console.session import COOKIE, csrf_of
from monitor.console.text import harmless, marked
from monitor.http.access import Scope
from monitor.store import reading
from monitor.store.schema import console_sessions
from monitor.telemetry import State
from tests.monitor.api.test_reads import put, verdict
from tests.monitor.console.conftest import MakeSite, Site, csrf, parsed, words


def test_without_keys_everyone_here_reads_and_nobody_acts_unnamed(site: Site) -> None:
    answer = site.client.get("/")
    assert answer.status_code == 200
    assert "Sign in to act" in words(answer)
    assert site.client.post("/sign-out").status_code == 403
    assert site.client.post("/sign-in", data={"person": "\u200b"}).status_code == 422
    page = site.signed_in(person="Ada").get("/")
    assert "Sign out" in words(page)
    assert "Ada" in words(page)


def test_a_foreign_name_that_leads_here_is_refused_without_keys(site: Site) -> None:
    headers = {"host": "evil.example"}
    assert site.client.get("/", headers=headers).status_code == 421
    assert site.client.post("/sign-in", data={"person": "Eve"}, headers=headers).status_code == 421


def test_with_keys_a_page_asks_to_sign_in_and_leads_back(make_site: MakeSite) -> None:
    site = make_site(keys=True)
    key = site.key("ada", Scope.READ)
    answer = site.client.get("/?range=24h")
    assert (answer.status_code, answer.headers["location"]) == (
        303,
        "/sign-in?next=%2F%3Frange%3D24h",
    )
    browser = site.browser()
    assert 'value="/?range=24h"' in browser.get(answer.headers["location"]).text
    wrong = browser.post("/sign-in", data={"key": "candor_no", "next": "/?range=24h"})
    assert wrong.status_code == 401
    assert COOKIE not in browser.cookies
    assert 'value="/?range=24h"' in wrong.text
    right = browser.post("/sign-in", data={"key": key, "next": "/?range=24h"})
    assert (right.status_code, right.headers["location"]) == (303, "/?range=24h")
    assert browser.get("/?range=24h").status_code == 200


def test_the_cookie_is_for_this_browser_alone_and_the_store_holds_its_digest(
    make_site: MakeSite,
) -> None:
    site = make_site(keys=True)
    key = site.key("ada", Scope.READ)
    answer = site.browser().post("/sign-in", data={"key": key})
    cookie = answer.headers["set-cookie"]
    for wanted in ("HttpOnly", "SameSite=strict", "Max-Age=43200", "Path=/"):
        assert wanted in cookie
    assert "Secure" not in cookie
    over_tls = site.browser().post(
        "/sign-in", data={"key": key}, headers={"origin": "https://127.0.0.1"}
    )
    assert "Secure" in over_tls.headers["set-cookie"]
    token = answer.cookies[COOKIE]
    with reading(site.engine) as connection:
        rows = connection.execute(select(console_sessions)).mappings().all()
    assert hashlib.sha256(token.encode()).hexdigest() in {row["token_sha256"] for row in rows}
    assert token not in str(rows)
    assert key not in str(rows)


def test_a_session_is_new_at_each_sign_in_ends_by_itself_and_with_its_key(
    make_site: MakeSite,
) -> None:
    site = make_site(keys=True, session_s=100)
    key = site.key("ada", Scope.READ)
    browser = site.signed_in(key)
    first = browser.cookies[COOKIE]
    browser.post("/sign-in", data={"key": key})
    second = browser.cookies[COOKIE]
    assert first != second
    old = site.browser()
    old.cookies.set(COOKIE, first)
    assert old.get("/").status_code == 303, "the token before is worth nothing"
    assert browser.get("/").status_code == 200
    site.clock.now_s += 101
    assert browser.get("/").status_code == 303
    browser = site.signed_in(key)
    assert site.keys_file is not None
    held = json.loads(site.keys_file.read_text())
    held["keys"] = [one for one in held["keys"] if one["name"] != "ada"]
    site.keys_file.write_text(json.dumps(held))
    assert browser.get("/").status_code == 303, "the key was taken away"


def test_signing_out_ends_the_session_in_the_store(make_site: MakeSite) -> None:
    site = make_site(keys=True)
    browser = site.signed_in(site.key("ada", Scope.READ))
    token = browser.cookies[COOKIE]
    answer = browser.post("/sign-out", data={"csrf": csrf(browser.get("/"))})
    assert (answer.status_code, answer.headers["location"]) == (303, "/sign-in")
    assert COOKIE not in browser.cookies
    copy = site.browser()
    copy.cookies.set(COOKIE, token)
    assert copy.get("/").status_code == 303


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"sec-fetch-site": "cross-site"}, 403),
        ({"sec-fetch-site": "same-site"}, 403),
        ({"origin": "http://evil.example"}, 403),
        ({"origin": "null"}, 403),
        ({"sec-fetch-site": "same-origin", "origin": "https://behind.a.proxy"}, 303),
        ({"origin": "http://127.0.0.1"}, 303),
        ({"content-type": "text/plain"}, 415),
        ({"content-type": "application/json"}, 415),
    ],
)
def test_a_form_comes_from_our_own_page(site: Site, headers: dict[str, str], status: int) -> None:
    browser = site.signed_in(person="Ada")
    given = {"csrf": csrf(browser.get("/"))}
    assert browser.post("/sign-out", data=given, headers=headers).status_code == status


def test_a_form_carries_the_token_of_its_session(site: Site) -> None:
    ada, bob = site.signed_in(person="Ada"), site.signed_in(person="Bob")
    for given in ("", "0" * 64, csrf(bob.get("/"))):
        assert ada.post("/sign-out", data={"csrf": given}).status_code == 403
    assert ada.post("/sign-out", data={"other": "1"}).status_code == 403
    assert csrf(ada.get("/")) == csrf_of(ada.cookies[COOKIE])
    assert ada.cookies[COOKIE] not in ada.get("/").text


def test_a_key_in_the_header_reads_and_is_offered_no_act(make_site: MakeSite) -> None:
    site = make_site(keys=True)
    key = site.key("ada", Scope.ADMIN)
    basic = site.client.get("/", auth=("", key))
    assert basic.status_code == 200
    assert 'name="csrf"' not in basic.text
    assert site.client.post("/sign-out", auth=("", key)).status_code == 403
    assert site.client.get("/", auth=("", "candor_no")).status_code == 401
    ingest = site.key("backend", Scope.INGEST)
    assert site.signed_in(ingest).get("/").status_code == 403


def test_signing_in_is_counted(make_site: MakeSite) -> None:
    site = make_site(keys=True, requests_per_minute=3)
    browser = site.browser()
    answers = [browser.post("/sign-in", data={"key": "candor_no"}) for _ in range(4)]
    assert [a.status_code for a in answers] == [401, 401, 401, 429]
    assert "retry-after" in answers[-1].headers


@pytest.mark.parametrize("path", [address for address, _ in PAGES])
def test_every_page_holds_to_the_policy(site: Site, path: str) -> None:
    put_some(site)
    for browser in (site.client, site.signed_in(person="Ada")):
        answer = browser.get(path)
        assert answer.status_code == 200, answer.text
        parsed(answer)
        policy = answer.headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "script-src 'self'" in policy
        assert "unsafe" not in policy
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["cache-control"] == "no-store"
        assert "http://" not in answer.text.replace("http://127.0.0.1", "")
        assert "https://" not in answer.text
        assert len(answer.content) < 300_000
        wrong = browser.get(path, params={"nonsense": "1"})
        assert wrong.status_code == 422
        parsed(wrong)


def test_what_pages_load_is_served_with_its_type(site: Site) -> None:
    page = site.client.get("/").text
    address = page.partition('<link rel="stylesheet" href="')[2].partition('"')[0]
    answer = site.client.get(address)
    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith("text/css")
    for other in ("/console/x/..%2Fcontext.py", "/console/x/context.py"):
        assert site.client.get(other).status_code == 404


def test_an_unreachable_store_is_said_on_a_page(make_site: MakeSite) -> None:
    def away() -> State:
        raise UnreachableError("database", "<gone> at /secret/path")

    answer = make_site(state=away).client.get("/")
    assert answer.status_code == 503
    assert "database is unreachable" in words(answer)
    assert "secret" not in answer.text
    assert "content-security-policy" in answer.headers


def test_a_spoilt_key_file_is_503_without_its_path(make_site: MakeSite) -> None:
    site = make_site(keys=True)
    browser = site.signed_in(site.key("ada", Scope.READ))
    assert site.keys_file is not None
    site.keys_file.write_text("{")
    answer = browser.get("/")
    assert answer.status_code == 503
    assert Path(site.keys_file).name not in answer.text


@pytest.mark.parametrize(
    "address",
    ["//evil.example", "/\\evil.example", "https://evil.example", "evil", "", "/a\nb", "/\t/evil"],
)
def test_nobody_is_led_elsewhere(address: str) -> None:
    assert local(address) == "/"
    assert local("/verdicts?kind=lie") == "/verdicts?kind=lie"


def test_marks_of_a_text_act_on_nothing() -> None:
    assert harmless("a\u202eb\u2066c\x00\x1b\u200b\n\t\x85\ud800") == (
        "a⟨U+202E⟩b⟨U+2066⟩c␀␛⟨U+200B⟩\n\t⟨U+0085⟩⟨U+D800⟩"
    )
    assert harmless("naïve العربية 日本 👍") == "naïve العربية 日本 👍"


def test_a_quote_is_marked_where_it_stands() -> None:
    shown = marked("It is sold out. Yes, twelve.", [("sold out", "claim"), ("is sold", "fact")])
    assert [(part.text, part.mark) for part in shown.parts] == [
        ("It is ", ""),
        ("sold out", "claim"),
        (". Yes, twelve.", ""),
    ]


def test_a_megabyte_is_cut_until_it_is_asked_for() -> None:
    word = "x" * 1_000_000
    shown = marked(word, [])
    assert (len(shown.parts[0].text), shown.left_out) == (4_000, 996_000)
    assert marked(word, [], whole=True).left_out == 600_000


def put_some(site: Site) -> None:
    put(site, *(verdict(i) for i in range(5)))  # type: ignore[arg-type]
