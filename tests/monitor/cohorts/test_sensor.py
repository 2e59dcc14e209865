from __future__ import annotations

import numpy as np
import pytest

from evidence.records import Accuracy
from monitor.cohorts.estimate import estimate
from monitor.cohorts.options import CohortOptions
from monitor.cohorts.results import Answer
from monitor.cohorts.rounds import fit_rounds
from monitor.cohorts.sensor import SensorError, log_prior
from monitor.cohorts.simulate import Behaviour, simulate
from tests.monitor.cohorts.populations import population

OPTIONS = CohortOptions()
# A sensor of AUROC .78 that was calibrated where nearly half of all answers are lies.
RARE = {"separation": 1.09, "lies": 0.05, "calibrated_at": 0.485}


def lies_read(events, sensor=None):
    unknown = np.full(len(events.responses), np.nan)
    fitted = fit_rounds(events, unknown, OPTIONS, sensor)
    rated = np.unique(events.response)
    return sum(one.weight * float(one.truth[rated].mean()) for one in fitted.readings)


@pytest.fixture(scope="module")
def rare():
    return simulate(population(0.2, raters=800, **RARE), np.random.default_rng(3))


def test_the_prevalence_is_found_though_p_lie_was_calibrated_at_another(rare):
    rated = np.unique(rare.events.response)
    assert float(rare.events.p_lie.mean()) > 0.25
    assert lies_read(rare.events) < 0.16
    measured = SensorError(
        accuracy=Accuracy(sensitivity=0.71, n_lies=300, specificity=0.71, n_honest=300),
    )
    truth = float(rare.is_lie[rated].mean())
    assert abs(lies_read(rare.events, measured) - truth) < 0.04


def test_a_rare_lie_does_not_make_raters_known(rare):
    found = estimate(rare.events, options=OPTIONS)
    met = np.bincount(rare.events.rater, rare.is_lie[rare.events.response])
    assert sum(r.effective_lies for r in found.raters) < 3 * met.sum()
    assert found.biased_fraction.lower <= 0.2 <= found.biased_fraction.upper or found.reasons


def test_a_sensor_that_was_not_shown_to_tell_lies_is_too_weak(rare):
    blind = SensorError(
        accuracy=Accuracy(sensitivity=0.5, n_lies=40, specificity=0.52, n_honest=40)
    )
    found = estimate(rare.events, options=OPTIONS, sensor=blind)
    assert found.answer is Answer.TOO_WEAK
    assert "not shown to tell lies" in found.reasons[0]


def test_the_calibration_prefers_the_offset_that_it_agrees_with():
    rng = np.random.default_rng(0)
    lie = rng.random(20_000) < 0.05
    score = np.where(lie, 0.545, -0.545) + rng.standard_normal(len(lie))
    p_lie = 1 / (1 + np.exp(-1.09 * score))
    sensor = SensorError(
        accuracy=Accuracy(sensitivity=0.71, n_lies=200, specificity=0.71, n_honest=200),
    )
    log_odds = np.log(p_lie) - np.log1p(-p_lie)
    offsets = np.arange(-5.0, 1.1, 0.25)
    value = [log_prior(o, 1 / (1 + np.exp(-log_odds - o)), p_lie, sensor) for o in offsets]
    assert offsets[int(np.argmax(value))] == pytest.approx(np.log(0.05 / 0.95), abs=0.5)


def test_raters_who_turn_are_noticed_and_the_share_reaches_them():
    turning = Behaviour(0.4, 0.9, turned=0.5)
    scenario = population(
        0.1, raters=2500, separation=1.8, behaviours={**population().behaviours, "biased": turning}
    )
    drawn = simulate(scenario, np.random.default_rng(1))
    found = estimate(drawn.events, options=OPTIONS)
    assert found.fit.turned
    assert found.answer is Answer.DOES_NOT_FIT
    assert found.biased_fraction.lower <= 0.1 <= found.biased_fraction.upper
