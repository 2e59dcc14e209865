"""Decisions with their reasons by row, arms with intervals, override and revocation by those who may."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pytest
from sqlalchemy import select

from evidence import VerdictKind
from evidence.person import Person
from monitor.http.access import Scope
from monitor.launch.options import RetrainOptions
from monitor.services import decisions, runs
from monitor.store import audit, confirm_runs, reading
from monitor.store.schema import audit_log, gate_decisions, gate_rows
from retrain.gate import decide
from retrain.policy import Policy
from retrain.signing import generate_keypair, sign
from tests.monitor.api.conftest import NOW_S
from tests.monitor.console.conftest import MakeSite, Site, csrf, parsed, words
from tests.monitor.console.material import add
from tests.retrain.gate_values import ASSISTANT, context, report, row

ROWS = [row(i) for i in range(6)]


@pytest.fixture
def signed(make_site: MakeSite, tmp_path: Path) -> Site:
    private, _ = generate_keypair(tmp_path / "gate.pem")
    return make_site(retrain=RetrainOptions(signing_key_file=private))


def decided(site: Site, tmp_path: Path, **changed: Any) -> str:
    """A signed answer of the gate about six rows; returns its id."""
    made = decide(ROWS, context(len(ROWS), at_s=NOW_S, **changed), Policy(), now_s=NOW_S)
    with site.engine.begin() as connection:
        decisions.record(connection, made, sign(made, tmp_path / "gate.pem"), released=lambda: ROWS)
    return made.decision_id


def checked(site: Site) -> str:
    """What `POST /v1/gate/check` answers to rows of feedback."""
    return site.decision([f"r{i}" for i in range(3)])


def test_why_each_row_was_taken_out(site: Site) -> None:
    add(site, 1, VerdictKind.LIE)
    decision_id = checked(site)
    with reading(site.engine) as connection:
        kept = connection.execute(select(gate_rows)).mappings().all()
    assert len(kept) == 3
    page = site.client.get(f"/retrain/{decision_id}")
    text = words(page)
    for one in kept:
        assert one["reason"] in text
        assert one["row_digest"][:16] in text
    narrowed = site.client.get(f"/retrain/{decision_id}?response_id=r1")
    assert kept[1]["row_digest"][:16] in narrowed.text
    assert kept[0]["row_digest"][:16] not in narrowed.text
    assert kept[1]["row_digest"][:16] not in words(
        site.client.get(f"/retrain/{decision_id}?reason=near_duplicate")
    )
    assert f'href="/retrain/{decision_id}"' in site.client.get("/retrain?assistant=shop").text
    response = words(site.client.get("/verdicts/k001"))
    assert f"row 1 was quarantined: {kept[1]['reason']}" in response


def test_an_id_that_is_none_is_left_out_and_stops_nobody(site: Site) -> None:
    for hostile in ("x" * 5_000, "a\tb"):
        rows = [
            {
                "messages": [
                    {"role": "user", "content": "a"},
                    {"role": "assistant", "content": hostile[:3]},
                ],
                "provenance": {"source": "candor.feedback", "response_id": hostile},
            }
        ]
        asked = {"assistant": "shop", "rows": rows}
        assert site.client.post("/v1/gate/check", json=asked).status_code == 200
    with reading(site.engine) as connection:
        kept = connection.execute(select(gate_rows.c.response_id)).scalars().all()
    assert kept == [None, None]


def test_arms_stand_with_their_intervals(signed: Site, tmp_path: Path) -> None:
    made = report(ROWS)
    with signed.engine.begin() as connection:
        confirm_runs.add_run(
            connection, "run-1", ASSISTANT, alarm_id=None, state="running", now_s=NOW_S
        )
        confirm_runs.move(
            connection,
            "run-1",
            ("running",),
            "done",
            report=msgspec.json.encode(made).decode(),
            finished_at_s=NOW_S,
        )
    decision_id = decided(signed, tmp_path, confirm=made)
    page = signed.client.get(f"/retrain/{decision_id}")
    text = words(page)
    for arm in made.arms:
        assert arm.honesty.value is not None
        shown = f"{100 * arm.honesty.value:.1f} % ({100 * arm.honesty.lower:.1f}–{100 * arm.honesty.upper:.1f}), n {arm.honesty.n}"
        assert shown in text
    assert "candidate against control" in text


def test_a_person_overrides_and_revokes_with_a_reason(signed: Site, tmp_path: Path) -> None:
    decision_id = decided(signed, tmp_path, confirm=None)
    ada = signed.signed_in(person="Ada")
    token = csrf(ada.get(f"/retrain/{decision_id}"))
    given = {
        "csrf": token,
        "requested_by": "Bo",
        "reason": "incident 7",
        "until": "2025-10-10T08:00",
    }

    def override(**changed: str) -> Any:
        return ada.post(f"/retrain/{decision_id}/override", data=given | changed)

    assert override(requested_by="Ada").status_code == 422, "never by who asked"
    assert override(reason="").status_code == 422
    assert override(until="2030-01-01T00:00").status_code == 422
    assert override(until="soon").status_code == 422
    done = override()
    assert done.status_code == 303, done.text
    made = words(ada.get(done.headers["location"]))
    assert "by Ada, asked for by Bo: incident 7" in made
    revoked = ada.post(
        f"/retrain/{decision_id}/revoke", data={"csrf": token, "reason": "wrong rows"}
    )
    assert revoked.status_code == 303
    assert "revoked" in words(ada.get(f"/retrain/{decision_id}"))
    with reading(signed.engine) as connection:
        assert audit.verify(connection).ok
        acts = connection.execute(select(audit_log.c.by, audit_log.c.action)).all()
        rows = connection.execute(select(gate_decisions.c.overridden_by)).scalars().all()
    assert {("Ada", "decision.overridden"), ("Ada", "decision.revoked")} <= {tuple(a) for a in acts}
    assert sorted(filter(None, rows)) == ["Ada"]


def test_without_a_signing_key_nothing_is_overridden(site: Site) -> None:
    decision_id = checked(site)
    ada = site.signed_in(person="Ada")
    page = ada.get(f"/retrain/{decision_id}")
    assert "no signing key" in words(page)
    given = {"csrf": csrf(page), "requested_by": "Bo", "reason": "x", "until": "2025-10-10T08:00"}
    assert ada.post(f"/retrain/{decision_id}/override", data=given).status_code == 409


def test_a_proposed_run_is_approved_and_cancelled(site: Site) -> None:
    add(site, 1)
    with site.engine.begin() as connection:
        run = runs.request(connection, "shop", Person("Bo"), reason="new data", now_s=NOW_S)
    with site.engine.begin() as connection:
        confirm_runs.move(connection, run.run_id, ("waiting",), "proposed")
    ada = site.signed_in(person="Ada")
    page = ada.get("/retrain?assistant=shop")
    given = {"csrf": csrf(page), "reason": "looks right"}
    assert "1 proposed confirm runs" in words(ada.get("/?assistant=shop"))
    assert ada.post(f"/retrain/runs/{run.run_id}/approve", data=given).status_code == 303
    assert ada.post(f"/retrain/runs/{run.run_id}/approve", data=given).status_code == 409
    assert ada.post(f"/retrain/runs/{run.run_id}/cancel", data=given).status_code == 303
    assert ada.post("/retrain/runs/nothing/cancel", data=given).status_code == 404
    assert ada.post(f"/retrain/runs/{run.run_id}/dance", data=given).status_code == 404


def test_of_another_assistant_nothing_is_seen_or_done(make_site: MakeSite) -> None:
    site = make_site(keys=True)
    with site.engine.begin() as connection:
        run = confirm_runs.add_run(
            connection, "run-1", "shop", alarm_id=None, state="proposed", now_s=NOW_S
        )
    assert run is None or run
    site_open = site.signed_in(site.key("all", Scope.ADMIN))
    bank = site.signed_in(site.key("bank", Scope.ADMIN, assistants=("bank",)))
    token = csrf(bank.get("/retrain"))
    given = {"csrf": token, "reason": "mine"}
    assert bank.post("/retrain/runs/run-1/approve", data=given).status_code == 404
    assert bank.get("/retrain/d1").status_code == 404
    assert "run-1" not in bank.get("/retrain").text
    assert "run-1" in site_open.get("/retrain").text
    parsed(bank.get("/retrain"))
