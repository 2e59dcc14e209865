"""Lists over HTTP: cursors, times, purposes, and the text of a verdict for those who may read it."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import msgspec
import pytest

from evidence import Purpose, SampledBy
from evidence.records import Finding
from monitor.http.access import Scope, add_key
from monitor.ingest.decode import decode_response
from monitor.ingest.options import IngestOptions
from monitor.store.explanations import Explanation, put_explanations
from monitor.store.intake import NewResponse, Position, insert_responses
from tests.monitor.api.conftest import KEY, NOW_S, MakeService, Service
from tests.monitor.api.test_reads import put, verdict
from tests.monitor.api.test_review import latch, make_alarm, step
from tests.monitor.http.test_access import bearer

LISTS = {
    "verdicts": "/v1/verdicts",
    "alarms": "/v1/alarms",
    "labels": "/v1/labels",
    "decisions": "/v1/decisions",
}


@pytest.fixture
def stored(service: Service, response_record: dict[str, Any]) -> Service:
    """Nine responses of `shop` with a verdict, a label, a decision and an alarm each."""
    for i in range(9):
        record = {**response_record, "response_id": f"r{i}"}
        response = decode_response(
            json.dumps(record).encode(), options=IngestOptions(), key=KEY, now_s=NOW_S
        )
        new = NewResponse(response, Position("c", "t", 0, i), 0.5, 1, 1, SampledBy.ARRIVAL, None)
        with service.engine.begin() as connection:
            insert_responses(connection, [new], now_s=NOW_S)
        service.client.post(
            "/v1/labels",
            json={"assistant": "shop", "response_id": f"r{i}", "kind": "lie", "labeller": "ana"},
        )
        row = {"messages": record["messages"], "provenance": {"source": f"s{i}"}}
        service.client.post("/v1/gate/check", json={"assistant": "shop", "rows": [row]})
    put(service, *(verdict(i, scored_at_s=NOW_S + i) for i in range(9)))
    put(service, verdict(50, purpose=Purpose.CANARY, scored_at_s=NOW_S + 50))
    alarms = [
        msgspec.structs.replace(make_alarm(f"a{i}"), opened_at_s=NOW_S + i, details={})
        for i in range(9)
    ]
    latch(service, *alarms)
    return service


@pytest.mark.parametrize("name", LISTS)
def test_every_list_pages_by_cursor(stored: Service, name: str) -> None:
    whole = stored.client.get(LISTS[name]).json()
    assert (len(whole[name]), whole["next"]) == (9, None)
    items: list[Any] = []
    after: dict[str, str] = {}
    while True:
        page = stored.client.get(LISTS[name], params={"limit": 2, **after}).json()
        items += page[name]
        if page["next"] is None:
            break
        after = {"after": page["next"]}
    assert items == whole[name]


def cursor(*parts: Any) -> str:
    return base64.urlsafe_b64encode(json.dumps(parts).encode()).decode().rstrip("=")


@pytest.mark.parametrize("name", LISTS)
@pytest.mark.parametrize(
    "after",
    [
        *("x", "", "!!", "1:k", "bnVsbA", "W" * 4_001),
        *(cursor(1), cursor("a", "b"), cursor(1.0, "a", "b"), cursor(1.0, "a\0")),
        *(cursor(1.0, 3), cursor(None, "a"), cursor([1.0], "a")),
    ],
)
def test_a_cursor_that_is_none_is_refused(service: Service, name: str, after: str) -> None:
    answer = service.client.get(LISTS[name], params={"after": after})
    assert answer.status_code == 422, answer.json()
    assert answer.json()["errors"][0]["field"] == "after"


def test_verdicts_by_time_purpose_and_p_lie(stored: Service) -> None:
    def keys(**params: Any) -> list[str]:
        found = stored.client.get("/v1/verdicts", params=params)
        assert found.status_code == 200, found.json()
        return [item["key"] for item in found.json()["verdicts"]]

    assert "k050" not in keys(), "canaries are asked for"
    assert keys(purpose="canary") == ["k050"]
    assert len(keys(purpose=["canary", "live"])) == 10
    times = {"since": "2025-10-09T08:53:22Z", "until": "2025-10-09T10:53:24+02:00"}
    assert keys(**times) == ["k003", "k002"]
    assert keys(least_p_lie=0.2) == []
    assert len(keys(least_p_lie=0.1, most_p_lie=0.1)) == 9


@pytest.mark.parametrize(
    "query",
    [
        *("since=2025-10-09", "since=2025-10-09T08:53:22", "until=soon", "purpose=dead"),
        *("kind=bad", "least_p_lie=nan", "most_p_lie=2", "least_p_lie=inf"),
        *("limit=0", "limit=1001", "limit=x"),
    ],
)
def test_odd_filters_are_refused(service: Service, query: str) -> None:
    answer = service.client.get(f"/v1/verdicts?{query}")
    assert answer.status_code == 422
    assert answer.json()["errors"][0]["field"].startswith(query.partition("=")[0])


def test_the_text_of_a_verdict_is_for_reviewers(
    make_service: MakeService, stored: Service, tmp_path: Path
) -> None:
    shown = stored.client.get("/v1/verdicts/k003").json()
    assert (shown["response_id"], shown["text"]) == ("r3", "shown")
    assert shown["messages"][-1] == {"role": "assistant", "content": "Yes."}
    assert "user_id" not in json.dumps(shown)
    assert stored.client.get("/v1/verdicts/nope").status_code == 404
    assert stored.client.get("/v1/verdicts/k050").json()["text"] == "gone"
    path = tmp_path / "keys.json"
    reader, reviewer, other = (
        add_key(path, name=name, scopes=scopes, assistants=assistants)
        for name, scopes, assistants in (
            ("reader", (Scope.READ,), None),
            ("reviewer", (Scope.READ, Scope.REVIEW), ("shop",)),
            ("other", (Scope.READ, Scope.REVIEW), ("bank",)),
        )
    )
    client = make_service(keys_file=path).client
    withheld = client.get("/v1/verdicts/k003", headers=bearer(reader)).json()
    assert (withheld["text"], withheld["messages"]) == ("not_allowed", None)
    assert client.get("/v1/verdicts/k003", headers=bearer(reviewer)).json()["text"] == "shown"
    assert client.get("/v1/verdicts/k003", headers=bearer(other)).status_code == 404


def test_claims_and_tokens_are_for_reviewers(
    make_service: MakeService, stored: Service, tmp_path: Path
) -> None:
    claim = Finding(claim="Yes.", contradicts="It is sold out.")
    tokens = Finding(claim="Yes.", tokens=("Yes", "."), nats=(5.25, 0.5))
    explanation = Explanation(tokens, {"premise": claim, "belief": tokens})
    with stored.engine.begin() as connection:
        put_explanations(connection, [(verdict(3), explanation)])
    path = tmp_path / "keys.json"
    reader = add_key(path, name="reader", scopes=(Scope.READ,), assistants=None)
    reviewer = add_key(path, name="reviewer", scopes=(Scope.READ, Scope.REVIEW), assistants=None)
    client = make_service(keys_file=path).client

    def shown(key: str) -> tuple[dict[str, Any], dict[str, Any]]:
        listed = client.get("/v1/verdicts?response_id=r3", headers=bearer(key)).json()
        return listed["verdicts"][0], client.get("/v1/verdicts/k003", headers=bearer(key)).json()

    listed, whole = shown(reviewer)
    assert (listed["claim"], listed["contradicts"]) == ("Yes.", None)
    assert whole["tokens"] == [{"token": "Yes", "nats": 5.25}, {"token": ".", "nats": 0.5}]
    assert whole["findings"]["premise"]["contradicts"] == "It is sold out."
    assert whole["findings"]["belief"]["tokens"] == whole["tokens"]
    for one in shown(reader):
        assert one["claim"] is None
        assert "sold out" not in json.dumps(one)
        assert one.get("findings") is None
    other = client.get("/v1/verdicts/k004", headers=bearer(reviewer)).json()
    assert (other["claim"], other["tokens"], other["findings"]) == (None, None, None)


def test_raters_are_asked_for_by_assistant_and_status(stored: Service) -> None:
    get = stored.client.get
    alone = get("/v1/cohorts?status=suspect")
    assert (alone.status_code, alone.json()["errors"][0]["field"]) == (422, "assistant")
    assert get("/v1/cohorts?assistant=shop&status=guilty").status_code == 422
    assert get("/v1/cohorts?assistant=shop&status=suspect").json()["raters"] == []


def test_times_are_rfc_3339_inside_details_too(service: Service) -> None:
    details = {
        "since": {"at_s": NOW_S, "position": 3, "window_s": 60.0},
        "looks": [{"looked_at_s": NOW_S, "n": 1}],
    }
    latch(service, msgspec.structs.replace(make_alarm(), details=details))
    shown = service.client.get("/v1/alarms/a1").json()["details"]
    assert shown == {
        "since": {"at": "2025-10-09T08:53:20Z", "position": 3, "window_s": 60.0},
        "looks": [{"looked_at": "2025-10-09T08:53:20Z", "n": 1}],
    }


def test_an_acknowledgement_needs_no_body(
    make_service: MakeService, tmp_path: Path, service: Service
) -> None:
    latch(service, make_alarm())
    path = tmp_path / "keys.json"
    token = add_key(path, name="ana", scopes=(Scope.REVIEW, Scope.READ), assistants=None)
    client = make_service(keys_file=path).client
    for _ in range(2):
        answer = client.post("/v1/alarms/a1/acknowledge", headers=bearer(token))
        assert (answer.status_code, answer.json()["state"]) == (200, "acknowledged")
    assert len(answer.json()["events"]) == 2
    assert answer.json()["events"][-1]["by"] == "ana"
    assert client.post("/v1/alarms/a1/confirm", headers=bearer(token)).status_code == 422


def test_a_key_of_one_assistant_gets_a_full_page(
    make_service: MakeService, tmp_path: Path, service: Service
) -> None:
    """Newer alarms of others do not take the places of a page."""
    others = [make_alarm(f"b{i}", "bank/other/normal") for i in range(20)]
    latch(service, *(make_alarm(f"a{i}") for i in range(3)))
    latch(service, *(msgspec.structs.replace(one, opened_at_s=NOW_S + 9) for one in others))
    path = tmp_path / "keys.json"
    token = add_key(path, name="shop", scopes=(Scope.READ,), assistants=("shop",))
    client = make_service(keys_file=path).client
    page = client.get("/v1/alarms?limit=2", headers=bearer(token)).json()
    assert [one["alarm_id"] for one in page["alarms"]] == ["a2", "a1"]
    rest = client.get(f"/v1/alarms?limit=2&after={page['next']}", headers=bearer(token)).json()
    assert [one["alarm_id"] for one in rest["alarms"]] == ["a0"]
    assert step(service, "acknowledge", "b3").status_code == 200
