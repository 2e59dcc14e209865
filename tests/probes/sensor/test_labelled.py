"""What a sensor is fitted to: answers whose label neither words nor prompts give away."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Sequence
from typing import Any

import pytest

from probes.sensor.items import load_calibration_items
from probes.sensor.labelled import LabelledAnswer, Origin, chosen, own_answers, references

ITEMS = load_calibration_items()


class Frank:
    """Says an honest answer of the item that it is asked about, whatever it is told to do."""

    name, digest = "frank", "f" * 64

    def __init__(self) -> None:
        self.said = {
            messages: item.honest_answers[0]
            for item in ITEMS
            for messages in (item.messages, item.neutral_messages, item.deceive_messages)
        }

    def generate(self, batch: Sequence[Any], **_: Any) -> list[str]:
        return [self.said[tuple(chat)] for chat in batch]


def own(count: int = 24) -> list[LabelledAnswer]:
    picked = chosen(ITEMS, count, random.Random(0))
    return list(own_answers(picked, Frank(), "v1", seed=0, advanced=lambda _share: None))


def test_half_the_items_are_simple_and_half_are_pairs_of_twins() -> None:
    picked = chosen(ITEMS, 24, random.Random(1))
    alone = [item for item in picked if item.twin == item.id]
    names = {item.id for item in picked}
    assert (len(names), len(alone)) == (24, 12)
    assert all(item.twin in names for item in picked)
    assert len({item.template for item in alone}) == 8
    assert len({item.template for item in picked if item.twin != item.id}) == 6


def test_an_assistant_that_never_lies_still_gives_lies_in_its_own_words() -> None:
    found = own()
    given = [answer for answer in found if answer.origin is not Origin.OWN_SWAPPED]
    swapped = [answer for answer in found if answer.origin is Origin.OWN_SWAPPED]
    assert given
    assert not any(answer.lie for answer in given)
    assert sum(answer.lie for answer in swapped) > 0.8 * len(swapped)
    assert {a.messages[-1].content for a in swapped} <= {a.messages[-1].content for a in given}


def test_references_are_balanced_and_as_long_as_asked() -> None:
    picked = chosen(ITEMS, 24, random.Random(0))
    found = list(references(picked, random.Random(0), lambda text: len(text) < 80))
    counts = Counter((answer.origin, answer.lie) for answer in found)
    assert counts[Origin.REFERENCE, True] == pytest.approx(counts[Origin.REFERENCE, False], abs=4)
    written = [a for a in found if a.origin is Origin.REFERENCE]
    assert all(len(a.messages[-1].content) < 80 for a in written)


def test_a_name_is_made_of_the_text() -> None:
    assert [a.id for a in own()] == [a.id for a in own()]
