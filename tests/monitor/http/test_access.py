"""Keys: hashed, scoped, for named assistants; without keys the API stays on this machine."""

from __future__ import annotations

import base64
import re
from pathlib import Path
from typing import Any

import pytest

from evidence import BadInputError
from monitor.cli.serving import open_access
from monitor.http.access import Access, Scope, add_key, read_keys
from monitor.http.options import ApiOptions
from monitor.settings import Settings
from monitor.store import detectors
from tests.monitor.api.conftest import NOW_S, MakeService, Service
from tests.monitor.api.test_review import make_alarm

ROUTES = {
    ("GET", "/v1/verdicts"): Scope.READ,
    ("GET", "/v1/verdicts/k1"): Scope.READ,
    ("GET", "/v1/honesty"): Scope.READ,
    ("GET", "/v1/alarms"): Scope.READ,
    ("GET", "/v1/alarms/a1"): Scope.READ,
    ("GET", "/v1/alarms/a1/honesty.png"): Scope.READ,
    ("GET", "/v1/report"): Scope.READ,
    ("GET", "/v1/cohorts"): Scope.READ,
    ("GET", "/v1/gate"): Scope.READ,
    ("GET", "/v1/decisions"): Scope.READ,
    ("GET", "/v1/labels"): Scope.READ,
    ("POST", "/v1/responses"): Scope.INGEST,
    ("POST", "/v1/feedback"): Scope.INGEST,
    ("POST", "/v1/logs"): Scope.INGEST,
    ("POST", "/v1/traces"): Scope.INGEST,
    ("POST", "/v1/decisions"): Scope.INGEST,
    ("POST", "/v1/labels"): Scope.REVIEW,
    ("POST", "/v1/gate/check"): Scope.GATE,
    ("POST", "/v1/gate/decisions/d1/revoke"): Scope.GATE,
    ("POST", "/v1/gate/decisions/d1/override"): Scope.OVERRIDE,
    ("GET", "/v1/gate/revoked"): Scope.READ,
    ("GET", "/v1/gate/runs"): Scope.READ,
    ("POST", "/v1/gate/runs"): Scope.GATE,
    ("GET", "/v1/sources"): Scope.READ,
    ("POST", "/v1/sources"): Scope.GATE,
    ("DELETE", "/v1/sources"): Scope.GATE,
    ("POST", "/v1/gate/runs/run-1/approve"): Scope.GATE,
    ("POST", "/v1/gate/runs/run-1/cancel"): Scope.GATE,
    ("GET", "/v1/gate/review"): Scope.REVIEW,
    ("POST", "/v1/alarms/a1/acknowledge"): Scope.REVIEW,
    ("POST", "/v1/alarms/a1/confirm"): Scope.REVIEW,
    ("POST", "/v1/alarms/a1/refute"): Scope.REVIEW,
    ("POST", "/v1/alarms/a1/close"): Scope.REVIEW,
}
EXAMPLES = re.compile(r"\{(\w+)\}")
EXAMPLE_OF = {
    "key": "k1",
    "alarm_id": "a1",
    "decision_id": "d1",
    "kind": "honesty",
    "run_id": "run-1",
}
OPEN = {"/healthz", "/readyz", "/metrics"}


@pytest.fixture
def keys(tmp_path: Path) -> dict[str, str]:
    path = tmp_path / "keys.json"
    made = {
        scope.value: add_key(path, name=scope.value, scopes=(scope,), assistants=None)
        for scope in Scope
    }
    every = tuple(Scope)
    made["shop"] = add_key(path, name="shop", scopes=every, assistants=("shop",))
    made["two"] = add_key(path, name="two", scopes=(Scope.READ,), assistants=("shop", "bank"))
    return made


@pytest.fixture
def guarded(make_service: MakeService, keys: dict[str, str], tmp_path: Path) -> Service:
    return make_service(keys_file=tmp_path / "keys.json")


def bearer(token: str) -> dict[str, str]:
    return {"authorization": f"Bearer {token}"}


def test_every_route_is_listed_here_or_open(guarded: Service) -> None:
    document = guarded.client.get("/openapi.json").json()
    listed = {
        (method.upper(), EXAMPLES.sub(lambda found: EXAMPLE_OF[found[1]], path))
        for path, methods in document["paths"].items()
        for method in methods
        if path not in OPEN
    }
    assert listed == set(ROUTES)


@pytest.mark.parametrize(("method", "path"), ROUTES)
def test_a_route_needs_its_scope(
    guarded: Service, keys: dict[str, str], method: str, path: str
) -> None:
    needed = ROUTES[method, path]
    for headers in ({}, bearer("candor_wrong"), {"authorization": "Basic !!"}):
        answer = guarded.client.request(method, path, headers=headers)
        assert answer.status_code == 401
        assert "Bearer" in answer.headers["www-authenticate"]
    for scope in Scope:
        answer = guarded.client.request(method, path, headers=bearer(keys[scope.value]))
        allowed = scope in {needed, Scope.ADMIN}
        assert (answer.status_code != 403) is allowed, scope


def test_the_file_holds_hashes_alone(keys: dict[str, str], tmp_path: Path) -> None:
    path = tmp_path / "keys.json"
    text = path.read_text()
    assert path.stat().st_mode & 0o077 == 0
    assert not any(
        token in text or token.removeprefix("candor_") in text for token in keys.values()
    )
    assert len({key.sha256 for key in read_keys(path).keys}) == len(keys)
    with pytest.raises(BadInputError, match="exists"):
        add_key(path, name="shop", scopes=(Scope.READ,), assistants=None)
    with pytest.raises(BadInputError, match="scope"):
        add_key(path, name="none", scopes=(), assistants=None)


def test_a_key_of_one_assistant(
    guarded: Service,
    keys: dict[str, str],
    response_record: dict[str, Any],
) -> None:
    with guarded.engine.begin() as connection:
        found = (make_alarm("mine", "shop/other/normal"), make_alarm("theirs", "bank/other/normal"))
        detectors.latch(connection, found, by="detection", topic=None, now_s=NOW_S)
    client, headers = guarded.client, bearer(keys["shop"])
    listed = client.get("/v1/alarms", headers=headers).json()["alarms"]
    assert [alarm["alarm_id"] for alarm in listed] == ["mine"]
    assert client.get("/v1/alarms/theirs", headers=headers).status_code == 404
    reason = {"reason": "no"}
    theirs = client.post("/v1/alarms/theirs/acknowledge", json=reason, headers=headers)
    assert theirs.status_code == 404
    other = {**response_record, "assistant": "bank"}
    answer = client.post("/v1/responses", json=other, headers=headers)
    assert answer.status_code == 403
    assert client.get("/v1/verdicts?assistant=bank", headers=headers).status_code == 403
    assert client.get("/v1/gate?assistant=bank", headers=headers).status_code == 403
    both = bearer(keys["two"])
    assert client.get("/v1/verdicts", headers=both).status_code == 422
    assert client.get("/v1/verdicts?assistant=bank", headers=both).status_code == 200


def test_the_key_signs_what_its_holder_does(guarded: Service, keys: dict[str, str]) -> None:
    with guarded.engine.begin() as connection:
        detectors.latch(connection, [make_alarm()], by="detection", topic=None, now_s=NOW_S)
    headers = bearer(keys["review"])
    client = guarded.client
    client.post("/v1/alarms/a1/acknowledge", json={"reason": "x"}, headers=headers)
    client.post("/v1/alarms/a1/refute", json={"reason": "x", "by": "ada"}, headers=headers)
    events = client.get("/v1/alarms/a1", headers=bearer(keys["read"])).json()["events"]
    assert [event["by"] for event in events] == ["detection", "review", "ada via review"]


def test_a_browser_may_send_the_key_as_a_password(guarded: Service, keys: dict[str, str]) -> None:
    basic = base64.b64encode(f"anyone:{keys['read']}".encode()).decode()
    answer = guarded.client.get("/v1/alarms", headers={"authorization": f"Basic {basic}"})
    assert answer.status_code == 200


def test_a_new_key_works_at_once(guarded: Service, tmp_path: Path) -> None:
    token = add_key(tmp_path / "keys.json", name="new", scopes=(Scope.READ,), assistants=None)
    assert guarded.client.get("/v1/alarms", headers=bearer(token)).status_code == 200


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.1", "example.org"])  # noqa: S104
def test_without_keys_only_this_machine_is_served(host: str) -> None:
    with pytest.raises(BadInputError, match="this machine alone"):
        open_access(Settings(api=ApiOptions(host=host, open_on_loopback=True)))


@pytest.mark.parametrize("host", ["127.0.0.1", "::1", "localhost"])
def test_this_machine_goes_without_keys_only_when_told_so(host: str) -> None:
    with pytest.raises(BadInputError, match="candor keys create api"):
        open_access(Settings(api=ApiOptions(host=host)))
    told = Settings(api=ApiOptions(host=host, open_on_loopback=True))
    assert isinstance(open_access(told), Access)


def test_each_key_has_its_own_rate(make_service: MakeService, tmp_path: Path) -> None:
    path = tmp_path / "keys.json"
    one, two = (
        add_key(path, name=name, scopes=(Scope.READ,), assistants=None) for name in ("one", "two")
    )
    get = make_service(keys_file=path, requests_per_minute=3).client.get
    assert [get("/v1/alarms", headers=bearer(one)).status_code for _ in range(4)] == [
        *[200] * 3,
        429,
    ]
    refused = get("/v1/alarms", headers=bearer(one))
    assert 1 <= int(refused.headers["retry-after"]) <= 60
    assert "3 requests a minute" in refused.json()["detail"]
    assert get("/v1/alarms", headers=bearer(two)).status_code == 200
    # Guessing keys is slowed down too, and takes nothing from those who have one.
    guesses = [get("/v1/alarms", headers=bearer("guess")).status_code for _ in range(4)]
    assert guesses == [401, 401, 401, 429]
    assert get("/v1/alarms", headers=bearer(two)).status_code == 200
    assert get("/healthz").status_code == 200


def test_a_malformed_key_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "keys.json"
    with pytest.raises(BadInputError):
        Access(path)
    path.write_text('{"keys": [{"name": 1}]}')
    with pytest.raises(BadInputError, match="not a file of API keys"):
        Access(path)


def test_without_keys_a_foreign_name_that_leads_here_is_refused(service: Service) -> None:
    get = service.client.get
    for host, status in (
        ("evil.example:8321", 421),
        ("127.0.0.1.evil.example", 421),
        ("localhost:8321", 200),
        ("[::1]:8321", 200),
    ):
        assert get("/v1/alarms", headers={"host": host}).status_code == status, host
