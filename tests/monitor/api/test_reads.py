"""Verdicts, cohorts, gate and health as they are read, and honesty as it is computed."""

from __future__ import annotations

import math
from typing import Any

import msgspec
import numpy as np
import pytest
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
from evidence.ppi import Labelled
from evidence.records import Accuracy, SensorFigures
from monitor.api.honesty import agreeing, stratum_figures
from monitor.cohorts.results import Share
from monitor.store import leases
from monitor.store.labels import AuditedVerdict
from monitor.store.schema import (
    cohort_estimates,
    confirm_runs,
    gate_decisions,
    labels,
    rater_posteriors,
)
from monitor.store.sensors import put_sensors
from monitor.store.status import KindCount
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
) -> Verdict:
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
            p_lie=0.1,
            p_evasion=None,
            measurements=(Measurement(probe="judge", version="v", p_lie=0.1),),
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


def test_the_score_rate_in_the_metrics_counts_live_verdicts_of_the_window(service: Service) -> None:
    kinds = [VerdictKind.HONEST] * 6 + [VerdictKind.LIE] * 2 + [VerdictKind.ERROR] * 2
    put(service, *(verdict(i, kind) for i, kind in enumerate(kinds)))
    put(service, verdict(100, VerdictKind.LIE, scored_at_s=NOW_S - 90_000))
    put(service, verdict(101, VerdictKind.LIE, purpose=Purpose.CANARY))
    shown = service.client.get("/metrics").text
    labels = 'assistant="shop",segment="refunds",stakes="high"'
    assert f"candor_score_rate_ratio{{{labels}}} 0.75" in shown
    assert f"candor_score_rate_worst_case_ratio{{{labels}}} 0.6" in shown
    assert f"candor_score_rate_best_case_ratio{{{labels}}} 0.8" in shown
    assert "candor_honesty_ratio{" not in shown, "nothing was measured of the sensor"
    (stratum,) = service.client.get("/v1/honesty").json()["strata"]
    assert stratum["score_rate"]["estimate"] == 0.75
    assert stratum["honesty"] == dict.fromkeys(stratum["honesty"])
    assert stratum["basis"] is None


FIGURES = SensorFigures(
    evaluator_version="e-1",
    assistant="shop",
    accuracy=Accuracy(sensitivity=0.8, n_lies=200, specificity=0.9, n_honest=300),
    prevalence=0.4,
    card={"auroc": 0.9},
)


def test_a_measured_sensor_makes_honesty_of_the_score_rate(service: Service) -> None:
    kinds = [VerdictKind.HONEST] * 83 + [VerdictKind.LIE] * 17
    put(service, *(verdict(i, kind) for i, kind in enumerate(kinds)))
    bank = Stratum("bank")
    put(service, verdict(200, stratum=bank), verdict(201, VerdictKind.LIE, stratum=bank))
    with service.engine.begin() as connection:
        put_sensors(connection, [FIGURES], now_s=NOW_S)
    other, shop = service.client.get("/v1/honesty").json()["strata"]
    assert shop["honesty"]["estimate"] == pytest.approx(0.9)
    assert shop["honesty"]["lower"] < 0.83
    assert shop["honesty"]["upper"] > 0.95
    assert (shop["basis"], shop["score_rate"]["estimate"]) == ("sensor", 0.83)
    assert shop["verdicts"] == {"honest": 83, "lie": 17}
    assert other["basis"] is None, "the sensor was measured on another assistant"
    assert (
        'candor_honesty_ratio{assistant="shop",basis="sensor"'
        in service.client.get("/metrics").text
    )
    named = service.client.get("/v1/honesty?assistant=bank").json()["strata"]
    assert [one["assistant"] for one in named] == ["bank"]


def test_random_labels_go_before_the_sensors_card(service: Service) -> None:
    """Of 150 audited answers every one called a lie was honest: the card was wrong here."""
    kinds = [VerdictKind.HONEST] * 100 + [VerdictKind.LIE] * 50
    put(service, *(verdict(i, kind) for i, kind in enumerate(kinds)))
    with service.engine.begin() as connection:
        put_sensors(connection, [FIGURES], now_s=NOW_S)
    rows = [
        {
            "assistant": "shop",
            "response_id": f"r{i}",
            "labeller": "ann",
            "kind": "honest",
            "inclusion_probability": 0.5,
            "at_s": NOW_S,
        }
        for i in range(150)
    ]
    for some, basis in ((rows[10:90], "sensor"), (rows[90:], "labels")):
        with service.engine.begin() as connection:
            connection.execute(insert(labels), some)
        assert stratum_of(service)["basis"] == basis
    shown = stratum_of(service)
    assert (shown["basis"], shown["random_labels"]) == ("labels", 140)
    assert shown["honesty"]["estimate"] == 1.0
    assert 0.9 < shown["honesty"]["lower"] < 1.0


def stratum_of(service: Service) -> dict[str, Any]:
    found: list[dict[str, Any]] = service.client.get("/v1/honesty").json()["strata"]
    return found[0]


def counted(kind: VerdictKind, n: int, pi: float, version: str = "e-1") -> KindCount:
    return KindCount(
        assistant="shop",
        segment="refunds",
        stakes="high",
        kind=kind.value,
        evaluator_version=version,
        n=n,
        weight=n / pi,
        weight_squared=n / pi**2,
    )


def test_an_equal_probability_changes_neither_share_nor_interval() -> None:
    whole, tenth = (
        stratum_figures(
            SHOP,
            [counted(VerdictKind.HONEST, 90, pi), counted(VerdictKind.LIE, 10, pi)],
            {("e-1", "shop"): FIGURES.accuracy},
        )
        for pi in (1.0, 0.1)
    )
    assert whole.score_rate.estimate == pytest.approx(0.9)
    assert tenth.effective_n == pytest.approx(whole.effective_n) == pytest.approx(100)
    assert tenth.score_rate.lower == pytest.approx(whole.score_rate.lower)
    assert tenth.honesty.lower == pytest.approx(whole.honesty.lower)


def test_every_evaluator_of_the_window_must_have_been_measured() -> None:
    counts = [counted(VerdictKind.HONEST, 90, 1.0), counted(VerdictKind.HONEST, 90, 1.0, "e-2")]
    known = {("e-1", "shop"): FIGURES.accuracy}
    assert stratum_figures(SHOP, counts, known).basis is None
    both = stratum_figures(SHOP, counts, {**known, ("e-2", "shop"): FIGURES.accuracy})
    assert both.basis == "sensor"
    assert both.counts == {VerdictKind.HONEST: 180}


def test_labellers_who_disagree_and_labels_of_nothing_said_are_left_out() -> None:
    def audited(name: str, label: str, verdict: str = "lie") -> AuditedVerdict:
        return AuditedVerdict(
            assistant="shop",
            segment="refunds",
            stakes="high",
            response_id=name,
            verdict=verdict,
            label=label,
            weight=4.0,
        )

    found = agreeing(
        [
            *(audited("a", "lie"), audited("a", "evasion"), audited("b", "honest")),
            *(audited("b", "lie"), audited("c", "not_asserted"), audited("d", "lie", "error")),
            audited("e", "honest", "honest"),
        ]
    )
    assert found == [Labelled(False, False, 4.0), Labelled(True, True, 4.0)]


def test_errors_alone_are_no_honesty() -> None:
    state = stratum_figures(SHOP, [counted(VerdictKind.ERROR, 5, 1.0)], {})
    assert state.score_rate.estimate is None
    assert state.honesty.estimate is None
    assert (state.score_rate.worst_case, state.score_rate.best_case) == (0.0, 1.0)


def test_the_interval_covers_under_unequal_probabilities() -> None:
    """Seeded: 95 % intervals of a weighted share cover the truth in about 95 % of draws."""
    random = np.random.default_rng(20251009)
    truth, n, covered, draws = 0.85, 400, 0, 400
    for _ in range(draws):
        honest = random.random(n) < truth
        # Liars are liked, so they are rated and sampled more often: weights must undo that.
        pi = np.where(honest, 0.3, 0.8)
        taken = random.random(n) < pi
        counts = [
            counted(VerdictKind.HONEST, int((taken & honest).sum()), 0.3),
            counted(VerdictKind.LIE, int((taken & ~honest).sum()), 0.8),
        ]
        found = stratum_figures(SHOP, counts, {}).score_rate
        assert found.lower is not None
        assert found.upper is not None
        covered += found.lower <= truth <= found.upper
    assert covered / draws > 0.95 - 3 * math.sqrt(0.95 * 0.05 / draws)


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
