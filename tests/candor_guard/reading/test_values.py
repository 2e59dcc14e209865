"""Times, numbers and yes or no in the ways that files write them."""

from __future__ import annotations

import datetime
import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from candor_guard.reading.values import field, label_of, number, text, time_s, truth, within
from evidence import BadInputError

AT = 1795914000.0


@pytest.mark.parametrize(
    "value",
    [
        1795914000,
        1795914000.0,
        1795914000_000,
        1795914000_000_000,
        1795914000_000_000_000,
        "1795914000",
        "1795914000.0",
        "1795914000000",
        " 1795914000 ",
        "2026-11-29T01:00:00Z",
        "2026-11-29 01:00:00+00:00",
        "2026-11-29T02:00:00.000+01:00",
        datetime.datetime(2026, 11, 29, 1, tzinfo=datetime.UTC),
    ],
)
def test_a_time_in_any_unit(value: Any) -> None:
    assert time_s(value) == AT


@pytest.mark.parametrize(
    ("value", "what"),
    [
        ("2026-11-29T01:00:00", "no time zone"),
        ("2026-11-29", "no time zone"),
        ("20261129", "no time zone"),
        (datetime.datetime(2026, 11, 29), "no time zone"),
        ("yesterday", "not a time"),
        ("", "not a time"),
        ("12345678 o'clock", "not a time"),
        (True, "not a time"),
        (-1, "since 1970"),
        (1e30, "since 1970"),
        (math.nan, "not a time"),
        (math.inf, "not a time"),
        ("0001-01-01T00:00:00+23:59", "since 1970"),
        ([1], "not a time"),
    ],
)
def test_what_is_no_time(value: Any, what: str) -> None:
    with pytest.raises(ValueError, match=what):
        time_s(value)


@given(st.one_of(st.floats(), st.integers(), st.text(max_size=12), st.booleans(), st.none()))
def test_a_time_is_within_the_years_that_are_meant(value: Any) -> None:
    try:
        found = time_s(value)
    except ValueError:
        return
    assert 0 <= found < 1e11 or isinstance(value, str)


@pytest.mark.parametrize("value", [True, "true", " TRUE ", 1, 1.0, "1", "1.0"])
def test_yes(value: Any) -> None:
    assert label_of(value) is truth(value) is True


@pytest.mark.parametrize("value", [False, "false", "False", 0, 0.0, "0"])
def test_no(value: Any) -> None:
    assert label_of(value) is truth(value) is False


@pytest.mark.parametrize("value", [2, "lie", "deceptive", math.nan, None, [], {}])
def test_neither(value: Any) -> None:
    assert label_of(value) is None
    with pytest.raises(ValueError, match="not true or false"):
        truth(value)


@pytest.mark.parametrize("value", [True, "", "up", math.nan, "nan", "1e999", 10**400, [1], None])
def test_what_is_no_number(value: Any) -> None:
    with pytest.raises(ValueError, match="not a finite number"):
        number(value)


def test_a_field_is_named() -> None:
    row = {"score": "0.5", "n": None, "name": 7, "bad": "x" * 200}
    assert field(row, "score", within(0, 1), "f:1") == 0.5
    assert field(row, "n", number, "f:1", 2.0) == 2.0
    assert field(row, "name", text, "f:1") == "7"
    for name, read, what in (
        ("n", number, "`n` is missing"),
        ("score", within(1, 2), r"`score` is '0.5', not within \[1, 2\]"),
        ("bad", number, "`bad` is 'xxx.*, not a finite number"),
    ):
        with pytest.raises(BadInputError, match=f"^f:1: {what}$") as caught:
            field(row, name, read, "f:1")
        assert len(str(caught.value)) < 120
