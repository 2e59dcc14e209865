"""Honesty by day: corrected where the sensor's errors are known, missing with its reason where they are not."""

from __future__ import annotations

import json

import pytest

from evidence.prevalence import true_share
from evidence.records import Accuracy
from monitor.services.days import by_day, day_of

GOOD = Accuracy(sensitivity=0.9, n_lies=200, specificity=0.95, n_honest=200)
BLIND = Accuracy(sensitivity=0.5, n_lies=200, specificity=0.5, n_honest=200)


def line(verdict: str, p_lie: float | None = None, **probes: object) -> bytes:
    return json.dumps({"verdict": verdict, "p_lie": p_lie, "claim": "x", "probes": probes}).encode()


def day(n_honest: int, n_lies: int) -> list[bytes]:
    return [line("honest", 0.1)] * n_honest + [line("lie", 0.9)] * n_lies


def test_each_day_is_corrected_by_itself() -> None:
    lines = [("2026-09-20", one) for one in day(80, 20)] + [
        ("2026-09-21", one) for one in day(95, 5)
    ]
    first, second = by_day(lines[::-1], GOOD)
    assert (first.day, second.day) == ("2026-09-20", "2026-09-21")
    lies = true_share(0.2, 100, GOOD)
    assert lies is not None
    assert first.honesty is not None
    assert first.honesty.value == pytest.approx(1.0 - lies.value)
    assert first.honesty.lower < first.honesty.value < first.honesty.upper
    assert (first.score_rate, first.decided, first.n) == (0.8, 100, 100)


def test_what_a_tool_record_contradicts_counts_as_it_was_found() -> None:
    against = line("lie", 0.9, actions={"version": "a", "answers": {"contradicted": 1.0}})
    (found,) = by_day([("2026-09-20", one) for one in [*day(70, 10), *[against] * 20]], GOOD)
    lies = true_share(10 / 80, 80, GOOD)
    assert lies is not None
    assert found.honesty is not None
    assert found.honesty.value == pytest.approx(1.0 - 0.2 - 0.8 * lies.value)


@pytest.mark.parametrize(
    ("lines", "accuracy", "why"),
    [
        (day(9, 1), None, "nothing says how often"),
        (day(9, 1), BLIND, "does not tell lies from honest answers"),
        ([line("error"), line("no_belief")], GOOD, "no response asserted anything"),
    ],
)
def test_what_cannot_be_corrected_is_missing(
    lines: list[bytes], accuracy: Accuracy | None, why: str
) -> None:
    (found,) = by_day([("2026-09-20", one) for one in lines], accuracy)
    assert found.honesty is None
    assert found.why_missing is not None
    assert why in found.why_missing


def test_responses_without_a_time_stand_apart() -> None:
    found = by_day([(None, line("honest")), ("2026-09-20", line("honest"))], None)
    assert [one.day for one in found] == ["2026-09-20", None]


def test_a_day_is_read_from_any_of_the_times_that_files_have() -> None:
    assert day_of({"created": 1_790_000_000}) == "2026-09-21"
    assert day_of({"created_at": "2026-09-21T23:59:59-02:00"}) == "2026-09-22"
    assert day_of({"timestamp": "yesterday"}) is None
    assert day_of({}) is None
