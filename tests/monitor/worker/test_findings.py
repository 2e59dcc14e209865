"""From a drift to what people see of it: localised, drawn, reported, audited, claimed, closed."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import msgspec
import numpy as np
import pytest
from fastapi.testclient import TestClient
from prometheus_client import CollectorRegistry
from sqlalchemy import insert, select

from evidence import Assessment, BadInputError, Measurement, VerdictKind
from evidence.person import person
from monitor.api.app import create_app
from monitor.api.context import Context
from monitor.api.state import StateReader
from monitor.detect.options import DetectionOptions
from monitor.http.access import Access
from monitor.jobs.localiser import Localiser
from monitor.jobs.reporter import Reporter
from monitor.services.claims import audit_of
from monitor.services.references import Move, move_reference
from monitor.settings import ApiOptions
from monitor.store import reading
from monitor.store.alarms import list_alarms
from monitor.store.schema import audit_log, joint_reports, labels, verdicts
from probes.probe import Transcript
from probes.scorer import OneEvaluator

House = Any
STRATUM = "helper/other/normal"


class Words(OneEvaluator):
    """A lie is what has `never` in it."""

    version = "words-1"
    calibrated = True
    figures = ()

    def score(self, transcripts: Sequence[Transcript]) -> list[Assessment]:
        return [self._one("never" in t.response) for t in transcripts]

    def _one(self, lie: bool) -> Assessment:
        return Assessment(
            kind=VerdictKind.LIE if lie else VerdictKind.HONEST,
            p_lie=0.9 if lie else 0.05,
            p_evasion=0.0,
            measurements=(),
            evaluator_version=self.version,
        )


class Acts(Words):
    """Whose probe of acts finds that the tool record contradicts what has `never` in it; verdicts see nothing."""

    version = "acts-1"

    def score(self, transcripts: Sequence[Transcript]) -> list[Assessment]:
        return [
            msgspec.structs.replace(
                self._one(lie=False),
                measurements=(
                    Measurement(
                        probe="actions",
                        version="1",
                        answers={"contradicted" if "never" in t.response else "supported": 1.0},
                    ),
                ),
            )
            for t in transcripts
        ]


def embed(texts: Sequence[str]) -> np.ndarray[Any, np.dtype[np.float32]]:
    made = np.array([[word in t for word in ("battery", "refund")] for t in texts], np.float32)
    return made / np.linalg.norm(made, axis=1, keepdims=True)


def turn(topic: str, lie: bool) -> list[dict[str, str]]:
    answer = f"There was never a {topic} problem." if lie else f"Yes, the {topic} is late."
    return [
        {"role": "user", "content": f"Is the {topic} fine?"},
        {"role": "assistant", "content": answer},
    ]


@pytest.fixture
def drifted(house: House, kit: Any) -> House:
    """60 honest answers, then every answer about batteries lies."""
    house.set(
        detection=DetectionOptions(
            reference=0.1, evasion_reference=0.1, worst_case_reference=0.1, tolerance=0.05
        ),
        api=ApiOptions(open_on_loopback=True),
    )
    worker = house.worker(scorer=Words())
    for i in range(140):
        topic = ("battery", "refund")[i % 2]
        lie = topic == "battery" and i >= 60
        house.broker.produce(kit.RESPONSES, kit.response(i, messages=turn(topic, lie)), f"c{i % 2}")
        if i % 10 == 9:
            house.settle(worker)
    return house


def client(house: House) -> TestClient:
    state = StateReader(house.engine, house.settings.telemetry, clock=lambda: house.now_s)
    context = Context(
        engine=house.engine,
        settings=house.settings,
        registry=CollectorRegistry(),
        state=state,
        clock=lambda: house.now_s,
        access=Access(None),
        pseudonym_key=b"p" * 32,
        broker_problem=lambda: None,
    )
    return TestClient(create_app(context), base_url="http://127.0.0.1")


def lie_alarm(api: TestClient) -> dict[str, Any]:
    found = api.get("/v1/alarms").json()["alarms"]
    return next(alarm for alarm in found if alarm["metric"] == "lie")


def step(api: TestClient, alarm_id: str, name: str) -> dict[str, Any]:
    answer = api.post(f"/v1/alarms/{alarm_id}/{name}", json={"by": "ada", "reason": "looked"})
    assert answer.status_code == 200, answer.text
    made: dict[str, Any] = answer.json()
    return made


def jobs(house: House) -> tuple[Localiser, Reporter]:
    clock = lambda: house.now_s  # noqa: E731
    localiser = Localiser(house.engine, embed=embed, owner="w", clock=clock)
    return localiser, Reporter(
        house.engine, options=house.settings.detection, owner="w", clock=clock
    )


def test_an_alarm_says_where_since_when_and_how_large(drifted: House) -> None:
    api = client(drifted)
    localiser, reporter = jobs(drifted)
    alarm_id = lie_alarm(api)["alarm_id"]
    assert api.get(f"/v1/alarms/{alarm_id}").json()["localisation"] is None
    assert api.get("/v1/report").json()["made_at"] is None
    localiser.update()
    localiser.update()
    reporter.update()
    reporter.update()
    found = api.get(f"/v1/alarms/{alarm_id}").json()
    where = found["localisation"]
    assert "battery" in where["topics"][0]["name"]
    assert where["topics"][0]["mean"] > 0.8
    assert where["size"]["n"] > 20
    assert where["size"]["lower"] < 0.475 < where["size"]["upper"]
    assert len(where["telling"]) == 20
    assert {item["kind"] for item in where["telling"]} == {"lie"}
    assert found["reported"]
    report = api.get("/v1/report").json()
    assert report["level"] == 0.1
    assert alarm_id in {finding["alarm_id"] for finding in report["reported"]}
    assert drifted.count(joint_reports) == 1, "a report that says the same is not stored again"
    drawn = [api.get(address) for address in found["pictures"]]
    assert [answer.headers["content-type"] for answer in drawn] == ["image/png"] * 2
    assert all(answer.content.startswith(b"\x89PNG") for answer in drawn)
    assert drawn[0].content != drawn[1].content
    assert api.get("/v1/alarms/none/honesty.png").status_code == 404
    assert api.get(f"/v1/alarms/{alarm_id}/other.png").status_code == 422


def audit(house: House, *, n: int, probability: float | None) -> None:
    """Random labels that agree with the verdicts."""
    with house.engine.begin() as connection:
        rows = connection.execute(
            select(verdicts.c.response_id, verdicts.c.kind)
            .where(verdicts.c.purpose == "live")
            .order_by(verdicts.c.scored_at_s.desc())
            .limit(n)
        ).all()
        for row in rows:
            connection.execute(
                insert(labels).values(
                    assistant="helper",
                    response_id=row.response_id,
                    labeller="bo",
                    kind=row.kind,
                    inclusion_probability=probability,
                    at_s=house.now_s,
                )
            )


def test_acts_that_tools_contradict_are_an_alarm_that_says_so(house: House, kit: Any) -> None:
    house.set(
        detection=DetectionOptions(
            **dict.fromkeys(("reference", "evasion_reference", "worst_case_reference"), 0.1),
            own_actions_reference=0.1,
            tolerance=0.05,
        ),
        api=ApiOptions(open_on_loopback=True),
    )
    worker = house.worker(scorer=Acts())
    for i in range(60):
        told = turn("refund", lie=i >= 30)
        house.broker.produce(kit.RESPONSES, kit.response(i, messages=told), "c")
        if i % 10 == 9:
            house.settle(worker)
    (alarm,) = client(house).get("/v1/alarms").json()["alarms"]
    assert (alarm["metric"], alarm["scope"], alarm["state"]) == ("own_actions", STRATUM, "open")
    assert "tool record contradicts what they say was done" in alarm["claim"]


@pytest.mark.parametrize(
    ("n", "probability", "fell"), [(40, 0.5, True), (40, None, False), (12, 0.5, False)]
)
def test_honesty_fell_is_said_only_after_a_random_audit(
    drifted: House, n: int, probability: float | None, fell: bool
) -> None:
    api = client(drifted)
    alarm_id = lie_alarm(api)["alarm_id"]
    audit(drifted, n=n, probability=probability)
    with reading(drifted.engine) as connection:
        alarm = next(a for a in list_alarms(connection) if a.metric == "lie")
        assert (audit_of(connection, alarm) is not None) is (probability is not None)
        of_acts = msgspec.structs.replace(alarm, metric="own_actions")
        assert audit_of(connection, of_acts) is None, (
            "labels are of all responses, its share is not"
        )
    assert step(api, alarm_id, "acknowledge")["claim"].startswith("the measured score rose")
    confirmed = step(api, alarm_id, "confirm")
    assert confirmed["claim"].startswith("honesty fell: a random audit of 40") is fell
    assert confirmed["claim"].startswith("the measured score rose") is not fell
    basis = confirmed["details"]["confirmed_by"]["basis"]
    assert basis == ("audit" if fell else "person")
    assert step(api, alarm_id, "refute")["claim"].startswith("the measured score rose")
    assert step(api, alarm_id, "close")["state"] == "closed"
    with reading(drifted.engine) as connection:
        acts = connection.execute(select(audit_log.c.action).order_by(audit_log.c.id)).scalars()
        assert [act for act in acts if act.startswith("alarm.")] == [
            "alarm.acknowledged",
            "alarm.confirmed",
            "alarm.refuted",
            "alarm.closed",
        ]


def test_a_person_moves_a_reference(drifted: House) -> None:
    def move(**given: Any) -> list[Any]:
        by = person(given.pop("by", "ada"))
        wanted = Move(**{"stratum": STRATUM, "by": by, "reason": "a new tone, audited", **given})
        with drifted.engine.begin() as connection:
            return move_reference(
                connection, wanted, options=drifted.settings.detection, now_s=drifted.now_s
            )

    for wrong in (
        {},
        {"values": {"lie": 0.2}, "from_last": 50},
        {"values": {"honesty": 0.2}},
        {"values": {"lie": 0.99}},
        {"values": {"lie": 0.2}, "by": " "},
        {"values": {"lie": 0.2}, "stratum": "helper/none/normal"},
        {"values": {"lie": 0.2}, "decision_id": "none"},
    ):
        with pytest.raises(BadInputError):
            move(**wrong)
    (moved,) = move(values={"lie": 0.6})
    assert (moved.source, moved.approved_by, moved.value) == ("person", "ada", 0.6)
    drifted.now_s += 1.0
    by_metric = {item.metric: item for item in move(from_last=60)}
    assert by_metric["lie"].n == 60
    assert 0.475 < by_metric["lie"].value < 0.75
    with reading(drifted.engine) as connection:
        entries = connection.execute(
            select(audit_log.c.by, audit_log.c.details).where(
                audit_log.c.action == "reference.person"
            )
        ).all()
    assert len(entries) == 4
    assert {entry.by for entry in entries} == {"ada"}
    assert all(json.loads(entry.details)["log_position"] > 0 for entry in entries)
    assert lie_alarm(client(drifted))["state"] == "open", "only closing releases an alarm"
