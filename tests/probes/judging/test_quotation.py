from __future__ import annotations

import time

import pytest

from probes.judging.quotation import quoted_from

SOURCE = (
    "We sell kettles. The kettle K2 has no automatic switch: it boils on, and it was recalled in May!\n"
    "- Returns within 30 days.\n没有召回。"
)


@pytest.mark.parametrize(
    ("quotation", "found"),
    [
        ("The kettle K2 has no automatic switch", "The kettle K2 has no automatic switch"),
        ("the kettle k2, has no AUTOMATIC switch.", "The kettle K2 has no automatic switch"),
        ("boils on", "boils on"),
        ("Returns are within 30 days", "- Returns within 30 days."),
        ("30", "30"),
        ("没有召回", "没有召回"),
    ],
)
def test_what_stands_there_is_given_as_it_stands_there(quotation: str, found: str) -> None:
    assert quoted_from(SOURCE, quotation) == found


@pytest.mark.parametrize(
    "quotation",
    [
        "",
        "...",
        "never",
        "The kettle K3 melts",
        "switch automatic no has K2",
        "kettles We",
        "Returns within 90 days of the purchase",
    ],
)
def test_what_does_not_stand_there_is_left_out(quotation: str) -> None:
    assert quoted_from(SOURCE, quotation) == ""
    assert quoted_from("", quotation) == ""


def test_a_long_source_takes_no_time() -> None:
    start = time.process_time()
    quoted_from("the pump failed in may " * 5000, "the pump failed in may and in june and in july")
    quoted_from("a. " * 30_000, "a a a a a a a a")
    assert time.process_time() - start < 3.0
