"""Verdicts, cohorts, gate and health as they are read."""

from __future__ import annotations

from typing import Any

import msgspec
from sqlalchemy import insert, text

from evidence import (
    Assessment,
    Measurement,
    Purpose,
    SampledBy,
    Stakes,
    Stratum,
    Verdict,
    VerdictKind,
)
from monitor.cohorts.results import Share
from monitor.store import leases
from monitor.store.schema import (
    cohort_estimates,
    confirm_runs,
    gate_decisions,
    rater_posteriors,
)
from monitor.store.verdicts import insert_verdicts
from tests.monitor.api.conftest import NOW_S, MakeService, Service

SHOP = Stratum("shop", "refunds", Stakes.HIGH)


def verdict(
    index: int,
    kind: VerdictKind = VerdictKind.HONEST,
    *,
    stratum: Stratum = SHOP,
    pi: float = 1.0,
    scored_at_s: float = NOW_S,
    purpose: Purpose = Purpose.LIVE,
    acts: str | None = None,
) -> Verdict:
    found = [Measurement(probe="judge", version="v", p_lie=0.1)]
    if acts is not None:
        found.append(Measurement(probe="actions", version="v", p_lie=0.1, answers={acts: 1.0}))
    return Verdict(
        key=f"k{index:03d}",
        response_id=f"r{index}",
        stratum=stratum,
        model="m-1",
        purpose=purpose,
        repeat=0,
        sampled_by=SampledBy.ARRIVAL,
        inclusion_probability=pi,
        created_at_s=NOW_S - 10,
        scored_at_s=scored_at_s,
        assessment=Assessment(
            kind=kind,
            p_lie=0.9 if kind is VerdictKind.LIE else 0.1,
            p_evasion=None,
            measurements=tuple(found),
            evaluator_version="e-1",
        ),
    )


def put(service: Service, *verdicts: Verdict) -> None:
    with service.engine.begin() as connection:
        insert_verdicts(connection, verdicts)


def test_verdicts_page_by_page_without_loss_or_repeat(service: Service) -> None:
    put(service, *(verdict(i, scored_at_s=NOW_S + i // 4) for i in range(25)))
    seen: list[str] = []
    after = None
    while True:
        params = {"limit": 4} | ({"after": after} if after else {})
        page = service.client.get("/v1/verdicts", params=params).json()
        seen += [item["key"] for item in page["verdicts"]]
        after = page["next"]
        if after is None:
            break
    assert sorted(seen) == [f"k{i:03d}" for i in range(25)]
    assert seen[0] == "k024"


def test_verdict_filters(service: Service) -> None:
    bank = Stratum("bank")
    put(service, verdict(1), verdict(2, VerdictKind.LIE), verdict(3, stratum=bank))

    def keys(**params: str) -> list[str]:
        found = service.client.get("/v1/verdicts", params=params).json()["verdicts"]
        return sorted(item["key"] for item in found)

    assert keys(kind="lie") == ["k002"]
    assert keys(assistant="bank") == ["k003"]
    assert keys(stratum="shop/refunds/high") == ["k001", "k002"]
    assert keys(response_id="r1") == ["k001"]
    shown = service.client.get("/v1/verdicts?response_id=r1").json()["verdicts"][0]
    assert shown["measurements"][0]["probe"] == "judge"
    assert shown["scored_at"] == "2025-10-09T08:53:20Z"
    for bad in ("kind=wrong", "limit=0", "limit=1001", "after=x", "after=x:y"):
        assert service.client.get(f"/v1/verdicts?{bad}").status_code == 422


def put_cohort(service: Service) -> None:
    share = Share(estimate=0.1, lower=0.05, upper=0.2, n=60)
    record = {"biased_fraction": share, "biased_weight": share, "groups": []}
    with service.engine.begin() as connection:
        for n_raters in (50, 60):
            connection.execute(
                insert(cohort_estimates).values(
                    assistant="shop",
                    cutoff_s=NOW_S,
                    n_raters=n_raters,
                    n_events=300,
                    record=msgspec.json.encode(record).decode(),
                    alarm_state="",
                    created_at_s=NOW_S,
                )
            )
        for rater, p_biased, status in (
            ("a" * 32, 0.99, "suspect"),
            ("b" * 32, 0.01, "benign"),
            ("c" * 32, None, "unidentified"),
        ):
            connection.execute(
                insert(rater_posteriors).values(
                    assistant="shop",
                    rater=rater,
                    p_biased=p_biased,
                    status=status,
                    n_events=9,
                    estimate_id=2,
                )
            )


def test_cohorts(service: Service) -> None:
    put_cohort(service)
    (cohort,) = service.client.get("/v1/cohorts").json()["cohorts"]
    assert cohort["n_raters"] == 60, "the newest estimate"
    assert cohort["biased_raters"] == {"estimate": 0.1, "lower": 0.05, "upper": 0.2}
    assert (cohort["suspects"], cohort["unidentified"]) == (1, 1)
    raters = service.client.get("/v1/cohorts?assistant=shop").json()["raters"]
    assert [rater["status"] for rater in raters] == ["suspect", "benign", "unidentified"]
    only = service.client.get("/v1/cohorts?assistant=shop&status=benign").json()["raters"]
    assert [rater["rater"] for rater in only] == ["b" * 32]


def put_gate(service: Service) -> None:
    with service.engine.begin() as connection:
        for number, (answer, by) in enumerate((("hold", None), ("block", "ada"))):
            connection.execute(
                insert(gate_decisions).values(
                    decision_id=f"d{number}",
                    assistant="shop",
                    answer=answer,
                    envelope='{"payload": "e30="}',
                    created_at_s=NOW_S + number,
                    expires_at_s=NOW_S + 100,
                    overridden_by=by,
                )
            )
        connection.execute(
            insert(confirm_runs).values(
                run_id="c1", assistant="shop", state="running", requested_at_s=NOW_S
            )
        )


def test_gate_and_decisions(service: Service) -> None:
    put_gate(service)
    gate = service.client.get("/v1/gate?assistant=shop").json()
    assert gate["last_answer"] == "block"
    assert gate["confirm_runs"][0]["state"] == "running"
    assert gate["holds"] == ["confirm_missing", "evaluator_health_unknown", "no_worker"]
    decisions = service.client.get("/v1/decisions").json()["decisions"]
    assert [decision["decision_id"] for decision in decisions] == ["d1", "d0"]
    assert decisions[0]["envelope"] == {"payload": "e30="}
    shown = service.client.get("/metrics").text
    assert 'candor_gate_decisions_total{answer="overridden",assistant="shop"} 1.0' in shown
    assert 'candor_gate_decisions_total{answer="hold",assistant="shop"} 1.0' in shown
    assert service.client.get("/v1/gate").status_code == 422


def beat(service: Service, worker: str, at_s: float) -> None:
    with service.engine.begin() as connection:
        leases.beat(connection, worker, expected=10, actual=8, paused=False, now_s=at_s)


def checks(service: Service) -> dict[str, Any]:
    answer = service.client.get("/readyz")
    found = {check["name"]: check["ok"] for check in answer.json()["checks"]}
    assert (answer.status_code == 200) is all(found.values()) is answer.json()["ready"]
    return found


def test_readiness(service: Service) -> None:
    assert service.client.get("/healthz").json() == {"status": "ok"}
    assert checks(service) == {"database": True, "broker": True, "workers": False}
    beat(service, "w1", NOW_S - 61)
    assert checks(service)["workers"] is False, "silent for too long"
    beat(service, "w2", NOW_S - 5)
    assert checks(service)["workers"] is True
    service.broker.append("kafka:9092: refused")
    assert checks(service)["broker"] is False
    with service.engine.begin() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '0000'"))
    assert checks(service)["database"] is False


def test_evaluations_are_summed_over_workers_that_ever_were(service: Service) -> None:
    beat(service, "w1", NOW_S - 100_000)
    beat(service, "w2", NOW_S)
    shown = service.client.get("/metrics").text
    assert "candor_evaluations_expected_total 20.0" in shown
    assert "candor_evaluations_actual_total 16.0" in shown
    assert 'candor_workers{state="alive"} 1.0' in shown
    assert 'candor_workers{state="silent"} 0.0' in shown, "gone for long is not silent"


def test_a_lost_table_is_503_and_a_problem(service: Service) -> None:
    with service.engine.begin() as connection:
        connection.execute(text("DROP TABLE verdict_log"))
        connection.execute(text("DROP TABLE verdicts"))
    answer = service.client.get("/v1/verdicts")
    assert answer.status_code == 503
    assert answer.headers["content-type"] == "application/problem+json"
    assert "candor_store_up 0.0" in service.client.get("/metrics").text


def test_unknown_paths_and_methods_are_problems(make_service: MakeService) -> None:
    client = make_service().client
    for method, path, status in (("GET", "/v1/nothing", 404), ("DELETE", "/v1/alarms", 405)):
        answer = client.request(method, path)
        assert answer.status_code == status
        assert answer.headers["content-type"] == "application/problem+json"
