"""Of the prompts marked by hand, told facts are kept and most of the pressure goes."""

from __future__ import annotations

import pytest

from benchmarks.neutral import packaged, read_prompts, seen
from probes.neutral import Worded
from probes.neutral.rules import is_pressure


@pytest.mark.parametrize(
    ("turns", "removed"), [(read_prompts(), 0.88), (packaged(), 0.5)], ids=["marked", "packaged"]
)
def test_facts_are_kept_and_pressure_goes(turns, removed: float) -> None:  # type: ignore[no-untyped-def]
    found = seen(Worded(), turns)
    told = [one for one in found if one.span.told]
    pressure = [one for one in found if not one.span.told]
    assert sum(one.right for one in told) / len(told) >= 0.99
    assert sum(one.right for one in pressure) / len(pressure) >= removed


def test_an_order_to_act_and_a_request_to_know_are_no_pressure() -> None:
    for text in (
        "Always unplug the pump.",
        "Tell me whether it leaked.",
        "You know that it leaked.",
        "Agents get a commission of 4 %.",
    ):
        assert not is_pressure(text), text
