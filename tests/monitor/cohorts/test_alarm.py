from __future__ import annotations

import functools
import math

import msgspec
import numpy as np
import pytest

from evidence import AlarmSubject
from monitor.cohorts.alarm import PopulationState, population_alarms
from monitor.cohorts.estimate import estimate
from monitor.cohorts.options import CohortOptions
from monitor.cohorts.simulate import simulate
from tests.monitor.cohorts.populations import population

OPTIONS = CohortOptions()


@functools.cache
def one_estimate():
    drawn = simulate(population(0.2, raters=600), np.random.default_rng(0))
    return estimate(drawn.events, options=OPTIONS)


def with_evidence(raters, weight):
    return msgspec.structs.replace(
        one_estimate(), log_evidence_raters=raters, log_evidence_weight=weight
    )


def step(state, found, position=1, since=None):
    return population_alarms(
        state,
        found,
        scope="support",
        at_s=5.0,
        log_position=position,
        options=OPTIONS,
        since=since,
    )


def test_an_alarm_opens_at_the_threshold_and_is_latched():
    threshold = math.log(2 / OPTIONS.false_alarm)
    state, alarms = step(None, with_evidence(threshold - 0.01, -3.0))
    assert alarms == []
    state, alarms = step(state, with_evidence(threshold, -3.0))
    assert [a.metric for a in alarms] == ["biased_raters"]
    state, alarms = step(state, with_evidence(threshold + 5, -3.0))
    assert alarms == []
    assert state.refreshes == 3
    assert state.top_log_evidence["biased_raters"] == pytest.approx(threshold + 5)


def test_both_metrics_alarm_on_their_own():
    _, alarms = step(None, with_evidence(9.0, 9.0))
    assert [a.metric for a in alarms] == ["biased_raters", "biased_weight"]
    first = alarms[0]
    assert first.subject is AlarmSubject.POPULATION
    assert first.scope == "support"
    assert first.reference == OPTIONS.limit
    assert first.n == one_estimate().biased_fraction.n
    assert len({a.alarm_id for a in alarms}) == 2


def test_a_closed_alarm_stays_closed_until_there_is_evidence_since():
    state, first = step(None, with_evidence(9.0, -1.0))
    state = state.closed("biased_raters", at_s=7.0)
    old = with_evidence(9.5, -1.0)
    state, alarms = step(state, old)
    assert alarms == []
    state, alarms = step(state, old, since={7.0: with_evidence(1.0, 50.0)})
    assert alarms == []
    assert state.top_log_evidence["biased_raters"] == pytest.approx(1.0)
    state, again = step(state, old, since={7.0: with_evidence(9.0, 50.0)})
    assert [alarm.metric for alarm in again] == ["biased_raters"]
    assert again[0].log_evidence == pytest.approx(9.0)
    assert again[0].alarm_id != first[0].alarm_id


def test_a_metric_that_was_never_closed_keeps_all_its_evidence():
    state, _ = step(None, with_evidence(9.0, -1.0))
    state = state.closed("biased_raters", at_s=7.0).closed("biased_weight", at_s=7.0)
    _, alarms = step(state, with_evidence(9.0, 9.0), since={7.0: with_evidence(0.0, 0.0)})
    assert [alarm.metric for alarm in alarms] == ["biased_weight"]


def test_the_state_survives_encoding():
    state, _ = step(None, with_evidence(9.0, 1.0))
    assert PopulationState.decode(state.encode()) == state
    with pytest.raises(msgspec.ValidationError):
        PopulationState.decode(b'{"open": 3}')
