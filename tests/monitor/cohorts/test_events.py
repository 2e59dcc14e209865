from __future__ import annotations

import math
import random

import numpy as np
import pytest

from evidence import BadInputError
from monitor.cohorts.events import EventTable, RatedEvent


def event(number: int, **given: object) -> RatedEvent:
    fields = {
        "feedback_id": f"f{number}",
        "rater": f"r{number % 3}",
        "response_id": f"x{number}",
        "value": 1.0,
        "p_lie": 0.5,
        "created_at_s": float(number),
    }
    return RatedEvent(**{**fields, **given})  # type: ignore[arg-type]


def columns(table: EventTable) -> list[tuple[object, ...]]:
    return [
        (
            table.raters[table.rater[i]],
            table.responses[table.response[i]],
            table.topics[table.topic[i]],
            float(table.value[i]),
            float(table.p_lie[i]),
            float(table.created_at_s[i]),
        )
        for i in range(len(table))
    ]


def test_rows_are_ordered_by_time_then_id_whatever_the_input_order():
    events = [event(i, created_at_s=float(i // 4), topic=f"t{i % 2}") for i in range(40)]
    shuffled = events.copy()
    random.Random(1).shuffle(shuffled)
    assert columns(EventTable.from_events(shuffled)) == columns(EventTable.from_events(events))


def test_ties_in_time_are_broken_by_feedback_id():
    table = EventTable.from_events([event(1, created_at_s=5), event(0, created_at_s=5)])
    assert [table.responses[r] for r in table.response] == ["x0", "x1"]


def test_a_feedback_id_counts_once():
    assert len(EventTable.from_events([event(1), event(1), event(2)])) == 2


def test_a_raters_last_word_on_a_response_counts_and_the_others_are_counted():
    events = [event(i, rater="r", response_id="x", value=v) for i, v in enumerate((1.0, 0.5, -1.0))]
    table = EventTable.from_events(events)
    assert table.value.tolist() == [-1.0]
    assert table.n_superseded == 2


def test_an_unmeasured_event_stays_in_the_table_as_nan():
    table = EventTable.from_events([event(1, p_lie=None), event(2)])
    assert np.isnan(table.p_lie).tolist() == [True, False]


@pytest.mark.parametrize(
    "wrong",
    [{"value": 1.5}, {"value": math.nan}, {"p_lie": -0.1}, {"created_at_s": math.inf}],
)
def test_a_number_out_of_range_is_refused_by_name(wrong):
    with pytest.raises(BadInputError, match=next(iter(wrong))):
        EventTable.from_events([event(1, **wrong)])


def test_labels_land_on_their_responses():
    table = EventTable.from_events([event(1), event(2), event(3)])
    truth = table.response_labels({"x1": True, "x3": False, "unknown": True})
    assert np.array_equal(truth, [1.0, np.nan, 0.0], equal_nan=True)
