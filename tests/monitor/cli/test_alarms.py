"""`candor alarms` and `candor reference` over a real store: the whole life of an alarm, and its refusals."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import pytest

from evidence import Alarm, AlarmSubject
from monitor.assistants import AssistantOptions
from monitor.cli.scorer import approved_in, panel_settings
from monitor.detect.options import DetectionOptions
from monitor.detect.records import METRICS, Reference, encode_state
from monitor.detect.stratum import new_state, rebase
from monitor.settings import Settings
from monitor.store import audit, detectors, open_store, reading

STRATUM = "shop/other/normal"


@pytest.fixture
def store(tmp_path: Path) -> str:
    """A store with one alarm and one watched stratum."""
    url = f"sqlite:///{tmp_path}/var/candor.db"
    engine = open_store(url)
    options = DetectionOptions()
    reference = Reference(value=0.1, source="learned", log_position=5)
    state = rebase(
        new_state(STRATUM, options=options),
        dict.fromkeys(METRICS, reference),
        options=options,
        evaluator_version="e1",
    )
    alarm = Alarm(
        alarm_id="a1",
        subject=AlarmSubject.STRATUM,
        scope=STRATUM,
        metric="lie",
        claim="the measured score rose",
        opened_at_s=time.time(),
        log_position=5,
        n=40,
        log_evidence=10.0,
        log_threshold=9.0,
        reference=0.1,
    )
    with engine.begin() as connection:
        read = detectors.read_detector(connection, STRATUM)
        detectors.save_detector(connection, read, encode_state(state), 5, now_s=1.0)
        detectors.latch(connection, [alarm], by="detection", topic=None, now_s=1.0)
    engine.dispose()
    return url


def test_an_alarm_is_listed_moved_and_closed(store: str, candor: Any) -> None:
    listed = candor("alarms", "list", "--json").json
    assert [alarm["alarm_id"] for alarm in listed] == ["a1"]
    reason = ("--by", "ada", "--reason", "12 of 20 lie")
    refused = candor("alarms", "close", "a1", *reason)
    assert refused.code == 2
    assert "cannot become closed" in refused.err
    for step, state in (
        ("acknowledge", "acknowledged"),
        ("confirm", "confirmed"),
        ("refute", "refuted"),
        ("close", "closed"),
    ):
        moved = candor("alarms", step, "a1", *reason, "--json")
        assert moved.code == 0, moved.err
        assert json.loads(moved.out)["state"] == state
    shown = json.loads(candor("alarms", "show", "a1", "--json").out)
    assert [event["to_state"] for event in shown["events"]][-1] == "closed"
    assert candor("alarms", "list", "--json").json == []
    assert candor("alarms", "show", "none").code == 2
    engine = open_store(store)
    with reading(engine) as connection:
        assert audit.verify(connection).entries == 4
    engine.dispose()


def test_a_reference_is_shown_and_moved(store: str, candor: Any) -> None:
    by = ("--by", "ada", "--reason", "audited")
    moved = candor("reference", "move", STRATUM, "--value", "lie=0.2", *by, "--json")
    assert moved.code == 0, moved.err
    assert json.loads(moved.out)[0]["source"] == "person"
    rows = {row["metric"]: row for row in candor("reference", "show", "--json").json["references"]}
    assert (rows["lie"]["reference"], rows["lie"]["source"]) == (0.2, "person")
    assert (rows["evasion"]["reference"], rows["evasion"]["source"]) == (0.1, "learned")
    for wrong in (("--value", "lie"), ("--value", "lie=x"), ("--from-last", "20"), ()):
        assert candor("reference", "move", STRATUM, *wrong, *by).code == 2


def test_a_version_is_approved_shown_and_replaced(store: str, candor: Any, tmp_path: Path) -> None:
    named = {"assistants": '{"shop": {"approved": "shop-1"}}'}
    by = ("--by", "ada", "--reason", "released")
    for version in ("shop-2", str(tmp_path)):
        made = candor("reference", "approve", "shop", version, *by, "--json", **named)
        assert made.code == 0, made.err
    (shown,) = candor("reference", "show", "--json").json["approved"]
    assert shown["version"] == str(tmp_path.resolve())
    assert "ada" in shown["approved_by"]
    engine = open_store(store)
    assert approved_in(engine) == {"shop": str(tmp_path.resolve())}
    with reading(engine) as connection:
        assert audit.verify(connection).entries == 2
    engine.dispose()
    settings = Settings(assistants={"shop": AssistantOptions(approved="shop-1")})
    assert panel_settings(settings, "shop")["approved"] == "shop-1"
    assert panel_settings(settings, "shop", {"shop": "shop-2"})["approved"] == "shop-2"
    assert panel_settings(settings, None, {"shop": "shop-2"})["approved"] is None
    for wrong in (
        ("desk", "desk-1", *by),
        ("shop", " ", *by),
        ("shop", "shop-3", "--by", "ada", "--reason", " "),
        ("shop", "shop-3", *by, "--decision", "none"),
    ):
        assert candor("reference", "approve", *wrong, **named).code == 2, wrong
