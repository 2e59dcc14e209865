"""Score rate and honesty as they are computed and shown: what corrects one to the other, and when."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from sqlalchemy import insert

from evidence import Purpose, Stratum, VerdictKind
from evidence.ppi import Labelled
from evidence.records import Accuracy, SensorFigures
from monitor.api.honesty import agreeing, stratum_figures
from monitor.store.labels import AuditedVerdict
from monitor.store.schema import labels
from monitor.store.sensors import put_sensors
from monitor.store.status import KindCount
from tests.monitor.api.conftest import NOW_S, Service
from tests.monitor.api.test_reads import SHOP, put, verdict


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
