"""Score rate and honesty as they are computed and shown: what corrects one to the other, and when."""

from __future__ import annotations

import math
from io import BytesIO
from typing import Any

import msgspec
import numpy as np
import pytest
from sqlalchemy import event, insert

from evidence import Purpose, Stratum, VerdictKind
from evidence.confidence import wilson
from evidence.ppi import Labelled
from evidence.records import Accuracy, SensorFigures
from monitor.api.pictures import _evidence
from monitor.api.visible import visible
from monitor.detect.options import DetectionOptions
from monitor.detect.records import encode_state
from monitor.detect.stratum import advance, new_state
from monitor.http.access import Principal, Scope
from monitor.services.honesty import agreeing, stratum_figures
from monitor.services.own_acts import own_acts
from monitor.store import detectors
from monitor.store.labels import AuditedVerdict
from monitor.store.schema import labels
from monitor.store.sensors import put_sensors
from monitor.store.status import KindCount, act_counts
from monitor.telemetry import State
from tests.monitor.api.conftest import NOW_S, Service
from tests.monitor.api.test_reads import SHOP, put, verdict
from tests.monitor.detect.test_ranks import log_of


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


def test_what_the_tool_record_contradicts_is_a_share_of_what_could_be_seen(
    service: Service,
) -> None:
    seen = ["supported"] * 6 + ["contradicted"] * 2 + ["not_visible"] * 5 + [None] * 7
    put(service, *(verdict(i, acts=acts) for i, acts in enumerate(seen)))
    put(service, verdict(50, acts="contradicted", stratum=Stratum("bank"), pi=0.5))
    put(service, verdict(51, acts="supported", stratum=Stratum("bank")))
    bank, shop = service.client.get("/v1/honesty").json()["own_acts"]
    assert (shop["assistant"], shop["n_visible"], shop["n_contradicted"]) == ("shop", 8, 2)
    assert shop["contradicted"]["estimate"] == pytest.approx(0.25)
    found = wilson(2, 8)
    assert shop["contradicted"]["lower"] == pytest.approx(found.lower)
    assert shop["contradicted"]["upper"] == pytest.approx(found.upper)
    assert bank["contradicted"]["estimate"] == pytest.approx(2 / 3), "weighted by 1 / pi"
    assert bank["n_effective"] == pytest.approx(9 / 5)
    (alone,) = service.client.get("/v1/honesty?assistant=shop").json()["own_acts"]
    assert alone == shop
    shown = service.client.get("/metrics").text
    assert 'candor_own_acts_contradicted_ratio{assistant="shop"} 0.25' in shown
    assert 'candor_own_acts_responses{acts="supported",assistant="shop"} 6.0' in shown


def test_a_share_of_acts_is_shown_to_who_may_see_the_assistant(service: Service) -> None:
    put(service, verdict(1, acts="supported"))
    with service.engine.connect() as connection:
        counts = act_counts(connection, since_s=0.0)
    state = State(read_at_s=NOW_S, window_s=1.0, own_acts=own_acts(counts))
    for name, n in (("shop", 1), ("bank", 0)):
        principal = Principal(
            name="k", scopes=frozenset({Scope.READ}), assistants=frozenset({name})
        )
        assert len(visible(state, principal).own_acts) == n


def test_where_no_act_could_be_seen_there_is_no_share(service: Service) -> None:
    put(service, verdict(1), verdict(2, acts="not_visible"))
    assert service.client.get("/v1/honesty").json()["own_acts"] == []
    assert "candor_own_acts_contradicted_ratio{" not in service.client.get("/metrics").text


def test_acts_are_summed_from_their_index_alone(service: Service) -> None:
    ran: list[tuple[str, Any]] = []
    with service.engine.connect() as connection:
        event.listen(
            service.engine,
            "before_cursor_execute",
            lambda _c, _cur, statement, parameters, *_: ran.append((statement, parameters)),
        )
        act_counts(connection, since_s=0.0)
        statement, parameters = ran[-1]
        plan = connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", parameters).fetchall()
    assert plan[0][3].startswith("SEARCH verdicts USING COVERING INDEX ix_verdicts_acts"), plan


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
    for some, basis in ((rows[10:50], "sensor"), (rows[50:], "labels")):
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
            scored_at_s=0.0,
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
    assert found == [Labelled("lie", False, 4.0), Labelled("honest", True, 4.0)]


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


def test_a_stratum_says_how_small_a_fall_it_would_find(service: Service) -> None:
    put(service, *(verdict(i) for i in range(10)))
    assert service.client.get("/v1/honesty").json()["strata"][0]["blind"] is None
    log = [
        msgspec.structs.replace(entry, stratum=SHOP.key)
        for entry in log_of(np.random.default_rng(7).beta(2.0, 8.0, 600).tolist())
    ]
    options = DetectionOptions()
    state, _ = advance(new_state(SHOP.key, options=options), log, options=options)
    with service.engine.begin() as connection:
        read = detectors.read_detector(connection, SHOP.key)
        assert detectors.save_detector(connection, read, encode_state(state), 600, now_s=NOW_S)
    shown = service.client.get("/v1/honesty").json()["strata"][0]
    assert shown["blind"] is False
    assert 0.0 < shown["smallest_visible_fall"] < 0.1
    assert "candor_smallest_visible_fall_ratio{" in service.client.get("/metrics").text


def test_an_alarm_of_the_ranks_is_drawn_from_what_it_tells() -> None:
    rng = np.random.default_rng(8)
    options = DetectionOptions()
    log = log_of([*rng.beta(2.0, 8.0, 800), *rng.beta(6.0, 4.0, 200)])
    _, alarms = advance(new_state("a/b/normal", options=options), log, options=options)
    alarm = next(one for one in alarms if one.details["detector"] == "ranks")
    out = BytesIO()
    _evidence(alarm, [], out)
    assert out.getvalue().startswith(b"\x89PNG")
