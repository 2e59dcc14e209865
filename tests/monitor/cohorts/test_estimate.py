from __future__ import annotations

import dataclasses
import random

import msgspec
import numpy as np
import pytest

from monitor.cohorts.alarm import population_alarms
from monitor.cohorts.estimate import estimate
from monitor.cohorts.events import EventTable, RatedEvent
from monitor.cohorts.options import CohortOptions
from monitor.cohorts.results import CohortEstimate, RaterStatus
from monitor.cohorts.simulate import simulate
from tests.monitor.cohorts.populations import JUDGE_FAILS, RATERS_DISAGREE, population

OPTIONS = CohortOptions()


def found_in(scenario, seed):
    drawn = simulate(scenario, np.random.default_rng(seed))
    return drawn, estimate(drawn.events, options=OPTIONS)


def alarms_of(found):
    return population_alarms(None, found, scope="a", at_s=0.0, log_position=1, options=OPTIONS)[1]


def records(table):
    return [
        RatedEvent(
            feedback_id=f"f{i:06d}",
            rater=table.raters[table.rater[i]],
            response_id=table.responses[table.response[i]],
            value=float(table.value[i]),
            p_lie=float(table.p_lie[i]),
            created_at_s=float(table.created_at_s[i]),
        )
        for i in range(len(table))
    ]


def test_the_share_is_covered_and_near_over_seeds():
    errors, covered = [], 0
    for seed in range(4):
        drawn, found = found_in(population(0.1, raters=1000), seed)
        truth = float((drawn.behaviour == "biased").mean())
        errors.append(abs(found.biased_fraction.estimate - truth))
        covered += found.biased_fraction.lower <= truth <= found.biased_fraction.upper
    assert np.mean(errors) < 0.03
    assert covered == 4


@pytest.mark.parametrize(
    "topics", [None, JUDGE_FAILS, RATERS_DISAGREE], ids=["plain", "judge fails", "raters disagree"]
)
def test_nobody_is_accused_where_nobody_is_biased(topics):
    uppers, suspects, raised = [], 0, 0
    for seed in range(2):
        other = {"topics": topics} if topics else {}
        _, found = found_in(population(0.0, raters=1000, **other), 100 + seed)
        uppers.append(found.biased_fraction.upper)
        suspects += sum(r.status is RaterStatus.SUSPECT for r in found.raters)
        raised += bool(alarms_of(found))
    assert raised == 0
    assert suspects <= 1
    assert np.median(uppers) < 0.2


def test_a_topic_where_raters_disagree_with_the_judge_is_contested_and_says_nothing():
    _, found = found_in(population(0.0, raters=1500, topics=RATERS_DISAGREE), 0)
    contested = {t.topic: t.contested for t in found.topics}
    assert contested == {"good": False, "odd": True}


def test_audit_labels_tell_what_the_judge_is_worth_in_a_topic():
    drawn = simulate(population(0.0, raters=800, topics=JUDGE_FAILS), np.random.default_rng(1))
    labels = {
        name: bool(lie)
        for name, lie in zip(drawn.events.responses[:600], drawn.is_lie[:600], strict=True)
    }
    found = estimate(drawn.events, options=OPTIONS, labels=labels)
    topic = {t.topic: t for t in found.topics}
    assert topic["bad"].slope < 0.7 < topic["good"].slope
    assert topic["bad"].n_labels + topic["good"].n_labels > 300


def test_a_soft_judge_and_busy_biased_raters_as_few_as_two_hundred():
    """p_lie between .05 and .6 throughout; a tenth biased, who rate three times as often."""
    scenario = population(0.1, raters=200, separation=1.5, events_median=15.0)
    biased = dataclasses.replace(scenario.behaviours["biased"], activity=3.0)
    scenario = dataclasses.replace(scenario, behaviours={**scenario.behaviours, "biased": biased})
    inside, areas = 0, []
    for seed in range(6):
        drawn, found = found_in(scenario, seed)
        share = found.biased_fraction
        inside += share.lower <= 0.1 <= share.upper
        p = np.array([r.p_biased for r in found.raters])
        is_biased = np.array([drawn.behaviour[int(r.rater[6:])] == "biased" for r in found.raters])
        areas.append((p[is_biased][:, None] > p[~is_biased]).mean())
        assert 0.03 < share.estimate < 0.2
    assert inside >= 5
    assert np.mean(areas) > 0.9


def test_suspects_keep_their_bound_and_are_identified():
    false = listed = 0
    for seed in range(3):
        drawn, found = found_in(population(0.1, raters=800), 40 + seed)
        kind = dict(zip(drawn.events.raters, drawn.behaviour, strict=True))
        for r in found.raters:
            if r.status is RaterStatus.SUSPECT:
                listed += 1
                false += kind[r.rater] != "biased"
                assert min(r.effective_lies, r.effective_honest) >= OPTIONS.min_effective
            elif min(r.effective_lies, r.effective_honest) < OPTIONS.min_effective:
                assert r.status is RaterStatus.UNIDENTIFIED
    assert listed > 40
    assert false / listed < 0.15


def test_the_same_numbers_whatever_the_order_of_events():
    drawn = simulate(population(0.1, raters=150), np.random.default_rng(3))
    events = records(drawn.events)
    shuffled = events.copy()
    random.Random(0).shuffle(shuffled)
    a = estimate(EventTable.from_events(events), options=OPTIONS)
    b = estimate(EventTable.from_events(shuffled), options=OPTIONS)
    assert a == b


def test_unmeasured_feedback_is_kept_out_and_counted():
    drawn = simulate(population(0.1, raters=150), np.random.default_rng(3))
    events = records(drawn.events)
    blind = [
        msgspec.structs.replace(e, p_lie=None, feedback_id=f"n{i}", response_id=f"new{i}")
        for i, e in enumerate(events[:50])
    ]
    plain = estimate(EventTable.from_events(events), options=OPTIONS)
    more = estimate(EventTable.from_events([*events, *blind]), options=OPTIONS)
    assert more.n_unmeasured == 50
    assert more.n_events == plain.n_events
    assert more.biased_fraction == plain.biased_fraction


def test_nothing_measured_nothing_claimed():
    blind = RatedEvent(
        feedback_id="f", rater="r", response_id="x", value=1.0, p_lie=None, created_at_s=1.0
    )
    found = estimate(EventTable.from_events([blind]), options=OPTIONS)
    assert found.biased_fraction.estimate is None
    assert found.raters == ()
    assert found.n_unmeasured == 1
    assert alarms_of(found) == []
    assert msgspec.json.decode(msgspec.json.encode(found), type=CohortEstimate) == found


def test_the_estimate_survives_encoding():
    _, found = found_in(population(0.1, raters=100), 0)
    assert msgspec.json.decode(msgspec.json.encode(found), type=CohortEstimate) == found


def test_influence_is_positive_where_biased_raters_are_and_small_where_not():
    _, with_biased = found_in(population(0.2, raters=800), 1)
    _, without = found_in(population(0.0, raters=800), 1)
    assert with_biased.influence.sft_lie_share.difference.lower > 0
    assert with_biased.influence.kto_push.difference.lower > 0
    assert abs(without.influence.sft_lie_share.difference.estimate) < 0.01


def test_the_predictive_check_passes_when_the_model_holds():
    for seed in range(2):
        _, found = found_in(population(0.1, raters=1000), seed)
        assert found.fit.ok
        assert found.fit.ratio == pytest.approx(1.0, abs=0.15)


def test_raters_with_many_like_behaviours_in_between_raise_no_alarm():
    """Grumpy, generous and random raters, and behaviour that differs from rater to rater."""
    for seed in range(3):
        mixture = {
            "always_up": 0.2,
            "always_down": 0.1,
            "grumpy": 0.2,
            "random": 0.1,
            "generous": 0.1,
        }
        scenario = population(raters=1000, mixture=mixture, rater_concentration=12.0)
        _, found = found_in(scenario, seed)
        assert alarms_of(found) == []
        assert found.biased_fraction.lower < 0.03


@pytest.mark.long
def test_false_alarms_over_many_looks_keep_the_rate():
    """Four looks at each of ten populations with nobody biased and a topic where the judge fails."""
    raised = 0
    for seed in range(10):
        drawn = simulate(
            population(0.0, raters=500, topics=JUDGE_FAILS), np.random.default_rng(seed)
        )
        state = None
        for cut in np.linspace(1000, len(drawn.events), 4).astype(int):
            found = estimate(drawn.events.select(np.arange(cut)), options=OPTIONS)
            state, alarms = population_alarms(
                state, found, scope="a", at_s=0.0, log_position=int(cut), options=OPTIONS
            )
            raised += len(alarms)
    assert raised == 0


def test_nothing_is_said_by_topic_of_a_few_raters():
    drawn = simulate(population(0.1, raters=200, topics=JUDGE_FAILS), np.random.default_rng(0))
    events = drawn.events
    few = events.rater < 4
    topic = np.where((events.topic == 1) & ~few, 0, events.topic).astype(np.int32)
    found = estimate(dataclasses.replace(events, topic=topic), options=CohortOptions())
    assert [t.topic for t in found.topics] == ["good"]
