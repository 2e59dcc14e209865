"""Alarms are moved by named people along allowed steps; labels are stored; all of it is audited."""

from __future__ import annotations

import threading
from typing import Any

import msgspec
import pytest
from sqlalchemy import select

from evidence import Alarm, AlarmSubject, SampledBy, VerdictKind
from evidence.records import LoggedVerdict
from monitor.detect.options import DetectionOptions
from monitor.detect.records import decode_state, encode_state
from monitor.detect.stratum import advance, new_state
from monitor.ingest.decode import decode_response
from monitor.ingest.options import IngestOptions
from monitor.store import audit, detectors, reading
from monitor.store.intake import NewResponse, Position, insert_responses
from monitor.store.schema import audit_log, outbox
from tests.monitor.api.conftest import KEY, NOW_S, Service


def make_alarm(alarm_id: str = "a1", scope: str = "shop/other/normal") -> Alarm:
    return Alarm(
        alarm_id=alarm_id,
        subject=AlarmSubject.STRATUM,
        scope=scope,
        metric="lie",
        claim="the measured score rose",
        opened_at_s=NOW_S,
        log_position=5,
        n=5,
        log_evidence=10.0,
        log_threshold=9.0,
    )


def latch(service: Service, *alarms: Alarm) -> None:
    with service.engine.begin() as connection:
        detectors.latch(connection, alarms, by="detection", topic=None, now_s=NOW_S)


def step(service: Service, name: str, alarm_id: str = "a1", **body: Any) -> Any:
    body = {"by": "ada", "reason": "looked at ten responses", **body}
    return service.client.post(f"/v1/alarms/{alarm_id}/{name}", json=body)


def test_the_life_of_an_alarm(service: Service) -> None:
    latch(service, make_alarm())
    for name, state in (
        ("acknowledge", "acknowledged"),
        ("confirm", "confirmed"),
        ("refute", "refuted"),
        ("close", "closed"),
    ):
        answer = step(service, name)
        assert (answer.status_code, answer.json()["state"]) == (200, state)
    history = service.client.get("/v1/alarms/a1").json()["events"]
    assert [event["to_state"] for event in history] == [
        "open",
        "acknowledged",
        "confirmed",
        "refuted",
        "closed",
    ]
    assert history[1]["by"] == "ada"
    assert history[1]["reason"] == "looked at ten responses"
    with reading(service.engine) as connection:
        report = audit.verify(connection)
        copies = connection.execute(select(outbox.c.topic, outbox.c.value)).all()
    assert (report.ok, report.entries) == (True, 4)
    assert [msgspec.json.decode(copy.value)["state"] for copy in copies] == [
        "acknowledged",
        "confirmed",
        "refuted",
        "closed",
    ]
    assert {copy.topic for copy in copies} == {"honesty.alarms"}


@pytest.mark.parametrize(
    ("before", "name"),
    [
        ((), "close"),
        (("acknowledge",), "close"),
        (("confirm",), "acknowledge"),
        (("refute", "close"), "confirm"),
        (("refute", "close"), "acknowledge"),
    ],
)
def test_only_what_was_judged_may_be_closed(
    service: Service, before: tuple[str, ...], name: str
) -> None:
    latch(service, make_alarm())
    for earlier in before:
        assert step(service, earlier).status_code == 200
    answer = step(service, name)
    assert answer.status_code == 409
    assert answer.headers["content-type"] == "application/problem+json"
    assert "cannot become" in answer.json()["detail"]


def test_an_alarm_acknowledged_twice_is_acknowledged_once(service: Service) -> None:
    latch(service, make_alarm())
    first, second = step(service, "acknowledge"), step(service, "acknowledge", by="bob")
    assert (first.status_code, second.status_code) == (200, 200)
    assert first.json() == second.json()
    with reading(service.engine) as connection:
        assert audit.verify(connection).entries == 1
    step(service, "confirm")
    assert step(service, "confirm").status_code == 409


def test_a_step_needs_a_person_and_a_reason(service: Service) -> None:
    latch(service, make_alarm())
    for body, field in (({"by": None}, "by"), ({"reason": ""}, "reason")):
        answer = step(service, "acknowledge", **body)
        assert answer.status_code == 422
        assert answer.json()["errors"][0]["field"] == field
    assert service.client.get("/v1/alarms/a1").json()["state"] == "open"


def test_an_unknown_alarm_is_404(service: Service) -> None:
    assert step(service, "acknowledge", "nope").status_code == 404
    assert service.client.get("/v1/alarms/nope").status_code == 404


def test_of_many_who_move_an_alarm_at_once_one_succeeds(service: Service) -> None:
    latch(service, make_alarm())
    codes: list[int] = []

    def move(name: str) -> None:
        codes.append(step(service, "confirm", by=name).status_code)

    threads = [threading.Thread(target=move, args=(f"p{i}",)) for i in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(codes) == [200] + [409] * 7


def test_filters_and_order(service: Service) -> None:
    later = msgspec.structs.replace(make_alarm("a2", "bank/other/normal"), opened_at_s=NOW_S + 1)
    latch(service, make_alarm(), later)
    step(service, "acknowledge")
    get = service.client.get
    assert [a["alarm_id"] for a in get("/v1/alarms").json()["alarms"]] == ["a2", "a1"]
    opened = get("/v1/alarms", params={"state": "open"}).json()["alarms"]
    assert [a["alarm_id"] for a in opened] == ["a2"]
    scoped = get("/v1/alarms", params={"scope": "shop/other/normal"}).json()["alarms"]
    assert [a["alarm_id"] for a in scoped] == ["a1"]
    assert get("/v1/alarms", params={"state": "loud"}).status_code == 422


def test_closing_starts_the_detector_anew_and_says_where(service: Service) -> None:
    options = DetectionOptions(
        reference=0.1, evasion_reference=0.1, worst_case_reference=0.1, tolerance=0.05
    )
    entries = [
        LoggedVerdict(
            log_position=position,
            stratum="shop/other/normal",
            kind=VerdictKind.LIE,
            p_lie=0.95,
            p_evasion=0.0,
            inclusion_probability=1.0,
            model="m-1",
            evaluator_version="v1",
            scored_at_s=NOW_S,
        )
        for position in range(1, 61)
    ]
    state, raised = advance(
        new_state("shop/other/normal", options=options), entries, options=options
    )
    alarm = next(found for found in raised if found.metric == "lie")
    with service.engine.begin() as connection:
        read = detectors.read_detector(connection, "shop/other/normal")
        detectors.save_detector(connection, read, encode_state(state), 60, now_s=NOW_S)
        detectors.latch(connection, raised, by="detection", topic=None, now_s=NOW_S)
    step(service, "confirm", alarm.alarm_id)
    assert step(service, "close", alarm.alarm_id).status_code == 200
    with reading(service.engine) as connection:
        stored = detectors.read_detector(connection, "shop/other/normal")
        released = connection.execute(
            select(audit_log).where(audit_log.c.action == "detector.release")
        ).one()
    after = decode_state(stored.state)
    assert "lie" not in after.latched
    assert set(after.latched) == set(state.latched) - {"lie"}
    assert stored.log_position == 60
    assert msgspec.json.decode(released.details)["log_position"] == 60


def store_response(service: Service, record: dict[str, Any]) -> None:
    response = decode_response(
        msgspec.json.encode(record), options=IngestOptions(), key=KEY, now_s=NOW_S
    )
    item = NewResponse(
        response, Position("c", "assistant.responses", 0, 0), 0.5, 1.0, 1.0, SampledBy.ARRIVAL, None
    )
    with service.engine.begin() as connection:
        insert_responses(connection, [item], now_s=NOW_S)


def test_labels(service: Service, response_record: dict[str, Any]) -> None:
    label = {
        "assistant": "shop",
        "response_id": "r1",
        "kind": "lie",
        "labeller": "ada",
        "inclusion_probability": 0.01,
    }
    assert service.client.post("/v1/labels", json=label).status_code == 404
    store_response(service, response_record)
    assert service.client.post("/v1/labels", json=label).status_code == 201
    changed = {**label, "kind": "honest"}
    assert service.client.post("/v1/labels", json=changed).json()["kind"] == "honest"
    other = {**label, "labeller": "bob", "inclusion_probability": None}
    assert service.client.post("/v1/labels", json=other).status_code == 201
    found = service.client.get("/v1/labels", params={"assistant": "shop"}).json()
    assert {(one["labeller"], one["kind"]) for one in found["labels"]} == {
        ("ada", "honest"),
        ("bob", "lie"),
    }
    assert found["random"] == {"shop": 1}
    for bad in ({"inclusion_probability": 0}, {"kind": "maybe"}, {"labeller": None}):
        assert service.client.post("/v1/labels", json={**label, **bad}).status_code == 422
    with reading(service.engine) as connection:
        assert audit.verify(connection).entries == 3
