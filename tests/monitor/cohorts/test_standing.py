from __future__ import annotations

import msgspec
import numpy as np
import pytest

from monitor.cohorts.estimate import estimate, estimate_and_carry
from monitor.cohorts.events import EventTable, RatedEvent
from monitor.cohorts.options import CohortOptions
from monitor.cohorts.simulate import simulate
from tests.monitor.cohorts.populations import population

OPTIONS = CohortOptions()


@pytest.fixture(scope="module")
def events():
    table = simulate(population(0.15, raters=600), np.random.default_rng(2)).events
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


def standing(events):
    _, carry = estimate_and_carry(EventTable.from_events(events), options=OPTIONS)
    assert carry is not None
    return carry()


def test_carried_forward_it_stays_near_a_full_estimate(events):
    carried = standing(events[:4000])
    for start in range(4000, len(events), 400):
        last = carried.refresh(events[start : start + 400])
    full = estimate(EventTable.from_events(events), options=OPTIONS)
    assert last.n_events == full.n_events
    assert last.biased_fraction.n == full.biased_fraction.n
    assert last.biased_weight.n == full.biased_weight.n
    assert last.biased_fraction.estimate == pytest.approx(full.biased_fraction.estimate, abs=0.03)
    assert last.biased_weight.estimate == pytest.approx(full.biased_weight.estimate, abs=0.03)
    p = {r.rater: r.p_biased for r in full.raters}
    both = np.array([(p[name], q) for name, q in last.p_biased.items()])
    assert np.corrcoef(both.T)[0, 1] > 0.9


def test_a_refresh_without_events_is_the_full_estimate(events):
    nothing = standing(events).refresh([])
    full = estimate(EventTable.from_events(events), options=OPTIONS)
    assert nothing.biased_fraction.estimate == pytest.approx(full.biased_fraction.estimate)
    assert nothing.biased_weight.upper == pytest.approx(full.biased_weight.upper)


def test_batches_do_not_change_who_is_who_much_and_replay_changes_nothing(events):
    new = events[5000:5400]
    one, again = (standing(events[:5000]).refresh(new) for _ in range(2))
    assert one == again


def test_a_changed_mind_replaces_the_earlier_vote(events):
    carried = standing(events[:5000])
    before = carried.refresh([])
    old = events[4999]
    for i, value in enumerate((-old.value, old.value)):
        changed = msgspec.structs.replace(
            old, feedback_id=f"z{i}", value=value, created_at_s=old.created_at_s + 1 + i
        )
        after = carried.refresh([changed])
        assert after.n_events == before.n_events
    assert after.biased_weight.n == before.biased_weight.n
    assert after.biased_fraction.estimate == pytest.approx(
        before.biased_fraction.estimate, abs=1e-3
    )


def test_unmeasured_events_are_counted_and_change_nothing(events):
    carried = standing(events[:3000])
    before = carried.refresh([])
    after = carried.refresh([msgspec.structs.replace(events[3000], p_lie=None)])
    assert after.n_unmeasured == 1
    assert after.biased_fraction == before.biased_fraction
